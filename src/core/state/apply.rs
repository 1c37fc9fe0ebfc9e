//! How a command changes the replicated state, and how the log refuses one.

use super::{Armed, ClusterState, HEEDED_KEPT, Role, Standing};
use crate::core::command::{Command, Want};
use crate::core::ids::{Authority, ConfigVersion, Epoch, HostId, Incarnation, LogIndex, Ticket, VmId, VoterId};
use crate::core::message::PermitKind;
use crate::core::reason::{JudgeCause, Proof, Refusal};
use crate::core::record::MAIL_COLUMNS;

/// What came of a command.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Why it was refused, if it was.
    pub refused: Option<Refusal>,
    /// What it changed.
    pub changes: Vec<Change>,
}

/// A change of the replicated state that a master acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A host was admitted.
    Admitted(Incarnation),
    /// A host was judged.
    Judged(Incarnation, JudgeCause),
    /// A host was proven not to run some of what it held.
    Proven(Incarnation, Proof),
    /// Something else about a host.
    Host(HostId),
    /// Something about a VM.
    Vm(VmId),
    /// A host became a holder of a VM.
    Granted(Grant),
    /// A VM runs somewhere that it should not.
    Clash(VmId, Incarnation),
    /// A host's guards no longer count.
    GuardsDisarmed(Incarnation),
    /// The cluster acts from now on, or ceases to.
    Armed,
    /// What hosts must know.
    Config,
    /// Who votes.
    Voters,
    /// A person wants this host off, which was out of the cluster already.
    SwitchedOff(Incarnation),
    /// A person wants this host on.
    SwitchedOn(HostId),
    /// A forced recovery took effect.
    Recovered,
    /// By what a VM's time is accounted for.
    Account(VmId),
}

/// The right of a host to start or receive a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub target: Incarnation,
    /// Of which VM.
    pub vm: VmId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Which way.
    pub kind: PermitKind,
}

impl ClusterState {
    /// Applies the command at this place of the log. Refused commands change nothing but the place.
    pub fn apply(&mut self, index: LogIndex, command: &Command) -> Applied {
        self.applied = index;
        let mut changes = Vec::new();
        let refused = self.change(command, &mut changes).err();
        Applied { refused, changes }
    }

    fn change(&mut self, command: &Command, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        match command {
            Command::Admit(admission) => self.admit(admission, changes),
            Command::Judge { target, cause, .. } => self.judge(*target, *cause, changes),
            Command::ProveHost { target, proof } => self.prove_host(*target, *proof, changes),
            Command::Quarantine { host, on } => {
                self.host_mut(*host)?.quarantined = *on;
                changes.push(Change::Host(*host));
                Ok(())
            }
            Command::Conflict { host, old, new } => self.conflict(*host, *old, *new, changes),
            Command::ResolveConflict { host } => self.resolve_conflict(*host, changes),
            Command::Acknowledge { target, config } => self.acknowledge(*target, *config, changes),
            Command::Observe { source, seen, config } => self.observe(*source, seen, *config, changes),
            Command::Place { vm, version, target, by_hook } => self.place(*vm, *version, *target, *by_hook, changes),
            Command::Move { vm, version, from, to, by_hook } => {
                self.may_move(*vm, *version, *from, *to)?;
                self.start_move(*vm, *from, *to, *by_hook, changes)
            }
            Command::Intend { vm, want, request } => self.heed(*vm, *want, *request, changes),
            Command::Protect { definition, runs } => self.protect(definition, *runs, changes),
            Command::Redefine { vm, source, shape } => self.redefine(*vm, *source, shape, changes),
            Command::Unprotect { vm } => self.unprotect(*vm, changes),
            Command::Remove { vm } => self.remove(*vm, changes),
            Command::LockSeen { vm, epoch } => self.lock_seen(*vm, *epoch, changes),
            Command::GiveUp { vm } => self.give_up(*vm, changes),
            Command::Arm => self.set_armed(Armed::Armed, changes),
            Command::Disarm => self.set_armed(Armed::Observe, changes),
            Command::RearmAfter(milliseconds) => {
                self.rearm_milliseconds = *milliseconds;
                Ok(())
            }
            Command::DisarmGuards { target } => self.disarm_guards(*target, changes),
            Command::SetPolicy(policy) => {
                let counts_more = policy.accept_software_guards && !self.policy.accept_software_guards;
                self.policy = (**policy).clone();
                self.raise_config(changes);
                if counts_more {
                    self.armed_since = self.config;
                }
                Ok(())
            }
            Command::NewVoter { voter, host } => self.new_voter(*voter, *host, changes),
            Command::RetireVoter { voter } => self.retire_voter(*voter, changes),
            Command::Recover { dead } => self.recover(dead, changes),
            Command::Register(change) => self.register(change, changes),
            Command::SwitchOff { target, force } => self.switch_off(*target, *force, changes),
            Command::Drilled { host, devices } => self.drilled(*host, devices, changes),
            Command::SwitchOn { host } => self.switch_on(*host, changes),
            Command::Account { vm, change } => self.set_account(*vm, change, changes),
            Command::HearGuest { source, vm, epoch, word } => self.hear_guest(*source, (*vm, *epoch), word),
            Command::Notified { channel, upto, telling } => self.notified(channel, *upto, telling),
            Command::Begin { .. } | Command::Alert(_) => Ok(()),
        }
    }

