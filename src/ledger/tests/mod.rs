//! What the ledger says of simulated lives: each test writes facts by hand and reads the history.

mod naive;
mod naive_vm;
mod random;

use crate::core::command::Want;
use crate::core::ids::{BootId, Epoch, FenceId, HostId, LogIndex, VmId};
use crate::core::message::Exit;
use crate::core::reason::{JudgeCause, Proof};
use crate::ledger::{Cause, Entry, Figures, History, Key, Kind, Period, Recovery, Scope, What};

const VM: VmId = VmId(1);
const ONE: HostId = HostId(1);
const TWO: HostId = HostId(2);

/// Facts in the order in which they stand in the ledger.
fn entries<'a>(facts: impl Iterator<Item = (i64, &'a What)>) -> impl Iterator<Item = Entry> {
    facts.enumerate().map(|(place, (at_milliseconds, what))| Entry {
        key: Key { generation: 0, index: LogIndex(place as u64), part: 0 },
        at_milliseconds,
        said: None,
        what: what.clone(),
    })
}

/// A past that can be asked about any period.
struct Past(Vec<(i64, What)>);

fn history(facts: &[(i64, What)]) -> Past {
    Past(facts.to_vec())
}

/// For how long something was how, and how often it failed.
#[derive(Debug, PartialEq)]
struct Sum {
    up: i64,
    planned: i64,
    unplanned: i64,
    unseen: i64,
    failures: u64,
}

impl Past {
    fn told(&self, from: i64, to: i64) -> crate::ledger::Told {
        let mut history = History::new(Scope { period: Period { from, to }, draws: true, recovers: true });
        entries(self.0.iter().map(|(at, what)| (*at, what))).for_each(|entry| history.add(&entry));
        history.end()
    }

    fn figures(&self, vm: VmId, from: i64, to: i64) -> Figures {
        let told = self.told(from, to);
        told.vms.iter().find(|one| one.id == u64::from(vm.0)).map(|one| one.figures.clone()).unwrap_or_default()
    }

    fn vm(&self, vm: VmId, from: i64, to: i64) -> Sum {
        let Figures { up, planned, unplanned, unseen, failures, .. } = self.figures(vm, from, to);
        Sum { up, planned, unplanned, unseen, failures }
    }

    fn host(&self, host: HostId, from: i64, to: i64) -> Figures {
        let told = self.told(from, to);
        told.hosts.iter().find(|one| one.id == u64::from(host.0)).map(|one| one.figures.clone()).unwrap_or_default()
    }

    fn recoveries(&self) -> Vec<Recovery> {
        self.told(0, i64::MAX).recoveries
    }
}

fn protected() -> What {
    What::VmProtected { vm: VM, name: "vm-1".to_owned(), want: Want::Running }
}

fn up(host: HostId, again: bool) -> What {
    What::VmUp { vm: VM, host, epoch: Epoch::NONE, again }
}

fn placed(host: HostId) -> What {
    What::VmPlaced { vm: VM, host, epoch: Epoch::NONE, proofs: Vec::new() }
}

fn gone(host: HostId, proof: Proof, exit: Option<Exit>, planned: bool) -> What {
    ended(host, proof, exit, planned, 0)
}

fn ended(host: HostId, proof: Proof, exit: Option<Exit>, planned: bool, ago_milliseconds: u64) -> What {
    let (epoch, unseen) = (Epoch::NONE, false);
    What::VmGone { vm: VM, host, epoch, ran: true, proof: Some(proof), exit, planned, ago_milliseconds, unseen }
}

fn found_gone(host: HostId, proof: Proof, exit: Option<Exit>, ago_milliseconds: u64) -> What {
    let (epoch, planned, unseen) = (Epoch::NONE, false, true);
    What::VmGone { vm: VM, host, epoch, ran: true, proof: Some(proof), exit, planned, ago_milliseconds, unseen }
}

fn judged(host: HostId, silent_milliseconds: u64) -> What {
    What::HostJudged { host, cause: JudgeCause::Silent, silent_milliseconds, planned: false }
}

const FENCED: Proof = Proof::Fenced { device: FenceId(1) };

#[test]
fn a_dead_host_is_down_from_its_last_sign_and_each_stage_is_told() {
    let history = history(&[
        (0, protected()),
        (0, placed(ONE)),
        (1_000, up(ONE, false)),
        (101_500, judged(ONE, 1_500)),
        (103_500, gone(ONE, FENCED, None, false)),
        (103_510, placed(TWO)),
        (104_000, up(TWO, false)),
    ]);
    let sum = history.vm(VM, 0, 200_000);
    assert_eq!(sum, Sum { up: 99_000 + 96_000, planned: 1_000, unplanned: 4_000, unseen: 0, failures: 1 });
    let recoveries = history.recoveries();
    let [recovery] = recoveries.as_slice() else { panic!("one recovery: {recoveries:?}") };
    assert_eq!((recovery.from, recovery.to, recovery.proof), (Some(ONE), TWO, Some(FENCED)));
    assert_eq!((recovery.detect, recovery.prove, recovery.queue, recovery.start), (1_500, 2_000, 10, 490));
    assert_eq!((recovery.down_at, recovery.up_at), (100_000, 104_000));
}

