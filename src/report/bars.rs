//! How much each has of something, and how long each stage of something took.

use super::document::{Cell, Mood, Share, Value};
use super::svg::{LABELS, WIDTH, escape, figure, label};
use super::words::text;
use crate::words::span;
use jiff::tz::TimeZone;

const ROW: f64 = 26.0;
const TOP: f64 = 6.0;
/// The values stand right of the bars.
const VALUES: f64 = 110.0;

/// A bar for each.
pub(super) fn bars(title: &str, bars: &[(String, Cell)], zone: &TimeZone) -> String {
    let most = whole(bars);
    if most <= 0.0 {
        return String::new();
    }
    let mut parts = String::new();
    for (place, (name, cell)) in bars.iter().enumerate() {
        let y = TOP + ROW * place as f64;
        let width = (amount(&cell.value) / most * (WIDTH - LABELS - VALUES)).max(1.5);
        parts.push_str(&label(name, y + ROW / 2.0));
        let class = if cell.mood == Mood::Bad { "bar bad" } else { "bar" };
        parts.push_str(&bar(class, LABELS, y, width, ""));
        parts.push_str(&beside(LABELS + width, y, &text(&cell.value, zone)));
    }
    let told =
        bars.iter().map(|(name, cell)| format!("{name}: {}", text(&cell.value, zone))).collect::<Vec<_>>().join("; ");
    figure(title, &told, TOP + ROW * bars.len() as f64 + 4.0, &parts)
}

/// What the longest bar could be: all there is of a share, and else the greatest of them.
pub fn whole(bars: &[(String, Cell)]) -> f64 {
    let is_share = bars.iter().any(|(_, cell)| matches!(cell.value, Value::Percent(_) | Value::Target(_)));
    let most = bars.iter().map(|(_, cell)| amount(&cell.value)).fold(0.0, f64::max);
    if is_share { most.max(100.0) } else { most }
}

/// A bar of stages for each.
pub(super) fn stages(title: &str, rows: &[(String, Vec<Share>)]) -> String {
    let length = |shares: &[Share]| shares.iter().map(|share| share.milliseconds.max(0)).sum::<i64>();
    let most = rows.iter().map(|(_, shares)| length(shares)).max().unwrap_or(0);
    if most <= 0 {
        return String::new();
    }
    let mut parts = String::new();
    for (place, (name, shares)) in rows.iter().enumerate() {
        let (y, mut x) = (TOP + ROW * place as f64, LABELS);
        parts.push_str(&label(name, y + ROW / 2.0));
        for (number, share) in shares.iter().enumerate().filter(|(_, share)| share.milliseconds > 0) {
            let width = share.milliseconds as f64 / most as f64 * (WIDTH - LABELS - VALUES);
            let tip = format!("{} {}", share.name, span(share.milliseconds));
            parts.push_str(&bar(&format!("stage stage-{number}"), x, y, width.max(0.5), &tip));
            x += width;
        }
        parts.push_str(&beside(x, y, &span(length(shares))));
    }
    let told = rows.iter().map(|(name, shares)| format!("{name}: {}", spelt(shares))).collect::<Vec<_>>().join("; ");
    format!("{}{}", legend(rows), figure(title, &told, TOP + ROW * rows.len() as f64 + 4.0, &parts))
}

/// Stages with their lengths, in words; those that took no time are left out.
pub fn spelt(shares: &[Share]) -> String {
    let told = shares.iter().filter(|share| share.milliseconds > 0);
    told.map(|share| format!("{} {}", share.name, span(share.milliseconds))).collect::<Vec<_>>().join(", ")
}

/// The stages that any of them has.
fn legend(rows: &[(String, Vec<Share>)]) -> String {
    let Some((_, shares)) = rows.first() else { return String::new() };
    let is_seen =
        |number: usize| rows.iter().filter_map(|(_, shares)| shares.get(number)).any(|share| share.milliseconds > 0);
    let swatch = |(number, share): (usize, &Share)| {
        format!(
            "<li><svg class=\"swatch\" aria-hidden=\"true\" viewBox=\"0 0 24 12\"><rect class=\"stage stage-{number}\" \
             width=\"24\" height=\"12\"/></svg> {}</li>",
            escape(share.name)
        )
    };
    let seen = shares.iter().enumerate().filter(|(number, _)| is_seen(*number));
    format!("<ul class=\"legend\">{}</ul>\n", seen.map(swatch).collect::<String>())
}

fn bar(class: &str, x: f64, y: f64, width: f64, tip: &str) -> String {
    let tip = if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) };
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"{:.0}\">{tip}</rect>",
        y + 5.0,
        ROW - 10.0
    )
}

fn beside(x: f64, y: f64, words: &str) -> String {
    format!("<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 8.0, y + ROW / 2.0 + 4.0, escape(words))
}

/// How much it is, as a number without its unit.
pub fn amount(value: &Value) -> f64 {
    match value {
        Value::Count(count) => *count as f64,
        Value::Span(milliseconds) => *milliseconds as f64,
        Value::Percent(number)
        | Value::Target(number)
        | Value::Nines(number)
        | Value::Cores(number)
        | Value::Memory(number) => *number,
        Value::None | Value::Text(_) | Value::Moment(_) | Value::Spark(_) => 0.0,
    }
}
