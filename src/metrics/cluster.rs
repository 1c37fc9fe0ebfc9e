//! What the master tells of the whole cluster. It has leases to extend meanwhile, so lists are looked at in portions.

use super::table::{
    BRAKE, FENCE_CHECKED, FENCE_STATE, GUARDLESS, HEARTBEAT_AGE, HOST_COMMITTED, HOST_MEMORY, HOST_STATE, HOSTS,
    QUARANTINED, RECORD_AGE, STORAGE_TROUBLE, VM_WAITS, VMS, VOTER_IDLE, VOTER_LAG,
};
use super::text::Page;
use crate::api::{Handle, portion};
use crate::core::ids::{HostId, VmId};
use crate::core::kinds::WAIT_KINDS;
use crate::core::master::Verdict;
use crate::core::message::Watchdog;
use crate::core::reason::{HostState, StorageTrouble, Wait};
use crate::core::state::{Host, Vm};
use crate::core::time::Instant;
use crate::explain::Names;
use crate::node::Node;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many VMs that do not run are named; the others are only counted.
const NAMED: usize = 100;
/// How a VM that runs is counted; all other words are those of [`Wait::kind`].
const RUNNING: &str = "running";

/// The part of a page that is about the whole cluster.
pub(crate) async fn cluster_page(handle: &Handle) -> String {
    let mut page = Page::default();
    tell(&mut page, handle).await;
    page.text()
}

/// Tells of the cluster, if the master answers.
pub(super) async fn tell(page: &mut Page, handle: &Handle) {
    let mut memory = BTreeMap::new();
    if let Some(vms) = vms(handle, &mut memory).await {
        tell_vms(page, &vms);
    }
    if let Some(hosts) = hosts(handle).await {
        tell_hosts(page, &hosts, &memory);
    }
    if let Some(rest) = handle.look(Rest::of).await {
        tell_rest(page, &rest);
    }
}

