//! What a scenario demands: the sentences after `[[expect]]`.
//!
//! All times of an expectation count from its `after`, which is a time, the name of an event, or the beginning.

use crate::core::ids::{HostId, VmId};
use crate::core::reason::{Alert, HostState, NoProof, PROOF_KINDS, Refusal, Unfit, Wait};
use crate::explain::NameList;
use crate::reader::Problem;
use crate::reader::{Found, Reader, choice};
use crate::sim::kinds::kinds_of;
use crate::sim::scenario::event::Event;
use crate::sim::scenario::hosts::each;
use crate::words::parse_duration;
use std::collections::BTreeSet;
use std::time::Duration;

/// One demand.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Where it stands in the file.
    pub line: usize,
    /// When it must come true.
    pub window: Window,
    /// What must come true, or must not.
    pub what: Demand,
    /// Whether it must, or must not.
    pub polarity: Polarity,
}

/// The time in which something must come true, in true time since the world began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Not a moment that counts lies before this.
    pub after: Duration,
    /// It must not come true before this.
    pub not_before: Duration,
    /// It must come true by then; otherwise by the end.
    pub by: Option<Duration>,
    /// It must be so at this very moment, whenever it began.
    pub at: Option<Duration>,
}

/// Whether something must come true or never may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// It must.
    Must,
    /// It must not, within the window.
    Never,
}

/// What must come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Each of these VMs runs on one of these hosts, after such a proof if one is named.
    Runs {
        /// Which VMs.
        vms: Vec<VmId>,
        /// On one of which hosts.
        on: BTreeSet<HostId>,
        /// After which kind of proof.
        proof: Option<String>,
    },
    /// None of these VMs comes to run on one of these hosts.
    NeverOn {
        /// Which VMs.
        vms: Vec<VmId>,
        /// On none of which hosts.
        hosts: BTreeSet<HostId>,
    },
    /// Each of these VMs fares so at the end.
    Ends {
        /// Which VMs.
        vms: Vec<VmId>,
        /// How.
        state: EndState,
    },
    /// Each of these VMs is known to wait for this.
    Waits {
        /// Which VMs.
        vms: Vec<VmId>,
        /// For which kind of thing.
        kind: String,
        /// And for this kind of reason, for proofs that are wanting and hosts that do not fit.
        because: Option<String>,
    },
    /// These VMs, or all, began to run so often, beside their first time and arrivals by live migration.
    Restarts {
        /// Which VMs; all, if none is named.
        vms: Vec<VmId>,
        /// How often.
        count: usize,
    },
    /// A master sees a host so.
    HostState {
        /// Which host.
        host: HostId,
        /// How.
        state: HostState,
    },
    /// A node says something of this kind.
    Said {
        /// What.
        saying: Saying,
        /// Of which kind.
        kind: String,
        /// Of, or on, which host.
        host: Option<HostId>,
        /// Of which VM.
        vm: Option<VmId>,
    },
}

/// What nodes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// An alert.
    Alert,
    /// A refusal.
    Refusal,
    /// A proof for a host.
    Proof,
    /// Not said, but so: what became of a machine's power.
    Power,
    /// Anything else, by the kind under which it stands in the JSON output.
    Note,
}

/// How a VM fares at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndState {
    /// It runs.
    Running,
    /// It does not run, and is not wanted to.
    Stopped,
    /// It should run and does not.
    Waiting,
}

impl EndState {
    /// All of them, by the words of scenarios and output.
    pub const WORDS: [(&'static str, EndState); 3] =
        [("running", EndState::Running), ("stopped", EndState::Stopped), ("waiting", EndState::Waiting)];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            EndState::Running => "running",
            EndState::Stopped => "stopped",
            EndState::Waiting => "waiting",
        }
    }
}

/// What a note can be called in an expectation.
const NOTE_KINDS: [&str; 7] = ["master", "deposed", "judged", "lease-ended", "gap", "guest-answers", "guest-silent"];

/// What can become of a machine's power.
const POWER_KINDS: [&str; 9] = [
    "powered-on",
    "booted",
    "power-lost",
    "kernel-crashed",
    "watchdog",
    "forced-reboot",
    "fenced",
    "shut-down",
    "twin-left",
];

/// All that a file demands.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// One by one.
    pub each: Vec<Expectation>,
    /// Whether violations may occur that follow from what the guarantee leaves out.
    pub excused: bool,
}

/// Reads the expectations of a file.
pub fn read_all(file: &mut Reader<'_>, names: &NameList, events: &[Event]) -> Result<Expectations, Problem> {
    let mut expectations = Expectations::default();
    for mut entry in file.tables("expect")? {
        if let Some(excused) = entry.maybe("violations", |found| found.word(&[("excused", true)]))? {
            expectations.excused = excused;
        } else {
            expectations.each.push(read(&mut entry, names, events)?);
        }
        entry.finish()?;
    }
    Ok(expectations)
}

