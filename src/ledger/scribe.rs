//! Derives the ledger from the log: the replicated state before and after each command, told apart.

use crate::core::command::{Command, LogEntry};
use crate::core::ids::{BootId, Epoch, HostId, VmId};
use crate::core::message::{Exit, Presence};
use crate::core::reason::{JudgeCause, Proof};
use crate::core::state::{Account, Applied, Change, ClusterState, GuestWord, Policy, Registration, Role, Telling, Vm};
use crate::ledger::{Decision, Entry, Key, What};
use std::collections::BTreeMap;

/// Watches the replicated state. It remembers of each VM what the next change is told apart from.
#[derive(Debug, Clone, Default)]
pub struct Scribe {
    vms: BTreeMap<VmId, Seen>,
    /// Each with the boot that was admitted last.
    hosts: BTreeMap<HostId, BootId>,
    rules: Policy,
}

/// A VM as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    protected: bool,
    intent: u64,
    gave_up: bool,
    holders: BTreeMap<HostId, (Epoch, Role)>,
}

impl Seen {
    fn of(vm: &Vm) -> Seen {
        let holders = vm.holders.iter().map(|(host, holder)| (*host, (holder.epoch, holder.role))).collect();
        Seen { protected: vm.protected, intent: vm.intent.version, gave_up: vm.gave_up, holders }
    }
}

fn runs(role: Role) -> bool {
    matches!(role, Role::Running | Role::Outgoing)
}

impl Scribe {
    /// Begins from a state whose past is written down already.
    pub fn new(state: &ClusterState) -> Scribe {
        let vms = state.vms.iter().map(|(id, vm)| (*id, Seen::of(vm))).collect();
        Scribe {
            vms,
            hosts: state.hosts.iter().map(|(id, host)| (*id, host.life.boot)).collect(),
            rules: state.policy.clone(),
        }
    }

    /// What follows from a command that was applied just now.
    pub fn note(&mut self, state: &ClusterState, entry: &LogEntry, applied: &Applied) -> Vec<Entry> {
        let command = &entry.proposal.command;
        let mut facts = Vec::new();
        if applied.refused.is_none() {
            self.of_command(state, command, &mut facts);
            let decision = Decision::of(command, entry.proposal.said.is_some(), &self.rules);
            facts.extend(decision.map(|decision| What::Decided { decision }));
            self.rules = state.policy.clone();
        }
        for change in &applied.changes {
            self.of_change(state, command, change, &mut facts);
        }
        let key = |part: usize| Key {
            generation: state.generation.0,
            index: state.applied,
            part: u32::try_from(part).unwrap_or(u32::MAX),
        };
        let at_milliseconds = entry.at_milliseconds;
        let said = entry.proposal.said.as_deref();
        let whole = |(part, what)| Entry { key: key(part), at_milliseconds, said: said.cloned(), what };
        facts.into_iter().enumerate().map(whole).collect()
    }

