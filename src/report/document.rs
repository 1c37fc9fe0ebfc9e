//! What a report shows, whatever it is written as.

use crate::ledger::Condition;
use jiff::tz::TimeZone;

/// A report.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it is about, in a few words.
    pub title: String,
    /// Whose figures they are, and of which time.
    pub subtitle: String,
    /// In which zone moments are written.
    pub zone: TimeZone,
    /// The figures that a hasty reader takes away.
    pub facts: Vec<Fact>,
    /// What must be known before any figure is believed: that the time is not over, or that something was left out.
    pub warnings: Vec<String>,
    /// The parts.
    pub sections: Vec<Section>,
    /// What the figures mean: paragraphs, with a blank line between them.
    pub definitions: &'static str,
    /// Who made it, when, of what.
    pub colophon: String,
    /// All of it for programs, as JSON.
    pub data: String,
}

/// One of the figures at the top.
#[derive(Debug, Clone)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// How much.
    pub cell: Cell,
    /// What to think of besides.
    pub note: String,
}

/// A part of a report.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name for programs and on the command line, such as `causes`.
    pub name: &'static str,
    /// Its title.
    pub title: String,
    /// What to know before reading it.
    pub note: Option<String>,
    /// What is drawn.
    pub charts: Vec<Chart>,
    /// What is listed.
    pub table: Option<Table>,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each as long as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// What is said where there are no rows.
    pub empty: &'static str,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name for programs.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Who sees it.
    pub visible: Visible,
}

/// Who sees a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// Everybody.
    Always,
    /// Programs only: people have it elsewhere, or can reckon it.
    ToPrograms,
    /// People only: it is a drawing.
    ToPeople,
}

/// How something fares, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Good,
    /// Not as it should be, and on its way.
    Unsure,
    /// Not as it should be.
    Bad,
    /// Nothing to be seen in it.
    Plain,
}

/// A value with what is to be thought of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The value.
    pub value: Value,
    /// Whether it is well.
    pub mood: Mood,
}

/// A value, of a kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    None,
    /// A name or a sentence.
    Text(String),
    /// So many.
    Count(u64),
    /// A length of time, in milliseconds.
    Span(i64),
    /// A moment, in milliseconds since 1970.
    Moment(i64),
    /// A share, in percent, never rounded up.
    Percent(f64),
    /// A share that somebody named, in percent, with the digits that he gave it.
    Target(f64),
    /// So many nines, never rounded up.
    Nines(f64),
    /// So much CPU, in thousandths of a core.
    Cores(f64),
    /// So much memory, in MiB.
    Memory(f64),
    /// How something went, drawn small: shares of the greatest value.
    Spark(Vec<Option<f64>>),
}

/// A drawing.
#[derive(Debug, Clone)]
pub enum Chart {
    /// When each of them was up, down and unseen.
    Timeline {
        /// From when on, in milliseconds since 1970.
        from: i64,
        /// Until when.
        to: i64,
        /// Each of them by name.
        rows: Vec<(String, Vec<Band>)>,
    },
    /// How a load went.
    Line(Line),
    /// How much each has of something.
    Bars {
        /// What it is.
        title: String,
        /// Each of them.
        bars: Vec<(String, Cell)>,
    },
    /// How long each stage took, one after the other.
    Stages {
        /// What it is.
        title: String,
        /// Each of them, with its stages and their milliseconds.
        rows: Vec<(String, Vec<Share>)>,
    },
}

/// A while in which something fared the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// Since when, in milliseconds since 1970.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// How.
    pub condition: Condition,
}

/// How the load of something went.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whose.
    pub name: String,
    /// Makes a value of a number, so that it is written with its unit.
    pub value: fn(f64) -> Value,
    /// All that there is of it, if that is known.
    pub capacity: Option<f64>,
    /// What 95 in 100 samples were below.
    pub p95: Option<f64>,
    /// From when on, in milliseconds since 1970.
    pub from: i64,
    /// The length of a step, in milliseconds.
    pub step: i64,
    /// Each step; none where nothing is known.
    pub points: Vec<Option<Point>>,
}

/// What a load was in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// On the mean.
    pub mean: f64,
    /// At the most.
    pub max: f64,
}

/// A part of a whole, with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub name: &'static str,
    /// How long, in milliseconds.
    pub milliseconds: i64,
}

impl Cell {
    /// A value of which nothing is to be thought.
    pub fn plain(value: Value) -> Cell {
        Cell { value, mood: Mood::Plain }
    }

    /// A name or a sentence.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::plain(Value::Text(text.into()))
    }

    /// A value that may be missing.
    pub fn maybe<T>(value: Option<T>, kind: impl FnOnce(T) -> Value) -> Cell {
        Cell::plain(value.map_or(Value::None, kind))
    }

    /// The same, with what is to be thought of it.
    pub fn with(self, mood: Mood) -> Cell {
        Cell { mood, ..self }
    }
}

impl Column {
    /// A column that everybody sees.
    pub const fn new(name: &'static str, title: &'static str) -> Column {
        Column { name, title, visible: Visible::Always }
    }

    /// A column for programs.
    pub const fn raw(name: &'static str) -> Column {
        Column { name, title: name, visible: Visible::ToPrograms }
    }

    /// A column with a drawing.
    pub const fn drawn(name: &'static str, title: &'static str) -> Column {
        Column { name, title, visible: Visible::ToPeople }
    }
}

impl Table {
    /// The places of the columns that people see. A column in which nothing stands tells them nothing.
    pub fn for_people(&self) -> Vec<usize> {
        let says =
            |place: usize| self.rows.iter().filter_map(|row| row.get(place)).any(|cell| cell.value != Value::None);
        let seen = self.columns.iter().enumerate().filter(|(_, column)| column.visible != Visible::ToPrograms);
        seen.map(|(place, _)| place).filter(|place| says(*place)).collect()
    }

    /// The places of the columns that programs see: always the same ones.
    pub fn for_programs(&self) -> Vec<usize> {
        let seen = self.columns.iter().enumerate().filter(|(_, column)| column.visible != Visible::ToPeople);
        seen.map(|(place, _)| place).collect()
    }
}

impl Value {
    /// Whether it is read from the right: numbers are compared by their last digits.
    pub fn is_number(&self) -> bool {
        !matches!(self, Value::Text(_) | Value::Moment(_) | Value::Spark(_))
    }
}