/// How VMs fare.
#[derive(Debug)]
struct Vms {
    counts: BTreeMap<&'static str, u64>,
    /// The first of those that should run and are not known to.
    waiting: Vec<(String, &'static str)>,
}

async fn vms(handle: &Handle, memory: &mut BTreeMap<HostId, u64>) -> Option<Vms> {
    let mut vms = Vms { counts: BTreeMap::new(), waiting: Vec::new() };
    let mut after = None;
    loop {
        let (portion, last) = handle.look(move |node, now| vms_after(node, now, after)).await??;
        for seen in portion {
            *vms.counts.entry(seen.state).or_default() += 1;
            for host in seen.holders {
                *memory.entry(host).or_default() += seen.memory_mib;
            }
            if let Some(name) = seen.waits.filter(|_| vms.waiting.len() < NAMED) {
                vms.waiting.push((name, seen.state));
            }
        }
        after = last;
        if after.is_none() {
            return Some(vms);
        }
    }
}

/// A VM, as far as it is counted.
struct Seen {
    state: &'static str,
    /// Its name, if it should run and is not known to.
    waits: Option<String>,
    memory_mib: u64,
    holders: Vec<HostId>,
}

fn vms_after(node: &Node, now: Instant, after: Option<VmId>) -> Option<(Vec<Seen>, Option<VmId>)> {
    let view = |id: &VmId, vm: &Vm| {
        let wait = node.wait(now, *id).unwrap_or(Wait::NotProtected);
        let rests = matches!(wait, Wait::Nothing | Wait::Stopped | Wait::NotProtected | Wait::Moving { .. });
        Seen {
            state: if wait == Wait::Nothing { RUNNING } else { wait.kind() },
            waits: (!rests).then(|| vm.definition.name.clone()),
            memory_mib: vm.definition.memory_mib,
            holders: if vm.protected { vm.holders.keys().copied().collect() } else { Vec::new() },
        }
    };
    Some(portion(&node.state()?.vms, after, usize::MAX, view))
}

fn tell_vms(page: &mut Page, vms: &Vms) {
    let mut counts = page.family(&VMS);
    for kind in WAIT_KINDS {
        let state = if kind == Wait::Nothing.kind() { RUNNING } else { kind };
        counts.add(&[state], vms.counts.get(state).copied().unwrap_or(0));
    }
    let mut waits = page.family(&VM_WAITS);
    for (name, state) in &vms.waiting {
        waits.add(&[name, state], 1_u64);
    }
}

/// A host, and its fence devices, each with what it said last and how long ago that was.
struct HostSeen {
    id: HostId,
    name: String,
    state: HostState,
    heartbeat: Option<Duration>,
    record: Option<Duration>,
    memory_mib: u64,
    quarantined: bool,
    guardless: bool,
}

async fn hosts(handle: &Handle) -> Option<Vec<HostSeen>> {
    let (mut hosts, mut after) = (Vec::new(), None);
    loop {
        let (portion, last) = handle.look(move |node, now| hosts_after(node, now, after)).await??;
        hosts.extend(portion);
        after = last;
        if after.is_none() {
            return Some(hosts);
        }
    }
}

fn hosts_after(node: &Node, now: Instant, after: Option<HostId>) -> Option<(Vec<HostSeen>, Option<HostId>)> {
    let view = |id: &HostId, host: &Host| {
        let signs = node.signs(now, *id);
        let hardware = matches!(host.life.guards.watchdog, Watchdog::Hardware { .. });
        HostSeen {
            id: *id,
            name: host.name.clone(),
            state: node.host_state(*id).unwrap_or(HostState::Absent),
            heartbeat: signs.heartbeat,
            record: signs.record,
            memory_mib: host.memory_mib,
            quarantined: host.quarantined,
            guardless: !host.is_witness() && host.fences.is_empty() && !hardware,
        }
    };
    Some(portion(&node.state()?.hosts, after, usize::MAX, view))
}

fn tell_hosts(page: &mut Page, hosts: &[HostSeen], committed: &BTreeMap<HostId, u64>) {
    let mut counts = page.family(&HOSTS);
    for state in HostState::ALL {
        counts.add(&[state.name()], hosts.iter().filter(|host| host.state == state).count());
    }
    let mut states = page.family(&HOST_STATE);
    for host in hosts {
        states.add(&[&host.name, host.state.name()], 1_u64);
    }
    let mut heartbeats = page.family(&HEARTBEAT_AGE);
    for (host, age) in hosts.iter().filter_map(|host| Some((host, host.heartbeat?))) {
        heartbeats.add(&[&host.name], age);
    }
    let mut records = page.family(&RECORD_AGE);
    for (host, age) in hosts.iter().filter_map(|host| Some((host, host.record?))) {
        records.add(&[&host.name], age);
    }
    page.one(&QUARANTINED, hosts.iter().filter(|host| host.quarantined).count());
    page.one(&GUARDLESS, hosts.iter().filter(|host| host.guardless).count());
    let has_room = |host: &&HostSeen| host.state == HostState::Alive && host.memory_mib > 0;
    let bytes = |mib: u64| mib.saturating_mul(1 << 20);
    let mut memory = page.family(&HOST_MEMORY);
    for host in hosts.iter().filter(has_room) {
        memory.add(&[&host.name], bytes(host.memory_mib));
    }
    let mut taken = page.family(&HOST_COMMITTED);
    for host in hosts.iter().filter(has_room) {
        taken.add(&[&host.name], bytes(committed.get(&host.id).copied().unwrap_or(0)));
    }
}

/// What else there is to be seen of the cluster.
struct Rest {
    fences: Vec<FenceSeen>,
    storage: Vec<(String, &'static str)>,
    brake: bool,
    lags: Vec<(String, u64)>,
    idle: Vec<(String, bool)>,
}

/// A fence device of a host, what it said last, and how long ago.
struct FenceSeen {
    host: String,
    device: String,
    state: &'static str,
    ago: Option<Duration>,
}

impl Rest {
    fn of(node: &Node, now: Instant) -> Rest {
        let trouble = |trouble: StorageTrouble| match trouble {
            StorageTrouble::Unread => "unread",
            StorageTrouble::Unwritten { .. } => "unwritten",
        };
        let mut rest = Rest {
            fences: Vec::new(),
            storage: Vec::new(),
            brake: node.is_braked() == Some(true),
            lags: Vec::new(),
            idle: Vec::new(),
        };
        let Some(state) = node.state() else { return rest };
        let verified = node.verified();
        for (id, host) in &state.hosts {
            for device in host.fences.iter().flatten() {
                let last = verified.get(&(*id, *device));
                rest.fences.push(FenceSeen {
                    host: host.name.clone(),
                    device: state.fence(*device),
                    state: last.map_or("not-yet", |last| verdict(last.verdict)),
                    ago: last.map(|last| now.since(last.at)),
                });
            }
        }
        rest.storage = node.storage(now).into_iter().map(|(id, of)| (state.datastore(id), trouble(of))).collect();
        let idle = node.idle_voters(now);
        rest.idle = state.voters.values().map(|home| (state.host(*home), idle.contains(home))).collect();
        rest.lags = node.lags().into_iter().map(|(home, lag)| (state.host(home), lag)).collect();
        rest
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::WrongMachine => "wrong-machine",
        Verdict::Refused => "refused",
        Verdict::Unreachable => "unreachable",
    }
}

fn tell_rest(page: &mut Page, rest: &Rest) {
    let mut states = page.family(&FENCE_STATE);
    for fence in &rest.fences {
        states.add(&[&fence.host, &fence.device, fence.state], 1_u64);
    }
    let mut checked = page.family(&FENCE_CHECKED);
    for (fence, ago) in rest.fences.iter().filter_map(|fence| Some((fence, fence.ago?))) {
        checked.add(&[&fence.host, &fence.device], ago);
    }
    let mut troubles = page.family(&STORAGE_TROUBLE);
    for (datastore, trouble) in &rest.storage {
        troubles.add(&[datastore, trouble], 1_u64);
    }
    page.one(&BRAKE, rest.brake);
    let mut lags = page.family(&VOTER_LAG);
    for (host, lag) in &rest.lags {
        lags.add(&[host], *lag);
    }
    let mut idle = page.family(&VOTER_IDLE);
    for (host, is_idle) in &rest.idle {
        idle.add(&[host], *is_idle);
    }
}
