//! When each VM or host was up, down and unseen, as bands over time.

use super::document::Band;
use super::svg::{Axis, LABELS, WIDTH, escape, figure, label};
use super::words::moment;
use crate::ledger::Condition;
use crate::words::span;
use jiff::tz::TimeZone;

/// So many rows are one drawing: it fits on a printed page, below a title.
const ROWS: usize = 24;
const ROW: f64 = 24.0;
const TOP: f64 = 22.0;
/// On less than this no hatching can be told.
const HATCHED: f64 = 6.0;
/// What is shorter than this is drawn as wide as this: an outage of a second must be seen in a year.
const LEAST: f64 = 1.5;

/// How each condition is called, in the order of the legend.
pub(super) const CONDITIONS: [(Condition, &str, &str); 4] = [
    (Condition::Up, "up", "up"),
    (Condition::Unplanned, "unplanned", "down, unplanned"),
    (Condition::Planned, "planned", "down, planned"),
    (Condition::Unseen, "unseen", "unseen"),
];

/// The bands, a drawing for each page.
pub(super) fn timeline(from: i64, to: i64, rows: &[(String, Vec<Band>)], zone: &TimeZone) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let axis = Axis { from, to, left: LABELS, zone };
    let pages: String = rows.chunks(ROWS).map(|rows| page(&axis, rows)).collect();
    format!("{}{pages}", legend())
}

fn legend() -> String {
    let swatch = |(_, class, words): &(Condition, &str, &str)| {
        format!(
            "<li><svg class=\"swatch\" aria-hidden=\"true\" viewBox=\"0 0 24 12\"><rect class=\"base\" width=\"24\" \
             height=\"12\"/><rect class=\"{class}\" width=\"24\" height=\"12\"/></svg> {words}</li>"
        )
    };
    format!("<ul class=\"legend\">{}</ul>\n", CONDITIONS.iter().map(swatch).collect::<String>())
}

fn page(axis: &Axis<'_>, rows: &[(String, Vec<Band>)]) -> String {
    let height = TOP + ROW * rows.len() as f64 + 4.0;
    let mut parts = axis.draw(TOP, height);
    for (place, (name, bands)) in rows.iter().enumerate() {
        let y = TOP + ROW * place as f64;
        parts.push_str(&label(name, y + ROW / 2.0));
        parts.push_str(&format!(
            "<rect class=\"base\" x=\"{LABELS}\" y=\"{:.0}\" width=\"{}\" height=\"{:.0}\"/>",
            y + 4.0,
            WIDTH - LABELS,
            ROW - 8.0
        ));
        // What is up is drawn first: what is short and worse must not vanish below it.
        let ups = bands.iter().filter(|band| band.condition == Condition::Up);
        let downs = bands.iter().filter(|band| band.condition != Condition::Up);
        parts.extend(ups.chain(downs).map(|band| drawn(axis, y, band)));
    }
    let lengths = rows.iter().map(|(name, bands)| format!("{name}: {}", told(bands))).collect::<Vec<_>>().join("; ");
    figure("When each was up, down and unseen", &lengths, height, &parts)
}

fn drawn(axis: &Axis<'_>, y: f64, band: &Band) -> String {
    let (start, end) = (axis.place(band.from), axis.place(band.to));
    let class = class(band.condition);
    let width = (end - start).max(LEAST).min(WIDTH - start.min(WIDTH - LEAST));
    let x = start.min(WIDTH - LEAST);
    let tip = format!("{class} from {}, {}", moment(band.from, axis.zone), span(band.to.saturating_sub(band.from)));
    let thin = if width < HATCHED { " thin" } else { "" };
    format!(
        "<rect class=\"{class}{thin}\" x=\"{x:.1}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"{:.0}\"><title>{}</title></rect>",
        y + 4.0,
        ROW - 8.0,
        escape(&tip)
    )
}

fn class(condition: Condition) -> &'static str {
    CONDITIONS.iter().find(|(known, ..)| *known == condition).map_or("up", |(_, class, _)| class)
}

/// How long how, in words.
pub(super) fn told(bands: &[Band]) -> String {
    let lengths = CONDITIONS.iter().filter_map(|(condition, _, words)| {
        let bands = bands.iter().filter(|band| band.condition == *condition);
        let length: i64 = bands.map(|band| band.to.saturating_sub(band.from)).sum();
        (length > 0).then(|| format!("{words} {}", span(length)))
    });
    lengths.collect::<Vec<_>>().join(", ")
}
