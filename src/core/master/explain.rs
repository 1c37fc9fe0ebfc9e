//! Why: what each VM waits for, and what would release it (I6).

use super::{Context, Master, Output};
use crate::core::action::Note;
use crate::core::command::Want;
use crate::core::ids::{DatastoreId, HostId, VmId};
use crate::core::message::Presence;
use crate::core::reason::{Alert, HostState, NoProof, StorageTrouble, Wait};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{Armed, Response, Role, Standing, Vm};
use std::collections::BTreeMap;
use std::time::Duration;

/// After so many failed starts in a row people are told, however short the waits in between.
const FAILURES_TO_ALERT: u32 = 3;

impl Master {
    /// What a VM waits for.
    pub fn wait(&self, cx: &Context<'_>, id: VmId) -> Wait {
        let Some(vm) = cx.state.vms.get(&id).filter(|vm| vm.protected) else { return Wait::NotProtected };
        if breaks(Sabotage::Silent) {
            return Wait::Nothing;
        }
        if vm.intent.want != Want::Running {
            return Wait::Stopped;
        }
        if self.is_running(cx, vm) {
            Wait::Nothing
        } else if cx.state.armed != Armed::Armed {
            Wait::NotArmed
        } else if !vm.holders.is_empty() {
            self.wait_of_held(cx, id, vm)
        } else {
            let recovering = cx.state.unsettled_hosts();
            if recovering.is_empty() { self.wait_for_place(cx, id, vm) } else { Wait::Recovering(recovering) }
        }
    }

    /// For how long a host's record has not changed, and why nothing proves its death yet, if it is judged.
    pub fn signs(&self, cx: &Context<'_>, id: HostId) -> (Option<Duration>, Vec<NoProof>) {
        let record = self.records.last_moved(id).map(|moved| cx.now.since(moved));
        let judged = cx
            .state
            .hosts
            .get(&id)
            .is_some_and(|host| matches!(host.standing, Standing::Judged { .. } | Standing::Conflicted));
        if !judged {
            return (record, Vec::new());
        }
        let mut ways = self.why_no_fence_proof(cx, id);
        ways.extend(self.why_no_lease_proof(cx, id));
        (record, ways)
    }

    /// Whether so many hosts are silent at once that no power is ordered off.
    pub fn is_braked(&self) -> bool {
        self.brake.is_on
    }

    /// What is wrong with heartbeat datastores, for those who ask.
    pub fn storage(&self, cx: &Context<'_>) -> BTreeMap<DatastoreId, StorageTrouble> {
        self.storage_troubles(cx)
    }

    fn is_running(&self, cx: &Context<'_>, vm: &Vm) -> bool {
        vm.holders.iter().any(|(host, holder)| {
            let admitted = cx.state.incarnation(*host).is_some_and(|life| cx.state.is_admitted(life));
            admitted && holder.role == Role::Running && !self.is_doubtful(cx, vm.definition.id, *host)
        })
    }

    /// Whether a host that ran a VM by the log may not do so any more: it can not be asked, does not know, or was told
    /// to let it go.
    pub(super) fn is_doubtful(&self, cx: &Context<'_>, id: VmId, host: HostId) -> bool {
        matches!(self.host_state(host), HostState::Joining | HostState::Suspect)
            || matches!(
                self.told(host, id),
                Some(Presence::Unknown | Presence::Stopping | Presence::Departed | Presence::Gone { .. })
            )
            || self.is_to_let_go(cx, host)
    }

    fn wait_of_held(&self, cx: &Context<'_>, id: VmId, vm: &Vm) -> Wait {
        let role = |role: Role| vm.holders.iter().find(|(_, holder)| holder.role == role).map(|(host, _)| *host);
        let unproven: Vec<(HostId, Vec<NoProof>)> = vm
            .holders
            .iter()
            .filter(|(host, holder)| {
                let standing = cx.state.hosts.get(host).map(|host| host.standing);
                standing != Some(Standing::Admitted) || holder.role == Role::Unaccounted
            })
            .map(|(host, _)| (*host, self.no_proof(cx, *host, vm)))
            .collect();
        if !unproven.is_empty() {
            return Wait::Proof(unproven);
        }
        if let (Some(from), Some(to)) = (role(Role::Outgoing), role(Role::Incoming)) {
            return Wait::Moving { from, to };
        }
        match vm.holders.iter().find(|(_, holder)| matches!(holder.role, Role::Starting | Role::Incoming)) {
            Some((host, holder)) => {
                if self.told(*host, id) == Some(Presence::Unknown) {
                    Wait::Unknown { host: *host }
                } else {
                    Wait::Starting { host: *host, epoch: holder.epoch }
                }
            }
            None => match role(Role::Running) {
                Some(host) if self.is_doubtful(cx, id, host) && !self.is_to_let_go(cx, host) => Wait::Unknown { host },
                _ => Wait::Proof(vm.holders.keys().map(|host| (*host, vec![NoProof::AskedToRelease])).collect()),
            },
        }
    }