    /// A person's will, once: who asks again because the answer was lost is told that it was done.
    fn heed(&mut self, vm: VmId, want: Want, request: Ticket, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        if let Some((_, other, wish)) = self.heeded.iter().find(|(heeded, ..)| *heeded == request) {
            return if (*other, *wish) == (vm, want) { Ok(()) } else { Err(Refusal::OtherRequest) };
        }
        self.intend(vm, want, changes)?;
        if self.heeded.len() >= HEEDED_KEPT {
            self.heeded.pop_front();
        }
        self.heeded.push_back((request, vm, want));
        Ok(())
    }

    fn set_armed(&mut self, armed: Armed, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        if self.armed == armed {
            return Err(Refusal::NothingToDo);
        }
        self.armed = armed;
        if armed == Armed::Armed {
            self.rearm_milliseconds = None;
        }
        self.raise_config(changes);
        self.armed_since = self.config;
        self.armed_at = self.config;
        changes.push(Change::Armed);
        Ok(())
    }

    fn disarm_guards(&mut self, target: Incarnation, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let host = self.host_mut(target.host)?;
        if host.incarnation(target.host) != target {
            return Err(Refusal::OtherIncarnation);
        }
        host.life.disarmed = true;
        changes.push(Change::GuardsDisarmed(target));
        Ok(())
    }

    /// Makes a new version of what hosts must know.
    pub(super) fn raise_config(&mut self, changes: &mut Vec<Change>) {
        self.config = ConfigVersion(self.config.0 + 1);
        changes.push(Change::Config);
    }

    fn new_voter(&mut self, voter: VoterId, host: HostId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        // Numbers are given once: a store that comes back under an old one could vote twice in one term.
        if voter != self.free_voter() || !self.hosts.contains_key(&host) {
            return Err(Refusal::NothingToDo);
        }
        self.next_voter = voter.0 + 1;
        self.voters.insert(voter, host);
        self.raise_config(changes);
        changes.push(Change::Voters);
        Ok(())
    }

    fn retire_voter(&mut self, voter: VoterId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        self.voters.remove(&voter).ok_or(Refusal::NoSuchThing)?;
        self.retired.insert(voter);
        self.raise_config(changes);
        changes.push(Change::Voters);
        Ok(())
    }

    fn recover(&mut self, dead: &[VoterId], changes: &mut Vec<Change>) -> Result<(), Refusal> {
        self.generation.0 += 1;
        self.next_epoch = 1;
        for voter in dead {
            self.voters.remove(voter);
            self.retired.insert(*voter);
        }
        // The dead majority may have placed VMs that this state has never heard of. So no host is taken at the old
        // word: each must say anew what it runs, or be proven dead.
        for host in self.hosts.values_mut() {
            host.accounted = host.standing == Standing::New;
            if !matches!(host.standing, Standing::New | Standing::Conflicted) {
                host.standing = Standing::Judged { cause: JudgeCause::Silent };
            }
        }
        // Nor is any host taken to know what it once was told: the dead may have told it otherwise since.
        self.config = ConfigVersion::first_of(self.generation);
        self.armed_since = self.config;
        self.armed_at = self.config;
        for vm in self.vms.values_mut() {
            vm.config = self.config;
            vm.version += 1;
        }
        changes.push(Change::Config);
        changes.push(Change::Voters);
        changes.push(Change::Recovered);
        Ok(())
    }

    /// The number for the next new store: one never given, whose column for mail no present voter uses.
    pub fn free_voter(&self) -> VoterId {
        let is_free = |number: &u64| self.voters.keys().all(|other| VoterId(*number).column() != other.column());
        let candidates = self.next_voter..self.next_voter.saturating_add(MAIL_COLUMNS);
        VoterId(candidates.clone().find(is_free).unwrap_or(candidates.start))
    }

    /// Whether this is the will of a person as the log has it now.
    pub fn wants(&self, vm: VmId) -> Option<Want> {
        self.vms.get(&vm).filter(|vm| vm.protected).map(|vm| vm.intent.want)
    }

