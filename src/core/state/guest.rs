//! What guests have said. It is told to people, and never a reason to start or stop anything.

use super::{ClusterState, Role, Vm};
use crate::core::ids::{Epoch, HostId, Incarnation, VmId};
use crate::core::reason::Refusal;
use serde::{Deserialize, Serialize};

/// The name of a guest's operating system is cut off there.
pub const SYSTEM_LENGTH: usize = 128;

/// What is known of a VM's guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guest {
    /// Whether it answered when last heard of.
    pub heard: Option<Heard>,
    /// Its operating system.
    pub system: Option<String>,
}

/// Whether a guest answers, by the word of the host that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Which host.
    pub host: HostId,
    /// Under which epoch it ran there.
    pub epoch: Epoch,
    /// Whether it answers.
    pub answers: bool,
}

/// What a host says of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestWord {
    /// It answers, or does not.
    Answers {
        /// Which of the two.
        answers: bool,
        /// For how long that has been so, in milliseconds: for the history.
        ago_milliseconds: u64,
    },
    /// Its operating system.
    System(String),
}

/// Whether the guest of a VM answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nobody has asked it since it came up there, or no answer has come yet.
    Unknown,
    /// It answers.
    Answers,
    /// It does not.
    Silent,
}

impl Health {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Answers => "answers",
            Health::Silent => "silent",
        }
    }
}

impl Vm {
    /// Whether its guest answers, where it runs now.
    pub fn health(&self) -> Health {
        match self.guest.heard.filter(|heard| self.runs_as(heard.host, heard.epoch)) {
            None => Health::Unknown,
            Some(Heard { answers: true, .. }) => Health::Answers,
            Some(Heard { answers: false, .. }) => Health::Silent,
        }
    }

    fn runs_as(&self, host: HostId, epoch: Epoch) -> bool {
        let holder = self.holders.get(&host);
        holder.is_some_and(|holder| holder.epoch == epoch && matches!(holder.role, Role::Running | Role::Outgoing))
    }
}

impl ClusterState {
    /// What a host says of a guest, if it is news: why not, if it is none.
    pub fn guest_news(&self, source: Incarnation, id: VmId, epoch: Epoch, word: &GuestWord) -> Result<(), Refusal> {
        let vm = self.vms.get(&id).filter(|vm| vm.protected).ok_or(Refusal::NoSuchThing)?;
        if !self.is_admitted(source) {
            return Err(Refusal::OtherIncarnation);
        }
        if !vm.runs_as(source.host, epoch) {
            return Err(Refusal::OldEpoch);
        }
        let is_news = match word {
            GuestWord::Answers { .. } if !vm.account.up.asks() => return Err(Refusal::NotWanted),
            GuestWord::Answers { answers, .. } => {
                vm.guest.heard != Some(Heard { host: source.host, epoch, answers: *answers })
            }
            GuestWord::System(system) => system.len() <= SYSTEM_LENGTH && vm.guest.system.as_ref() != Some(system),
        };
        if is_news { Ok(()) } else { Err(Refusal::NothingToDo) }
    }

    pub(super) fn hear_guest(
        &mut self,
        source: Incarnation,
        (id, epoch): (VmId, Epoch),
        word: &GuestWord,
    ) -> Result<(), Refusal> {
        self.guest_news(source, id, epoch, word)?;
        let guest = &mut self.vm_mut(id)?.guest;
        match word {
            GuestWord::Answers { answers, .. } => {
                guest.heard = Some(Heard { host: source.host, epoch, answers: *answers });
            }
            GuestWord::System(system) => guest.system = Some(system.clone()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::{Command, Want};
    use crate::core::ids::LogIndex;
    use crate::core::state::{AccountChange, Holder, Host, Newcomer, Standing, UpMeans, VmDefinition};

    const VM: VmId = VmId(1);
    const EPOCH: Epoch = Epoch { number: 3, ..Epoch::NONE };

    /// Two hosts, and a VM that runs on the first.
    fn state(up: UpMeans) -> ClusterState {
        let host = |number| {
            let host = Host { standing: Standing::Admitted, ..Newcomer::default().host(HostId(number)) };
            (HostId(number), host)
        };
        let mut vm = Vm::new(VmDefinition::plain(VM), Want::Running);
        let (boot, generation, config) = Default::default();
        vm.holders.insert(HostId(1), Holder { boot, generation, epoch: EPOCH, role: Role::Running, config });
        vm.account.up = up;
        ClusterState { hosts: [host(1), host(2)].into(), vms: [(VM, vm)].into(), ..ClusterState::default() }
    }

    fn hear(state: &mut ClusterState, host: u32, epoch: Epoch, word: GuestWord) -> Option<Refusal> {
        let source = state.incarnation(HostId(host)).expect("it is a host");
        state.apply(LogIndex(1), &Command::HearGuest { source, vm: VM, epoch, word }).refused
    }

    fn answers(answers: bool) -> GuestWord {
        GuestWord::Answers { answers, ago_milliseconds: 0 }
    }

    #[test]
    fn only_who_runs_it_is_believed_and_only_what_is_new_is_kept() {
        let mut state = state(UpMeans::Agent);
        assert_eq!(state.vms[&VM].health(), Health::Unknown);
        assert_eq!(hear(&mut state, 2, EPOCH, answers(true)), Some(Refusal::OldEpoch));
        assert_eq!(hear(&mut state, 1, Epoch::NONE, answers(true)), Some(Refusal::OldEpoch));
        assert_eq!(hear(&mut state, 1, EPOCH, answers(true)), None);
        assert_eq!(hear(&mut state, 1, EPOCH, answers(true)), Some(Refusal::NothingToDo));
        assert_eq!(state.vms[&VM].health(), Health::Answers);
        assert_eq!(hear(&mut state, 1, EPOCH, answers(false)), None);
        assert_eq!(state.vms[&VM].health(), Health::Silent);
    }

    #[test]
    fn what_nobody_asked_for_is_not_kept_but_what_it_is_called() {
        let mut state = state(UpMeans::Running);
        assert_eq!(hear(&mut state, 1, EPOCH, answers(true)), Some(Refusal::NotWanted));
        assert_eq!(hear(&mut state, 1, EPOCH, GuestWord::System("Debian 12".to_owned())), None);
        assert_eq!(state.vms[&VM].guest.system.as_deref(), Some("Debian 12"));
        let long = GuestWord::System("x".repeat(SYSTEM_LENGTH + 1));
        assert_eq!(hear(&mut state, 1, EPOCH, long), Some(Refusal::NothingToDo));
    }

    #[test]
    fn what_was_heard_is_void_with_the_run_and_with_the_question() {
        let mut state = state(UpMeans::Agent);
        assert_eq!(hear(&mut state, 1, EPOCH, answers(true)), None);
        let mut ended = state.clone();
        ended.vms.get_mut(&VM).expect("the VM").holders.clear();
        assert_eq!(ended.vms[&VM].health(), Health::Unknown);
        let version = state.vms[&VM].version;
        let change = AccountChange { up: Some("tcp:a:1".parse().expect("a probe")), ..AccountChange::default() };
        let command = Command::Account { vm: VM, change: Box::new(change) };
        assert_eq!(state.apply(LogIndex(2), &command).refused, None);
        assert_eq!(state.vms[&VM].health(), Health::Unknown);
        assert_eq!(state.vms[&VM].version, version, "no plan for the VM is void because of it");
        assert_eq!(state.apply(LogIndex(3), &command).refused, Some(Refusal::NothingToDo));
    }
}
