//! How answers are shown: as tables for people, as JSON for programs, as CSV for spreadsheets.

use super::flags::Form;
use crate::cli::output::Output;
use crate::words::is_hidden;
use comfy_table::{Cell, Color, Table, presets};
use serde::Serialize;

pub use crate::report::Mood;
pub use crate::words::span;

/// A table to be shown.
#[derive(Debug)]
pub struct Sheet {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Mood)>>,
}

impl Sheet {
    /// A table with these columns.
    pub fn new(head: &[&'static str]) -> Sheet {
        Sheet::of(head.to_vec())
    }

    /// The same, where the columns are not known before.
    pub fn of(head: Vec<&'static str>) -> Sheet {
        Sheet { head, rows: Vec::new() }
    }

    /// A table without names of columns.
    pub fn bare() -> Sheet {
        Sheet::of(Vec::new())
    }

    /// Whether nothing stands in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row without any colour.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.moody(cells.map(|text| (text, Mood::Plain)));
    }

    /// Adds a row.
    pub fn moody<const N: usize>(&mut self, cells: [(String, Mood); N]) {
        self.rows.push(cells.to_vec());
    }

    /// Adds a row of as many cells as there are columns.
    pub fn cells(&mut self, cells: Vec<(String, Mood)>) {
        self.rows.push(cells);
    }

    /// Shows it in the form that is asked for; `all` is what programs get.
    pub fn show(&self, form: Form, all: &impl Serialize, output: &mut Output) -> anyhow::Result<()> {
        match form {
            Form::Json => json(all, output),
            Form::Csv => self.csv(output),
            _ => self.table(output),
        }
    }

    /// Shows it to people.
    pub fn table(&self, output: &mut Output) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            table.force_no_tty();
        }
        if !self.head.is_empty() {
            table.set_header(self.head.iter().map(|name| Cell::new(name.to_uppercase())));
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, mood)| coloured(Cell::new(tame(text)), *mood)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        output.line(&table.trim_fmt())
    }

    /// Shows it to spreadsheets.
    pub fn csv(&self, output: &mut Output) -> anyhow::Result<()> {
        output.line(&self.head.join(","))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|(text, _)| quoted(text)).collect();
            output.line(&cells.join(","))?;
        }
        Ok(())
    }
}

/// Prints all of something, for programs.
pub fn json(all: &impl Serialize, output: &mut Output) -> anyhow::Result<()> {
    output.line(&serde_json::to_string_pretty(all)?)
}

/// A text that cannot move the cursor of whoever reads it: names come from anywhere.
pub fn tame(text: &str) -> String {
    text.chars().map(|letter| if is_hidden(letter) { '?' } else { letter }).collect()
}

/// What is there, or a dash.
pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// So much memory, for people.
pub fn memory(mib: u64) -> String {
    if mib >= 1_024 && mib.is_multiple_of(1_024) { format!("{}GiB", mib / 1_024) } else { format!("{mib}MiB") }
}

/// So many cores, for people.
pub fn cores(millicores: u64) -> String {
    format!("{}", millicores as f64 / 1_000.0)
}

fn coloured(cell: Cell, mood: Mood) -> Cell {
    match mood {
        Mood::Good => cell.fg(Color::Green),
        Mood::Unsure => cell.fg(Color::Yellow),
        Mood::Bad => cell.fg(Color::Red),
        Mood::Plain => cell,
    }
}

/// A cell of a CSV file (RFC 4180). One that begins like a formula would be one to a spreadsheet.
fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '@']) || text.starts_with('-') && text.len() > 1;
    let text = if is_formula && text.parse::<f64>().is_err() { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_formula_and_breaks_no_row() {
        assert_eq!(quoted("vm-1"), "vm-1");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("-1.5"), "-1.5");
        assert_eq!(quoted("-"), "-");
        assert_eq!(tame("a\u{1b}[2J\u{202e}b"), "a?[2J?b");
    }
}
