//! Moments of the past as people write and read them, in UTC.

use crate::clock::wall_milliseconds;
use crate::words::parse_duration;
use std::time::Duration;

const DAY: i64 = 86_400_000;

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

/// Reads a moment, in milliseconds since 1970: `2026-11-01`, `2026-11-01T18:30`, `2026-11-01T18:30:15Z`.
pub fn parse_moment(text: &str) -> Result<i64, String> {
    let bad = || format!("\"{text}\" is no moment: write it in UTC, as 2026-11-01 or 2026-11-01T18:30:15Z");
    read_moment(text).ok_or_else(bad)
}

/// So long before now, in milliseconds since 1970.
pub fn ago(span: Duration) -> i64 {
    wall_milliseconds().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)).max(0)
}

/// Writes a moment so that [`parse_moment`] reads it.
pub fn moment(milliseconds: i64) -> String {
    let (days, rest) = (milliseconds.div_euclid(DAY), milliseconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, fraction) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

fn read_moment(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let [year, month, day] = numbers(date.split('-'))?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let time = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers(time.split(':'))?;
    let fraction: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let sound = (1970..=9999).contains(&year) && hour < 24 && minute < 60 && second < 60;
    let days = days(year, month, day);
    // A day that no month has comes back as another one.
    (sound && civil(days) == (year, month, day))
        .then_some(days * DAY + hour * 3_600_000 + minute * 60_000 + second * 1_000 + fraction)
}

fn numbers<'a>(parts: impl Iterator<Item = &'a str>) -> Option<[i64; 3]> {
    let is_number = |part: &&str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<i64> = parts.filter(is_number).filter_map(|part| part.parse().ok()).collect();
    numbers.try_into().ok()
}

/// Days since 1970 of a date of the Gregorian calendar, whose years here begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        for (text, milliseconds) in [
            ("1970-01-01", 0),
            ("2000-02-29T12:00", 951_825_600_000),
            ("2026-11-21T16:06:12.345Z", 1_795_277_172_345),
            ("2100-03-01 00:00:01", 4_107_542_401_000),
        ] {
            assert_eq!(parse_moment(text), Ok(milliseconds), "{text}");
            assert_eq!(parse_moment(&moment(milliseconds)), Ok(milliseconds), "{text}");
        }
        assert_eq!(moment(1_795_277_172_345), "2026-11-21T16:06:12.345Z");
        for text in
            ["", "yesterday", "2026-13-01", "2025-02-29", "2026-11-01T25:00", "2026-1-1-1", "26-11-01T", "2026--01"]
        {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_comes_back_as_itself() {
        for day in (0..2_932_896).step_by(37) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }

    #[test]
    fn spans_know_days_and_weeks() {
        assert_eq!(parse_span("30d"), Ok(Duration::from_secs(2_592_000)));
        assert_eq!(parse_span("2w"), Ok(Duration::from_secs(1_209_600)));
        assert_eq!(parse_span("90m"), Ok(Duration::from_secs(5_400)));
        assert!(parse_span("soon").is_err_and(|error| error.contains("30d")));
    }
}
