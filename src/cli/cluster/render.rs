//! A report on a terminal, and its tables for spreadsheets.

use super::flags::Form;
use super::moment::moment;
use super::show::{Sheet, tame};
use crate::cli::output::Output;
use crate::report::{
    Cell, Chart, Document, Mood, Section, Share, Table, Value, amount, blocks, html, markdown, spelt, text, whole,
};
use crate::words::{listed, span};
use jiff::tz::TimeZone;

/// The width of a timeline, in characters.
const TIMELINE: usize = 48;
/// The width of the longest bar.
const BAR: f64 = 40.0;

/// Writes a report in the form that is asked for; `part` names the one part that is wanted.
pub fn render(document: &Document, form: Form, part: Option<&str>, output: &mut Output) -> anyhow::Result<()> {
    match form {
        Form::Json => {
            let value: serde_json::Value = serde_json::from_str(&document.data)?;
            output.line(&serde_json::to_string_pretty(&value)?)
        }
        Form::Csv => csv(document, part, output),
        Form::Markdown => output.line(markdown(&picked(document, part)?).trim_end()),
        Form::Html => output.line(html(&picked(document, part)?).trim_end()),
        Form::Table => terminal(&picked(document, part)?, output),
    }
}

/// The report with the one part that is wanted.
fn picked(document: &Document, part: Option<&str>) -> anyhow::Result<Document> {
    let mut document = document.clone();
    if let Some(part) = part {
        let has = |section: &Section| section.name == part;
        anyhow::ensure!(document.sections.iter().any(has), "{}", no_part(&document, part));
        document.sections.retain(has);
        document.facts.clear();
    }
    Ok(document)
}

fn no_part(document: &Document, part: &str) -> String {
    let names: Vec<&str> = document.sections.iter().map(|section| section.name).collect();
    format!("this report has no part \"{part}\"; there is {}", listed(&names, "and"))
}

fn terminal(document: &Document, output: &mut Output) -> anyhow::Result<()> {
    output.line(&tame(&format!("{}: {}", document.title, document.subtitle)))?;
    for warning in &document.warnings {
        output.line(&tame(&format!("note: {warning}")))?;
    }
    if !document.facts.is_empty() {
        output.line("")?;
        let mut sheet = Sheet::bare();
        for fact in &document.facts {
            let value = (text(&fact.cell.value, &document.zone), fact.cell.mood);
            sheet.cells(vec![(fact.label.to_owned(), Mood::Plain), value, (fact.note.clone(), Mood::Plain)]);
        }
        sheet.table(output)?;
    }
    for section in &document.sections {
        show(section, &document.zone, output)?;
    }
    Ok(())
}

fn show(section: &Section, zone: &TimeZone, output: &mut Output) -> anyhow::Result<()> {
    output.line("")?;
    output.line(&tame(&section.title))?;
    for chart in &section.charts {
        let sheet = drawn(chart, zone);
        if !sheet.is_empty() {
            sheet.table(output)?;
        }
    }
    // What bars have said is not said again.
    let is_said = section.charts.iter().any(|chart| matches!(chart, Chart::Bars { bars, .. } if !bars.is_empty()))
        && section.name == "causes";
    match &section.table {
        Some(table) if table.rows.is_empty() => output.line(table.empty),
        Some(table) if !is_said => sheet(table, zone).table(output),
        _ => Ok(()),
    }
}

/// A drawing in characters. How a load went stands in its table, in small.
fn drawn(chart: &Chart, zone: &TimeZone) -> Sheet {
    let mut sheet = Sheet::bare();
    let plain = |text: String| (text, Mood::Plain);
    match chart {
        Chart::Timeline { from, to, rows } => {
            for (name, bands) in rows {
                let row = blocks(bands, *from, *to, TIMELINE);
                let mood = if row.contains('▼') { Mood::Bad } else { Mood::Good };
                sheet.cells(vec![plain(name.clone()), (row, mood)]);
            }
            sheet.cells(vec![plain(String::new()), plain("█ up  ▼ unplanned  ▒ planned  ░ unseen".to_owned())]);
        }
        Chart::Line(_) => {}
        Chart::Bars { bars, .. } => {
            let most = whole(bars).max(f64::MIN_POSITIVE);
            for (name, cell) in bars {
                let share = amount(&cell.value) / most;
                sheet.cells(vec![plain(name.clone()), (text(&cell.value, zone), cell.mood), plain(bar(share))]);
            }
        }
        Chart::Stages { rows, .. } => {
            let length = |shares: &[Share]| shares.iter().map(|share| share.milliseconds.max(0)).sum::<i64>();
            let most = rows.iter().map(|(_, shares)| length(shares)).max().unwrap_or(0).max(1) as f64;
            for (name, shares) in rows {
                let all = length(shares);
                sheet.cells(vec![
                    plain(name.clone()),
                    plain(span(all)),
                    plain(bar(all as f64 / most)),
                    plain(spelt(shares)),
                ]);
            }
        }
    }
    sheet
}

fn bar(share: f64) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * BAR).ceil() as usize)
}

fn sheet(table: &Table, zone: &TimeZone) -> Sheet {
    let seen = table.for_people();
    let mut sheet =
        Sheet::of(seen.iter().filter_map(|place| table.columns.get(*place)).map(|column| column.title).collect());
    for row in &table.rows {
        let cells = seen.iter().filter_map(|place| row.get(*place));
        sheet.cells(cells.map(|cell| (text(&cell.value, zone), cell.mood)).collect());
    }
    sheet
}

/// One table, in numbers: spreadsheets do the rest. The last part with a table is the main one.
fn csv(document: &Document, part: Option<&str>, output: &mut Output) -> anyhow::Result<()> {
    let tables = || document.sections.iter().filter_map(|section| Some((section.name, section.table.as_ref()?)));
    let wanted = match part {
        Some(part) => tables().find(|(name, _)| *name == part),
        None => tables().next_back(),
    };
    let Some((_, table)) = wanted else {
        let names: Vec<&str> = tables().map(|(name, _)| name).collect();
        anyhow::bail!("no table is called \"{}\"; there is {}", part.unwrap_or_default(), listed(&names, "and"));
    };
    let seen = table.for_programs();
    let mut sheet =
        Sheet::of(seen.iter().filter_map(|place| table.columns.get(*place)).map(|column| column.name).collect());
    for row in &table.rows {
        sheet.cells(seen.iter().filter_map(|place| row.get(*place)).map(|cell| (raw(cell), Mood::Plain)).collect());
    }
    sheet.csv(output)
}

/// A value as programs read it: times in seconds, moments in UTC, CPU in thousandths of a core, memory in MiB.
fn raw(cell: &Cell) -> String {
    match &cell.value {
        Value::None | Value::Spark(_) => String::new(),
        Value::Text(text) => text.clone(),
        Value::Count(count) => count.to_string(),
        Value::Span(milliseconds) => format!("{:.3}", *milliseconds as f64 / 1_000.0),
        Value::Moment(milliseconds) => moment(*milliseconds),
        Value::Percent(number)
        | Value::Target(number)
        | Value::Nines(number)
        | Value::Cores(number)
        | Value::Memory(number) => number.to_string(),
    }
}
