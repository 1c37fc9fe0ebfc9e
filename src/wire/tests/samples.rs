//! Packets to write down. Those of the election are had the way a hostile node has them: from bytes.

use crate::core::ids::{
    Address, Authority, BootId, ClusterGeneration, ConfigVersion, Epoch, FeatureId, Generation, HostId, Incarnation,
    LogIndex, Ticket, VmId, VoterId,
};
use crate::core::message::{
    Ack, Challenge, Heartbeat, Inventory, Known, Message, Permit, PermitKind, Presence, Protection, Register, Report,
    VmCondition,
};
use crate::election::{self, Members, Payload, StoredEntry, StoredSnapshot};
use crate::node::Packet;
use proptest::prelude::*;
use serde::Serialize;

/// A message of the election, field by field as it travels.
#[derive(Debug, Clone, Default, Serialize)]
struct ElectionFields {
    kind: u8,
    to: u64,
    from: u64,
    term: u64,
    log_term: u64,
    index: u64,
    entries: Vec<StoredEntry>,
    commit: u64,
    commit_term: u64,
    snapshot: Option<StoredSnapshot>,
    reject: bool,
    reject_hint: u64,
    context: Vec<u8>,
}

pub(super) const APPEND: u8 = 0;
pub(super) const HEARTBEAT: u8 = 6;
const SNAPSHOT: u8 = 8;

impl ElectionFields {
    fn packet(&self) -> Packet {
        let message: election::Message = postcard::from_bytes(&postcard::to_stdvec(self).unwrap()).unwrap();
        let authority = Authority { generation: ClusterGeneration(1), term: self.term };
        Packet::Election { authority, from: VoterId(self.from), to: VoterId(self.to), message: Box::new(message) }
    }
}

/// A message of the election that says nothing but its kind.
pub(super) fn election(kind: u8) -> Packet {
    ElectionFields { kind, ..ElectionFields::default() }.packet()
}

pub(super) fn snapshot(bytes: usize) -> Packet {
    let snapshot = StoredSnapshot {
        index: LogIndex(9),
        term: 2,
        members: Members { voters: vec![VoterId(1), VoterId(2)], ..Members::default() },
        data: vec![7; bytes],
    };
    ElectionFields { kind: SNAPSHOT, to: 2, from: 1, snapshot: Some(snapshot), ..ElectionFields::default() }.packet()
}

pub(super) fn incarnation() -> Incarnation {
    Incarnation { host: HostId(u32::MAX), boot: BootId(u64::MAX), generation: Generation(u64::MAX) }
}

/// The longest heartbeat that there can be.
pub(super) fn heartbeat() -> Heartbeat {
    Heartbeat {
        incarnation: incarnation(),
        admitted: true,
        session: u64::MAX,
        sequence: u64::MAX,
        report: u64::MAX,
        leaving: true,
        config: ConfigVersion(u64::MAX),
    }
}

fn authority() -> impl Strategy<Value = Authority> {
    (any::<u32>(), any::<u64>())
        .prop_map(|(generation, term)| Authority { generation: ClusterGeneration(generation), term })
}

fn an_incarnation() -> impl Strategy<Value = Incarnation> {
    (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(host, boot, generation)| Incarnation {
        host: HostId(host),
        boot: BootId(boot),
        generation: Generation(generation),
    })
}

fn conditions() -> impl Strategy<Value = Vec<VmCondition>> {
    let presence = prop_oneof![Just(Presence::Starting), Just(Presence::Running), Just(Presence::Unknown)];
    let condition = (any::<u32>(), any::<u32>(), any::<u64>(), presence, any::<u64>());
    let condition = condition.prop_map(|(vm, generation, number, presence, gone_milliseconds)| VmCondition {
        vm: VmId(vm),
        epoch: Epoch { generation: ClusterGeneration(generation), number },
        presence,
        gone_milliseconds,
    });
    prop::collection::vec(condition, 0..50)
}

fn cluster_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (an_incarnation(), any::<(bool, u64, u64, u64, bool, u64)>()).prop_map(|(incarnation, rest)| {
            let (admitted, session, sequence, report, leaving, config) = rest;
            let config = ConfigVersion(config);
            Message::Heartbeat(Heartbeat { incarnation, admitted, session, sequence, report, leaving, config })
        }),
        (an_incarnation(), authority(), any::<(u64, u64, u64)>()).prop_map(|(incarnation, authority, rest)| {
            let (session, sequence, report) = rest;
            Message::Ack(Ack { incarnation, authority, session, sequence, report })
        }),
        (authority(), any::<(u64, u64, u64)>()).prop_map(|(authority, (boot, session, nonce))| {
            Message::Challenge(Challenge { authority, boot: BootId(boot), session, nonce })
        }),
        (any::<(u32, u64, u64, u64, u64)>(), conditions()).prop_map(|(fields, vms)| {
            let (host, boot, session, nonce, hardware) = fields;
            let inventory = Inventory { hardware, vms, ..Inventory::default() };
            Message::Register(Box::new(Register { host: HostId(host), boot: BootId(boot), session, nonce, inventory }))
        }),
        (an_incarnation(), any::<(u64, u64, bool)>(), conditions()).prop_map(|(incarnation, fields, vms)| {
            let (session, version, hypervisor) = fields;
            let config = ConfigVersion(version);
            let strangers = vms.iter().map(|condition| condition.vm).collect();
            Message::Report(Report {
                incarnation,
                session,
                version,
                config,
                vms,
                strangers,
                hypervisor,
                features: [FeatureId(1), FeatureId(u64::MAX)].into(),
            })
        }),
        (an_incarnation(), authority(), any::<u64>()).prop_map(|(incarnation, authority, ticket)| {
            Message::Permit(Permit {
                payload: std::sync::Arc::from(*b"words"),
                incarnation,
                authority,
                index: LogIndex(ticket),
                session: 1,
                sequence: ticket,
                vm: VmId(1),
                epoch: Epoch::NONE,
                config: ConfigVersion(2),
                known: Known { uuid: u128::MAX, protection: Protection::Lease },
                kind: PermitKind::Hook(Ticket(ticket)),
            })
        }),
        prop::collection::vec(any::<u32>().prop_map(Address), 0..7).prop_map(Message::Voters),
        authority().prop_map(Message::Hello),
    ]
}

fn entry() -> impl Strategy<Value = StoredEntry> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Payload::Data),
        any::<u64>().prop_map(|id| Payload::Change(election::MemberChange::AddLearner(VoterId(id)))),
        Just(Payload::LeaveJoint),
    ];
    (any::<(u64, u64)>(), payload).prop_map(|((index, term), payload)| StoredEntry {
        index: LogIndex(index),
        term,
        payload,
    })
}

fn election_packet() -> impl Strategy<Value = Packet> {
    let numbers = any::<(u64, u64, u64, u64, u64, u64, u64, bool, u64)>();
    let lists = (prop::collection::vec(entry(), 0..10), prop::collection::vec(any::<u8>(), 0..30));
    (0..SNAPSHOT, numbers, lists).prop_map(|(kind, numbers, (entries, context))| {
        let (to, from, term, log_term, index, commit, commit_term, reject, reject_hint) = numbers;
        let snapshot = None;
        let fields = ElectionFields {
            kind,
            to,
            from,
            term,
            log_term,
            index,
            entries,
            commit,
            commit_term,
            snapshot,
            reject,
            reject_hint,
            context,
        };
        fields.packet()
    })
}

/// Any packet.
pub(super) fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        4 => cluster_message().prop_map(Packet::Cluster),
        4 => election_packet(),
        1 => (0_usize..300).prop_map(snapshot),
    ]
}
