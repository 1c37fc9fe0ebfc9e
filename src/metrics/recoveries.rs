//! Counts the VMs that were brought back, and how long each stage took, from the facts as they are recorded.
//!
//! Each voter derives all facts from the log, so each counts all recoveries. A voter that starts anew comes by facts
//! again that it had recorded before: those from before its start are known to it, and not counted. What the stages are is
//! what the reports call so, see [`History`](crate::ledger::History).

use super::counts::{Counts, STAGE_NAMES};
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::JudgeCause;
use crate::ledger::{Cause, Entry, What};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Follows the facts. It keeps something of each host and each VM that there is, and of no others.
#[derive(Debug)]
pub struct Recoveries {
    counts: Arc<Counts>,
    /// When this run of the agent began, in milliseconds since 1970.
    begun: i64,
    judged: BTreeMap<HostId, Judged>,
    runs: BTreeMap<VmId, BTreeSet<HostId>>,
    falls: BTreeMap<VmId, Fall>,
    /// Since when those run again whose guests have not answered since. Most are never asked.
    back: BTreeMap<VmId, i64>,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    cause: JudgeCause,
    last_sign: i64,
    at: i64,
}

/// A VM that is down, and should not be.
#[derive(Debug, Clone, Copy)]
struct Fall {
    cause: Cause,
    proof: &'static str,
    down_at: i64,
    noticed_at: i64,
    proven_at: i64,
    placed_at: Option<i64>,
}

impl Recoveries {
    /// Begins at this time, in milliseconds since 1970.
    pub fn new(counts: Arc<Counts>, begun: i64) -> Recoveries {
        let (judged, runs, falls, back) = Default::default();
        Recoveries { counts, begun, judged, runs, falls, back }
    }

    /// These facts were recorded.
    pub fn follow(&mut self, facts: &[Entry]) {
        for fact in facts {
            self.add(fact.at_milliseconds, &fact.what);
        }
    }

    fn add(&mut self, at: i64, what: &What) {
        match what {
            What::HostJudged { host, cause, silent_milliseconds, .. } => {
                let silent = i64::try_from(*silent_milliseconds).unwrap_or(i64::MAX);
                self.judged.insert(*host, Judged { cause: *cause, last_sign: at.saturating_sub(silent), at });
            }
            What::HostUp { host, .. } | What::HostLeft { host } => {
                self.judged.remove(host);
            }
            What::VmWanted { vm, want } if *want != Want::Running => {
                self.falls.remove(vm);
            }
            What::VmUnprotected { vm } => {
                self.falls.remove(vm);
                self.runs.remove(vm);
                self.back.remove(vm);
            }
            // From now on, another answer counts.
            What::VmAccounted { vm, .. } => {
                self.back.remove(vm);
            }
            What::VmAnswers { vm, answers: true, ago_milliseconds, .. } => {
                if let Some(since) = self.back.remove(vm) {
                    let answered = at.saturating_sub(i64::try_from(*ago_milliseconds).unwrap_or(i64::MAX));
                    self.counts.stage("ready", span(since, answered));
                }
            }
            What::VmGone { vm, ran: true, .. } => self.gone(at, *vm, what),
            What::VmPlaced { vm, .. } => {
                if let Some(fall) = self.falls.get_mut(vm) {
                    fall.placed_at = Some(at);
                }
            }
            What::VmUp { vm, host, again, .. } => {
                self.runs.entry(*vm).or_default().insert(*host);
                let fall = self.falls.remove(vm);
                if let Some(fall) = fall.filter(|_| !again && at >= self.begun) {
                    self.count(&fall, at);
                    self.back.insert(*vm, at);
                }
            }
            _ => {}
        }
    }

    fn gone(&mut self, at: i64, vm: VmId, what: &What) {
        let What::VmGone { host, proof, exit, planned, ago_milliseconds, .. } = what else { return };
        let left = self.runs.entry(vm).or_default();
        left.remove(host);
        if left.is_empty() {
            self.back.remove(&vm);
        }
        // Where it runs on elsewhere, it was moved.
        if !left.is_empty() || *planned {
            return;
        }
        let ago = i64::try_from(*ago_milliseconds).unwrap_or(i64::MAX);
        let judged = self.judged.get(host).copied();
        let fall = Fall {
            cause: cause(judged.map(|judged| judged.cause), *exit),
            proof: proof.map_or("none", |proof| proof.kind()),
            down_at: judged.map_or(at.saturating_sub(ago), |judged| judged.last_sign),
            noticed_at: judged.map_or(at, |judged| judged.at),
            proven_at: at,
            placed_at: None,
        };
        self.falls.insert(vm, fall);
    }

    fn count(&self, fall: &Fall, up_at: i64) {
        let placed_at = fall.placed_at.unwrap_or(up_at);
        let moments = [fall.down_at, fall.noticed_at, fall.proven_at, placed_at, up_at];
        let stages = moments.windows(2).map(|pair| match pair {
            [from, to] => span(*from, *to),
            _ => Duration::ZERO,
        });
        let stages = stages.chain([span(fall.down_at, up_at)]);
        for (stage, took) in STAGE_NAMES.into_iter().zip(stages) {
            self.counts.stage(stage, took);
        }
        self.counts.recoveries.add((fall.cause.name(), fall.proof));
    }
}

