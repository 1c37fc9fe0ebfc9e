//! What the fuzzer begins with, where nobody could write it by hand: `HOLDFAST_BLESS=1 cargo test --lib laws` writes
//! what is missing, or is not read any more, to `tests/fuzz/seeds`. What lies there is read by the tests as it is, so it
//! also shows whether this build still reads what an earlier one wrote.

use super::node::{Happening, Story};
use crate::core::action::AgentStore;
use crate::core::command::{Command, LogEntry, Proposal, Said};
use crate::core::ids::{
    Address, Authority, BootId, ClusterGeneration, ConfigVersion, Epoch, Fingerprint, Generation, HostId, Incarnation,
    LogIndex, Ticket, VmId, VoterId,
};
use crate::core::message::{
    Ack, Asking, Challenge, Exit, GuestReport, Heartbeat, Inventory, Message, Presence, Register, Report, VmCondition,
};
use crate::core::record::{DatastoreResult, Mail, Record, Released, Slot, Tombstone, VmEpoch};
use crate::core::state::{GuestWord, Probe, UpMeans};
use crate::election::{Payload, StoreImage, StoredSnapshot};
use crate::fence::FenceDevice;
use crate::ledger::{Entry, Key, What};
use crate::node::{Packet, format};
use crate::samples::{self, Batch, Receipt, VmSample, encode_batches};
use crate::sim::bench::rack_example;
use crate::trust::{Authority as Signer, JoinToken, PrivateKey, SigningRequest};
use crate::wire::{
    Build, Frame, Goodbye, Hello, Member, NEWEST, Roster, RosterVersion, Speaks, encode_datagram, encode_packet,
};
use serde::Serialize;
use std::sync::Arc;

/// Which law, the name of the file, and what is in it.
pub(super) type Sample = (&'static str, &'static str, Vec<u8>);

pub(super) fn all() -> Vec<Sample> {
    [wire(), datastore(), store(), trust(), node(), load(), libvirt()].into_iter().flatten().collect()
}

#[cfg(feature = "libvirt")]
fn libvirt() -> Vec<Sample> {
    use crate::libvirt::definition::payload::{Package, pack};
    let xml = include_str!("../../tests/fuzz/seeds/libvirt/domain.xml").to_owned();
    vec![("libvirt", "payload", pack(&Package { xml, nvram: Some(vec![0xff; 256]), is_saved: true }).unwrap())]
}

#[cfg(not(feature = "libvirt"))]
fn libvirt() -> Vec<Sample> {
    Vec::new()
}

fn packed(format: u8, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![format]).unwrap()
}

fn authority() -> Authority {
    Authority { generation: ClusterGeneration(0), term: 2 }
}

fn incarnation(host: u32) -> Incarnation {
    Incarnation { host: HostId(host), boot: BootId(u64::from(host) + 1), generation: Generation(1) }
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, ..Epoch::NONE }
}

fn heartbeat() -> Message {
    let (session, sequence, report, config) = (1, 7, 2, ConfigVersion(1));
    Message::Heartbeat(Heartbeat {
        incarnation: incarnation(1),
        admitted: true,
        session,
        sequence,
        report,
        leaving: false,
        config,
    })
}

fn conditions() -> Vec<VmCondition> {
    let condition =
        |vm, presence| VmCondition { vm: VmId(vm), epoch: epoch(u64::from(vm) + 1), presence, gone_milliseconds: 0 };
    vec![condition(1, Presence::Running), condition(4, Presence::Unknown)]
}

fn messages() -> Vec<(&'static str, Message)> {
    let ack = Ack { incarnation: incarnation(0), authority: authority(), session: 1, sequence: 7, report: 2 };
    let inventory = Inventory { hardware: 1, vms: conditions(), ..Inventory::default() };
    let register = Register { host: HostId(1), boot: BootId(2), session: 1, nonce: 9, inventory };
    let report = Report {
        incarnation: incarnation(1),
        session: 1,
        version: 3,
        config: ConfigVersion(1),
        vms: conditions(),
        strangers: vec![VmId(9)],
        hypervisor: true,
        features: Default::default(),
    };
    vec![
        ("heartbeat", heartbeat()),
        ("ack", Message::Ack(ack)),
        ("challenge", Message::Challenge(Challenge { authority: authority(), boot: BootId(2), session: 1, nonce: 9 })),
        ("register", Message::Register(Box::new(register))),
        ("report", Message::Report(report)),
        (
            "asking",
            Message::AskGuests(Asking {
                incarnation: incarnation(1),
                authority: authority(),
                ticket: Ticket(4),
                vms: vec![
                    (VmId(1), UpMeans::Agent),
                    (VmId(4), UpMeans::Probe(Probe::Tcp { address: "10.0.0.7:80".to_owned() })),
                ],
            }),
        ),
        (
            "guest",
            Message::Guest(GuestReport {
                incarnation: incarnation(1),
                ticket: Ticket(5),
                vm: VmId(1),
                epoch: epoch(2),
                word: GuestWord::Answers { answers: true, ago_milliseconds: 12 },
            }),
        ),
        ("voters", Message::Voters(vec![Address(0), Address(1)])),
        ("master", Message::Hello(authority())),
        (
            "become-voter",
            Message::BecomeVoter {
                authority: authority(),
                voter: VoterId(4),
                voters: vec![(VoterId(1), Address(0)), (VoterId(4), Address(1))],
            },
        ),
    ]
}

