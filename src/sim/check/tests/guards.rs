//! Proofs and leases, held against what happened.

use super::*;
use crate::core::action::{Action, Event, PlatformCall, WatchdogOp};
use crate::core::ids::{Address, DatastoreId, Incarnation, Ticket};
use crate::core::message::{Ack, Heartbeat, Known, Message, Permit, PermitKind, Protection};
use crate::core::record::{DatastoreCall, DatastoreOp, DatastoreResult, Record, Slot};
use crate::election::Members;
use crate::node::{NodeAction, NodeEvent, Packet};

const ME: usize = 1;
const HOST: HostId = HostId(1);

fn at(milliseconds: u64) -> Instant {
    Instant::from_micros(milliseconds * 1_000)
}

/// The VM runs on its one holder, whose watchdog fires at the fourth second.
fn running() -> Checks {
    let mut checks = checks();
    checks.fact(0, &Fact::Booted { machine: ME, boot: BootId(1) });
    checks.node_stepped(0, 0, Some(&state(1, &[1])), None);
    checks.agent_started(ME, HOST, 1, at(0));
    checks.fact(0, &Fact::Watchdog { machine: ME, fires_at: Some(4 * SECOND) });
    checks.fact(0, &process(1, EXECUTING, UNDER));
    assert_eq!(found(&mut checks), NOTHING);
    checks
}

/// What is found when the holder leaves with this proof at that second.
fn proven(checks: &mut Checks, second: u64, proof: Proof) -> Vec<&'static str> {
    let mut after = state(2, &[]);
    let given = HolderProof { host: HOST, boot: BootId(1), epoch: epoch(1), proof };
    after.vms.get_mut(&VM).expect("the VM").proofs.push(given);
    checks.node_stepped(second * SECOND, 0, Some(&after), None);
    found(checks)
}

#[test]
fn a_proof_of_what_still_runs_is_false() {
    let released = Proof::Released { refuses: epoch(1) };
    let expired = Proof::LeaseExpired { generation: Generation(1) };
    assert_eq!(proven(&mut running(), 9, released), ["I2"]);
    assert_eq!(proven(&mut running(), 9, expired), ["I2"]);
    // What a person says is on that person.
    assert_eq!(proven(&mut running(), 9, Proof::Operator), NOTHING);
    let mut checks = running();
    checks.fact(SECOND, &process(1, None, UNDER));
    assert_eq!(proven(&mut checks, 1, released), NOTHING);
}

#[test]
fn a_lease_is_over_only_once_a_host_that_stood_still_would_be_down() {
    let expired = Proof::LeaseExpired { generation: Generation(1) };
    for (second, finds) in [(3, vec!["I2"]), (4, vec![])] {
        let mut checks = running();
        checks.fact(SECOND, &process(1, None, UNDER));
        assert_eq!(proven(&mut checks, second, expired), finds);
    }
}

fn heartbeat(sequence: u64) -> NodeAction {
    let beat = Heartbeat {
        incarnation: Incarnation::default(),
        admitted: true,
        session: 1,
        sequence,
        report: 0,
        leaving: false,
        config: Default::default(),
    };
    NodeAction::Send { to: Address(0), packet: Packet::Cluster(Message::Heartbeat(beat)) }
}

fn ack(sequence: u64) -> Message {
    let (incarnation, authority) = (Incarnation::default(), Default::default());
    Message::Ack(Ack { incarnation, authority, session: 1, sequence, report: 0 })
}

fn packet(message: Message) -> NodeEvent {
    NodeEvent::Packet { from: Address(0), packet: Packet::Cluster(message) }
}

fn feed() -> NodeAction {
    NodeAction::Core(Action::Watchdog(WatchdogOp::Feed))
}

#[test]
fn a_watchdog_is_fed_by_a_fresh_answer_only() {
    for (answered, finds) in [(300, vec![]), (500, vec!["rule 5"])] {
        let mut checks = running();
        checks.agent_does(ME, at(1_000), &heartbeat(1), None);
        checks.agent_hears(ME, at(1_000 + answered), &packet(ack(1)));
        checks.agent_does(ME, at(1_000 + answered), &feed(), None);
        assert_eq!(found(&mut checks), finds);
    }
    // Where nothing is covered, anything may feed it.
    let mut checks = running();
    checks.fact(SECOND, &process(1, None, UNDER));
    checks.agent_does(ME, at(9_000), &feed(), None);
    assert_eq!(found(&mut checks), NOTHING);
}

