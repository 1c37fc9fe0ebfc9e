//! What reports have in common: whose they are, in which zone, in which order, and how much of them is shown.

use super::document::Document;
use super::words::{moment, written};
use jiff::tz::TimeZone;
use serde::Serialize;
use std::cmp::Ordering;

/// In which order rows stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Those that fared worst, or use most, first.
    Worst,
    /// By their names, or by time: as they come.
    Name,
}

/// What all reports are told.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The name of the cluster.
    pub cluster: String,
    /// In which zone moments are written.
    pub zone: TimeZone,
    /// When it is made, in milliseconds since 1970.
    pub made_at: i64,
    /// In which order rows stand.
    pub order: Order,
    /// At most so many rows are shown.
    pub most: usize,
    /// What the figures mean.
    pub definitions: &'static str,
}

impl Frame {
    /// A report without parts, with its data.
    pub(super) fn document(&self, title: &str, from: i64, to: i64, data: &impl Serialize) -> Document {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        Document {
            title: title.to_owned(),
            subtitle: format!("{}, {} to {} ({zone})", self.cluster, self.minute(from), self.minute(to)),
            zone: self.zone.clone(),
            facts: Vec::new(),
            warnings: Vec::new(),
            sections: Vec::new(),
            definitions: self.definitions,
            colophon: format!(
                "Made by Holdfast {} at {} ({zone}). Moments are in {zone}.",
                env!("CARGO_PKG_VERSION"),
                moment(self.made_at, &self.zone)
            ),
            // What has names and numbers can be written.
            data: serde_json::to_string(data).unwrap_or_default(),
        }
    }

    /// The rows that are shown, in their order; `worse` says which of two comes first.
    pub(super) fn ordered<'a, T>(&self, rows: &'a [T], worse: impl Fn(&T, &T) -> Ordering) -> Vec<&'a T> {
        let mut ordered: Vec<&T> = rows.iter().collect();
        if self.order == Order::Worst {
            ordered.sort_by(|left, right| worse(left, right));
        }
        ordered.truncate(self.most);
        ordered
    }

    /// Says that not all is shown.
    pub(super) fn left_out(&self, shown: usize, all: usize) -> String {
        let which = match self.order {
            Order::Worst => "worst",
            Order::Name => "first",
        };
        format!(
            "The {which} {shown} of {all} are shown. All of them count in the sums, and stand in the data (-o json)."
        )
    }

    fn minute(&self, at: i64) -> String {
        written(at, &self.zone, "%Y-%m-%d %H:%M")
    }
}
