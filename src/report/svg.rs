//! What all drawings have in common: a frame with a title for those who cannot see it, escaped text, and an axis of time.

use super::words::written;
use crate::words::is_hidden;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, ZonedDateTime, ZonedDateTimeRound};

/// The width of every drawing, in its own units; it is shown as wide as there is room.
pub(super) const WIDTH: f64 = 960.0;
/// Names stand left of this.
pub(super) const LABELS: f64 = 190.0;
/// So many characters of a name fit there.
const LABEL_LETTERS: usize = 22;
/// No axis has more marks.
const MARKS: usize = 9;

/// A text that is nothing but text in HTML and SVG, in attributes, too. What cannot be seen is shown as a question mark.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if is_hidden(letter) => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A drawing: what it is, what is to be seen in it, its height, and its parts.
pub(super) fn figure(title: &str, seen: &str, height: f64, parts: &str) -> String {
    let (title, seen) = (escape(title), escape(seen));
    format!(
        "<figure><svg role=\"img\" viewBox=\"0 0 {WIDTH} {height:.0}\" xmlns=\"http://www.w3.org/2000/svg\">\
         <title>{title}</title><desc>{seen}</desc>{parts}</svg></figure>\n"
    )
}

/// A name left of a row; all of it is told to whoever points at it.
pub(super) fn label(name: &str, middle: f64) -> String {
    format!(
        "<text class=\"name\" x=\"{:.0}\" y=\"{:.1}\"><title>{}</title>{}</text>",
        LABELS - 10.0,
        middle + 4.0,
        escape(name),
        escape(&short(name, LABEL_LETTERS))
    )
}

/// So many letters of a text, with a sign that there were more.
pub(super) fn short(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A time, laid out between two edges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis<'a> {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) left: f64,
    pub(super) zone: &'a TimeZone,
}

impl Axis<'_> {
    /// Where a moment lies.
    pub(super) fn place(&self, at: i64) -> f64 {
        let share = at.saturating_sub(self.from) as f64 / self.to.saturating_sub(self.from).max(1) as f64;
        self.left + share.clamp(0.0, 1.0) * (WIDTH - self.left)
    }

    /// The marks with their lines, from top to bottom.
    pub(super) fn draw(&self, top: f64, bottom: f64) -> String {
        let mut drawn = String::new();
        for (at, text) in self.marks() {
            let x = self.place(at);
            // What would stand out over the edge is left out; its line stays.
            let fits = x < WIDTH - 30.0;
            let text = if fits {
                format!("<text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", x + 3.0, top - 4.0)
            } else {
                String::new()
            };
            drawn.push_str(&format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>{text}",
                top - 12.0
            ));
        }
        drawn
    }

    /// Whole hours, days or months of the zone, as fine as fits.
    fn marks(&self) -> Vec<(i64, String)> {
        let steps = [
            (Unit::Minute, 1),
            (Unit::Minute, 5),
            (Unit::Minute, 15),
            (Unit::Hour, 1),
            (Unit::Hour, 3),
            (Unit::Hour, 6),
            (Unit::Hour, 12),
            (Unit::Day, 1),
            (Unit::Day, 2),
            (Unit::Day, 5),
            (Unit::Day, 7),
            (Unit::Month, 1),
            (Unit::Month, 3),
            (Unit::Month, 12),
            (Unit::Month, 60),
        ];
        let marks = steps.into_iter().find_map(|(unit, count)| self.every(unit, count));
        marks.unwrap_or_default()
    }

    /// Each of these moments, unless there are too many.
    fn every(&self, unit: Unit, count: i64) -> Option<Vec<(i64, String)>> {
        let (step, format) = match unit {
            Unit::Minute => (Span::new().minutes(count), "%H:%M"),
            Unit::Hour => (Span::new().hours(count), "%H:%M"),
            Unit::Day => (Span::new().days(count), "%b %-d"),
            _ => (Span::new().months(count), "%b %Y"),
        };
        // The hands of the clock are moved on, not the time: hours stay whole when clocks change.
        let mut clock = begin(self.from, self.zone, unit, count)?.datetime();
        let mut marks = Vec::new();
        loop {
            let milliseconds = clock.to_zoned_datetime(self.zone.clone()).ok()?.timestamp().as_millisecond();
            if milliseconds >= self.to {
                return Some(marks);
            }
            if milliseconds >= self.from {
                let is_midnight = unit < Unit::Day && clock.hour() == 0 && clock.minute() == 0;
                let format = if is_midnight { "%b %-d" } else { format };
                marks.push((milliseconds, written(milliseconds, self.zone, format)));
            }
            if marks.len() > MARKS {
                return None;
            }
            clock = clock.checked_add(step).ok()?;
        }
    }
}

/// The last whole one at or before a moment.
fn begin(from: i64, zone: &TimeZone, unit: Unit, count: i64) -> Option<ZonedDateTime> {
    let at = Timestamp::from_millisecond(from).ok()?.to_zoned_datetime(zone.clone());
    match unit {
        Unit::Minute | Unit::Hour => {
            at.round(ZonedDateTimeRound::new().smallest(unit).increment(count).mode(jiff::RoundMode::Floor)).ok()
        }
        Unit::Day => at.start_of_day().ok(),
        _ => at.first_of_month().ok()?.start_of_day().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::words::written;

    fn marks(from: &str, to: &str, zone: &str) -> Vec<String> {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let zone = TimeZone::get(zone).unwrap();
        let axis = Axis { from: at(from), to: at(to), left: 0.0, zone: &zone };
        axis.marks().into_iter().map(|(at, text)| format!("{text} {}", written(at, &zone, "%H:%M"))).collect()
    }

    #[test]
    fn marks_are_whole_days_of_the_zone_when_clocks_change_too() {
        let shown = marks("2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z", "Europe/Berlin");
        let halves = ["Oct 24 00:00", "12:00 12:00", "Oct 25 00:00", "12:00 12:00", "Oct 26 00:00", "12:00 12:00"];
        assert_eq!(shown, halves);
        let shown = marks("2026-01-05T00:00:00Z", "2026-06-01T00:00:00Z", "UTC");
        assert_eq!(shown, ["Feb 2026 00:00", "Mar 2026 00:00", "Apr 2026 00:00", "May 2026 00:00"]);
        assert_eq!(
            marks("2026-01-05T10:58:00Z", "2026-01-05T11:01:00Z", "UTC"),
            ["10:58 10:58", "10:59 10:59", "11:00 11:00"]
        );
        assert!(marks("2026-01-05T10:58:00Z", "2026-01-05T10:58:00Z", "UTC").is_empty());
    }

    #[test]
    fn a_name_is_never_a_part_of_the_page() {
        assert_eq!(escape("<b a='\"'>&\u{1b}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;?");
        assert_eq!(short("häßlich", 4), "häß…");
        assert_eq!(short("kurz", 4), "kurz");
    }
}
