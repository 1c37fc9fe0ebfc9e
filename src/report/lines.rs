//! How a load went: its mean, its maxima, what there is at all, and gaps where nobody saw it.

use super::document::{Line, Point};
use super::svg::{Axis, WIDTH, escape, figure};
use super::words::text;
use jiff::tz::TimeZone;

const HEIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const LEFT: f64 = 80.0;
const BOTTOM: f64 = HEIGHT - 10.0;

/// A drawing for each.
pub(super) fn line(line: &Line, zone: &TimeZone) -> String {
    let most = line.points.iter().flatten().map(|point| point.max).fold(0.0, f64::max);
    let top = line.capacity.filter(|capacity| most > capacity * 0.2).unwrap_or(most * 1.1).max(most);
    let to = line.from.saturating_add(line.step.saturating_mul(line.points.len().try_into().unwrap_or(i64::MAX)));
    let axis = Axis { from: line.from, to, left: LEFT, zone };
    let height = |value: f64| if top > 0.0 { BOTTOM - value / top * (BOTTOM - TOP) } else { BOTTOM };
    let written = |value: f64| text(&(line.value)(value), zone);
    let mut parts = format!("<text class=\"head\" x=\"0\" y=\"14\">{}</text>", escape(&line.name));
    parts.push_str(&axis.draw(TOP, BOTTOM));
    for value in [0.0, top / 2.0, top] {
        let y = height(value);
        parts.push_str(&format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"scale\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            escape(&written(value))
        ));
    }
    let place = |number: usize| {
        let at = line.step.saturating_mul(number.try_into().unwrap_or(i64::MAX)).saturating_add(line.step / 2);
        axis.place(line.from.saturating_add(at))
    };
    for run in runs(&line.points) {
        parts.push_str(&drawn(&run, place, height));
    }
    if let Some(p95) = line.p95 {
        let y = height(p95);
        parts.push_str(&format!("<line class=\"p95\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
    }
    let means: Vec<f64> = line.points.iter().flatten().map(|point| point.mean).collect();
    let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
    let seen = format!(
        "mean {}, 95th percentile {}, at the most {}",
        written(mean),
        line.p95.map_or("unknown".to_owned(), written),
        written(most)
    );
    parts.push_str(&format!("<text class=\"note\" x=\"{WIDTH}\" y=\"14\">{}</text>", escape(&seen)));
    figure(&format!("The load of {}", line.name), &seen, HEIGHT, &parts)
}

/// Steps without a gap between them, each with its number.
fn runs(points: &[Option<Point>]) -> Vec<Vec<(usize, Point)>> {
    let mut runs: Vec<Vec<(usize, Point)>> = Vec::new();
    for (number, point) in points.iter().enumerate() {
        let Some(point) = point else { continue };
        match runs.last_mut().filter(|run| run.last().is_some_and(|(last, _)| last + 1 == number)) {
            Some(run) => run.push((number, *point)),
            None => runs.push(vec![(number, *point)]),
        }
    }
    runs
}

fn drawn(run: &[(usize, Point)], place: impl Fn(usize) -> f64, height: impl Fn(f64) -> f64) -> String {
    let path = |value: fn(&Point) -> f64| {
        let steps = run.iter().map(|(number, point)| format!("{:.1},{:.1}", place(*number), height(value(point))));
        steps.collect::<Vec<String>>().join(" ")
    };
    let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { return String::new() };
    let (mean, max) = (path(|point| point.mean), path(|point| point.max));
    // One step alone has no length, so it is drawn as a dash.
    let (start, end) = (place(*first), place(*last).max(place(*first) + 2.0));
    format!(
        "<polygon class=\"load\" points=\"{start:.1},{BOTTOM} {mean} {end:.1},{BOTTOM}\"/>\
         <polyline class=\"max\" points=\"{max}\"/><polyline class=\"mean\" points=\"{mean}\"/>"
    )
}