    /// The epoch that a new start gets.
    pub(super) fn take_epoch(&mut self) -> Epoch {
        self.next_epoch += 1;
        Epoch { generation: self.generation, number: self.next_epoch }
    }

    /// Whether an authority is of this cluster generation.
    pub fn is_ours(&self, authority: Authority) -> bool {
        authority.generation == self.generation
    }

    pub(super) fn grant(target: Incarnation, vm: VmId, epoch: Epoch, role: Role, by_hook: Option<Ticket>) -> Change {
        let kind = match (by_hook, role) {
            (Some(ticket), _) => PermitKind::Hook(ticket),
            (None, Role::Incoming) => PermitKind::Receive,
            (None, _) => PermitKind::Start,
        };
        Change::Granted(Grant { target, vm, epoch, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::{Vm, VmDefinition};

    const VM: VmId = VmId(1);

    fn armed() -> ClusterState {
        let vms = [(VM, Vm::new(VmDefinition::plain(VM), Want::Running))].into();
        ClusterState { armed: Armed::Armed, config: ConfigVersion(7), vms, ..ClusterState::default() }
    }

    #[test]
    fn a_request_that_is_asked_again_changes_nothing_back() {
        let mut state = armed();
        let mut ask = |index, want, request| {
            let command = Command::Intend { vm: VM, want, request: Ticket(request) };
            assert_eq!(state.apply(LogIndex(index), &command).refused, None);
            state.wants(VM)
        };
        assert_eq!(ask(1, Want::Stopped, 10), Some(Want::Stopped));
        assert_eq!(ask(2, Want::Running, 11), Some(Want::Running));
        assert_eq!(ask(3, Want::Stopped, 10), Some(Want::Running));
        assert_eq!(ask(4, Want::Stopped, 12), Some(Want::Stopped));
    }

    #[test]
    fn a_request_is_what_it_first_asked_and_no_other() {
        let mut state = armed();
        state.vms.insert(VmId(2), Vm::new(VmDefinition::plain(VmId(2)), Want::Stopped));
        let mut ask =
            |index, vm, want| state.apply(LogIndex(index), &Command::Intend { vm, want, request: Ticket(10) }).refused;
        assert_eq!(ask(1, VM, Want::Stopped), None);
        assert_eq!(ask(2, VM, Want::Stopped), None);
        assert_eq!(ask(3, VM, Want::Killed), Some(Refusal::OtherRequest));
        assert_eq!(ask(4, VmId(2), Want::Stopped), Some(Refusal::OtherRequest));
        assert_eq!((state.wants(VM), state.vms[&VmId(2)].intent.version), (Some(Want::Stopped), 0));
    }

    #[test]
    fn no_two_voters_share_a_column() {
        let mut state = armed();
        state.next_voter = 9;
        state.voters = [(VoterId(1), HostId(1)), (VoterId(2), HostId(2))].into();
        assert_eq!(state.free_voter(), VoterId(11));
    }

    #[test]
    fn a_vm_that_comes_back_is_known_for_what_it_was() {
        let mut state = armed();
        state.registry.former.last_vm = VM;
        let definition = |uuid, name: &str| {
            let definition = VmDefinition { uuid, name: name.to_owned(), ..VmDefinition::plain(VmId(0)) };
            Command::Protect { definition: Box::new(definition), runs: false }
        };
        let mut apply = |index, command| {
            let refused = state.apply(LogIndex(index), &command).refused;
            (refused, state.vms.keys().copied().collect::<Vec<_>>())
        };
        assert_eq!(apply(1, definition(70, "a")), (None, vec![VM, VmId(2)]));
        assert_eq!(apply(2, definition(71, "a")).0, Some(Refusal::NameTaken));
        assert_eq!(apply(3, Command::Unprotect { vm: VmId(2) }).0, None);
        assert_eq!(apply(4, Command::Remove { vm: VmId(2) }), (None, vec![VM]));
        assert_eq!(apply(5, definition(71, "b")), (None, vec![VM, VmId(3)]));
        assert_eq!(apply(6, definition(70, "a")), (None, vec![VM, VmId(2), VmId(3)]));
    }

    #[test]
    fn after_a_forced_recovery_nobody_knows_what_counts() {
        let mut state = armed();
        state.apply(LogIndex(1), &Command::Recover { dead: vec![VoterId(1)] });
        assert!(!state.config.is_akin_to(ConfigVersion(7)));
        assert!(state.config > ConfigVersion(u64::from(u32::MAX)));
        assert_eq!((state.armed_at, state.armed_since), (state.config, state.config));
        assert_eq!(state.vms[&VM].config, state.config);
    }
}
