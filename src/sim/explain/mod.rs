//! What happened, in words: one line for each moment, as an operator would read it.

mod faults;

pub use crate::explain::{Names, alert, proof, refusal, unfit, wait};

use crate::core::action::Note;
use crate::core::ids::Epoch;
use crate::core::reason::JudgeCause;
use crate::sim::timeline::{Happening, Moment, Violation};

/// A moment as a line: `   12.345 s  host-2 judged: silent`.
pub fn line(moment: &Moment, names: &Names) -> String {
    let millis = moment.at_micros / 1_000;
    format!("{:>5}.{:03} s  {}", millis / 1_000, millis % 1_000, happening(&moment.what, names))
}

/// What happened, as a sentence without its full stop.
pub fn happening(what: &Happening, names: &Names) -> String {
    match what {
        Happening::Fault(fault) => format!("event: {}", faults::fault(fault, names)),
        Happening::FaultSkipped(fault) => {
            format!("event without effect, as the world is: {}", faults::fault(fault, names))
        }
        Happening::Note(host, said) => note(&names.host(*host), said, names),
        Happening::VmUp(vm, host, epoch) => {
            let under = epoch.map(under_epoch).unwrap_or_else(|| ", as a stranger".to_owned());
            format!("{} runs on {}{under}", names.vm(*vm), names.host(*host))
        }
        Happening::VmDown(vm, host, why) => format!("{} ended on {}: {why}", names.vm(*vm), names.host(*host)),
        Happening::Power(host, what) => format!("{}: {what}", names.host(*host)),
        Happening::Violation(violation) => self::violation(violation),
    }
}

/// A violation of an invariant.
pub fn violation(violation: &Violation) -> String {
    let excuse = if violation.excused { " (excused: the guarantee leaves this out)" } else { "" };
    format!("VIOLATION of {}: {}{excuse}", violation.invariant, violation.detail)
}

/// Why a host was judged.
pub fn cause(cause: JudgeCause) -> &'static str {
    match cause {
        JudgeCause::Silent => "silent",
        JudgeCause::Conflict => "two machines use its UUID",
        JudgeCause::Unanswered => "an operation on it is not answered",
        JudgeCause::Operator => "a person says that it is dead",
        JudgeCause::Drill => "a drill",
    }
}

fn under_epoch(epoch: Epoch) -> String {
    format!(" under epoch {epoch}")
}

fn note(speaker: &str, note: &Note, names: &Names) -> String {
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
    }
}
