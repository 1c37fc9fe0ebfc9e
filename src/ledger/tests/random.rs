//! Random pasts: the reading of the ledger against the naive one, second by second.

use super::naive::{self, Cell, Fact};
use super::{ONE, TWO, entries};
use crate::core::command::Want;
use crate::core::ids::{BootId, DatastoreId, Epoch, FenceId, HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::{Alert, JudgeCause, Proof, StorageTrouble, Unfit, Wait};
use crate::core::state::{Account, Probe, UpMeans};
use crate::ledger::{Condition, Figures, Grouping, History, Outage, Period, Piece, Scope, Told, What};
use proptest::prelude::*;

/// How long a random past is, in seconds.
const SECONDS: i64 = 900;
/// The first facts are told in this second: none of them reaches back to before the first one.
const BEGIN: i64 = 150;
const THREE: HostId = HostId(3);

fn host() -> impl Strategy<Value = HostId> {
    prop_oneof![Just(ONE), Just(TWO), Just(THREE)]
}

fn milliseconds(most: u64) -> impl Strategy<Value = u64> {
    (0..=most).prop_map(|seconds| seconds * 1_000)
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![4 => Just(Want::Running), 1 => Just(Want::Stopped), 1 => Just(Want::Killed)]
}

fn exit() -> impl Strategy<Value = Option<Exit>> {
    let exits = [
        Exit::NeverStarted,
        Exit::StartFailed,
        Exit::Locked,
        Exit::ByPerson,
        Exit::Crashed,
        Exit::Ordered,
        Exit::HostShutdown,
        Exit::LeaseEnded,
        Exit::Moved,
        Exit::NotFound,
        Exit::CrashedSoon,
    ];
    prop::option::of(prop::sample::select(exits.to_vec()))
}

fn proof() -> impl Strategy<Value = Option<Proof>> {
    let proofs = [
        Proof::Released { refuses: Epoch::NONE },
        Proof::Fenced { device: FenceId(1) },
        Proof::Rebooted { boot: BootId(2) },
        Proof::Operator,
    ];
    prop::option::of(prop::sample::select(proofs.to_vec()))
}

fn of_host() -> impl Strategy<Value = What> {
    let causes = vec![
        JudgeCause::Silent,
        JudgeCause::Silent,
        JudgeCause::Conflict,
        JudgeCause::Unanswered,
        JudgeCause::Operator,
        JudgeCause::Drill,
        JudgeCause::SwitchedOff,
    ];
    let judged = (host(), prop::sample::select(causes), milliseconds(20), prop::bool::weighted(0.2));
    prop_oneof![
        4 => (host(), prop::option::weighted(0.3, milliseconds(20))).prop_map(|(host, rebooted)| What::HostUp { host, boot: BootId(1), rebooted }),
        4 => judged.prop_map(|(host, cause, silent_milliseconds, planned)| What::HostJudged { host, cause, silent_milliseconds, planned }),
        1 => host().prop_map(|host| What::HostLeft { host }),
        2 => (host(), milliseconds(90)).prop_map(|(host, blind_milliseconds)| What::MasterBegan { host, blind_milliseconds }),
        1 => host().prop_map(|host| What::Alert { alert: Alert::Isolated { host } }),
        1 => host().prop_map(|host| {
            let trouble = StorageTrouble::Unwritten { host, hosts: 1 };
            What::Alert { alert: Alert::Storage { datastore: DatastoreId(1), trouble } }
        }),
    ]
}

fn up_means() -> impl Strategy<Value = UpMeans> {
    let probe = UpMeans::Probe(Probe::Command { name: "ask".to_owned() });
    prop::sample::select(vec![UpMeans::Running, UpMeans::Agent, UpMeans::Agent, probe])
}

fn of_vm() -> impl Strategy<Value = What> {
    let vm = || (1..=2u32).prop_map(VmId);
    let epoch = Epoch::NONE;
    let gone = (vm(), host(), prop::bool::weighted(0.8), proof(), exit(), milliseconds(30), prop::bool::weighted(0.2));
    prop_oneof![
        2 => (vm(), want()).prop_map(|(vm, want)| What::VmProtected { vm, name: format!("vm-{}", vm.0), want }),
        1 => vm().prop_map(|vm| What::VmUnprotected { vm }),
        3 => (vm(), want()).prop_map(|(vm, want)| What::VmWanted { vm, want }),
        2 => (vm(), host()).prop_map(move |(vm, host)| What::VmPlaced { vm, host, epoch, proofs: Vec::new() }),
        8 => (vm(), host(), prop::bool::weighted(0.2)).prop_map(move |(vm, host, again)| What::VmUp { vm, host, epoch, again }),
        6 => gone.prop_map(move |(vm, host, ran, proof, exit, ago_milliseconds, unseen)| {
            What::VmGone { vm, host, epoch, ran, proof, exit, planned: false, ago_milliseconds, unseen }
        }),
        2 => (vm(), up_means()).prop_map(|(vm, up)| What::VmAccounted { vm, account: Account { up, ..Account::default() } }),
        4 => (vm(), host(), any::<bool>(), milliseconds(15)).prop_map(move |(vm, host, answers, ago_milliseconds)| {
            What::VmAnswers { vm, host, epoch, answers, ago_milliseconds }
        }),
        1 => vm().prop_map(|vm| {
            let wait = Wait::NoRoom(vec![(ONE, Unfit::Datastore(DatastoreId(1)))]);
            What::Alert { alert: Alert::Waiting { vm, wait, milliseconds: 0 } }
        }),
    ]
}

/// Facts in their order; the clocks that stamp them mostly go forward, and now and then step back or far ahead.
fn past() -> impl Strategy<Value = Vec<Fact>> {
    let step = prop_oneof![6 => 0..12i64, 3 => 0..70i64, 1 => -60..0i64];
    prop::collection::vec((step, prop_oneof![2 => of_vm(), 1 => of_host()]), 1..50).prop_map(|steps| {
        let mut at = BEGIN;
        let stamp = |(step, what): (i64, What)| {
            at = (at + step).clamp(BEGIN, SECONDS - 1);
            (at, what)
        };
        steps.into_iter().map(stamp).collect()
    })
}

fn read(facts: &[Fact], from: i64, to: i64) -> Told {
    let period = Period { from: from * 1_000, to: to * 1_000 };
    let scope = Scope { period, draws: true, recovers: true };
    let mut history = History::new(scope);
    for entry in entries(facts.iter().map(|(at, what)| (at * 1_000, what))) {
        let text = serde_json::to_value(&entry).unwrap();
        let kind = text["kind"].as_str().unwrap();
        let what = What::read(kind, &text.to_string()).unwrap();
        assert_eq!(what, entry.what);
        match scope.reads(kind) {
            true => history.tell(entry.at_milliseconds, &what),
            false => history.pass(entry.at_milliseconds),
        }
    }
    history.end()
}

/// What a sheet of seconds comes to.
fn counted(cells: &[Cell], dark: &[bool], from: i64, to: i64) -> (Figures, Vec<Piece>) {
    let second = |second: i64| -> Cell {
        let place = usize::try_from(second).ok()?;
        match cells[place] {
            Some((Condition::Up, _)) if dark[place] => Some((Condition::Unseen, None)),
            cell => cell,
        }
    };
    let (mut figures, mut pieces) = (Figures::default(), Vec::<Piece>::new());
    let mut outage: Option<Outage> = None;
    for at in from..to {
        let (before, now) = (second(at - 1), second(at));
        let is_down = |cell: Cell| matches!(cell, Some((Condition::Unplanned, _)));
        if !is_down(now) {
            outage = None;
        }
        let Some((condition, cause)) = now else { continue };
        figures.add(condition, 1_000);
        if is_down(now) {
            figures.failures += u64::from(!is_down(before));
            figures.outages += u64::from(outage.is_none());
            let running = outage.get_or_insert(Outage { length: 0, at: at * 1_000 });
            running.length += 1_000;
            if figures.longest.is_none_or(|longest| running.length > longest.length) {
                figures.longest = Some(*running);
            }
        }
        if let Some(cause) = cause {
            let share = figures.causes.entry((condition == Condition::Planned, cause)).or_default();
            share.length += 1_000;
            share.count += u64::from(before != now);
        }
        match pieces.last_mut() {
            Some(last) if at > from && before == now => last.to += 1_000,
            _ => pieces.push(Piece { from: at * 1_000, to: (at + 1) * 1_000, condition, cause }),
        }
    }
    (figures, pieces)
}

/// What is expected of one of them; none where it was never under anybody's eyes.
fn expected(cells: &[Cell], dark: &[bool], from: i64, to: i64) -> Option<(Figures, Vec<Piece>)> {
    Some(counted(cells, dark, from, to)).filter(|(_, pieces)| !pieces.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_second_of_every_past_counts_as_the_definitions_say(facts in past(), from in 0..SECONDS, length in 1..SECONDS) {
        let to = (from + length).min(SECONDS);
        let told = read(&facts, from, to);
        let facts = naive::straightened(&facts);
        let dark = naive::unwatched(&facts, SECONDS);
        for id in [1, 2] {
            let found = told.vms.iter().find(|vm| vm.id == id).map(|vm| (vm.figures.clone(), vm.pieces.clone()));
            let cells = naive::vm(&facts, VmId(u32::try_from(id).unwrap()), SECONDS);
            prop_assert_eq!(found, expected(&cells, &dark, from, to), "VM {}", id);
        }
        for host in [ONE, TWO, THREE] {
            let found = told.hosts.iter().find(|told| told.id == u64::from(host.0));
            let found = found.map(|host| (host.figures.clone(), host.pieces.clone()));
            prop_assert_eq!(found, expected(&naive::host(&facts, host, SECONDS), &dark, from, to), "{:?}", host);
        }
    }

    #[test]
    fn a_period_is_the_sum_of_its_parts(facts in past(), cut in 1..SECONDS - 1) {
        let sum = |from, to| read(&facts, from, to).total(Grouping::Vm).figures;
        let (whole, mut parts) = (sum(0, SECONDS), sum(0, cut));
        parts.merge(&sum(cut, SECONDS));
        prop_assert_eq!(whole.failures, parts.failures);
        prop_assert_eq!(
            [whole.up, whole.planned, whole.unplanned, whole.unseen],
            [parts.up, parts.planned, parts.unplanned, parts.unseen]
        );
        for (cause, share) in &whole.causes {
            prop_assert_eq!(parts.causes.get(cause), Some(share));
        }
    }
}