#[test]
fn what_a_person_stopped_is_planned() {
    let history = history(&[
        (0, protected()),
        (0, up(ONE, false)),
        (10_000, What::VmWanted { vm: VM, want: Want::Stopped }),
        (11_000, gone(ONE, Proof::Released { refuses: Epoch::NONE }, Some(Exit::Ordered), true)),
        (21_000, What::VmWanted { vm: VM, want: Want::Running }),
        (22_000, up(TWO, false)),
    ]);
    let sum = history.vm(VM, 0, 32_000);
    assert_eq!(sum, Sum { up: 21_000, planned: 11_000, unplanned: 0, unseen: 0, failures: 0 });
    assert_eq!((history.figures(VM, 0, 32_000).percent(), history.figures(VM, 0, 32_000).nines()), (Some(100.0), None));
    assert!(history.recoveries().is_empty(), "a person's start brings nothing back: {:?}", history.recoveries());
}

#[test]
fn what_a_person_gives_up_while_it_is_down_is_not_brought_back_later() {
    let history = history(&[
        (0, protected()),
        (0, up(ONE, false)),
        (10_000, judged(ONE, 1_000)),
        (11_000, What::VmWanted { vm: VM, want: Want::Stopped }),
        (12_000, gone(ONE, FENCED, None, false)),
        (90_000, What::VmWanted { vm: VM, want: Want::Running }),
        (91_000, up(TWO, false)),
    ]);
    assert!(history.recoveries().is_empty(), "{:?}", history.recoveries());
}

#[test]
fn a_host_out_of_sight_that_comes_back_with_its_vms_was_unseen() {
    let history = history(&[
        (0, protected()),
        (0, up(ONE, false)),
        (10_000, judged(ONE, 2_000)),
        (20_000, What::HostUp { host: ONE, boot: BootId(1), rebooted: None }),
        (20_000, up(ONE, true)),
    ]);
    let sum = history.vm(VM, 0, 30_000);
    assert_eq!(sum, Sum { up: 18_000, planned: 0, unplanned: 0, unseen: 12_000, failures: 0 });
    let host = history.host(ONE, 0, 30_000);
    assert_eq!((host.unplanned, host.up, host.failures), (12_000, 10_000, 1));
}

#[test]
fn while_there_was_no_master_nobody_saw() {
    let blind = What::MasterBegan { host: ONE, blind_milliseconds: 60_000 };
    let history = history(&[(0, protected()), (0, up(ONE, false)), (100_000, blind)]);
    let sum = history.vm(VM, 0, 110_000);
    assert_eq!(sum, Sum { up: 50_000, planned: 0, unplanned: 0, unseen: 60_000, failures: 0 });
}

#[test]
fn a_crash_is_unplanned_and_a_move_is_no_fall() {
    let history = history(&[
        (0, protected()),
        (0, up(ONE, false)),
        (5_000, up(TWO, false)),
        (5_100, gone(ONE, Proof::Released { refuses: Epoch::NONE }, Some(Exit::Moved), true)),
        (10_000, gone(TWO, Proof::Released { refuses: Epoch::NONE }, Some(Exit::Crashed), false)),
        (10_500, placed(TWO)),
        (11_000, up(TWO, false)),
    ]);
    let sum = history.vm(VM, 0, 12_000);
    assert_eq!(sum, Sum { up: 11_000, planned: 0, unplanned: 1_000, unseen: 0, failures: 1 });
    let recoveries = history.recoveries();
    let [moved, restarted] = recoveries.as_slice() else { panic!("a move and a recovery: {recoveries:?}") };
    assert_eq!((moved.kind, moved.cause, moved.up_at - moved.down_at), (Kind::SwitchOver, Cause::PlannedMove, 0));
    assert_eq!((restarted.kind, restarted.cause), (Kind::Failover, Cause::GuestCrash));
}

#[test]
fn a_window_counts_what_lies_in_it() {
    let history = history(&[(0, protected()), (0, up(ONE, false)), (10_000, judged(ONE, 0))]);
    let sum = history.vm(VM, 9_000, 11_000);
    assert_eq!((sum.up, sum.unplanned, sum.failures), (1_000, 1_000, 1));
    assert_eq!(history.vm(VM, 20_000, 21_000).failures, 0);
    assert_eq!(history.figures(VM, 20_000, 21_000).percent(), Some(0.0));
}

