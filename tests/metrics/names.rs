//! The names of metrics, as they stand in texts.

use holdfast::metrics::{ALL, Kind};
use std::collections::BTreeSet;

/// All names that may be spoken of: each part of a histogram has one of its own.
pub fn known() -> BTreeSet<String> {
    let parts = |kind| match kind {
        Kind::Histogram => &["", "_bucket", "_sum", "_count"][..],
        Kind::Counter | Kind::Gauge => &[""],
    };
    ALL.iter().flat_map(|family| parts(family.kind).iter().map(|part| format!("{}{part}", family.name))).collect()
}

/// The names of metrics that a text has.
pub fn used(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("holdfast_")).map(str::to_owned).collect()
}

/// The families that a page describes, in its order.
pub fn described(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}
