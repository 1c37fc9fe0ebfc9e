//! How much each fact matters to people: the one table of it, by which channels choose what they are told.
//!
//! Where an alert and a plain fact tell of the same thing, the alert counts, for it says what to do; the fact beside it
//! is only good to know. So nobody is told twice.

use super::What;
use crate::core::reason::{Alert, Proof};
use crate::core::state::Severity;

/// A time without a master that is longer than any election was one without a majority.
const WITHOUT_MAJORITY_MILLISECONDS: u64 = 10_000;

impl What {
    /// How much it matters to people.
    pub fn severity(&self) -> Severity {
        match self {
            What::Alert { alert } => of_alert(alert),
            What::HostJudged { planned: false, cause, .. } if !cause.is_meant() => Severity::Warning,
            What::MasterBegan { blind_milliseconds, .. } if *blind_milliseconds >= WITHOUT_MAJORITY_MILLISECONDS => {
                Severity::Critical
            }
            // It is restarted because its host is out.
            What::VmPlaced { proofs, .. } if proofs.last().is_some_and(|last| !is_released(&last.proof)) => {
                Severity::Warning
            }
            // One that went with its host is told of when it is restarted, or cannot be.
            What::VmGone { ran: true, planned: false, exit: Some(_), .. } => Severity::Warning,
            What::VmAnswers { answers: false, .. } => Severity::Warning,
            What::VmNotMoved { .. } | What::NotTold { .. } | What::Recovered { .. } => Severity::Warning,
            What::HostJoined { .. }
            | What::HostLeft { .. }
            | What::HostUp { .. }
            | What::HostJudged { .. }
            | What::HostProven { .. }
            | What::HostQuarantined { .. }
            | What::HostDrilled { .. }
            | What::HostSwitched { .. }
            | What::VmProtected { .. }
            | What::VmRedefined { .. }
            | What::VmUnprotected { .. }
            | What::VmWanted { .. }
            | What::VmPlaced { .. }
            | What::VmUp { .. }
            | What::VmGone { .. }
            | What::VmGaveUp { .. }
            | What::VmAccounted { .. }
            | What::VmAnswers { .. }
            | What::VmSystem { .. }
            | What::Armed { .. }
            | What::MasterBegan { .. }
            | What::Voters { .. }
            | What::Decided { .. } => Severity::Info,
        }
    }
}

fn of_alert(alert: &Alert) -> Severity {
    match alert {
        Alert::Waiting { .. }
        | Alert::TwoMachines { .. }
        | Alert::Brake { .. }
        | Alert::GaveUp { .. }
        | Alert::DeadShowsLife { .. }
        | Alert::Clash { .. }
        | Alert::NoMajority => Severity::Critical,
        Alert::WrongMachine { .. }
        | Alert::FenceFailed { .. }
        | Alert::Isolated { .. }
        | Alert::Unanswered { .. }
        | Alert::Quarantined { .. }
        | Alert::StoreLost
        | Alert::Storage { .. }
        | Alert::AgentAway { .. } => Severity::Warning,
    }
}

fn is_released(proof: &Proof) -> bool {
    matches!(proof, Proof::Released { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{BootId, Epoch, FenceId, HostId, VmId};
    use crate::core::message::Exit;
    use crate::core::reason::JudgeCause;
    use crate::core::state::HolderProof;

    const HOST: HostId = HostId(1);

    #[test]
    fn what_a_person_meant_alarms_nobody() {
        let judged =
            |cause, planned| What::HostJudged { host: HOST, cause, silent_milliseconds: 1, planned }.severity();
        assert_eq!(judged(JudgeCause::Silent, false), Severity::Warning);
        assert_eq!(judged(JudgeCause::Silent, true), Severity::Info);
        assert_eq!(judged(JudgeCause::Drill, false), Severity::Info);
        let gone = |exit, planned| {
            let (vm, epoch) = (VmId(1), Epoch::NONE);
            let what = What::VmGone {
                vm,
                host: HOST,
                epoch,
                ran: true,
                proof: None,
                exit,
                planned,
                ago_milliseconds: 0,
                unseen: false,
            };
            what.severity()
        };
        assert_eq!(gone(Some(Exit::Crashed), false), Severity::Warning);
        assert_eq!(gone(Some(Exit::ByPerson), true), Severity::Info);
        assert_eq!(gone(None, false), Severity::Info);
    }

    #[test]
    fn a_restart_matters_and_a_first_start_does_not() {
        let placed = |proof: Option<Proof>| {
            let proof_of = |proof| HolderProof { host: HOST, boot: BootId(1), epoch: Epoch::NONE, proof };
            let proofs = proof.map(proof_of).into_iter().collect();
            What::VmPlaced { vm: VmId(1), host: HOST, epoch: Epoch::NONE, proofs }.severity()
        };
        assert_eq!(placed(None), Severity::Info);
        assert_eq!(placed(Some(Proof::Released { refuses: Epoch::NONE })), Severity::Info);
        assert_eq!(placed(Some(Proof::Fenced { device: FenceId(1) })), Severity::Warning);
    }

    #[test]
    fn a_long_time_without_a_master_is_told_once_there_is_one() {
        let began = |blind_milliseconds| What::MasterBegan { host: HOST, blind_milliseconds }.severity();
        assert_eq!((began(900), began(60_000)), (Severity::Info, Severity::Critical));
    }
}
