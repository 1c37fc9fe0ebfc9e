//! Breaks one rule of the protocol at a time, so that a test can show that the simulator's checkers notice.
//!
//! Without the feature `sabotage`, [`breaks`] is a constant `false` and costs nothing; no shipped build has it.

/// A rule that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// Rule 7: `LeaseExpired` is proposed at once.
    NoLeaseWait,
    /// Rule 7: a judged generation is still acknowledged.
    AckAfterJudgement,
    /// Rule 4: heartbeats are acknowledged without a quorum round.
    AckWithoutMajority,
    /// Rule 4: a lease counts from the receipt of the acknowledgement.
    LeaseFromReceipt,
    /// Rule 4: an acknowledgement of any age extends the lease.
    OldAckAccepted,
    /// Rule 12: a permit never dies.
    PermitNeverExpires,
    /// Rules 9 and 11: an agent starts under epochs that it has refused.
    EpochIgnored,
    /// Rule 9: an agent does not compare boot and generation.
    IncarnationIgnored,
    /// Rule 4: a record renews without its mail being read.
    MailNotRead,
    /// Rule 4: a torn mailbox counts as an empty one.
    TornMailRenews,
    /// Rule 7: no tombstone is written.
    NoTombstone,
    /// Rule 7: the records are not read again after the tombstones.
    RecordsNotReread,
    /// Rule 7: a tombstone is replaced by an empty mail.
    TombstoneReplaced,
    /// Rule 7: a datastore out of reach is left out.
    UnreachableIgnored,
    /// Rule 7: a new master counts from the last heartbeat that it heard as a voter.
    NewMasterTrustsSilence,
    /// Proof 2: power-off counts when it was ordered.
    PowerOffNotReadBack,
    /// Proof 2: the device's identity is not compared.
    WrongMachineFenced,
    /// Proof 2: a device that can not be reached counts as off.
    UnreachableIsOff,
    /// Rule 10: there is no brake.
    NoBrake,
    /// Proof 3: an older boot is not watched before a newer one counts.
    RebootNotWatched,
    /// Proof 4: software guards count whatever policy says.
    SoftwareGuardsCount,
    /// Proof 4: a host counts as guarded before it has acknowledged that the cluster is armed.
    UnacknowledgedGuardsCount,
    /// Rule 3: a watchdog is closed before the log has it.
    GuardsDisarmedFirst,
    /// Rule 5: nothing is killed when the lease ends.
    NoSelfStop,
    /// Rule 5: the watchdog is fed by a timer.
    WatchdogFedByTimer,
    /// Rule 6: a process counts as gone when it was killed.
    KilledIsGone,
    /// Rule 11: one holder's proof is enough.
    OneProofIsEnough,
    /// Rule 11: a VM is restarted on silence alone.
    NoProofNeeded,
    /// Rule 11: the hook lets every start pass.
    HookOpen,
    /// Rule 11: the target of a live migration is no holder any more once the source is proven gone.
    MigrationTargetForgotten,
    /// Rule 12: a VM is called gone while its start waits in the hypervisor.
    ReleasedWhileQueued,
    /// Rule 13: a time-out counts as a failure.
    TimeoutIsFailure,
    /// I5: a VM is restarted whatever a person wants.
    IntentIgnored,
    /// I4: a judgement is acted on before it is committed.
    JudgementNotCommitted,
    /// I4: a permit is given before the placement is committed.
    StoreNotSynced,
    /// Rule 15: a store restored from a backup votes as its old self.
    BackupVotes,
    /// Rule 14: what a live migration has left behind counts as the VM.
    DepartedRuns,
    /// Rule 14: newly protected VMs are not asked about.
    ProtectionUnaccounted,
    /// I3: what a person makes of a VM is told to nobody.
    EditsNotTold,
    /// I3: what was told of a VM before the log knew that it runs there is not told again.
    EditsToldTooSoon,
    /// I6: nothing is said of a VM that waits.
    Silent,
    /// The figures: an outage begins when it was noticed.
    OutageFromJudgement,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 42] = [
        Sabotage::NoLeaseWait,
        Sabotage::AckAfterJudgement,
        Sabotage::AckWithoutMajority,
        Sabotage::LeaseFromReceipt,
        Sabotage::OldAckAccepted,
        Sabotage::PermitNeverExpires,
        Sabotage::EpochIgnored,
        Sabotage::IncarnationIgnored,
        Sabotage::MailNotRead,
        Sabotage::TornMailRenews,
        Sabotage::NoTombstone,
        Sabotage::RecordsNotReread,
        Sabotage::TombstoneReplaced,
        Sabotage::UnreachableIgnored,
        Sabotage::NewMasterTrustsSilence,
        Sabotage::PowerOffNotReadBack,
        Sabotage::WrongMachineFenced,
        Sabotage::UnreachableIsOff,
        Sabotage::NoBrake,
        Sabotage::RebootNotWatched,
        Sabotage::SoftwareGuardsCount,
        Sabotage::UnacknowledgedGuardsCount,
        Sabotage::GuardsDisarmedFirst,
        Sabotage::NoSelfStop,
        Sabotage::WatchdogFedByTimer,
        Sabotage::KilledIsGone,
        Sabotage::OneProofIsEnough,
        Sabotage::NoProofNeeded,
        Sabotage::HookOpen,
        Sabotage::MigrationTargetForgotten,
        Sabotage::ReleasedWhileQueued,
        Sabotage::TimeoutIsFailure,
        Sabotage::IntentIgnored,
        Sabotage::JudgementNotCommitted,
        Sabotage::StoreNotSynced,
        Sabotage::BackupVotes,
        Sabotage::DepartedRuns,
        Sabotage::ProtectionUnaccounted,
        Sabotage::EditsNotTold,
        Sabotage::EditsToldTooSoon,
        Sabotage::Silent,
        Sabotage::OutageFromJudgement,
    ];

    /// The one of this name, as [`Debug`] writes it.
    pub fn named(name: &str) -> Option<Sabotage> {
        Sabotage::ALL.into_iter().find(|sabotage| format!("{sabotage:?}") == name)
    }
}

#[cfg(feature = "sabotage")]
mod switch {
    use super::Sabotage;
    use std::cell::Cell;

    thread_local! {
        // A whole simulated cluster lives in one thread, so the switch of the thread is the switch of that cluster.
        static BROKEN: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    /// Breaks this rule, or none, in every node of this thread from now on.
    pub fn set(sabotage: Option<Sabotage>) {
        BROKEN.with(|broken| broken.set(sabotage));
    }

    /// Whether this rule is broken.
    pub fn breaks(sabotage: Sabotage) -> bool {
        BROKEN.with(|broken| broken.get() == Some(sabotage))
    }
}

#[cfg(feature = "sabotage")]
pub use switch::{breaks, set};

/// Whether this rule is broken.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn breaks(_sabotage: Sabotage) -> bool {
    false
}
