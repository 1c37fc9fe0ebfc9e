//! What the facts mean: when a VM or host was up, down or unseen, why, and how long each stage of a recovery took.
//!
//! What is meant by each word stands in one place, `definitions.md` beside this folder, for people; this is the same for
//! the machine. Facts are read once, in the order of their keys. Of each VM and host only the last part of its life is
//! kept, which facts to come may still change, and the sum of all before, so that years can be read in little memory.

mod life;
mod recovery;
mod rows;
mod span;
mod tally;
mod vm;
mod watch;

pub use recovery::Recovery;
pub use rows::Row;
pub use span::{Condition, Piece};
pub use tally::Scope;

use super::cause::Cause;
use super::figures::Figures;
use super::{Decision, Entry, What};
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::{Alert, JudgeCause, StorageTrouble, Unfit, Wait};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{Tag, Target};
use life::Life;
use span::State;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vm::{End, Now, Vm};
use watch::Watch;

/// Who was silent from the first moment of a master on may have been so while there was none.
const HEARD_AT_ONCE: i64 = 2_000;
/// So many recoveries are kept, the newest.
const RECOVERIES_KEPT: usize = 100_000;

/// Reads facts.
#[derive(Debug, Clone)]
pub struct History {
    scope: Scope,
    /// The latest moment so far: however clocks step, time does not run backwards.
    clock: i64,
    /// When the first fact was.
    began_at: Option<i64>,
    watch: Watch,
    vms: BTreeMap<VmId, Vm>,
    hosts: BTreeMap<HostId, Host>,
    /// The VMs that run on a host, or did when it was last heard.
    held: BTreeMap<HostId, BTreeSet<VmId>>,
    targets: BTreeMap<Tag, Target>,
    recoveries: VecDeque<Recovery>,
}

#[derive(Debug, Clone, Default)]
struct Host {
    name: String,
    life: Life,
    seen_at: i64,
    /// Since it was judged: its last sign, and what it was to be blamed for.
    judged: Option<(i64, State)>,
    /// Since it was last admitted: whether it was seen to live on storage only.
    isolated: bool,
    /// The same: whether it lived and did not write there.
    writes_nothing: bool,
    /// The same: since when two machines claim to be it.
    doubted_at: Option<i64>,
}

impl History {
    /// Begins with nothing.
    pub fn new(scope: Scope) -> History {
        History {
            scope,
            clock: i64::MIN,
            began_at: None,
            watch: Watch::default(),
            vms: BTreeMap::new(),
            hosts: BTreeMap::new(),
            held: BTreeMap::new(),
            targets: BTreeMap::new(),
            recoveries: VecDeque::new(),
        }
    }

    /// A fact was there that means nothing to it.
    pub fn pass(&mut self, at_milliseconds: i64) {
        self.clock = self.clock.max(at_milliseconds);
        self.began_at.get_or_insert(self.clock);
    }

    /// Reads one fact more.
    pub fn add(&mut self, entry: &Entry) {
        self.tell(entry.at_milliseconds, &entry.what);
    }

    /// The same, of what happened when.
    pub fn tell(&mut self, at_milliseconds: i64, what: &What) {
        let known = self.clock;
        self.pass(at_milliseconds);
        let at = self.clock;
        match what {
            What::MasterBegan { blind_milliseconds, .. } if *blind_milliseconds > 0 => {
                self.watch.began(at.saturating_sub(signed(*blind_milliseconds)), at, known);
            }
            What::Alert { alert } => self.alert(alert),
            What::Decided { decision: Decision::Target { tag, target } } if self.is_in_time() => {
                match target {
                    Some(target) => drop(self.targets.insert(tag.clone(), *target)),
                    None => drop(self.targets.remove(tag)),
                };
            }
            what if what.vm().is_some() => self.of_vm(what),
            what => self.of_host(what),
        }
    }

    /// Whether what is told belongs to the period or to the time before it: what came later names nothing.
    fn is_in_time(&self) -> bool {
        self.clock < self.scope.period.to
    }

