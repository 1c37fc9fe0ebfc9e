//! Small drawings and texts that fit: bars, times, cut texts.

use super::rows::share;
use crate::words::is_hidden;
use std::time::Duration;

/// The width of a bar, in characters.
const BAR: u64 = 10;

/// A part of a whole: `██████░░░░  58%`; nothing known is a dash.
pub(super) fn bar(part: Option<u64>, whole: u64) -> String {
    let Some(thousandths) = part.and_then(|part| share(part, whole)) else { return format!("{:>15}", "–") };
    let full = (thousandths.saturating_mul(BAR).saturating_add(500) / 1_000).min(BAR);
    let count = |number: u64| usize::try_from(number).unwrap_or(0);
    format!("{}{} {:>3}%", "█".repeat(count(full)), "░".repeat(count(BAR - full)), thousandths / 10)
}

/// So long, in few letters: `350ms`, `12.3s`, `4m05s`, `3h07m`, `12d`.
pub(super) fn brief(time: Duration) -> String {
    let (seconds, milliseconds) = (time.as_secs(), time.as_millis());
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{}.{}s", seconds, milliseconds / 100 % 10),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// So much memory, in few letters.
pub(super) fn memory(mib: u64) -> String {
    if mib < 1_024 { format!("{mib}M") } else { format!("{:.1}G", mib as f64 / 1_024.0) }
}

/// A text without what moves the cursor.
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|letter| if is_hidden(letter) { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_times_are_short() {
        assert_eq!(bar(Some(580), 1_000), "██████░░░░  58%");
        assert_eq!(bar(Some(0), 1_000), "░░░░░░░░░░   0%");
        assert_eq!(bar(Some(4_000), 1_000), "██████████ 400%");
        assert_eq!(bar(None, 1_000), "              –");
        assert_eq!(bar(Some(1), 0), "              –");
        let times = [350, 12_340, 245_000, 11_220_000, 1_051_200_000].map(|time| brief(Duration::from_millis(time)));
        assert_eq!(times, ["350ms", "12.3s", "4m05s", "3h07m", "12d"]);
    }
}