/// The fields of a message of the election, as they travel.
fn election(kind: u8, from: u64, entries: usize) -> Packet {
    let entry = |number: u64| {
        let payload = Payload::Data(format::write_entry(&log_entry()).unwrap());
        crate::election::StoredEntry { index: LogIndex(1 + number), term: 2, payload }
    };
    let entries: Vec<_> = (1..=entries as u64).map(entry).collect();
    let snapshot: Option<StoredSnapshot> = None;
    let head = (kind, 1_u64, from, 2_u64, 1_u64, 1_u64);
    let tail = (entries, 1_u64, 1_u64, snapshot, false, 0_u64, Vec::<u8>::new());
    let message = postcard::from_bytes(&postcard::to_stdvec(&(head, tail)).unwrap()).unwrap();
    Packet::Election { authority: authority(), from: VoterId(from), to: VoterId(1), message: Box::new(message) }
}

fn log_entry() -> LogEntry {
    let said = Said { who: "ada".to_owned(), why: "a test".to_owned() };
    let proposal = Proposal { answers: None, said: Some(Box::new(said)), command: Command::GiveUp { vm: VmId(3) } };
    LogEntry { at_milliseconds: 1_700_000_000_000, proposal }
}

fn wire() -> Vec<Sample> {
    let endpoint = "10.0.0.1:7770".parse().unwrap();
    let version = RosterVersion { generation: ClusterGeneration(1), index: LogIndex(5) };
    let hello = Hello {
        cluster: 7,
        speaks: Speaks::OURS,
        address: Address(3),
        session: 9,
        boot: BootId(11),
        build: Build::new("holdfast 0.1.0"),
        endpoints: vec![endpoint, "[fd00::1]:7770".parse().unwrap()],
        roster: version,
    };
    let member = |number: u8| Member {
        address: Address(u32::from(number)),
        name: format!("host-{number}"),
        fingerprint: Fingerprint([number; 32]),
        endpoints: vec![endpoint],
    };
    let roster = Roster::new(version, vec![member(0), member(1)]).unwrap().pages().remove(0);
    let mut samples = vec![
        ("hello", "hello", hello.encode().unwrap()),
        ("hello", "goodbye", Goodbye::Versions(Speaks::OURS).encode().unwrap()),
        ("stream", "roster", Frame::Roster(roster).encode(NEWEST).unwrap()),
        ("stream", "call", Frame::Call { id: 3, body: b"{}".to_vec() }.encode(NEWEST).unwrap()),
        ("stream", "answer", Frame::Answer { id: 3, body: b"{}".to_vec() }.encode(NEWEST).unwrap()),
        ("stream", "append", encode_packet(NEWEST, &election(0, 2, 2)).unwrap()),
        ("stream", "vote", encode_packet(NEWEST, &election(2, 2, 0)).unwrap()),
        ("datagram", "election-heartbeat", encode_datagram(NEWEST, &election(6, 2, 0)).unwrap()),
    ];
    for (name, message) in messages() {
        let packet = Packet::Cluster(message);
        samples.push(("stream", name, encode_packet(NEWEST, &packet).unwrap()));
        samples.push(("datagram", name, encode_datagram(NEWEST, &packet).unwrap()));
    }
    samples
}

fn record() -> Record {
    let held = |vm| VmEpoch { vm: VmId(vm), epoch: epoch(u64::from(vm)) };
    let exit = Released { vm: VmId(3), epoch: epoch(3), exit: Exit::ByPerson };
    Record {
        incarnation: incarnation(7),
        sequence: 12,
        config: ConfigVersion(3),
        report: 4,
        held: Arc::from([held(1), held(2)]),
        released: Arc::from([exit]),
    }
}

fn mail() -> Mail {
    Mail {
        tombstone: Some(Tombstone { authority: authority(), generation: Generation(2) }),
        releases: vec![VmEpoch { vm: VmId(5), epoch: epoch(6) }],
        releases_for: Generation(2),
        serial: 8,
    }
}

fn datastore() -> Vec<Sample> {
    // The fields of a header as they are stored.
    let header = (7_u128, 1_u16, 9_u128, "shared-1", 64_u32, 8_u32, 32_u32, 4_u32);
    vec![
        ("datastore", "record", packed(1, &record())),
        ("datastore", "mail", packed(1, &mail())),
        ("datastore", "header", packed(1, &header)),
    ]
}

