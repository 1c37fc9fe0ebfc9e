//! What was measured, as it is printed.

use super::real_now;
use serde_json::{Value, json};
use std::time::Duration;

/// A figure: its name, its unit, and what came of each run, in order of size.
pub(super) struct Figure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    note: Option<String>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, unit: &'static str, mut values: Vec<f64>) -> Figure {
        values.sort_by(f64::total_cmp);
        Figure { name: name.into(), unit, values, note: None }
    }

    /// The same, with what else is to be said of it.
    pub(super) fn note(self, note: impl Into<String>) -> Figure {
        Figure { note: Some(note.into()), ..self }
    }

    fn median(&self) -> f64 {
        self.values.get(self.values.len() / 2).copied().unwrap_or_default()
    }

    fn ends(&self) -> (f64, f64) {
        let end = |value: Option<&f64>| value.copied().unwrap_or_default();
        (end(self.values.first()), end(self.values.last()))
    }

    pub(super) fn line(&self) -> String {
        let (least, most) = self.ends();
        let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        let (median, least, most) = (number(self.median()), number(least), number(most));
        let note = self.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
        format!("{:<46} {median:>8} {:<22} {least:>8} to {most}{note}", self.name, self.unit)
    }

    pub(super) fn json(&self) -> Value {
        let (least, most) = self.ends();
        let mut value =
            json!({ "name": self.name, "unit": self.unit, "median": self.median(), "least": least, "most": most });
        if let Some(note) = &self.note {
            value["note"] = json!(note);
        }
        value
    }
}

/// How long something took.
pub(super) fn timed(work: impl FnOnce()) -> Duration {
    let begun = real_now();
    work();
    real_now().duration_since(begun)
}