    fn of_command(&self, state: &ClusterState, command: &Command, facts: &mut Vec<What>) {
        match command {
            Command::Judge { target, cause, silent_milliseconds, planned } => facts.push(What::HostJudged {
                host: target.host,
                cause: *cause,
                silent_milliseconds: *silent_milliseconds,
                planned: *planned,
            }),
            // Which of the two machines it was, nobody knows from then on.
            Command::Conflict { host, .. } => facts.push(What::HostJudged {
                host: *host,
                cause: JudgeCause::Conflict,
                silent_milliseconds: 0,
                planned: false,
            }),
            Command::Quarantine { host, on } => facts.push(What::HostQuarantined { host: *host, on: *on }),
            Command::SwitchOff { target, .. } => facts.push(What::HostSwitched { host: target.host, on: false }),
            Command::Drilled { host, devices } => {
                let devices = devices.iter().map(|(device, _)| *device).collect();
                facts.push(What::HostDrilled { host: *host, devices });
            }
            Command::SwitchOn { host } => facts.push(What::HostSwitched { host: *host, on: true }),
            Command::Arm | Command::Disarm => facts.push(What::Armed { armed: state.armed }),
            Command::Begin { host, blind_milliseconds } => {
                facts.push(What::MasterBegan { host: *host, blind_milliseconds: *blind_milliseconds });
            }
            Command::Alert(alert) => facts.push(What::Alert { alert: (**alert).clone() }),
            Command::Recover { dead } => facts.push(What::Recovered { dead: dead.clone() }),
            Command::NewVoter { .. } | Command::RetireVoter { .. } => {
                let voters = state.voters.iter().map(|(voter, host)| (*voter, *host)).collect();
                facts.push(What::Voters { voters });
            }
            Command::Redefine { vm, source, shape } => facts.push(What::VmRedefined {
                vm: *vm,
                host: source.host,
                memory_mib: shape.memory_mib,
                millicores: shape.millicores,
                bonds: shape.bonds.clone(),
            }),
            Command::Notified { channel, upto, telling: Telling::Refused(why) }
                if state.registry.channels.get(channel).is_some_and(|channel| channel.refused_in_a_row == 1) =>
            {
                facts.push(What::NotTold { channel: channel.clone(), fact: *upto, why: why.clone() });
            }
            Command::Register(change) => {
                if let (Registration::Join(newcomer), Some(host)) = (&**change, state.hosts.keys().next_back()) {
                    facts.push(What::HostJoined { host: *host, name: newcomer.name.clone() });
                }
            }
            Command::HearGuest { source, vm, epoch, word } => facts.push(match word {
                GuestWord::Answers { answers, ago_milliseconds } => What::VmAnswers {
                    vm: *vm,
                    host: source.host,
                    epoch: *epoch,
                    answers: *answers,
                    ago_milliseconds: *ago_milliseconds,
                },
                GuestWord::System(system) => What::VmSystem { vm: *vm, system: system.clone() },
            }),
            _ => {}
        }
    }

    fn of_change(&mut self, state: &ClusterState, command: &Command, change: &Change, facts: &mut Vec<What>) {
        match change {
            Change::Admitted(life) => {
                let before = self.hosts.insert(life.host, life.boot);
                let rebooted = unheard(command, life.host).filter(|_| before.is_some_and(|boot| boot != life.boot));
                facts.push(What::HostUp { host: life.host, boot: life.boot, rebooted });
                self.seen_again(state, life.host, facts);
            }
            Change::Judged(target, cause @ JudgeCause::SwitchedOff) => {
                facts.push(What::HostJudged { host: target.host, cause: *cause, silent_milliseconds: 0, planned: true })
            }
            Change::Proven(target, proof) => facts.push(What::HostProven { host: target.host, proof: *proof }),
            Change::Host(host) => match state.hosts.contains_key(host) {
                true => drop(self.hosts.entry(*host).or_default()),
                false if self.hosts.remove(host).is_some() => facts.push(What::HostLeft { host: *host }),
                false => {}
            },
            Change::Vm(vm) => self.of_vm(state, command, *vm, facts),
            Change::Account(vm) => facts.extend(accounted(state, *vm)),
            _ => {}
        }
    }

    /// A host is back, and VMs that it held before it was out of sight are still there.
    fn seen_again(&self, state: &ClusterState, host: HostId, facts: &mut Vec<What>) {
        for (id, seen) in &self.vms {
            let Some((epoch, role)) = seen.holders.get(&host) else { continue };
            let holder = state.vms.get(id).and_then(|vm| vm.holders.get(&host));
            if runs(*role) && holder.is_some_and(|now| runs(now.role) && now.epoch == *epoch) {
                facts.push(What::VmUp { vm: *id, host, epoch: *epoch, again: true });
            }
        }
    }

    fn of_vm(&mut self, state: &ClusterState, command: &Command, id: VmId, facts: &mut Vec<What>) {
        let before = self.vms.get(&id).cloned().unwrap_or_default();
        let Some(vm) = state.vms.get(&id) else {
            self.vms.remove(&id);
            if before.protected {
                facts.push(What::VmUnprotected { vm: id });
            }
            return;
        };
        let after = Seen::of(vm);
        if before == after {
            return;
        }
        match (before.protected, after.protected) {
            (false, true) => {
                let (name, want) = (vm.definition.name.clone(), vm.intent.want);
                facts.push(What::VmProtected { vm: id, name, want });
                facts.extend(accounted(state, id).filter(|_| vm.account != Account::default()));
            }
            (true, false) => facts.push(What::VmUnprotected { vm: id }),
            _ if before.intent != after.intent => facts.push(What::VmWanted { vm: id, want: vm.intent.want }),
            _ => {}
        }
        if after.protected {
            holders_told_apart(id, vm, command, (&before, &after), facts);
        }
        if after.gave_up && !before.gave_up {
            facts.push(What::VmGaveUp { vm: id });
        }
        self.vms.insert(id, after);
    }
}