fn store() -> Vec<Sample> {
    let state = rack_example(3, 6, 40).state;
    let snapshot = format::write_state(&state).unwrap();
    let image = StoreImage::bootstrap(VoterId(1), &[VoterId(1), VoterId(2), VoterId(3)], snapshot.clone());
    let placed = What::VmPlaced { vm: VmId(1), host: HostId(2), epoch: epoch(4), proofs: Vec::new() };
    let key = Key { generation: 0, index: LogIndex(12), part: 0 };
    let fact = Entry { key, at_milliseconds: 1_700_000_000_000, said: None, what: placed };
    vec![
        ("store", "payload", packed(1, &Payload::Data(vec![1, 2, 3]))),
        ("store", "entry", format::write_entry(&log_entry()).unwrap()),
        ("store", "state", snapshot),
        ("store", "image", packed(1, &image)),
        ("store", "agent.json", serde_json::to_vec(&AgentStore::default()).unwrap()),
        ("store", "fact.json", serde_json::to_vec(&fact).unwrap()),
    ]
}

fn load() -> Vec<Sample> {
    let vm = |uuid, busy_millicores| VmSample { uuid, busy_millicores, used_mib: 512 };
    let vms = vec![vm(7, Some(990)), vm(u128::MAX, None)];
    let batch =
        |slot| Batch { slot: samples::Slot(slot), busy_millicores: Some(1_500), used_mib: 4_096, vms: vms.clone() };
    let slots: Vec<Option<u32>> = (0..30).map(|at| (at % 7 != 3).then_some(at * at)).collect();
    let [raw, minutes] = samples::chunks(&slots);
    vec![
        ("samples", "batches", encode_batches(&[batch(340_000_000), batch(340_000_001)])),
        ("samples", "receipt", Receipt { run: 12 }.encode()),
        ("samples", "slots", raw),
        ("samples", "minutes", minutes),
    ]
}

fn trust() -> Vec<Sample> {
    let signer = Signer::create(7).unwrap();
    let request = PrivateKey::generate().unwrap().request().unwrap();
    let certificate = signer.issue_host(&SigningRequest::parse(&request).unwrap(), "host-1").unwrap();
    let token = JoinToken::generate(&Fingerprint([7; 32])).unwrap();
    let device = r#"{"Agent":{"program":"fence_ipmilan","options":{"ip":"192.0.2.1","password":"x"}}}"#;
    let device: FenceDevice = serde_json::from_str(device).unwrap();
    vec![
        ("certificates", "request", request),
        ("certificates", "certificate", certificate),
        ("token", "token", token.to_string().into_bytes()),
        ("sealed", "month", sealed(&signer).into_bytes()),
        ("fence-device", "packed", postcard::to_stdvec(&device).unwrap()),
    ]
}

fn node() -> Vec<Sample> {
    let story = |leads, happenings| postcard::to_stdvec(&Story { leads, happenings }).unwrap();
    let packets = || {
        messages()
            .into_iter()
            .map(|(_, message)| Happening::Packet { from: 1, packet: Box::new(Packet::Cluster(message)) })
    };
    let led: Vec<Happening> = packets()
        .flat_map(|packet| [packet, Happening::Wake, Happening::Stored(true)])
        .chain([Happening::Datastore(DatastoreResult::Records(vec![(HostId(7), Slot::Whole(record()))]))])
        .collect();
    let votes =
        (0..9).map(|kind| Happening::Packet { from: 1, packet: Box::new(election(kind, 2, usize::from(kind == 0))) });
    let led_by = votes.flat_map(|packet| [packet, Happening::Stored(true), Happening::Wake]).collect();
    let stranger = Incarnation { host: HostId(u32::MAX), ..incarnation(1) };
    let Message::Heartbeat(own) = heartbeat() else { panic!("it is one") };
    let foreign = Message::Heartbeat(Heartbeat { incarnation: stranger, ..own });
    let waits = vec![Happening::Later(1_000), Happening::Wake, Happening::Later(60_000), Happening::Stored(false)];
    vec![
        ("node", "master", story(true, led)),
        (
            "node",
            "stranger",
            story(true, vec![Happening::Packet { from: 1, packet: Box::new(Packet::Cluster(foreign)) }]),
        ),
        ("node", "silence", story(true, waits)),
        ("node", "voter", story(false, packets().chain([Happening::Later(900)]).collect())),
        ("node", "follower", story(false, led_by)),
    ]
}

/// A page that is as good as any other, sealed.
fn sealed(signer: &Signer) -> String {
    let page = r#"<!doctype html>
<script type="application/json" id="data">{"statement":{"cluster":"lab","uuid":"00000000-0000-0000-0000-000000000007","authority":"1f","month":"2026-10","zone":"UTC","from":1,"to":2,"provisional":false,"signed_at_milliseconds":3,"signed_on":"host-1"}}</script>
"#;
    crate::report::seal(page, |bytes| signer.sign_message(bytes)).unwrap()
}