    /// The ways to a proof for one holder, each with what holds it up.
    fn no_proof(&self, cx: &Context<'_>, id: HostId, vm: &Vm) -> Vec<NoProof> {
        let Some(host) = cx.state.hosts.get(&id) else { return Vec::new() };
        let Some(holder) = vm.holders.get(&id) else { return Vec::new() };
        if host.standing == Standing::Admitted || holder.role == Role::Unaccounted {
            return vec![NoProof::Unaccounted];
        }
        let mut ways = self.why_no_fence_proof(cx, id);
        ways.push(match cx.state.lease_covers(vm, host, holder) {
            Ok(()) => self.why_no_lease_proof(cx, id).unwrap_or(NoProof::NotJudged),
            Err(no) => no,
        });
        ways
    }

    fn wait_for_place(&self, cx: &Context<'_>, id: VmId, vm: &Vm) -> Wait {
        if vm.gave_up {
            return Wait::GaveUp { attempts: vm.attempts, last: vm.failed_on };
        }
        if vm.definition.response == Response::Leave && vm.started_before {
            return Wait::LeftAlone;
        }
        if let Some(reasons) = self.recovery.unplaced.get(&id) {
            return Wait::NoRoom(reasons.clone());
        }
        let retry_at = self.recovery.chases.get(&id).map_or(cx.now, |chase| chase.retry_at);
        let milliseconds = u64::try_from(retry_at.since(cx.now).as_millis()).unwrap_or(u64::MAX);
        if vm.attempts == 0 && milliseconds > 0 {
            return Wait::Locked;
        }
        Wait::Retry { attempts: vm.attempts, milliseconds, last: vm.failed_on }
    }

    /// The host of which it is said, and not of each VM that ran there, that nobody hears of them.
    fn missed(&self, cx: &Context<'_>, id: VmId, wait: &Wait) -> Option<HostId> {
        let Wait::Unknown { host } = wait else { return None };
        let ran = |vm: &Vm| vm.holders.get(host).is_some_and(|holder| holder.role == Role::Running);
        let is_away = self.watched(*host).is_some_and(|watched| watched.is_away);
        (is_away && cx.state.vms.get(&id).is_some_and(ran)).then_some(*host)
    }

    /// Says what VMs wait for when that changes, and loudly when it lasts.
    pub(super) fn alert_waiting(&mut self, cx: &Context<'_>, out: &mut Output) {
        if breaks(Sabotage::Silent) {
            return;
        }
        let brief = self.timing.fence_after;
        let ids: Vec<VmId> = self.recovery.chases.keys().copied().collect();
        for vm in ids {
            let wait = self.wait(cx, vm);
            let late = self.timing.alert_after;
            let missed = self.missed(cx, vm, &wait);
            let source_is_well = matches!(wait, Wait::Moving { from, .. } if !self.is_doubtful(cx, vm, from));
            let Some(chase) = self.recovery.chases.get_mut(&vm) else { continue };
            let shape = wait.shape();
            // What is over before a person could read it is not worth saying.
            let lasts = cx.now.since(chase.since) >= brief;
            if let Some(host) = missed {
                chase.note_missed(cx.now, host);
            }
            // Who comes back is given a little time to say how its VMs fare.
            let grace = self.timing.hook_deadline;
            let comes_back = chase.missed.filter(|(_, missed)| cx.now.since(*missed) < grace).map(|(host, _)| host);
            let is_missed = matches!(wait, Wait::Unknown { host } if comes_back == Some(host));
            let moves = source_is_well && chase.noted.as_ref() == Some(&shape);
            if wait == Wait::Nothing || moves {
                // It runs, though something of it is unsettled: if it should go down again, that is another failure.
                chase.since = cx.now;
                chase.alerted = false;
            }
            if lasts && !is_missed && chase.noted.as_ref() != Some(&shape) {
                chase.noted = Some(shape);
                out.note(Note::Waits(vm, wait.clone()));
            }
            let matters = !source_is_well && !matches!(wait, Wait::Nothing | Wait::Stopped | Wait::NotProtected);
            // One that comes up and crashes, over and over, never waits for long.
            let keeps_failing = matches!(wait, Wait::Retry { attempts: FAILURES_TO_ALERT, .. });
            if matters && !is_missed && !chase.alerted && (keeps_failing || cx.now.since(chase.since) > late) {
                chase.alerted = true;
                let lasts = cx.now.since(chase.since).as_millis();
                let milliseconds = u64::try_from(lasts).unwrap_or(u64::MAX);
                out.note(Note::Alert(Alert::Waiting { vm, wait, milliseconds }));
            }
        }
    }
}
