//! A report as one HTML file: no script, nothing from elsewhere, and drawn in SVG, so that it can be mailed, kept and
//! printed.
//!
//! The page forbids itself to load anything at all, in a policy that browsers obey. All of the data stands in it, too,
//! for programs, in a block that no browser runs.

use super::document::{Cell, Chart, Document, Fact, Mood, Section, Table, Value};
use super::svg::{escape, short};
use super::words::text;
use super::{bars, lines, timeline};
use jiff::tz::TimeZone;

/// Before the data in the page.
pub(super) const DATA_BEGINS: &str = "<script type=\"application/json\" id=\"data\">";
/// Behind it.
pub(super) const DATA_ENDS: &str = "</script>";

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
/// A longer text is cut in a table; all of it is told to whoever points at it, and stands in the data.
const NAME: usize = 48;
/// Hatching tells what was planned and unseen apart in grey print, too.
const PATTERNS: &str = "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs>\
    <pattern id=\"planned\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
    <rect class=\"ink-page\" width=\"6\" height=\"6\"/><rect class=\"ink-planned\" width=\"4\" height=\"6\"/></pattern>\
    <pattern id=\"unseen\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\"><rect class=\"ink-page\" width=\"5\" \
    height=\"5\"/><circle class=\"ink-unseen\" cx=\"2.5\" cy=\"2.5\" r=\"1.3\"/></pattern></defs></svg>\n";

/// Writes a report as HTML.
pub fn html(document: &Document) -> String {
    let title = escape(&document.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"{POLICY}\">\n<title>{title} – {}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}\
         </style>\n</head>\n<body>\n{PATTERNS}<main>\n\
         <header>\n<h1>{title}</h1>\n<p class=\"subtitle\">{}</p>\n</header>\n",
        escape(&document.subtitle),
        escape(&document.subtitle)
    );
    page.extend(
        document.warnings.iter().map(|text| format!("<p class=\"warning\" role=\"note\">{}</p>\n", escape(text))),
    );
    if !document.facts.is_empty() {
        let facts: String = document.facts.iter().map(|fact| fact_box(fact, &document.zone)).collect();
        page.push_str(&format!("<dl class=\"facts\">\n{facts}</dl>\n"));
    }
    page.extend(document.sections.iter().map(|section| part(section, &document.zone)));
    page.push_str("</main>\n<footer>\n");
    if !document.definitions.is_empty() {
        page.push_str(&format!("<h2>What the figures mean</h2>\n{}", paragraphs(document.definitions)));
    }
    page.push_str(&format!("<p>{}</p>\n</footer>\n", escape(&document.colophon)));
    page.push_str(&format!("{DATA_BEGINS}{}{DATA_ENDS}\n</body>\n</html>\n", inert(&document.data)));
    page
}

/// JSON that cannot end the block it stands in. Only within strings can there be such a sign, so it means the same.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn fact_box(fact: &Fact, zone: &TimeZone) -> String {
    let note = match fact.note.is_empty() {
        true => String::new(),
        false => format!("<div class=\"beside\">{}</div>", escape(&fact.note)),
    };
    let (class, value) = (mood(fact.cell.mood), escape(&text(&fact.cell.value, zone)));
    format!("<div><dt>{}</dt><dd><span class=\"value{class}\">{value}</span>{note}</dd></div>\n", escape(fact.label))
}

fn part(section: &Section, zone: &TimeZone) -> String {
    let title = escape(&section.title);
    let mut page = format!("<section id=\"{}\" aria-label=\"{title}\">\n<h2>{title}</h2>\n", escape(section.name));
    if let Some(note) = &section.note {
        page.push_str(&format!("<p class=\"note\">{}</p>\n", escape(note)));
    }
    for chart in &section.charts {
        page.push_str(&match chart {
            Chart::Timeline { from, to, rows } => timeline::timeline(*from, *to, rows, zone),
            Chart::Line(line) => lines::line(line, zone),
            Chart::Bars { title, bars } => bars::bars(title, bars, zone),
            Chart::Stages { title, rows } => bars::stages(title, rows),
        });
    }
    if let Some(listed) = &section.table {
        page.push_str(&table(listed, &section.title, zone));
    }
    page.push_str("</section>\n");
    page
}