    fn of_host(&mut self, what: &What) {
        let at = self.clock;
        let Some(id) = what.host() else { return };
        let is_in_time = self.is_in_time();
        let host = self.hosts.entry(id).or_default();
        match what {
            What::HostJoined { name, .. } if is_in_time => host.name.clone_from(name),
            What::HostUp { rebooted, .. } => {
                if let (Some(unheard), None) = (rebooted, host.judged) {
                    let last_sign = at.saturating_sub(signed(*unheard));
                    let sign = self.watch.last_sign(last_sign, host.seen_at, HEARD_AT_ONCE);
                    host.life.set(sign, State::unplanned(Cause::Unknown));
                }
                (host.judged, host.isolated, host.writes_nothing) = (None, false, false);
                host.doubted_at = None;
                host.seen_at = at;
                host.life.set(at, State::UP);
                host.life.settle(at, &self.scope, &self.watch);
            }
            // What it holds runs on, or does not; proofs will tell.
            What::HostJudged { cause: JudgeCause::Conflict, .. } => {
                host.doubted_at.get_or_insert(at);
                host.life.set(at, State::UNSEEN);
            }
            What::HostJudged { cause, silent_milliseconds, planned, .. } => {
                let state = blame(*cause, *planned, host.isolated);
                let silent = if breaks(Sabotage::OutageFromJudgement) { 0 } else { signed(*silent_milliseconds) };
                let last_sign = at.saturating_sub(silent);
                let sign = self.watch.last_sign(last_sign, host.seen_at, HEARD_AT_ONCE);
                host.life.set(sign, state);
                host.judged = Some((last_sign, state));
                self.host_lost(id);
            }
            What::HostLeft { .. } => {
                host.life.set(at, State::OUT);
                host.life.settle(at, &self.scope, &self.watch);
            }
            _ => {}
        }
    }

    /// What runs nowhere else is down.
    fn host_lost(&mut self, id: HostId) {
        let held: Vec<VmId> = self.held.get(&id).into_iter().flatten().copied().collect();
        for vm in held {
            self.look_for(vm);
        }
    }

    /// A VM is down if all hosts are lost that said that it runs there; it was on the last of them.
    fn look_for(&mut self, id: VmId) {
        let now = Now { at: self.clock, scope: &self.scope, watch: &self.watch };
        let Some(vm) = self.vms.get_mut(&id) else { return };
        let judged = |host: &HostId| self.hosts.get(host).and_then(|host| host.judged);
        if let (Some(last), true) = (vm.on.last(), vm.on.iter().all(|host| judged(host).is_some())) {
            let (host, Some((last_sign, state))) = (*last, judged(last)) else { return };
            let back = vm.lost(now, host, last_sign, state);
            self.keep(back);
        }
    }

    fn of_vm(&mut self, what: &What) {
        let Some(id) = what.vm() else { return };
        let is_in_time = self.is_in_time();
        let now = Now { at: self.clock, scope: &self.scope, watch: &self.watch };
        let vm = self.vms.entry(id).or_default();
        let recovery = match what {
            What::VmProtected { name, want, .. } => {
                vm.protected(now, name, *want);
                None
            }
            What::VmUnprotected { .. } => {
                for host in &vm.on {
                    self.held.entry(*host).or_default().remove(&id);
                }
                vm.unprotected(now)
            }
            What::VmWanted { want, .. } => {
                vm.wanted(now, *want);
                None
            }
            What::VmAccounted { account, .. } => {
                if is_in_time {
                    vm.labels.tags.clone_from(&account.tags);
                    vm.labels.target = account.target;
                }
                vm.accounted(now, account)
            }
            What::VmSystem { system, .. } if is_in_time => {
                vm.labels.system = Some(system.clone());
                None
            }
            What::VmAnswers { host, answers, ago_milliseconds, .. } => {
                vm.answers(now, *host, *answers, now.at.saturating_sub(signed(*ago_milliseconds)))
            }
            What::VmPlaced { .. } => {
                vm.placed(now.at);
                None
            }
            What::VmGone { ran: false, exit, .. } => {
                vm.not_started(*exit);
                None
            }
            What::VmGone { host, proof, exit, ago_milliseconds, unseen, .. } => {
                let (host, ago, unseen) = (*host, signed(*ago_milliseconds), *unseen);
                let known = self.hosts.get(&host);
                let (blamed, doubted) = (blamed(known, *exit), known.and_then(|host| host.doubted_at));
                let doubted_at = doubted.unwrap_or(i64::MAX);
                let recovery = vm.gone(now, host, End { proof: *proof, exit: *exit, ago, unseen, doubted_at, blamed });
                self.held.entry(host).or_default().remove(&id);
                if *exit == Some(Exit::LeaseEnded) && blamed == Cause::Isolation {
                    self.cut_off(host);
                }
                self.look_for(id);
                recovery
            }
            What::VmUp { host, again, .. } => {
                self.held.entry(*host).or_default().insert(id);
                vm.runs(now, id, *host, *again)
            }
            _ => None,
        };
        self.keep(recovery);
    }

    fn keep(&mut self, recovery: Option<Recovery>) {
        let period = self.scope.period;
        let within = recovery.filter(|recovery| recovery.up_at >= period.from && recovery.up_at < period.to);
        let Some(recovery) = within.filter(|_| self.scope.recovers) else { return };
        self.recoveries.push_back(recovery);
        if self.recoveries.len() > RECOVERIES_KEPT {
            self.recoveries.pop_front();
        }
    }

