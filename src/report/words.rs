//! Values as people read them.

use super::document::{Band, Value};
use crate::ledger::Condition;
use crate::words::span;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Eight heights of a character, and none at all.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A value in words, moments in this zone.
pub fn text(value: &Value, zone: &TimeZone) -> String {
    match value {
        Value::None => "–".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Count(count) => count.to_string(),
        Value::Span(milliseconds) => span(*milliseconds),
        Value::Moment(milliseconds) => moment(*milliseconds, zone),
        Value::Percent(percent) => format!("{}%", cut(*percent, 5)),
        Value::Target(percent) => format!("{percent}%"),
        Value::Nines(nines) => cut(*nines, 2),
        Value::Cores(millicores) if millicores.abs() < 100.0 => format!("{:.3}", millicores / 1_000.0),
        Value::Cores(millicores) => format!("{:.2}", millicores / 1_000.0),
        Value::Memory(mib) if *mib < 1_024.0 => format!("{mib:.0} MiB"),
        Value::Memory(mib) => format!("{:.1} GiB", mib / 1_024.0),
        Value::Spark(shares) => spark(shares),
    }
}

/// A number with so many digits behind the point, never rounded up: 99.9999 percent is not 100.
pub fn cut(number: f64, digits: i32) -> String {
    let factor = 10f64.powi(digits);
    format!("{:.*}", usize::try_from(digits).unwrap_or(0), (number * factor).floor() / factor)
}

/// A moment in this zone, to the second.
pub(super) fn moment(milliseconds: i64, zone: &TimeZone) -> String {
    written(milliseconds, zone, "%Y-%m-%d %H:%M:%S")
}

/// A moment in this zone, in this format; what no calendar has is written as its number.
pub(super) fn written(milliseconds: i64, zone: &TimeZone, format: &str) -> String {
    let moment = Timestamp::from_millisecond(milliseconds);
    moment
        .map_or_else(|_| milliseconds.to_string(), |at| at.to_zoned_datetime(zone.clone()).strftime(format).to_string())
}

fn spark(shares: &[Option<f64>]) -> String {
    let height = |share: f64| {
        // Whatever is there at all is seen.
        let place = (share.clamp(0.0, 1.0) * 8.0).ceil().max(1.0) as usize;
        HEIGHTS.get(place).copied().unwrap_or(' ')
    };
    shares.iter().map(|share| share.map_or('·', height)).collect()
}

/// A row of a timeline in so many characters; where several conditions fall into one, the worst is shown.
pub fn blocks(bands: &[Band], from: i64, to: i64, width: usize) -> String {
    let step = (to.saturating_sub(from)).max(1) as f64 / width.max(1) as f64;
    let place = |at: i64| at.saturating_sub(from).max(0) as f64 / step;
    let mut row = vec![None; width];
    for band in bands.iter().filter(|band| band.to > from && band.from < to) {
        let first = (place(band.from) as usize).min(width.saturating_sub(1));
        let last = (place(band.to).ceil() as usize).clamp(first + 1, width.max(first + 1));
        for cell in row.iter_mut().take(last).skip(first) {
            *cell = (*cell).max(Some(gravity(band.condition)));
        }
    }
    row.into_iter()
        .map(|gravity| gravity.and_then(|place: usize| ['█', '░', '▒', '▼'].get(place)).unwrap_or(&' '))
        .collect()
}

fn gravity(condition: Condition) -> usize {
    match condition {
        Condition::Up => 0,
        Condition::Unseen => 1,
        Condition::Planned => 2,
        Condition::Unplanned => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_down_is_never_shown_as_always_up() {
        assert_eq!(cut(99.999_999, 5), "99.99999");
        assert_eq!(cut(99.999_999_99, 5), "99.99999");
        assert_eq!(cut(100.0, 5), "100.00000");
        assert_eq!(cut(2.999, 2), "2.99");
    }

    #[test]
    fn a_second_of_an_outage_is_seen_in_a_year() {
        let band = |from, to, condition| Band { from, to, condition };
        let year = 31_536_000_000;
        let bands =
            [band(0, 1_000, Condition::Up), band(1_000, 2_000, Condition::Unplanned), band(2_000, year, Condition::Up)];
        assert_eq!(blocks(&bands, 0, year, 5), "▼████");
        assert_eq!(blocks(&[band(0, 50, Condition::Planned)], 0, 100, 4), "▒▒  ");
        assert_eq!(blocks(&bands, 0, 0, 4).chars().count(), 4);
        assert_eq!(blocks(&bands, 0, year, 0), "");
    }

    #[test]
    fn a_little_is_more_than_nothing() {
        let shares = vec![Some(0.0), Some(0.01), Some(0.5), Some(1.0), Some(7.0), None];
        assert_eq!(text(&Value::Spark(shares), &TimeZone::UTC), "▁▁▄██·");
    }

    #[test]
    fn a_moment_is_told_in_its_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(text(&Value::Moment(1_795_277_172_345), &berlin), "2026-11-21 17:06:12");
        assert_eq!(text(&Value::Moment(i64::MAX), &berlin), i64::MAX.to_string());
    }
}
