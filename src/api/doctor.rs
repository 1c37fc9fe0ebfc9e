//! Which guards each host really has, and which failures the cluster survives with nobody at hand.

use super::actions::Looking;
use super::channels::{self, ChannelView};
use super::errors::Failure;
use super::extract::Json;
use super::found::Asking;
use super::handle::Api;
use super::live::checkup;
use super::viewer::Viewer;
use crate::core::command::Want;
use crate::core::ids::{DatastoreId, FenceId, HostId};
use crate::core::master::{Fate, Verdict};
use crate::core::message::{FenceOp, FenceResult, Watchdog};
use crate::core::reason::{HostState, Wait};
use crate::core::state::{Armed, ClusterState, Host};
use crate::core::time::Instant;
use crate::explain::{self, Names};
use crate::fence::{FenceClients, FenceDevice};
use crate::node::Node;
use crate::platform::{Checkup, Flaw, Gravity};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// A fence device that takes longer to answer is of little use.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the doctor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorView {
    /// What is not as it should be, the worst first.
    pub findings: Vec<Finding>,
    /// What would become of the VMs if each host died alone, in words.
    pub survives: Vec<String>,
    /// What fence devices said when they were asked last, unasked by a person.
    #[serde(default)]
    pub devices: Vec<CheckView>,
}

/// What a fence device said when the master last had it asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// The host that it fences.
    pub host: String,
    /// The device.
    pub device: String,
    /// How many milliseconds ago it was asked; nothing: not yet by this master.
    pub ago_milliseconds: Option<u64>,
    /// Which host asked it.
    pub by: Option<String>,
    /// `good`, `wrong-machine`, `refused`, `unreachable` or `not-yet`.
    pub verdict: String,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// VMs stay down, or would.
    Bad,
    /// It works, and could do better.
    Weak,
}

/// `GET /v1/doctor`
pub(super) async fn doctor(State(api): State<Api>, _: Looking) -> Result<Json<DoctorView>, Failure> {
    let (findings, hosts, probes) = api.view(examine).await?;
    let mut view = DoctorView { findings, survives: Vec::new(), devices: api.view(checks).await? };
    // One at a time: the loop has more to do than to think of what might be.
    for id in hosts {
        let told = api
            .view(move |viewer, node, now| viewer.state().hosts.get(&id).map(|host| if_it_died(id, host, node, now)));
        view.survives.extend(told.await?);
    }
    let (devices, checkups) = tokio::join!(probe(probes), check_hosts(&api));
    view.findings.extend(devices.into_iter().chain(checkups?));
    view.findings.extend(channels::all(&api).await?.iter().filter_map(of_channel));
    view.findings.sort();
    Ok(Json(view))
}

/// What is wrong by the log, the hosts whose deaths are to be thought of, and the devices to be asked.
fn examine(viewer: &Viewer<'_>, node: &Node, now: Instant) -> (Vec<Finding>, Vec<HostId>, Vec<Probe>) {
    let state = viewer.state();
    let mut findings = Vec::new();
    if state.armed == Armed::Observe {
        findings.push(bad("cluster", "it only observes: nothing is restarted", "holdfast arm"));
    }
    of_voters(state, node, now, &mut findings);
    of_storage(state, node, now, &mut findings);
    of_vms(state, node, now, &mut findings);
    for (id, host) in &state.hosts {
        of_host(*id, host, node, &mut findings);
    }
    let alone = state.hosts.iter().filter(|(_, host)| !host.is_witness()).map(|(id, _)| *id).collect();
    (findings, alone, probes(state))
}