fn span(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

/// Why a VM was down, as far as that is known when it ends; whoever reads the whole ledger may know more.
fn cause(judged: Option<JudgeCause>, exit: Option<Exit>) -> Cause {
    match (judged, exit) {
        (_, Some(Exit::LeaseEnded)) => Cause::Isolation,
        (Some(JudgeCause::Drill | JudgeCause::SwitchedOff), _) | (_, Some(Exit::HostShutdown)) => Cause::Maintenance,
        (Some(_), _) | (None, Some(Exit::NotFound)) => Cause::HostFailure,
        (None, Some(Exit::Crashed | Exit::CrashedSoon)) => Cause::GuestCrash,
        (None, _) => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{BootId, Epoch, FenceId, LogIndex};
    use crate::core::reason::Proof;
    use crate::core::state::Account;
    use crate::ledger::Key;

    const VM: VmId = VmId(1);
    const OLD: HostId = HostId(1);
    const NEW: HostId = HostId(2);

    fn up(host: HostId, again: bool) -> What {
        What::VmUp { vm: VM, host, epoch: Epoch::default(), again }
    }

    fn placed() -> What {
        What::VmPlaced { vm: VM, host: NEW, epoch: Epoch::default(), proofs: Vec::new() }
    }

    fn gone(exit: Option<Exit>, planned: bool, ago_milliseconds: u64) -> What {
        let proof = Some(Proof::Fenced { device: FenceId(1) });
        let (epoch, ran, unseen) = (Epoch::default(), true, false);
        What::VmGone { vm: VM, host: OLD, epoch, ran, proof, exit, planned, ago_milliseconds, unseen }
    }

    fn judged() -> What {
        What::HostJudged { host: OLD, cause: JudgeCause::Silent, silent_milliseconds: 1_500, planned: false }
    }

    type Counted = Vec<((&'static str, &'static str), u64)>;

    /// What is counted of this story, whose moments are in milliseconds, by an agent that began at `begun`.
    fn counted(begun: i64, story: &[(i64, What)]) -> (Counted, Vec<u64>) {
        let counts = Counts::new(&[]);
        let mut recoveries = Recoveries::new(Arc::clone(&counts), begun);
        let key = Key { generation: 0, index: LogIndex(1), part: 0 };
        for (at, what) in story {
            recoveries.follow(&[Entry { key, at_milliseconds: *at, said: None, what: what.clone() }]);
        }
        let took = |name| counts.stages().find(|(stage, _)| *stage == name).unwrap().1.total().as_millis() as u64;
        (counts.recoveries.all(), STAGE_NAMES.map(took).to_vec())
    }

    fn death() -> Vec<(i64, What)> {
        vec![
            (0, up(OLD, false)),
            (10_000, judged()),
            (10_700, gone(None, false, 0)),
            (10_800, placed()),
            (12_000, up(NEW, false)),
        ]
    }

    #[test]
    fn each_stage_begins_where_the_one_before_has_ended() {
        let (recoveries, stages) = counted(0, &death());
        assert_eq!(recoveries, [(("host-failure", "fenced"), 1)]);
        assert_eq!(stages, [1_500, 700, 100, 1_200, 3_500, 0]);
    }

    #[test]
    fn a_guest_is_ready_with_its_first_answer() {
        let answers = |answers, ago_milliseconds| What::VmAnswers {
            vm: VM,
            host: NEW,
            epoch: Epoch::default(),
            answers,
            ago_milliseconds,
        };
        let later = [(15_000, answers(true, 500)), (16_000, answers(false, 0)), (17_000, answers(true, 0))];
        assert_eq!(counted(0, &[&death()[..], &later].concat()).1[5], 2_500);
        // What is counted from now on is something else.
        let account = What::VmAccounted { vm: VM, account: Account::default() };
        assert_eq!(counted(0, &[&death()[..], &[(14_000, account)], &later].concat()).1[5], 0);
    }

    #[test]
    fn what_happened_before_the_start_is_not_counted_again() {
        assert_eq!(counted(12_001, &death()).0, []);
        assert_eq!(counted(11_000, &death()).0.len(), 1, "it was brought back since");
    }

    #[test]
    fn a_guest_that_crashed_was_down_since_then() {
        let story = [(0, up(OLD, false)), (5_000, gone(Some(Exit::Crashed), false, 400)), (5_100, placed())];
        let (recoveries, stages) = counted(0, &[&story[..], &[(6_000, up(NEW, false))]].concat());
        assert_eq!(recoveries, [(("guest-crash", "fenced"), 1)]);
        assert_eq!(stages, [400, 0, 100, 900, 1_400, 0]);
    }

    #[test]
    fn what_was_meant_or_moved_or_never_down_is_no_recovery() {
        let stopped = What::VmWanted { vm: VM, want: Want::Stopped };
        let moved = [(0, up(OLD, false)), (1, up(NEW, false)), (2, gone(None, false, 0)), (3, up(NEW, false))];
        let planned = [(0, up(OLD, false)), (1, gone(None, true, 0)), (2, placed()), (3, up(NEW, false))];
        let given_up = [(0, up(OLD, false)), (1, gone(None, false, 0)), (2, stopped), (3, up(NEW, false))];
        let unseen = [(0, up(OLD, false)), (1, gone(None, false, 0)), (2, up(OLD, true))];
        for story in [&moved[..], &planned, &given_up, &unseen] {
            assert_eq!(counted(0, story).0, [], "{story:?}");
        }
    }

    #[test]
    fn nothing_is_kept_of_what_there_is_no_more() {
        let mut recoveries = Recoveries::new(Counts::new(&[]), 0);
        for (at, what) in &death()[..3] {
            recoveries.add(*at, what);
        }
        recoveries.add(11_000, &What::VmUnprotected { vm: VM });
        recoveries.add(11_000, &What::HostUp { host: OLD, boot: BootId(2), rebooted: None });
        assert!(recoveries.judged.is_empty() && recoveries.runs.is_empty() && recoveries.falls.is_empty());
    }
}
