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
