//! One look at a node, of which the views are made.

use super::accounts::Percent;
use super::handle::{Portion, portion};
use super::views::{ClusterView, ForecastView, HolderView, HostView, ProofView, Share, VmView};
use crate::core::command::Want;
use crate::core::ids::{HostId, VmId};
use crate::core::master::{Fate, Forecast};
use crate::core::message::Watchdog;
use crate::core::reason::{HostState, Wait};
use crate::core::state::{ClusterState, Host, Policy, Role, Standing, Vm};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::explain::{self, Names};
use crate::node::Node;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A look at one node.
pub struct Viewer<'a> {
    node: &'a Node,
    state: &'a ClusterState,
    now: Instant,
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> Viewer<'a> {
    /// Begins to look; nothing is to be seen on a node that does not vote.
    pub fn new(node: &'a Node, now: Instant) -> Option<Viewer<'a>> {
        let state = node.state()?;
        Some(Viewer { node, state, now })
    }

    /// The cluster at a glance.
    pub fn cluster(&self) -> ClusterView {
        let identity = &self.state.registry.cluster;
        let hosts = self.state.hosts.keys().filter(|id| self.node.host_state(**id) == Some(HostState::Alive)).count();
        let wanted = || self.state.vms.iter().filter(|(_, vm)| vm.protected && vm.intent.want == Want::Running);
        let running = wanted().filter(|(id, _)| self.node.wait(self.now, **id) == Some(Wait::Nothing)).count();
        ClusterView {
            name: identity.name.clone(),
            uuid: Uuid::from_u128(identity.uuid),
            profile: identity.profile,
            armed: self.state.armed,
            unaware: self.unaware(),
            rearms_in_seconds: self.state.rearm_milliseconds.map(|left| left / 1_000),
            master: self.master().map(|id| self.state.host(id)),
            term: self.node.master().map(|authority| authority.term),
            generation: self.state.generation.0,
            index: self.state.applied.0,
            voters: self.voters().map(|id| self.state.host(id)).collect(),
            hosts: Share { all: self.state.hosts.len(), good: hosts },
            vms: Share { all: wanted().count(), good: running },
        }
    }

    fn unaware(&self) -> Vec<String> {
        let behind = |host: &&Host| !host.is_witness() && host.acknowledged < self.state.armed_since;
        let admitted = self.state.hosts.values().filter(|host| host.standing == Standing::Admitted);
        admitted.filter(behind).map(|host| host.name.clone()).collect()
    }

    /// The hosts whose voters take part in elections by now. One that is only named still catches up with the log.
    fn voters(&self) -> impl Iterator<Item = HostId> + '_ {
        let members = self.node.electorate();
        let votes = move |voter| members.is_some_and(|members| members.is_voter(voter));
        self.state.voters.iter().filter(move |(voter, _)| votes(**voter)).map(|(_, host)| *host)
    }

    fn master(&self) -> Option<HostId> {
        let address = self.node.master_address()?;
        self.state.hosts.iter().find(|(_, host)| host.address == address).map(|(id, _)| *id)
    }

    /// The next hosts after one.
    pub(super) fn hosts_after(&self, after: Option<HostId>, limit: usize) -> Portion<HostView, HostId> {
        let mut held: BTreeMap<HostId, Vec<VmId>> = BTreeMap::new();
        for (id, vm) in &self.state.vms {
            vm.holders.keys().for_each(|host| held.entry(*host).or_default().push(*id));
        }
        let vms_of = |id: &HostId| held.get(id).map_or(&[][..], Vec::as_slice);
        portion(&self.state.hosts, after, limit, |id, host| self.host_with(*id, host, vms_of(id)))
    }

    /// One host.
    pub fn host(&self, id: HostId, host: &Host) -> HostView {
        self.host_with(id, host, &self.state.held_on(id))
    }

    fn host_with(&self, id: HostId, host: &Host, vms: &[VmId]) -> HostView {
        let signs = self.node.signs(self.now, id);
        let state = self.node.host_state(id).map_or("unknown", HostState::name);
        HostView {
            name: host.name.clone(),
            uuid: Uuid::from_u128(host.uuid),
            state: state.to_owned(),
            votes: self.voters().any(|home| home == id),
            is_master: self.master() == Some(id),
            is_witness: host.is_witness(),
            quarantined: host.quarantined,
            failure_domain: host.failure_domain.clone(),
            endpoints: host.endpoints.iter().map(ToString::to_string).collect(),
            memory_mib: host.memory_mib,
            millicores: host.millicores,
            vms: vms.iter().map(|vm| self.state.vm(*vm)).collect(),
            fences: host.fences.iter().map(|level| level.iter().map(|id| self.state.fence(*id)).collect()).collect(),
            watchdog: watchdog(host.life.guards.watchdog),
            records_on: host.life.renewal_set.iter().map(|id| self.state.datastore(*id)).collect(),
            silent_milliseconds: signs.heartbeat.map(milliseconds),
            record_milliseconds: signs.record.map(milliseconds),
            explanation: self.explain_host(host, &signs),
        }
    }

    fn explain_host(&self, host: &Host, signs: &crate::node::Signs) -> Vec<String> {
        let mut sentences = vec![match host.standing {
            Standing::New => "it was never admitted: its agent has not been heard yet".to_owned(),
            Standing::Admitted => "it is admitted".to_owned(),
            Standing::Judged { cause } => format!("it was judged: {}", explain::cause(cause)),
            Standing::Proven { proof } => {
                format!("it is proven not to run what it held: {}", explain::proof(&proof, self.state))
            }
            Standing::Conflicted => {
                "two machines use its UUID; say with `host resolve` that only one is left".to_owned()
            }
        }];
        if !host.accounted {
            sentences.push("since the last recovery it has not said what it runs".to_owned());
        }
        if host.leaving {
            sentences.push("it is about to be removed".to_owned());
        }
        sentences
            .extend(signs.no_proof.iter().map(|no| format!("no proof yet: {}", explain::no_proof(no, self.state))));
        sentences
    }

    /// The next VMs after one.
    pub(super) fn vms_after(&self, after: Option<VmId>, limit: usize) -> Portion<VmView, VmId> {
        portion(&self.state.vms, after, limit, |id, vm| self.vm(*id, vm))
    }

    /// One VM.
    pub fn vm(&self, id: VmId, vm: &Vm) -> VmView {
        let wait = self.node.wait(self.now, id);
        let holds_as = |role| vm.holders.iter().find(move |(_, holder)| holder.role == role);
        // Once it has arrived where it is moved to, it runs there, though its source has not said yet that it let go.
        let runs = holds_as(Role::Running).or_else(|| holds_as(Role::Outgoing));
        // Where nobody has said yet whether it runs, it is on no host to be named.
        let spoken = || vm.holders.iter().rfind(|(_, holder)| holder.role != Role::Unaccounted);
        let host = runs.or_else(spoken).map(|(host, _)| self.state.host(*host));
        let quiet = matches!(wait, None | Some(Wait::Nothing | Wait::NotProtected));
        VmView {
            name: vm.definition.name.clone(),
            uuid: Uuid::from_u128(vm.definition.uuid),
            protected: vm.protected,
            want: vm.intent.want,
            state: state_of(vm, wait.as_ref(), runs.is_some()).to_owned(),
            host,
            epoch: vm.epoch.to_string(),
            response: vm.definition.response,
            priority: vm.definition.priority,
            memory_mib: vm.definition.memory_mib,
            millicores: vm.definition.millicores,
            bonds: vm.definition.bonds.clone(),
            holders: vm
                .holders
                .iter()
                .map(|(host, holder)| HolderView {
                    host: self.state.host(*host),
                    role: holder.role,
                    epoch: holder.epoch.to_string(),
                })
                .collect(),
            tags: vm.account.tags.clone(),
            up: vm.account.up.clone(),
            target: vm.account.target.map(Percent),
            health: vm.health(),
            system: vm.guest.system.clone(),
            waits_for: wait.as_ref().map_or("unknown", Wait::kind).to_owned(),
            waits: wait.filter(|_| !quiet).map(|wait| explain::wait(&wait, self.state)),
            proofs: vm
                .proofs
                .iter()
                .map(|held| ProofView {
                    host: self.state.host(held.host),
                    epoch: held.epoch.to_string(),
                    proof: held.proof.kind().to_owned(),
                    text: explain::proof(&held.proof, self.state),
                })
                .collect(),
        }
    }

    /// What was forecast, with names.
    pub fn forecast(&self, forecast: &Forecast) -> ForecastView {
        let mut view = ForecastView {
            vm: self.state.vm(forecast.vm),
            from: self.state.host(forecast.from),
            to: None,
            proof: None,
            after_milliseconds: None,
            text: String::new(),
        };
        match &forecast.fate {
            Fate::Restarted { to, proof, after } => {
                view.to = Some(self.state.host(*to));
                view.proof = Some(proof.proof().to_owned());
                view.after_milliseconds = Some(milliseconds(*after));
                view.text = format!("would be started on {}", self.state.host(*to));
            }
            Fate::Queued { to, proof } => {
                view.to = Some(self.state.host(*to));
                view.proof = Some(proof.proof().to_owned());
                view.text = format!("would wait until {} has started others", self.state.host(*to));
            }
            Fate::NoRoom(reasons) => {
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|(host, why)| format!("{} {}", self.state.host(*host), explain::unfit(why, self.state)))
                    .collect();
                view.text = format!("would find no room: {}", reasons.join("; "));
            }
            Fate::NoProof(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(|no| explain::no_proof(no, self.state)).collect();
                view.text = format!("would wait for a proof that its host is dead: {}", reasons.join("; "));
            }
            Fate::LeftAlone => view.text = "would be left alone, as policy says".to_owned(),
            Fate::NotArmed => view.text = "would wait until the cluster is armed".to_owned(),
            Fate::NoMajority => view.text = "would wait until a majority of voters is back".to_owned(),
        }
        view
    }

    /// The cluster's rules.
    pub fn policy(&self) -> Policy {
        self.state.policy.clone()
    }

    /// The replicated state itself.
    pub fn state(&self) -> &'a ClusterState {
        self.state
    }

    /// The time limits that hold.
    pub fn timing(&self) -> Timing {
        Timing::of(self.state.registry.cluster.profile)
    }
}

fn state_of(vm: &Vm, wait: Option<&Wait>, runs: bool) -> &'static str {
    match wait {
        _ if !vm.protected => "unprotected",
        Some(Wait::Nothing) => "running",
        Some(Wait::Stopped) if runs => "stopping",
        Some(Wait::Stopped) => "stopped",
        Some(Wait::Starting { .. }) => "starting",
        Some(Wait::Moving { .. }) => "moving",
        Some(_) => "waiting",
        // Without a master nobody knows more than the log.
        None if runs => "running",
        None => "unknown",
    }
}

fn watchdog(watchdog: Watchdog) -> String {
    match watchdog {
        Watchdog::None => "none".to_owned(),
        Watchdog::Hardware { timeout } => format!("hardware, {timeout:?}"),
        Watchdog::Software { timeout } => format!("software, {timeout:?}"),
    }
}