fn of_voters(state: &ClusterState, node: &Node, now: Instant, findings: &mut Vec<Finding>) {
    let voters = state.voters.len();
    let wanted = state.policy.voters as usize;
    if voters < 3 {
        let text = format!("{voters} vote: the death of one stops all restarts");
        findings.push(bad("voters", &text, "let more hosts join, or a witness on any third machine"));
    } else if voters != wanted {
        let text = format!("{voters} vote, and {wanted} should");
        findings.push(weak("voters", &text, "bring hosts back; the master fills the places by itself"));
    }
    let down: Vec<String> = state
        .voters
        .values()
        .filter(|home| node.host_state(**home).is_some_and(|state| state != HostState::Alive))
        .filter_map(|home| Some(state.hosts.get(home)?.name.clone()))
        .collect();
    if !down.is_empty() {
        findings.push(weak("voters", &format!("not there: {}", down.join(", ")), "bring them back"));
    }
    let idle = node.idle_voters(now).into_iter().filter(|home| node.host_state(*home) == Some(HostState::Alive));
    let idle: Vec<&str> = idle.filter_map(|home| state.hosts.get(&home)).map(|host| host.name.as_str()).collect();
    if !idle.is_empty() {
        let text = format!("they take in nothing of what the others agree on: {}", idle.join(", "));
        findings.push(bad("voters", &text, "see what the agents there say of their disks"));
    }
}

/// A channel by which people do not hear what they should.
fn of_channel(channel: &ChannelView) -> Option<Finding> {
    let progress = channel.progress.clone().unwrap_or_default();
    let (subject, behind) = (format!("channel {}", channel.name), progress.behind);
    match progress.trouble {
        _ if channel.paused => {
            Some(weak(&subject, &format!("it is paused, behind by {behind}"), "holdfast notify resume"))
        }
        Some(why) => Some(bad(&subject, &format!("it is behind by {behind}: {why}"), "see `holdfast notify show`")),
        None if channel.refused_in_a_row > 0 => {
            let text = format!("it has refused the last {} for good", channel.refused_in_a_row);
            Some(bad(&subject, &text, "see `holdfast events`, mend it, and try it with `holdfast notify test`"))
        }
        None => None,
    }
}

/// More VMs than this are only counted.
const VMS_NAMED: usize = 20;

/// VMs that should run and do not, but for those whose first start is on its way.
fn of_vms(state: &ClusterState, node: &Node, now: Instant, findings: &mut Vec<Finding>) {
    let mut down = Vec::new();
    for (id, vm) in state.vms.iter().filter(|(_, vm)| vm.protected && vm.intent.want == Want::Running) {
        match node.wait(now, *id) {
            None | Some(Wait::Nothing | Wait::NotProtected | Wait::NotArmed | Wait::Stopped | Wait::Moving { .. }) => {}
            Some(Wait::Starting { .. }) if vm.attempts == 0 => {}
            Some(wait) => down.push((&vm.definition.name, explain::wait(&wait, state))),
        }
    }
    for (name, wait) in down.iter().take(VMS_NAMED) {
        let text = format!("should run and is not known to: it {wait}");
        findings.push(bad(name, &text, &format!("holdfast vm explain {name}")));
    }
    if let Some(more) = down.len().checked_sub(VMS_NAMED).filter(|more| *more > 0) {
        findings.push(bad("VMs", &format!("{more} more should run and are not known to"), "holdfast vm list"));
    }
}

fn of_storage(state: &ClusterState, node: &Node, now: Instant, findings: &mut Vec<Finding>) {
    for (id, trouble) in node.storage(now) {
        let text = explain::storage_trouble(id, &trouble, state);
        let advice = "mend it: meanwhile leases hang on the network alone, and none that it renews proves a death";
        findings.push(bad("storage", &text, advice));
    }
    let used: BTreeSet<DatastoreId> = state.hosts.values().flat_map(|host| &host.life.renewal_set).copied().collect();
    for (id, host) in &state.hosts {
        if host.is_witness() || node.host_state(*id) != Some(HostState::Alive) {
            continue;
        }
        for datastore in used.difference(&host.life.renewal_set) {
            let text = format!("it keeps no liveness record on {}, as others do", state.datastore(*datastore));
            findings.push(weak(&host.name, &text, "name it in its configuration; if it is, see what its agent says"));
        }
    }
}