#[test]
fn a_record_extends_a_lease_once_its_mail_was_read_whole() {
    for (slot, finds) in [(Slot::Empty, vec![]), (Slot::Torn, vec!["rule 5"])] {
        let mut checks = running();
        let datastore = DatastoreId(1);
        let ask = |ticket, op| {
            NodeAction::Core(Action::Datastore { ticket: Ticket(ticket), call: DatastoreCall { datastore, op } })
        };
        let answer = |ticket, result| NodeEvent::Core(Event::Datastore { ticket: Ticket(ticket), result });
        let record = Record {
            incarnation: Incarnation::default(),
            sequence: 1,
            config: Default::default(),
            report: 0,
            held: [].into(),
            released: [].into(),
        };
        checks.agent_does(ME, at(1_000), &ask(1, DatastoreOp::WriteRecord(record)), None);
        checks.agent_hears(ME, at(1_100), &answer(1, DatastoreResult::Written));
        checks.agent_does(ME, at(1_100), &ask(2, DatastoreOp::ReadMail { host: HOST }), None);
        checks.agent_hears(ME, at(1_200), &answer(2, DatastoreResult::Mail(vec![(VoterId(1), slot)])));
        checks.agent_does(ME, at(1_200), &feed(), None);
        assert_eq!(found(&mut checks), finds);
    }
}

#[test]
fn what_a_lease_covers_is_killed_when_it_ends() {
    let end = (3_400 * 1_000, at(3_400));
    let mut checks = running();
    checks.agent_woke(ME, (3_399 * 1_000, at(3_399)));
    assert_eq!(found(&mut checks), NOTHING);
    checks.agent_woke(ME, end);
    assert_eq!(found(&mut checks), ["rule 5"]);
    let mut checks = running();
    checks.agent_does(ME, at(3_400), &NodeAction::Core(Action::Kill(VM)), None);
    checks.agent_woke(ME, end);
    assert_eq!(found(&mut checks), NOTHING);
}

#[test]
fn a_start_needs_a_permit_that_is_fresh() {
    let start =
        NodeAction::Core(Action::Platform { ticket: Ticket(1), call: PlatformCall::Start { vm: VM, epoch: epoch(1) } });
    let permit = Permit {
        incarnation: Incarnation::default(),
        authority: Default::default(),
        index: LogIndex(1),
        session: 1,
        sequence: 1,
        vm: VM,
        epoch: epoch(1),
        config: Default::default(),
        known: Known { uuid: 1, protection: Protection::Lease },
        kind: PermitKind::Start,
        payload: Default::default(),
    };
    for (answered, finds) in [(400, vec![]), (401, vec!["rule 12"])] {
        let mut checks = running();
        checks.agent_does(ME, at(1_000), &heartbeat(1), None);
        checks.agent_hears(ME, at(1_000 + answered), &packet(Message::Permit(permit.clone())));
        checks.agent_does(ME, at(1_000 + answered), &start, None);
        assert_eq!(found(&mut checks), finds);
    }
    let mut checks = running();
    checks.agent_does(ME, at(1_000), &start, None);
    assert_eq!(found(&mut checks), ["rule 12"]);
}

#[test]
fn a_master_grants_while_a_majority_answers() {
    let members = Members { voters: vec![VoterId(1), VoterId(2), VoterId(3)], ..Members::default() };
    let grant = NodeAction::Send { to: Address(1), packet: Packet::Cluster(ack(1)) };
    for (granted, finds) in [(300, vec![]), (301, vec!["rule 4"])] {
        let mut checks = running();
        checks.majority.voter_heard(0, at(1_000), VoterId(2));
        checks.agent_does(0, at(1_000 + granted), &grant, Some(&members));
        assert_eq!(found(&mut checks), finds);
    }
}