    fn alert(&mut self, alert: &Alert) {
        match alert {
            Alert::Isolated { host } => self.cut_off(*host),
            Alert::Storage { trouble: StorageTrouble::Unwritten { host, .. }, .. } => {
                self.hosts.entry(*host).or_default().writes_nothing = true;
            }
            Alert::Waiting { vm, wait: Wait::NoRoom(hosts), .. } => {
                // It could run wherever its datastores are reached, and that is nowhere.
                let misses_storage = |why: &Unfit| matches!(why, Unfit::Datastore(_));
                if !hosts.is_empty() && hosts.iter().all(|(_, why)| misses_storage(why)) {
                    self.vms.entry(*vm).or_default().life.blame(Cause::Unknown, Cause::Storage);
                }
            }
            _ => {}
        }
    }

    /// A host lives, and is cut off from the others: so it was not its failure.
    fn cut_off(&mut self, id: HostId) {
        let host = self.hosts.entry(id).or_default();
        if std::mem::replace(&mut host.isolated, true) {
            return;
        }
        if let Some((_, state)) = &mut host.judged {
            if *state == State::unplanned(Cause::HostFailure) {
                *state = State::unplanned(Cause::Isolation);
            }
            host.life.blame(Cause::HostFailure, Cause::Isolation);
        }
        self.vms.values_mut().for_each(|vm| vm.cut_off(id));
    }
}

/// What the silence of a judged host means for what it held.
fn blame(cause: JudgeCause, planned: bool, isolated: bool) -> State {
    match cause {
        JudgeCause::Drill | JudgeCause::SwitchedOff => State::planned(Cause::Maintenance),
        _ if planned => State::planned(Cause::Maintenance),
        _ if isolated => State::unplanned(Cause::Isolation),
        _ => State::unplanned(Cause::HostFailure),
    }
}

/// What is to be blamed for the end of a VM where nobody says how it ended, or it ended with its host's lease or by order.
fn blamed(host: Option<&Host>, exit: Option<Exit>) -> Cause {
    let isolated = host.is_some_and(|host| host.isolated);
    match exit {
        _ if isolated => Cause::Isolation,
        Some(Exit::LeaseEnded) if host.is_some_and(|host| host.writes_nothing) => Cause::Storage,
        Some(Exit::LeaseEnded) => Cause::Isolation,
        Some(_) => Cause::Unknown,
        None => Cause::HostFailure,
    }
}

fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

/// All that was read of a period.
#[derive(Debug, Clone)]
pub struct Told {
    /// Which time it is, within what there is of the past.
    pub scope: Scope,
    /// The VMs that were under protection in it.
    pub vms: Vec<Subject>,
    /// The hosts that were members in it.
    pub hosts: Vec<Subject>,
    /// What was aimed at for VMs with these tags.
    pub targets: BTreeMap<Tag, Target>,
    /// Who was brought back or moved, the oldest first; of very many, the newest.
    pub recoveries: Vec<Recovery>,
    /// When nobody watched.
    pub unwatched: Vec<(i64, i64)>,
    /// When the first fact was, of the period or of any other time.
    pub began_at: Option<i64>,
}

/// How one VM or host fared.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// Its guest's operating system.
    pub system: Option<String>,
    /// What is aimed at for it alone.
    pub target: Option<Target>,
    /// What was counted.
    pub figures: Figures,
    /// When it was how, if that was asked for.
    pub pieces: Vec<Piece>,
}

impl History {
    /// There is no more to be read.
    pub fn end(mut self) -> Told {
        let waiting: Vec<Recovery> = self.vms.values_mut().filter_map(Vm::still_back).collect();
        waiting.into_iter().for_each(|recovery| self.keep(Some(recovery)));
        let period = self.scope.period;
        let (scope, watch) = (self.scope, &self.watch);
        let is_told = |subject: &Subject| subject.figures.watched() + subject.figures.unseen > 0;
        let vms = self.vms.into_iter().map(|(id, mut vm)| {
            vm.life.end(&scope, watch);
            let (labels, tally) = (vm.labels, vm.life.tally);
            let (id, figures, pieces) = (u64::from(id.0), tally.figures, tally.pieces);
            let (name, tags, system, target) = (labels.name, labels.tags, labels.system, labels.target);
            Subject { id, name, tags, system, target, figures, pieces }
        });
        let hosts = self.hosts.into_iter().map(|(id, mut host)| {
            host.life.end(&scope, watch);
            let tally = host.life.tally;
            let (id, figures, pieces) = (u64::from(id.0), tally.figures, tally.pieces);
            Subject { id, name: host.name, tags: BTreeSet::new(), system: None, target: None, figures, pieces }
        });
        Told {
            vms: vms.filter(is_told).collect(),
            hosts: hosts.filter(is_told).collect(),
            targets: self.targets,
            recoveries: self.recoveries.into(),
            unwatched: self.watch.unwatched(period.from, period.to).collect(),
            began_at: self.began_at,
            scope,
        }
    }
}
