//! Why something was refused.

use crate::core::ids::{HostId, VmId};
use crate::core::reason::Unfit;
use serde::{Deserialize, Serialize};

/// Why the log refused a command, or an agent an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The order comes from an older term or cluster generation than was seen.
    OldAuthority,
    /// It names another boot or generation of this host.
    OtherIncarnation,
    /// Its epoch is not above what was refused for ever, or not the VM's newest.
    OldEpoch,
    /// It answers a heartbeat that is too old, or was never sent.
    Stale,
    /// The permit's time ran out.
    PermitExpired,
    /// The lease has ended.
    LeaseEnded,
    /// A tombstone binds this generation.
    Tombstone,
    /// The host was not admitted yet.
    NotAdmitted,
    /// The host does not know yet what the order presumes.
    ConfigBehind,
    /// The VM may run on a host for which there is no proof.
    Held,
    /// The VM is not wanted to run.
    NotWanted,
    /// The target is judged, proven dead, or of another generation.
    TargetGone,
    /// The cluster is not armed.
    NotArmed,
    /// There is no such VM or host.
    NoSuchThing,
    /// Another operation on the VM is under way.
    Busy,
    /// The intent was changed meanwhile.
    OldVersion,
    /// A channel shows life.
    SignsOfLife,
    /// After a forced recovery not every host is accounted for.
    Recovering,
    /// An operator's start got no permit in time.
    NoPermit,
    /// A process of the same identity runs here.
    IdentityClash,
    /// No majority.
    NoMajority,
    /// The state already is as asked.
    NothingToDo,
    /// A datastore that must be written first can not be reached.
    DatastoreUnreachable,
    /// The VM does not fit there.
    Unfit(Unfit),
    /// Another thing has that name or identity already.
    NameTaken,
    /// The invitation was used, taken back, or never given.
    NotInvited,
    /// A voter lives there: it must move first.
    Votes,
    /// Something else still refers to it.
    InUse,
    /// The request's name was given to another request before.
    OtherRequest,
    /// A process of it still runs on this host.
    StillRuns(HostId),
    /// By its name or its definition it is a VM that runs already, under no protection: a second one is not wanted.
    RunsUnprotected {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
    },
    /// The host that ran it does not say now whether it does.
    InDoubt(HostId),
    /// It ran elsewhere since it was saved there.
    SavedBefore,
}

impl Refusal {
    /// The name of its kind, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::OldAuthority => "old-authority",
            Refusal::OtherIncarnation => "other-incarnation",
            Refusal::OldEpoch => "old-epoch",
            Refusal::Stale => "stale",
            Refusal::PermitExpired => "permit-expired",
            Refusal::LeaseEnded => "lease-ended",
            Refusal::Tombstone => "tombstone",
            Refusal::NotAdmitted => "not-admitted",
            Refusal::ConfigBehind => "config-behind",
            Refusal::Held => "held",
            Refusal::NotWanted => "not-wanted",
            Refusal::TargetGone => "target-gone",
            Refusal::NotArmed => "not-armed",
            Refusal::NoSuchThing => "no-such-thing",
            Refusal::Busy => "busy",
            Refusal::OldVersion => "old-version",
            Refusal::SignsOfLife => "signs-of-life",
            Refusal::Recovering => "recovering",
            Refusal::NoPermit => "no-permit",
            Refusal::IdentityClash => "identity-clash",
            Refusal::NoMajority => "no-majority",
            Refusal::NothingToDo => "nothing-to-do",
            Refusal::DatastoreUnreachable => "datastore-unreachable",
            Refusal::NameTaken => "name-taken",
            Refusal::NotInvited => "not-invited",
            Refusal::Votes => "votes",
            Refusal::InUse => "in-use",
            Refusal::OtherRequest => "other-request",
            Refusal::StillRuns(_) => "still-runs",
            Refusal::RunsUnprotected { .. } => "runs-unprotected",
            Refusal::InDoubt(_) => "in-doubt",
            Refusal::SavedBefore => "saved-before",
            Refusal::Unfit(_) => "unfit",
        }
    }
}