fn table(table: &Table, title: &str, zone: &TimeZone) -> String {
    if table.rows.is_empty() {
        return format!("<p class=\"note\">{}</p>\n", escape(table.empty));
    }
    let seen = table.for_people();
    let kind = |place: &usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(*place)).filter(|cell| cell.value != Value::None);
        cells.next().map_or("number", |cell| class(&cell.value))
    };
    let heads = seen.iter().filter_map(|place| Some((place, table.columns.get(*place)?)));
    let heads: String = heads
        .enumerate()
        .map(|(number, (place, column))| {
            // The first column names the rows.
            let class = if number == 0 { "text" } else { kind(place) };
            format!("<th scope=\"col\" class=\"{class}\">{}</th>", escape(column.title))
        })
        .collect();
    let rows: String = table.rows.iter().map(|row| tr(row, &seen, zone)).collect();
    format!(
        "<div class=\"scroll\"><table aria-label=\"{}\">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n",
        escape(title)
    )
}

fn tr(row: &[Cell], seen: &[usize], zone: &TimeZone) -> String {
    let cells = seen.iter().filter_map(|place| row.get(*place)).enumerate().map(|(place, cell)| {
        let shown = match &cell.value {
            Value::Spark(shares) => spark(shares),
            // Names may be written from right to left; their neighbours are not.
            Value::Text(text) if text.chars().count() > NAME => {
                format!("<bdi title=\"{}\">{}</bdi>", escape(text), escape(&short(text, NAME)))
            }
            Value::Text(text) => format!("<bdi>{}</bdi>", escape(text)),
            value => escape(&text(value, zone)),
        };
        match place {
            0 => format!("<th scope=\"row\">{shown}</th>"),
            _ => format!("<td class=\"{}{}\">{shown}</td>", class(&cell.value), mood(cell.mood)),
        }
    });
    format!("<tr>{}</tr>\n", cells.collect::<String>())
}

fn class(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "text",
        Value::Moment(_) => "moment",
        Value::Spark(_) => "drawn",
        _ => "number",
    }
}

fn mood(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => " good",
        Mood::Unsure => " unsure",
        Mood::Bad => " bad",
        Mood::Plain => "",
    }
}

fn spark(shares: &[Option<f64>]) -> String {
    let width = 150.0 / shares.len().max(1) as f64;
    let bar = |(place, share): (usize, &Option<f64>)| {
        share.map(|share| {
            let height = (share.clamp(0.0, 1.0) * 18.0).max(1.0);
            let (x, y) = (place as f64 * width, 20.0 - height);
            format!(
                "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                width.max(1.0)
            )
        })
    };
    let bars: String = shares.iter().enumerate().filter_map(bar).collect();
    format!("<svg class=\"spark\" aria-hidden=\"true\" viewBox=\"0 0 150 20\">{bars}</svg>")
}

/// Escaped text with its `**words**` and `code` marked as such.
fn emphasised(text: &str) -> String {
    let marked = |text: &str, mark: &str, tag: &str| {
        let parts = text.split(mark).enumerate();
        let part = |(place, part): (usize, &str)| match place % 2 {
            0 => part.to_owned(),
            _ => format!("<{tag}>{part}</{tag}>"),
        };
        parts.map(part).collect::<String>()
    };
    marked(&marked(text, "**", "strong"), "`", "code")
}

/// Paragraphs as in Markdown: a block that begins with a dash is a list, one that begins with a hash a title.
fn paragraphs(text: &str) -> String {
    let mut page = String::new();
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let joined = |lines: &str| emphasised(&escape(&lines.split_whitespace().collect::<Vec<_>>().join(" ")));
        if let Some(title) = block.strip_prefix('#') {
            page.push_str(&format!("<h3>{}</h3>\n", joined(title.trim_start_matches('#'))));
        } else if let Some(items) = block.strip_prefix("- ") {
            let items = items.split("\n- ").map(|item| format!("<li>{}</li>\n", joined(item)));
            page.push_str(&format!("<ul>\n{}</ul>\n", items.collect::<String>()));
        } else {
            page.push_str(&format!("<p>{}</p>\n", joined(block)));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_the_block_it_stands_in() {
        let data = serde_json::json!({ "name": "</script><script>alert(1)</script>&amp;" });
        let safe = inert(&data.to_string());
        assert!(!safe.contains(['<', '>', '&']), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), data);
    }

    #[test]
    fn definitions_become_paragraphs_lists_and_titles() {
        let page = paragraphs("# Up\n\nA VM is **up** while\n`it` runs.\n\n- one\n- two <b>\n");
        assert_eq!(
            page,
            "<h3>Up</h3>\n<p>A VM is <strong>up</strong> while <code>it</code> runs.</p>\n<ul>\n<li>one</li>\n<li>two &lt;b&gt;</li>\n</ul>\n"
        );
    }
}