fn of_host(id: HostId, host: &Host, node: &Node, findings: &mut Vec<Finding>) {
    let name = host.name.as_str();
    if let Some(state) = node.host_state(id).filter(|state| *state != HostState::Alive) {
        findings.push(weak(name, &format!("it is {}", state.name()), "see `holdfast host explain`"));
    }
    if host.is_witness() {
        return;
    }
    if host.quarantined {
        findings.push(bad(name, "it is quarantined and gets no VMs", "mend it, then `holdfast host end-quarantine`"));
    }
    let watchdog = matches!(host.life.guards.watchdog, Watchdog::Hardware { .. });
    if watchdog && host.life.renewal_set.is_empty() {
        findings.push(weak(
            name,
            "it keeps no liveness record: cut off from the network alone, it stops its VMs",
            "give it a heartbeat datastore",
        ));
    }
    match (host.fences.is_empty(), watchdog) {
        (true, false) => findings.push(bad(
            name,
            "it has neither a fence device nor a hardware watchdog: if it falls silent, nothing proves it dead, and its \
             VMs wait for a person",
            "add a fence device with `holdfast fence add`, or a watchdog",
        )),
        (true, true) => findings.push(weak(name, "it has no fence device", "add one: it is quicker than a lease")),
        (false, false) => findings.push(weak(
            name,
            "if its fence device fails, nothing else proves it dead",
            "give it a hardware watchdog",
        )),
        (false, true) => {}
    }
}

fn if_it_died(id: HostId, host: &Host, node: &Node, now: Instant) -> String {
    let forecast = node.forecast(now, &BTreeSet::from([id])).unwrap_or_default();
    let all = forecast.len();
    let back = forecast.iter().filter(|one| matches!(one.fate, Fate::Restarted { .. } | Fate::Queued { .. })).count();
    let slowest = forecast.iter().filter_map(|one| match &one.fate {
        Fate::Restarted { after, .. } => Some(*after),
        _ => None,
    });
    match slowest.max() {
        Some(after) => {
            format!("{}: {back} of {all} VMs ordered elsewhere within {after:?}, and what its device takes", host.name)
        }
        None if all == 0 => format!("{}: it holds no VM", host.name),
        None => format!("{}: {back} of {all} VMs would come back by themselves", host.name),
    }
}

fn checks(viewer: &Viewer<'_>, node: &Node, now: Instant) -> Vec<CheckView> {
    let (state, verified) = (viewer.state(), node.verified());
    let of_host = |(id, host): (&HostId, &Host)| -> Vec<CheckView> {
        let check = |device: &FenceId| {
            let last = verified.get(&(*id, *device));
            let ago = last.map(|last| u64::try_from(now.since(last.at).as_millis()).unwrap_or(u64::MAX));
            CheckView {
                host: host.name.clone(),
                device: state.fence(*device),
                ago_milliseconds: ago,
                by: last.map(|last| state.host(last.by)),
                verdict: last.map_or("not-yet", |last| verdict_name(last.verdict)).to_owned(),
            }
        };
        host.fences.iter().flatten().map(check).collect()
    };
    state.hosts.iter().flat_map(of_host).collect()
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::WrongMachine => "wrong-machine",
        Verdict::Refused => "refused",
        Verdict::Unreachable => "unreachable",
    }
}

/// Asks every host that may have VMs how its hypervisor is set up, all at once.
async fn check_hosts(api: &Api) -> Result<Vec<Finding>, Failure> {
    let hosts = api.view(|viewer, node, _| {
        let is_asked =
            |(id, host): &(&HostId, &Host)| !host.is_witness() && node.host_state(**id) == Some(HostState::Alive);
        let hosts = viewer.state().hosts.iter().filter(is_asked);
        hosts.map(|(id, host)| Asking { id: *id, address: host.address, name: host.name.clone() }).collect::<Vec<_>>()
    });
    let mut asked = JoinSet::new();
    for host in hosts.await? {
        let api = api.clone();
        asked.spawn(async move {
            let checkup = checkup(&api, &host).await;
            of_checkup(&host.name, checkup)
        });
    }
    Ok(asked.join_all().await.into_iter().flatten().collect())
}

