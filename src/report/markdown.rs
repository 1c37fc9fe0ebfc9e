//! A report in Markdown, for tickets and wikis.

use super::bars::spelt;
use super::document::{Chart, Document, Section, Table};
use super::words::text;
use crate::words::is_hidden;
use jiff::tz::TimeZone;

/// Writes a report in Markdown.
pub fn markdown(document: &Document) -> String {
    let mut page = format!("# {}\n\n{}\n", plain(&document.title), plain(&document.subtitle));
    for warning in &document.warnings {
        page.push_str(&format!("\n> **Note:** {}\n", plain(warning)));
    }
    if !document.facts.is_empty() {
        page.push('\n');
    }
    for fact in &document.facts {
        let note = if fact.note.is_empty() { String::new() } else { format!(" ({})", plain(&fact.note)) };
        page.push_str(&format!("- {}: **{}**{note}\n", fact.label, plain(&text(&fact.cell.value, &document.zone))));
    }
    for section in &document.sections {
        page.push_str(&part(section, &document.zone));
    }
    if !document.definitions.is_empty() {
        page.push_str(&format!("\n## What the figures mean\n\n{}\n", document.definitions.trim_end()));
    }
    page.push_str(&format!("\n---\n{}\n", plain(&document.colophon)));
    page
}

fn part(section: &Section, zone: &TimeZone) -> String {
    let mut page = format!("\n## {}\n", plain(&section.title));
    if let Some(note) = &section.note {
        page.push_str(&format!("\n{}\n", plain(note)));
    }
    for chart in &section.charts {
        page.push_str(&in_words(chart, zone));
    }
    if let Some(table) = &section.table {
        page.push_str(&rows(table, zone));
    }
    page
}

/// What a drawing shows, as a list; what the table below says anyway is left to it.
fn in_words(chart: &Chart, zone: &TimeZone) -> String {
    let list = |rows: Vec<String>| if rows.is_empty() { String::new() } else { format!("\n{}", rows.concat()) };
    match chart {
        Chart::Timeline { .. } | Chart::Line(_) => String::new(),
        Chart::Bars { bars, .. } => list(
            bars.iter()
                .map(|(name, cell)| format!("- {}: {}\n", plain(name), plain(&text(&cell.value, zone))))
                .collect(),
        ),
        Chart::Stages { rows, .. } => {
            list(rows.iter().map(|(name, shares)| format!("- {}: {}\n", plain(name), spelt(shares))).collect())
        }
    }
}

fn rows(table: &Table, zone: &TimeZone) -> String {
    if table.rows.is_empty() {
        return format!("\n{}\n", table.empty);
    }
    let seen = table.for_people();
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let columns: Vec<_> = seen.iter().filter_map(|place| table.columns.get(*place)).collect();
    let is_number =
        |place: &usize| table.rows.iter().filter_map(|row| row.get(*place)).all(|cell| cell.value.is_number());
    let mut page = format!("\n{}", row(columns.iter().map(|column| column.title.to_owned()).collect()));
    page.push_str(&row(seen.iter().map(|place| if is_number(place) { "---:" } else { "---" }.to_owned()).collect()));
    for cells in &table.rows {
        let shown = seen.iter().filter_map(|place| cells.get(*place)).map(|cell| plain(&text(&cell.value, zone)));
        page.push_str(&row(shown.collect()));
    }
    page
}

/// A text that is nothing but text in Markdown: no markup, no HTML, no end of a cell.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => plain.push_str("&lt;"),
            '&' => plain.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => {
                plain.push('\\');
                plain.push(letter);
            }
            letter if is_hidden(letter) => plain.push('?'),
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        assert_eq!(plain("a|b\n<i>_x_</i> [y](z)"), "a\\|b?&lt;i>\\_x\\_&lt;/i> \\[y\\](z)");
    }
}
