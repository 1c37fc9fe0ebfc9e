//! What would happen if hosts died now: the same placement as after a real failure, on the state as it is.

use super::judge::too_many;
use super::{Context, Master};
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::placement::{self, Candidate, Demand, usage};
use crate::core::reason::{HostState, NoProof, Unfit};
use crate::core::state::{Armed, ClusterState, Response, Standing, Vm};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What would become of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Which.
    pub vm: VmId,
    /// Where it is now.
    pub from: HostId,
    /// What would become of it.
    pub fate: Fate,
}

/// What would become of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It would be started there.
    Restarted {
        /// Where.
        to: HostId,
        /// The quickest proof that its host offers.
        proof: Way,
        /// From the failure to the order to start it, without what the fence device itself takes.
        after: Duration,
    },
    /// It would wait until the hosts that fit have started others.
    Queued {
        /// Where.
        to: HostId,
        /// The quickest proof that its host offers.
        proof: Way,
    },
    /// No host could take it: some of the reasons.
    NoRoom(Vec<(HostId, Unfit)>),
    /// Nothing would prove its host dead by itself.
    NoProof(Vec<NoProof>),
    /// Policy says that it be left alone.
    LeftAlone,
    /// The cluster only observes.
    NotArmed,
    /// So many voters would be gone that nothing is decided before one of them is back.
    NoMajority,
}

/// A way to prove a host dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By its fence devices.
    Fence,
    /// By the end of its lease.
    Lease,
    /// By the VM's lock on storage.
    Lock,
}

impl Way {
    /// The kind of the proof that it leads to.
    pub fn proof(self) -> &'static str {
        match self {
            Way::Fence => "fenced",
            Way::Lease => "lease-expired",
            Way::Lock => "disk-locked",
        }
    }
}

/// A plan, by VM.
struct Fates {
    placed: BTreeMap<VmId, HostId>,
    queued: BTreeMap<VmId, HostId>,
    unplaced: BTreeMap<VmId, Vec<(HostId, Unfit)>>,
}

impl Fates {
    fn of(plan: placement::Plan) -> Fates {
        Fates {
            placed: plan.placed.into_iter().collect(),
            queued: plan.queued.into_iter().collect(),
            unplaced: plan.unplaced.into_iter().collect(),
        }
    }
}

impl Master {
    /// What would happen if these hosts lost their power at once. It changes nothing.
    pub fn forecast(&self, cx: &Context<'_>, failing: &BTreeSet<HostId>) -> Vec<Forecast> {
        let lost: Vec<(&VmId, &Vm)> = cx.state.vms.iter().filter(|(_, vm)| loses(vm, failing)).collect();
        let usage = usage(cx.state);
        let candidates = Candidate::all(cx.state, &usage, |id, host| {
            if failing.contains(&id) { Err(Unfit::NotAlive) } else { self.usable(id, host) }
        });
        let restarted = lost.iter().filter(|(_, vm)| vm.definition.response != Response::Leave);
        let demands: Vec<Demand<'_>> = restarted.map(|(_, vm)| Demand::of(cx.state, vm)).collect();
        let plan = Fates::of(placement::plan(&candidates, &demands, &cx.state.policy));
        let majority = keeps_majority(cx.state, failing);
        let braked = self.would_brake(cx, failing);
        lost.into_iter()
            .filter_map(|(id, vm)| {
                let from = *vm.holders.keys().find(|host| failing.contains(host))?;
                let fate = match () {
                    () if !majority => Fate::NoMajority,
                    () if cx.state.armed != Armed::Armed => Fate::NotArmed,
                    () if vm.definition.response == Response::Leave => Fate::LeftAlone,
                    () => self.fate(cx, *id, vm, from, &plan, braked.as_ref()),
                };
                Some(Forecast { vm: *id, from, fate })
            })
            .collect()
    }

    fn fate(&self, cx: &Context<'_>, id: VmId, vm: &Vm, from: HostId, plan: &Fates, braked: Option<&NoProof>) -> Fate {
        if let Some(reasons) = plan.unplaced.get(&id) {
            return Fate::NoRoom(reasons.clone());
        }
        let (proof, after) = match self.quickest(cx, vm, from, braked) {
            Ok(way) => way,
            Err(reasons) => return Fate::NoProof(reasons),
        };
        if let Some(to) = plan.queued.get(&id) {
            return Fate::Queued { to: *to, proof };
        }
        match plan.placed.get(&id) {
            Some(to) => Fate::Restarted { to: *to, proof, after },
            None => Fate::NoRoom(Vec::new()),
        }
    }

    /// The quickest way to a proof, and how long it takes from the failure.
    fn quickest(
        &self,
        cx: &Context<'_>,
        vm: &Vm,
        from: HostId,
        braked: Option<&NoProof>,
    ) -> Result<(Way, Duration), Vec<NoProof>> {
        if let Some(brake) = braked {
            return Err(vec![brake.clone()]);
        }
        let succession = if from == self.me { self.timing.election_max } else { Duration::ZERO };
        let Some(host) = cx.state.hosts.get(&from) else { return Err(Vec::new()) };
        let Some(holder) = vm.holders.get(&from) else { return Err(Vec::new()) };
        if !host.fences.is_empty() && host.standing != Standing::Conflicted {
            return Ok((Way::Fence, self.timing.fence_after.max(succession)));
        }
        match cx.state.lease_covers(vm, host, holder) {
            Ok(()) => Ok((Way::Lease, self.timing.lease_wait() + succession)),
            Err(_) if vm.definition.locked && vm.lock_seen == Some(holder.epoch) => {
                Ok((Way::Lock, self.timing.fence_after.max(succession)))
            }
            Err(no) => Err(vec![NoProof::NoFence, no]),
        }
    }

    /// Whether so many hosts would be silent that the brake goes on.
    fn would_brake(&self, cx: &Context<'_>, failing: &BTreeSet<HostId>) -> Option<NoProof> {
        let silent = |id: &HostId| {
            failing.contains(id) || matches!(self.host_state(*id), HostState::Suspect | HostState::Judged)
        };
        let counted =
            cx.state.hosts.iter().filter(|(_, host)| !matches!(host.standing, Standing::New | Standing::Proven { .. }));
        let (hosts, suspects) =
            counted.fold((0, 0), |(hosts, suspects), (id, _)| (hosts + 1, suspects + u32::from(silent(id))));
        too_many(suspects, hosts, &cx.state.policy).then_some(NoProof::Brake { suspects, hosts })
    }
}

fn loses(vm: &Vm, failing: &BTreeSet<HostId>) -> bool {
    vm.protected && vm.intent.want == Want::Running && vm.holders.keys().any(|host| failing.contains(host))
}

fn keeps_majority(state: &ClusterState, failing: &BTreeSet<HostId>) -> bool {
    let left = state.voters.values().filter(|home| !failing.contains(home)).count();
    left * 2 > state.voters.len()
}
