//! The ledger: what happened to each VM and host, when, why, and by which proof. Append-only.
//!
//! Nobody writes the ledger: each voter derives it from the log that all voters agree on, so that all have the same
//! one. [`Scribe`] watches the replicated state change and writes down each change as a plain fact; what the facts mean
//! (how long a VM was down, how long each stage of its recovery took) is worked out by whoever reads them.
//!
//! Times are those of the proposing master's wall clock: good for people, and for the length of what one master saw.

mod cause;
mod decision;
mod figures;
mod history;
mod period;
mod quick;
mod scribe;
mod severity;
#[cfg(test)]
mod tests;

pub use cause::{Cause, Grouping, Kind, Stage};
pub use decision::{ChannelDeed, Decision};
pub use figures::{Figures, Outage, Share};
pub use history::{Condition, History, Piece, Recovery, Row, Scope, Subject, Told};
pub use period::{Period, PeriodError, Zone};
pub use scribe::Scribe;

pub use crate::core::ids::FactKey as Key;

use crate::core::command::{Said, Want};
use crate::core::ids::{BootId, Epoch, FenceId, HostId, VmId, VoterId};
use crate::core::message::Exit;
use crate::core::reason::{Alert, JudgeCause, Proof};
use crate::core::state::{Account, Armed, HolderProof};
use serde::{Deserialize, Serialize};

/// What is meant by up and down, by each cause and each figure: for people, who must account for them.
pub const DEFINITIONS: &str = include_str!("definitions.md");

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place.
    pub key: Key,
    /// When it was proposed, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// Who asked for it, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A host became a member.
    HostJoined {
        /// Which.
        host: HostId,
        /// Its name.
        name: String,
    },
    /// A host is a member no more.
    HostLeft {
        /// Which.
        host: HostId,
    },
    /// A host was admitted: it lives and is heard.
    HostUp {
        /// Which.
        host: HostId,
        /// In which boot.
        boot: BootId,
        /// If that is another boot than the last one: for how long that one had not been heard, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rebooted: Option<u64>,
    },
    /// A host was judged to be out.
    HostJudged {
        /// Which.
        host: HostId,
        /// Why.
        cause: JudgeCause,
        /// For how long there had been no sign of it.
        silent_milliseconds: u64,
        /// Whether it had said before that a person shuts it down.
        planned: bool,
    },
    /// A proof for a host stands.
    HostProven {
        /// Which.
        host: HostId,
        /// What proves it.
        proof: Proof,
    },
    /// A host gets no VMs, or gets some again.
    HostQuarantined {
        /// Which.
        host: HostId,
        /// Whether it is kept out.
        on: bool,
    },
    /// A VM came under protection.
    VmProtected {
        /// Which.
        vm: VmId,
        /// Its name.
        name: String,
        /// Whether it should run.
        want: Want,
    },
    /// The hypervisor of its host says that a VM is this by now.
    VmRedefined {
        /// Which.
        vm: VmId,
        /// Whose hypervisor.
        host: HostId,
        /// Its memory.
        memory_mib: u64,
        /// Its CPU, in thousandths of a core.
        millicores: u64,
        /// Why no other host could run it.
        bonds: Vec<String>,
    },
    /// A VM's protection ended.
    VmUnprotected {
        /// Which.
        vm: VmId,
    },
    /// A person changed what a VM should do.
    VmWanted {
        /// Which.
        vm: VmId,
        /// What it should do.
        want: Want,
    },
    /// A host may start, or receive, a VM.
    VmPlaced {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
        /// Under which epoch.
        epoch: Epoch,
        /// What proved the last holders gone.
        proofs: Vec<HolderProof>,
    },
    /// A host says that a VM runs on it.
    VmUp {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
        /// Under which epoch.
        epoch: Epoch,
        /// Whether it ran there before the host was out of sight, and nobody knows whether it ran in between.
        again: bool,
    },
    /// A VM is proven to be gone from a host.
    VmGone {
        /// Which.
        vm: VmId,
        /// From where.
        host: HostId,
        /// Which epoch.
        epoch: Epoch,
        /// Whether it was known to run there.
        ran: bool,
        /// What proves it.
        proof: Option<Proof>,
        /// How it ended, if the host could say so.
        exit: Option<Exit>,
        /// Whether a person meant it to end.
        planned: bool,
        /// For how long it had ended by then, in milliseconds, by its host's own clock; zero: not known.
        ago_milliseconds: u64,
        /// Nobody saw how it ended: it was found gone by another run of its host's agent, and so long ago the last one was
        /// heard.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unseen: bool,
    },
    /// A VM failed everywhere, too often.
    VmGaveUp {
        /// Which.
        vm: VmId,
    },
    /// The cluster acts from now on, or only observes.
    Armed {
        /// Which of the two.
        armed: Armed,
    },
    /// A master began its work.
    MasterBegan {
        /// On which host.
        host: HostId,
        /// For how long before that its node had known no master: what happened then was seen by nobody.
        blind_milliseconds: u64,
    },
    /// Something had to be said loudly.
    Alert {
        /// What.
        alert: Alert,
    },
    /// The voters have changed.
    Voters {
        /// Who votes from now on, and where.
        voters: Vec<(VoterId, HostId)>,
    },
    /// A person decided something about the cluster itself.
    Decided {
        /// What.
        #[serde(flatten)]
        decision: Decision,
    },
    /// After the loss of a majority a person gave up these voters.
    Recovered {
        /// Which.
        dead: Vec<VoterId>,
    },
    /// Devices that cannot say which machine they control were seen to control this one.
    HostDrilled {
        /// Which host.
        host: HostId,
        /// Which devices.
        devices: Vec<FenceId>,
    },
    /// A person has a host switched off, or on.
    HostSwitched {
        /// Which.
        host: HostId,
        /// Whether it is on from now on.
        on: bool,
    },
    /// A channel refused again and again to be told of a fact, and was not told of it. The first one since it last took
    /// one; what it refuses besides is only counted.
    NotTold {
        /// The channel's name.
        channel: String,
        /// Which fact.
        fact: Key,
        /// What the channel had to say.
        why: String,
    },
    /// A VM was to be moved alive, and was not: it runs on where it ran.
    VmNotMoved {
        /// Which.
        vm: VmId,
        /// From where.
        from: HostId,
        /// To where it was to be moved.
        to: HostId,
    },
    /// A person has said by what a VM's time is accounted for. A VM that comes under protection begins with the ordinary
    /// account, unless this follows at once.
    VmAccounted {
        /// Which.
        vm: VmId,
        /// By what, from now on. Where `up` changes by it, nothing is known of whether the VM answers.
        account: Account,
    },
    /// A host says that the guest of a VM answers from now on, or does not; told only where more than a process counts.
    /// One that has come up, other than by a move, does not answer before it is told to. One that comes and goes all the
    /// time is told to answer when it has stayed for a while, and counts as silent until it did.
    VmAnswers {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
        /// Under which epoch.
        epoch: Epoch,
        /// Whether it answers.
        answers: bool,
        /// For how long that had been so, in milliseconds, by the host's own clock: since it answered first, or last.
        ago_milliseconds: u64,
    },
    /// The operating system of a VM's guest is known.
    VmSystem {
        /// Which.
        vm: VmId,
        /// Its name.
        system: String,
    },
}