#[test]
fn what_was_killed_before_anybody_was_told_was_down_from_then_on() {
    let released = Proof::Released { refuses: Epoch::NONE };
    let history = history(&[
        (0, protected()),
        (0, up(ONE, false)),
        (24_000, What::MasterBegan { host: ONE, blind_milliseconds: 12_000 }),
        (24_500, ended(ONE, released, Some(Exit::LeaseEnded), false, 8_500)),
        (31_000, up(TWO, false)),
    ]);
    let sum = history.vm(VM, 0, 40_000);
    assert_eq!(sum, Sum { up: 16_000 + 9_000, planned: 0, unplanned: 15_000, unseen: 0, failures: 1 });
    assert_eq!(history.recoveries()[0].down_at, 16_000);
}

#[test]
fn what_another_run_of_the_agent_finds_gone_was_down_from_the_last_sign_of_the_one_before() {
    let released = Proof::Released { refuses: Epoch::NONE };
    let rebooted = Proof::Rebooted { boot: BootId(2) };
    for (proof, exit) in [(released, Some(Exit::Crashed)), (rebooted, None)] {
        let found = (20_000, found_gone(ONE, proof, exit, 3_000));
        let facts = [(0, protected()), (0, up(ONE, false)), found.clone(), (21_000, up(TWO, false))];
        assert_eq!(history(&facts).vm(VM, 0, 30_000).unplanned, 4_000);
        // A new master has not heard the run before, and nor had anybody for the time without one.
        let dark = What::MasterBegan { host: TWO, blind_milliseconds: 5_000 };
        let facts = [(0, protected()), (0, up(ONE, false)), (17_000, dark), found, (21_000, up(TWO, false))];
        assert_eq!(history(&facts).vm(VM, 0, 30_000).unplanned, 4_000 + 5_000 + 2_000);
    }
}

#[test]
fn a_host_cannot_say_that_a_vm_ended_before_it_ran() {
    let released = Proof::Released { refuses: Epoch::NONE };
    let history =
        history(&[(0, protected()), (9_000, up(ONE, false)), (10_000, ended(ONE, released, None, false, u64::MAX))]);
    assert_eq!(history.vm(VM, 0, 10_000).unplanned, 1_000);
}

#[test]
fn what_is_proven_to_have_died_unseen_was_down_from_the_last_sign_on() {
    let rebooted = Proof::Rebooted { boot: BootId(2) };
    let dark = What::MasterBegan { host: TWO, blind_milliseconds: 171_000 };
    let expected = Sum { up: 98_000, planned: 0, unplanned: 177_000, unseen: 0, failures: 1 };
    // Its host is back before it is judged, or is judged before it is back.
    for judgement in [None, Some((272_500, judged(ONE, 1_500)))] {
        let mut facts = vec![(0, protected()), (0, up(ONE, false)), (271_000, dark.clone())];
        facts.extend(judgement);
        facts.extend([(273_000, gone(ONE, rebooted, None, false)), (275_000, up(TWO, false))]);
        assert_eq!(history(&facts).vm(VM, 0, 275_000), expected);
    }
}

#[test]
fn who_lived_on_without_a_master_dies_later() {
    let short = What::MasterBegan { host: TWO, blind_milliseconds: 5_000 };
    let history = history(&[(0, protected()), (0, up(ONE, false)), (20_000, short), (60_000, judged(ONE, 1_000))]);
    assert_eq!(history.vm(VM, 0, 60_000).unplanned, 1_000);
}

#[test]
fn what_should_run_and_never_does_is_down_unplanned() {
    let released = Proof::Released { refuses: Epoch::NONE };
    let failed = What::VmGone {
        vm: VM,
        host: ONE,
        epoch: Epoch::NONE,
        ran: false,
        proof: Some(released),
        exit: Some(Exit::StartFailed),
        planned: false,
        ago_milliseconds: 0,
        unseen: false,
    };
    let stopped = What::VmProtected { vm: VM, name: "vm-1".to_owned(), want: Want::Stopped };
    let wanted = What::VmWanted { vm: VM, want: Want::Running };
    // It fits nowhere.
    let sum = history(&[(0, stopped.clone()), (10_000, wanted.clone())]).vm(VM, 0, 100_000);
    assert_eq!((sum.planned, sum.unplanned, sum.failures), (10_000, 90_000, 1));
    // Its first start fails, and the second one succeeds.
    let sum = history(&[(0, stopped.clone()), (10_000, wanted.clone()), (11_000, failed), (12_000, up(ONE, false))]);
    assert_eq!(sum.vm(VM, 0, 20_000).unplanned, 2_000);
    // It starts at last, after far longer than a start takes.
    let sum = history(&[(0, stopped), (10_000, wanted), (90_000, up(ONE, false))]).vm(VM, 0, 100_000);
    assert_eq!((sum.planned, sum.unplanned, sum.up), (10_000, 80_000, 10_000));
}
