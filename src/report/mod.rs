//! Reports: what the figures look like to those who must account for them.
//!
//! ```text
//!  views of the interface ─▶ [documents] ─▶ Document ─┬▶ HTML with SVG   (here)
//!                                                     ├▶ Markdown        (here)
//!                                                     └▶ terminal, CSV   (the command line)
//!  month: Document ─▶ HTML ─▶ seal by the cluster's authority ─▶ one file, which `open` checks without the cluster
//! ```
//!
//! A [`Document`] says what is shown and nothing of how: cells are numbers with their kind, and each form writes them in
//! its own way. All here is pure: the same views make the same bytes. Names come from outside, so each form escapes what
//! it writes, everywhere.

mod availability;
mod bars;
mod document;
mod failovers;
mod frame;
mod html;
mod lines;
mod load;
mod markdown;
mod month;
mod seal;
mod svg;
mod timeline;
mod words;

pub use crate::ledger::DEFINITIONS;
pub use availability::{availability, take_spans, worse};
pub use bars::{amount, spelt, whole};
pub use document::{
    Band, Cell, Chart, Column, Document, Fact, Line, Mood, Point, Section, Share, Table, Value, Visible,
};
pub use failovers::failovers;
pub use frame::{Frame, Order};
pub use html::html;
pub use load::{capacity, load};
pub use markdown::markdown;
pub use month::{Month, month};
#[cfg(any(test, fuzzing))]
pub(crate) use seal::law;
pub use seal::{SealError, Statement, open, seal};
pub use words::{blocks, cut, text};
