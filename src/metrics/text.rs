//! The text that Prometheus reads, in its own format.

use super::meter::Histogram;
use super::table::{Family, Kind};
use std::fmt::Write;
use std::time::Duration;

/// The kind of text that it is, as a header says it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text that grows, family by family.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// The whole text.
    pub(super) fn text(self) -> String {
        self.text
    }

    /// Begins a family; each is begun once. One without series leaves nothing but its description.
    pub(super) fn family(&mut self, family: &'static Family) -> Series<'_> {
        let Family { name, kind, help, .. } = family;
        // Nothing fails that writes to a text.
        let _ = write!(self.text, "# HELP {name} {}\n# TYPE {name} {}\n", help.replace('\\', "\\\\"), kind.name());
        Series { page: self, family }
    }

    /// A family with one series that has no labels.
    pub(super) fn one(&mut self, family: &'static Family, value: impl Number) {
        self.family(family).add(&[], value);
    }

    /// The same, if there is a value.
    pub(super) fn maybe(&mut self, family: &'static Family, value: Option<impl Number>) {
        let mut series = self.family(family);
        if let Some(value) = value {
            series.add(&[], value);
        }
    }
}

/// The series of one family.
pub(super) struct Series<'a> {
    page: &'a mut Page,
    family: &'static Family,
}

impl Series<'_> {
    /// Adds one, with the values of the family's labels.
    pub(super) fn add(&mut self, labels: &[&str], value: impl Number) {
        debug_assert_ne!(self.family.kind, Kind::Histogram);
        self.line("", labels, None, value.number());
    }

    /// Adds one of a histogram.
    pub(super) fn histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        debug_assert_eq!(self.family.kind, Kind::Histogram);
        let mut all = 0;
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
            self.line("_bucket", labels, Some(&bound), count.number());
            all = count;
        }
        self.line("_sum", labels, None, histogram.total().number());
        self.line("_count", labels, None, all.number());
    }

    fn line(&mut self, suffix: &str, values: &[&str], bound: Option<&str>, number: f64) {
        debug_assert_eq!(values.len(), self.family.labels.len(), "the labels of {}", self.family.name);
        let text = &mut self.page.text;
        text.push_str(self.family.name);
        text.push_str(suffix);
        let labels = self.family.labels.iter().copied().zip(values.iter().copied());
        for (place, (label, value)) in labels.chain(bound.map(|bound| ("le", bound))).enumerate() {
            let _ = write!(text, "{}{label}=\"", if place == 0 { '{' } else { ',' });
            for letter in value.chars() {
                match letter {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    letter => text.push(letter),
                }
            }
            text.push('"');
        }
        if !values.is_empty() || bound.is_some() {
            text.push('}');
        }
        let _ = writeln!(text, " {number}");
    }
}

/// What can be the value of a series.
pub(super) trait Number {
    fn number(self) -> f64;
}

impl Number for Duration {
    fn number(self) -> f64 {
        self.as_secs_f64()
    }
}

impl Number for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for usize {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for u64 {
    /// Prometheus has no other numbers; beyond 2⁵³ they are not exact.
    fn number(self) -> f64 {
        self as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::Scope;

    const GAUGE: Family = Family {
        name: "holdfast_things",
        kind: Kind::Gauge,
        scope: Scope::Node,
        labels: &["name"],
        help: "Things, with a \\ in their description.",
    };
    const TIMES: Family =
        Family { name: "holdfast_things_seconds", kind: Kind::Histogram, labels: &[], help: "Times.", ..GAUGE };

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.family(&GAUGE).add(&["a \"b\"\n\\"], 7_u64);
        let histogram = Histogram::new(&[2_500]);
        histogram.observe(Duration::from_millis(1));
        histogram.observe(Duration::from_millis(3));
        page.family(&TIMES).histogram(&[], &histogram);
        assert_eq!(
            page.text(),
            "# HELP holdfast_things Things, with a \\\\ in their description.\n\
             # TYPE holdfast_things gauge\n\
             holdfast_things{name=\"a \\\"b\\\"\\n\\\\\"} 7\n\
             # HELP holdfast_things_seconds Times.\n\
             # TYPE holdfast_things_seconds histogram\n\
             holdfast_things_seconds_bucket{le=\"0.0025\"} 1\n\
             holdfast_things_seconds_bucket{le=\"+Inf\"} 2\n\
             holdfast_things_seconds_sum 0.004\n\
             holdfast_things_seconds_count 2\n"
        );
    }
}
