//! What happened, in words: one line for each moment, as an operator would read it.

mod faults;

use crate::explain::Names;
pub use crate::explain::{NameList, alert, cause, proof, refusal, unfit, wait};
use crate::explain::{note_of, under_epoch};

use crate::sim::timeline::{Happening, Moment, Violation};

/// A moment as a line: `   12.345 s  host-2 judged: silent`.
pub fn line(moment: &Moment, names: &NameList) -> String {
    let millis = moment.at_micros / 1_000;
    format!("{:>5}.{:03} s  {}", millis / 1_000, millis % 1_000, happening(&moment.what, names))
}

/// What happened, as a sentence without its full stop.
pub fn happening(what: &Happening, names: &NameList) -> String {
    match what {
        Happening::Fault(fault) => format!("event: {}", faults::fault(fault, names)),
        Happening::FaultSkipped(fault) => {
            format!("event without effect, as the world is: {}", faults::fault(fault, names))
        }
        Happening::Note(host, said) => note_of(&names.host(*host), said, names),
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
