//! What nodes say, in words.

use crate::core::action::Note;
use crate::core::ids::Epoch;
use crate::core::reason::JudgeCause;
use crate::explain::{Names, alert, proof, refusal, wait};

/// Why a host was judged.
pub fn cause(cause: JudgeCause) -> &'static str {
    match cause {
        JudgeCause::Silent => "silent",
        JudgeCause::Conflict => "two machines use its UUID",
        JudgeCause::Unanswered => "an operation on it is not answered",
        JudgeCause::Operator => "a person says that it is dead",
        JudgeCause::Drill => "a drill",
        JudgeCause::SwitchedOff => "a person wants it off",
    }
}

/// Under which epoch, to follow what it says.
pub fn under_epoch(epoch: Epoch) -> String {
    format!(" under epoch {epoch}")
}

/// What a node says, as its own words: `speaker` is who says it.
pub fn note_of(speaker: &str, note: &Note, names: &dyn Names) -> String {
    match note {
        Note::Master(authority) => format!("{speaker} is master, term {}", authority.term),
        Note::Deposed(authority) => format!("{speaker} is master no more, term {}", authority.term),
        Note::Host(host, state) => format!("{} is {}", names.host(*host), state.name()),
        Note::Judged(host, why) => format!("{} judged: {}", names.host(*host), cause(*why)),
        Note::Proof(host, of) => format!("{} proven: {}", names.host(*host), proof(of, names)),
        Note::Placed { vm, host, epoch, proofs } => {
            let (vm, host) = (names.vm(*vm), names.host(*host));
            if proofs.is_empty() {
                return format!("{vm} placed on {host}{}", under_epoch(*epoch));
            }
            let proofs: Vec<String> =
                proofs.iter().map(|by| format!("{}: {}", names.host(by.host), proof(&by.proof, names))).collect();
            format!("{vm} placed on {host}{}, as proven for {}", under_epoch(*epoch), proofs.join("; "))
        }
        Note::Waits(vm, why) => format!("{}: {}", names.vm(*vm), wait(why, names)),
        Note::Refused(why) => format!("{speaker} refused: {}", refusal(why, names)),
        Note::LeaseEnded => format!("{speaker}: its lease ended, what the lease covers was killed"),
        Note::Gap => format!("{speaker} noticed that it had stood still"),
        Note::Alert(what) => format!("ALERT: {}", alert(what, names)),
        Note::Guest { vm, host, answers } => {
            let does = if *answers { "answers" } else { "does not answer" };
            format!("the guest of {} on {} {does}", names.vm(*vm), names.host(*host))
        }
    }
}
