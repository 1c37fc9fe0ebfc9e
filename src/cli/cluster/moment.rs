//! Moments of the past as people write and read them, in UTC.

use crate::clock::wall_milliseconds;
use crate::words::parse_duration;
use jiff::Timestamp;
use std::time::Duration;

/// Reads how long ago something was: as every duration, or in days or weeks: `30d`, `2w`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let days = |digits: &str, each: u64| digits.parse::<u64>().ok().filter(|count| *count < 100_000).map(|n| n * each);
    let counted = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(digits), _) => days(digits, 1),
        (_, Some(digits)) => days(digits, 7),
        _ => None,
    };
    match counted {
        Some(days) => Ok(Duration::from_secs(days * 86_400)),
        None => {
            parse_duration(text).map_err(|error| error.replace("12s, 1.5s, 250ms or 1m30s", "90s, 15m, 2h, 30d or 2w"))
        }
    }
}

/// So long before now, in milliseconds since 1970.
pub fn ago(span: Duration) -> i64 {
    wall_milliseconds().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0)
}

/// Writes a moment, in UTC and to the millisecond.
pub fn moment(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds);
    // No calendar shows a year that far away.
    moment.map_or_else(|_| milliseconds.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_to_the_millisecond() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(1_795_277_172_345), "2026-11-21T16:06:12.345Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn spans_know_days_and_weeks() {
        assert_eq!(parse_span("30d"), Ok(Duration::from_secs(2_592_000)));
        assert_eq!(parse_span("2w"), Ok(Duration::from_secs(1_209_600)));
        assert_eq!(parse_span("90m"), Ok(Duration::from_secs(5_400)));
        assert!(parse_span("soon").is_err_and(|error| error.contains("30d")));
    }
}