fn accounted(state: &ClusterState, vm: VmId) -> Option<What> {
    let account = state.vms.get(&vm)?.account.clone();
    Some(What::VmAccounted { vm, account })
}

fn holders_told_apart(id: VmId, vm: &Vm, command: &Command, (before, after): (&Seen, &Seen), facts: &mut Vec<What>) {
    for (host, (epoch, role)) in &before.holders {
        if after.holders.get(host).is_some_and(|(now, _)| now == epoch) || *role == Role::Unaccounted {
            continue;
        }
        if let (Role::Incoming, Some(from)) = (role, stayed(before, after)) {
            facts.push(What::VmNotMoved { vm: id, from, to: *host });
            continue;
        }
        let proven = vm.proofs.iter().rev().find(|proven| proven.host == *host && proven.epoch == *epoch);
        // What a newer boot says of the end is only that the VM is not there.
        let rebooted = proven.is_some_and(|proven| matches!(proven.proof, Proof::Rebooted { .. }));
        let (exit, ago_milliseconds) = exit_told(command, id, *host).filter(|_| !rebooted).unzip();
        let planned = exit.is_some_and(|exit| {
            matches!(exit, Exit::ByPerson | Exit::Ordered | Exit::HostShutdown | Exit::Moved | Exit::NeverStarted)
        });
        let proof = proven.map(|proven| proven.proof);
        let (ran, unheard) = (runs(*role), unheard(command, *host));
        let ago_milliseconds = unheard.or(ago_milliseconds).unwrap_or(0);
        facts.push(What::VmGone {
            vm: id,
            host: *host,
            epoch: *epoch,
            ran,
            proof,
            exit,
            planned,
            ago_milliseconds,
            unseen: unheard.is_some(),
        });
    }
    for (host, (epoch, role)) in &after.holders {
        let old = before.holders.get(host).filter(|(old, _)| old == epoch).map(|(_, role)| *role);
        if old.is_none() && matches!(role, Role::Starting | Role::Incoming) {
            // What is moved alive needs no proof.
            let proofs = if *role == Role::Starting { vm.proofs.clone() } else { Vec::new() };
            facts.push(What::VmPlaced { vm: id, host: *host, epoch: *epoch, proofs });
        }
        if runs(*role) && !old.is_some_and(runs) {
            facts.push(What::VmUp { vm: id, host: *host, epoch: *epoch, again: false });
        }
    }
}

/// Where a VM that was on its way to another host runs on.
fn stayed(before: &Seen, after: &Seen) -> Option<HostId> {
    let is_back = |host: &HostId| after.holders.get(host).is_some_and(|(_, role)| *role == Role::Running);
    before.holders.iter().find(|(host, (_, role))| *role == Role::Outgoing && is_back(host)).map(|(host, _)| *host)
}

/// For how many milliseconds a host had not been heard that this very command admits with another run of its agent.
fn unheard(command: &Command, host: HostId) -> Option<u64> {
    match command {
        Command::Admit(admission) if admission.incarnation.host == host => {
            Some(admission.unheard_milliseconds).filter(|unheard| *unheard > 0)
        }
        _ => None,
    }
}

/// How a host said, with this very command, that a VM ended on it, and how many milliseconds before.
fn exit_told(command: &Command, vm: VmId, host: HostId) -> Option<(Exit, u64)> {
    let seen = match command {
        Command::Observe { source, seen, .. } if source.host == host && seen.vm == vm => Some(seen),
        Command::Admit(admission) if admission.incarnation.host == host => {
            admission.inventory.vms.iter().find(|seen| seen.vm == vm)
        }
        _ => None,
    };
    let seen = seen?;
    match seen.presence {
        Presence::Gone { exit, .. } => Some((exit, seen.gone_milliseconds)),
        _ => None,
    }
}
