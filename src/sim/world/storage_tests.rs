//! Datastores and voters' disks.

use super::script::*;
use super::*;

#[test]
fn a_torn_record_stays_torn_until_it_is_written_again() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![record(1)]);
    simulation.run_until(s(2));
    assert!(matches!(slot(&mut simulation), Slot::Whole(_)));
    simulation.schedule(simulation.now(), Fault::TearRecord(STORE, HostId(1)));
    simulation.run_until(simulation.now());
    assert_eq!(slot(&mut simulation), Slot::Torn);
    act(&mut simulation, 0, vec![record(2)]);
    simulation.run_until(simulation.now() + s(1));
    assert!(matches!(slot(&mut simulation), Slot::Whole(record) if record.sequence == 2));
}

#[test]
fn a_stalled_write_lands_late_and_holds_up_what_is_behind_it() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::StallWrite(HostId(1), STORE, s(30)));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![record(1), record(2)]);
    simulation.run_until(s(20));
    assert_eq!(slot(&mut simulation), Slot::Empty);
    simulation.run_until(s(32));
    assert!(matches!(slot(&mut simulation), Slot::Whole(record) if record.sequence == 2));
}

#[test]
fn a_hanging_datastore_answers_when_its_hang_ends() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::Datastore(Some(HostId(1)), STORE, DatastoreFault::Hang, s(30)));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![record(1)]);
    simulation.run_until(s(30));
    assert_eq!(slot(&mut simulation), Slot::Empty);
    simulation.run_until(s(32));
    assert!(matches!(slot(&mut simulation), Slot::Whole(_)));
}

#[test]
fn a_datastore_rolls_back() {
    let mut simulation = world();
    act(&mut simulation, 0, vec![record(1)]);
    simulation.run_until(s(12));
    act(&mut simulation, 0, vec![record(2)]);
    simulation.run_until(s(13));
    simulation.schedule(s(13), Fault::RollBack(STORE, s(2)));
    simulation.run_until(s(14));
    assert!(matches!(slot(&mut simulation), Slot::Whole(record) if record.sequence == 1));
}

#[test]
fn a_batch_is_lost_with_its_machine_unless_it_was_synced() {
    let mut simulation = world();
    let batch = batch(5);
    act(&mut simulation, 0, vec![NodeAction::Store(batch.clone())]);
    simulation.schedule(s(1), Fault::PowerBlip(HostId(1), s(1)));
    simulation.run_until(s(20));
    let stored = |event: &NodeEvent| matches!(event, NodeEvent::Stored { .. });
    assert!(!script(&mut simulation, 0).seen.iter().any(stored));
    assert!(simulation.world.machines[0].disk.pending.is_empty());
    act(&mut simulation, 0, vec![NodeAction::Store(batch)]);
    simulation.run_until(s(21));
    let done = |event: &NodeEvent| matches!(event, NodeEvent::Stored { ticket: Ticket(5), done: true });
    assert!(script(&mut simulation, 0).seen.iter().any(done));
}

#[test]
fn a_full_disk_fails_that_batch_and_all_after_it() {
    let mut simulation = world();
    simulation.schedule(s(1), Fault::VoterDiskFull(HostId(1), s(1)));
    simulation.run_until(s(1));
    act(&mut simulation, 0, vec![NodeAction::Store(batch(1))]);
    simulation.run_until(s(5));
    act(&mut simulation, 0, vec![NodeAction::Store(batch(1))]);
    simulation.run_until(s(6));
    let failed = |event: &&NodeEvent| matches!(event, NodeEvent::Stored { done: false, .. });
    assert_eq!(script(&mut simulation, 0).seen.iter().filter(failed).count(), 2);
}
