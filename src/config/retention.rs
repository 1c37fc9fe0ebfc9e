//! For how long samples of load are kept.

use crate::reader::{Found, Problem, Reader};
use crate::samples::Retention;

/// No samples are kept for longer: ten years.
const MOST_DAYS: u32 = 3_660;

/// The keys are days; a level that is finer is not kept for longer than a coarser one.
pub(super) fn read(mut reader: Reader<'_>) -> Result<Retention, Problem> {
    let usual = Retention::default();
    let raw = reader.maybe("raw_days", days)?.unwrap_or(usual.raw);
    let minutes = reader.maybe("minute_days", days)?.unwrap_or(usual.minutes.max(raw));
    let hours = reader.maybe("hour_days", days)?.unwrap_or(usual.hours.max(minutes));
    if raw > minutes || minutes > hours {
        return Err(reader
            .problem("finer samples would be kept for longer than coarser ones")
            .hint("`raw_days` must not exceed `minute_days`, nor that `hour_days`"));
    }
    reader.finish()?;
    Ok(Retention { raw, minutes, hours })
}

/// A number of days, in hours.
fn days(found: &Found<'_>) -> Result<u32, Problem> {
    match found.number::<u32>()? {
        days @ 1..=MOST_DAYS => Ok(days * 24),
        _ => Err(found.problem(format!("samples are kept for 1 to {MOST_DAYS} days"))),
    }
}