fn read(entry: &mut Reader<'_>, names: &NameList, events: &[Event]) -> Result<Expectation, Problem> {
    let line = entry.line();
    let after = entry.maybe("after", |found| after(found, events))?.unwrap_or_default();
    let mut time = |key| entry.maybe(key, Found::duration).map(|time| time.map(|time| after + time));
    let window = Window { after, not_before: time("not_before")?.unwrap_or(after), by: time("by")?, at: time("at")? };
    let never = entry.maybe("never", Found::boolean)?.unwrap_or(false);
    let what = demand(entry, names)?;
    let timeless = matches!(what, Demand::Ends { .. });
    if timeless && (window.by.is_some() || window.at.is_some() || never) {
        return Err(entry.problem("the `state` of a vm is its state at the end: leave out the times and `never`"));
    }
    Ok(Expectation { line, window, what, polarity: if never { Polarity::Never } else { Polarity::Must } })
}

/// A time, or the moment of an event that has a name.
fn after(found: &Found<'_>, events: &[Event]) -> Result<Duration, Problem> {
    let text = found.text()?;
    if let Some(event) = events.iter().find(|event| event.name.as_deref() == Some(text)) {
        return Ok(event.at);
    }
    parse_duration(text).map_err(|_| {
        let known = events.iter().filter_map(|event| event.name.as_deref());
        found.problem(format!("`after` is neither a time nor an event's name: \"{text}\"")).hint(choice(text, known))
    })
}

fn demand(entry: &mut Reader<'_>, names: &NameList) -> Result<Demand, Problem> {
    let host = entry.maybe("host", |found| found.named("host", &names.hosts))?;
    let vms = entry.maybe("vm", |found| vms(found, names))?;
    let (some_vms, count) = (vms.clone().unwrap_or_default(), entry.maybe("restarts", Found::number)?);
    if let Some(count) = count {
        return Ok(Demand::Restarts { vms: some_vms, count });
    }
    for (key, saying, kinds) in sayings() {
        // Beside a VM's `on`, a proof is how that VM was let go.
        if saying == Saying::Proof && vms.is_some() {
            continue;
        }
        if let Some(kind) = entry.maybe(key, |found| one_of(found, &kinds))? {
            return Ok(Demand::Said { saying, kind, host, vm: some_vms.first().copied() });
        }
    }
    match (vms, host) {
        (Some(vms), None) => vm_demand(entry, vms, names),
        (None, Some(host)) => {
            let states = HostState::ALL.map(|state| (state.name(), state));
            Ok(Demand::HostState { host, state: entry.must("state", |found| found.word(&states))? })
        }
        _ => Err(entry.problem("an expectation is about one thing").hint(
            "begin with vm = \"...\", host = \"...\", alert = \"...\", refusal = \"...\", proof = \"...\", \
             power = \"...\", note = \"...\", restarts = 0 or violations = \"excused\"",
        )),
    }
}

fn sayings() -> [(&'static str, Saying, Vec<String>); 5] {
    [
        ("alert", Saying::Alert, kinds_of::<Alert>()),
        ("refusal", Saying::Refusal, kinds_of::<Refusal>()),
        ("power", Saying::Power, POWER_KINDS.map(str::to_owned).to_vec()),
        ("note", Saying::Note, NOTE_KINDS.map(str::to_owned).to_vec()),
        ("proof", Saying::Proof, PROOF_KINDS.map(str::to_owned).to_vec()),
    ]
}

fn vm_demand(entry: &mut Reader<'_>, vms: Vec<VmId>, names: &NameList) -> Result<Demand, Problem> {
    let hosts = |found: &Found<'_>| each(found, |one| one.named("host", &names.hosts));
    if let Some(on) = entry.maybe("on", hosts)? {
        let kinds = PROOF_KINDS.map(str::to_owned);
        let proof = entry.maybe("proof", |found| one_of(found, &kinds))?;
        return Ok(Demand::Runs { vms, on, proof });
    }
    if let Some(hosts) = entry.maybe("never_on", hosts)? {
        return Ok(Demand::NeverOn { vms, hosts });
    }
    if let Some(kind) = entry.maybe("waits", |found| one_of(found, &kinds_of::<Wait>()))? {
        let reasons: Vec<String> = kinds_of::<NoProof>().into_iter().chain(kinds_of::<Unfit>()).collect();
        let because = entry.maybe("because", |found| one_of(found, &reasons))?;
        return Ok(Demand::Waits { vms, kind, because });
    }
    if let Some(state) = entry.maybe("state", |found| found.word(&EndState::WORDS))? {
        return Ok(Demand::Ends { vms, state });
    }
    let problem = entry.problem("an expectation about a vm must say what is expected of it");
    Err(problem.hint("add on, never_on, waits, state or restarts"))
}

/// One VM, a list of them, or "all".
fn vms(found: &Found<'_>, names: &NameList) -> Result<Vec<VmId>, Problem> {
    if !found.is_list() && found.text()? == "all" {
        return Ok(names.vms.keys().copied().collect());
    }
    found.one_or_more()?.iter().map(|one| one.named("vm", &names.vms)).collect()
}

fn one_of(found: &Found<'_>, kinds: &[String]) -> Result<String, Problem> {
    let words: Vec<(&str, String)> = kinds.iter().map(|kind| (kind.as_str(), kind.clone())).collect();
    found.word(&words)
}