fn of_checkup(host: &str, checkup: Result<Checkup, Failure>) -> Vec<Finding> {
    let flaw = |flaw: Flaw| {
        let severity = match flaw.gravity {
            Gravity::Bad => Severity::Bad,
            Gravity::Weak => Severity::Weak,
        };
        finding(severity, host, &flaw.text, &flaw.advice)
    };
    match checkup {
        Ok(checkup) => checkup.flaws.into_iter().map(flaw).collect(),
        Err(failure) => {
            let text = format!("it does not say how its hypervisor is set up: {failure}");
            vec![weak(host, &text, "see whether its hypervisor answers, and what its agent says")]
        }
    }
}

struct Probe {
    host: String,
    uuid: u128,
    name: String,
    device: Result<FenceDevice, String>,
    /// Whether a drill has shown that it controls the host.
    drilled: bool,
}

fn probes(state: &ClusterState) -> Vec<Probe> {
    let fences = &state.registry.fences;
    let probe = |at: HostId, host: &Host, id: &FenceId| {
        let entry = fences.get(id)?;
        let device = serde_json::from_slice(&entry.settings.0).map_err(|error| error.to_string());
        let drilled = state.is_drilled(at, *id);
        Some(Probe { host: host.name.clone(), uuid: host.uuid, name: entry.name.clone(), device, drilled })
    };
    let probes = |(at, host): (&HostId, &Host)| -> Vec<Probe> {
        host.fences.iter().flatten().filter_map(|id| probe(*at, host, id)).collect()
    };
    state.hosts.iter().flat_map(probes).collect()
}

/// Asks every device who it is and whether its machine is on, all at once.
async fn probe(probes: Vec<Probe>) -> Vec<Finding> {
    let clients = std::sync::Arc::new(FenceClients::new());
    let mut asked = JoinSet::new();
    for probe in probes {
        let clients = std::sync::Arc::clone(&clients);
        asked.spawn(async move { check(&clients, probe).await });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

async fn check(clients: &FenceClients, probe: Probe) -> Option<Finding> {
    let subject = format!("{} of {}", probe.name, probe.host);
    let device = match probe.device {
        Ok(device) => device,
        Err(error) => return Some(bad(&subject, &format!("its settings cannot be read: {error}"), "add it anew")),
    };
    if let FenceDevice::Agent(_) = device {
        return check_nameless(clients, &device, &subject, probe.drilled).await;
    }
    let answer = clients.perform(&device, FenceOp::Identity, PATIENCE).await;
    let detail = answer.detail.unwrap_or_default();
    match answer.result {
        FenceResult::Identity(uuid) if uuid == probe.uuid => None,
        FenceResult::Identity(_) => Some(bad(
            &subject,
            "it is another machine's: ordered off, it would hit the wrong one",
            "correct its address",
        )),
        FenceResult::Refused => Some(bad(&subject, "it refuses the credentials", "correct user and password")),
        _ => Some(bad(&subject, &format!("it does not say whose it is: {detail}"), "see its address and its network")),
    }
}

/// A device that cannot say which machine it controls.
async fn check_nameless(clients: &FenceClients, device: &FenceDevice, subject: &str, drilled: bool) -> Option<Finding> {
    let answer = clients.perform(device, FenceOp::Power, PATIENCE).await;
    let detail = answer.detail.unwrap_or_default();
    match answer.result {
        FenceResult::On | FenceResult::Off if drilled => None,
        FenceResult::On | FenceResult::Off => Some(bad(
            subject,
            "it cannot say which machine it controls, and was never seen to switch this one: until then it proves nothing",
            "`holdfast drill` once, while the host holds no VM",
        )),
        _ => Some(bad(subject, &format!("it does not say whether its machine is on: {detail}"), "see its settings")),
    }
}

fn bad(subject: &str, text: &str, advice: &str) -> Finding {
    finding(Severity::Bad, subject, text, advice)
}

fn weak(subject: &str, text: &str, advice: &str) -> Finding {
    finding(Severity::Weak, subject, text, advice)
}

fn finding(severity: Severity, subject: &str, text: &str, advice: &str) -> Finding {
    Finding { severity, subject: subject.to_owned(), text: text.to_owned(), advice: advice.to_owned() }
}