impl What {
    /// What it is, in a word.
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned()
    }

    /// Whether there are facts of a kind; if not, which kinds there are.
    pub fn check_kind(kind: &str) -> Result<(), String> {
        match serde_json::from_value::<What>(serde_json::json!({ "kind": kind })) {
            Err(error) if error.to_string().starts_with("unknown variant") => Err(error.to_string()),
            // There is one, which lacks all that is in it.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The VM that it is about, if it is about one.
    pub fn vm(&self) -> Option<VmId> {
        match self {
            What::VmProtected { vm, .. }
            | What::VmUnprotected { vm }
            | What::VmWanted { vm, .. }
            | What::VmPlaced { vm, .. }
            | What::VmUp { vm, .. }
            | What::VmGone { vm, .. }
            | What::VmNotMoved { vm, .. }
            | What::VmAccounted { vm, .. }
            | What::VmAnswers { vm, .. }
            | What::VmSystem { vm, .. }
            | What::VmGaveUp { vm } => Some(*vm),
            _ => None,
        }
    }

    /// The host that it is about, if it is about one.
    pub fn host(&self) -> Option<HostId> {
        match self {
            What::HostJoined { host, .. }
            | What::HostLeft { host }
            | What::HostUp { host, .. }
            | What::HostJudged { host, .. }
            | What::HostProven { host, .. }
            | What::HostQuarantined { host, .. }
            | What::HostSwitched { host, .. }
            | What::HostDrilled { host, .. }
            | What::VmPlaced { host, .. }
            | What::VmUp { host, .. }
            | What::VmGone { host, .. }
            | What::VmAnswers { host, .. }
            | What::VmNotMoved { to: host, .. }
            | What::MasterBegan { host, .. } => Some(*host),
            What::Decided { decision } => decision.host(),
            _ => None,
        }
    }
}
