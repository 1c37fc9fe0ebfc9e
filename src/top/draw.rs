//! A screen, drawn from all that is known.

use super::parts::{bar, brief, memory, tame};
use super::rows::{Recovery, mood};
use super::{Paint, Tab, Top};
use crate::api::ClusterView;
use crate::core::state::Armed;
use crate::core::time::Instant;
use crate::report::Mood;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, Widget, Wrap};
use std::time::Duration;

/// A picture that is older than this is told to be.
const STALE: Duration = Duration::from_secs(5);
/// The rows above and below a table: two of the cluster, the tabs, the head of the table, the keys.
const FRAME: u16 = 5;
/// So many recoveries are shown beside another tab.
const STRIP: usize = 3;

const HELP: &str = "\
1 2 3 4, Tab   hosts, VMs, recoveries, events
arrows, PgUp PgDn, Home End   other rows
s   sort by state, name, host, CPU, memory
r   the other way round
/   only rows that hold a text; Enter keeps it, Escape drops it
p   pause: the picture stands still
?   this help
q   quit";

impl Top {
    /// So many rows of the tab fit on a screen of this height.
    pub fn page(&self, height: u16) -> usize {
        usize::from(height.saturating_sub(FRAME)).saturating_sub(self.strip())
    }

    /// The height of the recoveries beside another tab, with their title.
    fn strip(&self) -> usize {
        match (self.tab, self.recoveries.len()) {
            (Tab::Recoveries, _) | (_, 0) => 0,
            (_, count) => count.min(STRIP) + 1,
        }
    }

    fn style(&self, mood: Mood) -> Style {
        match (mood, self.paint) {
            (Mood::Good, Paint::Colours) => Style::new().fg(Color::Green),
            (Mood::Unsure, Paint::Colours) => Style::new().fg(Color::Yellow),
            (Mood::Bad, Paint::Colours) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            (Mood::Bad, Paint::Plain) => Style::new().add_modifier(Modifier::BOLD),
            _ => Style::new(),
        }
    }
}

/// Draws all of it.
pub fn draw(top: &Top, now: Instant, area: Rect, buffer: &mut Buffer) {
    let strip = u16::try_from(top.strip()).unwrap_or(0);
    let [first, second, tabs, body, recoveries, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(strip),
        Constraint::Length(1),
    ])
    .areas(area);
    cluster(top, now, (first, second), buffer);
    tab_line(top).render(tabs, buffer);
    table(top, now, body, buffer);
    if strip > 0 {
        beside(top, now, recoveries, buffer);
    }
    key_line(top).render(keys, buffer);
    if top.helps {
        help(area, buffer);
    }
}

/// The same as text, for those who have no terminal.
pub fn text(top: &Top, now: Instant, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(top, now, area, &mut buffer);
    let row = |y| {
        // A wide letter takes two cells, of which the second holds nothing of its own.
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..width {
            let symbol = buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
            if skip == 0 {
                line.push_str(symbol);
                skip = Span::raw(symbol).width().saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        line.trim_end().to_owned()
    };
    (0..height).map(row).collect::<Vec<String>>().join("\n")
}

fn cluster(top: &Top, now: Instant, (first, second): (Rect, Rect), buffer: &mut Buffer) {
    let Some(picture) = &top.picture else {
        let why = top.trouble.as_deref().map_or("asking the cluster ...".to_owned(), tame);
        Line::from(why).render(first, buffer);
        return;
    };
    let view = &picture.cluster;
    let mut line = vec![Span::styled(tame(&view.name), Style::new().add_modifier(Modifier::BOLD)), Span::raw("  ")];
    line.extend(state(top, view));
    Line::from(line).render(first, buffer);
    let age = now.since(top.came);
    let (note, mood) = match (&top.trouble, &picture.known_by) {
        _ if top.paused => (format!("PAUSED {} ago", brief(age)), Mood::Unsure),
        (Some(why), _) => (format!("{} old: {}", brief(age), tame(why)), Mood::Bad),
        (None, Some(host)) => (format!("no master: this is what {} knew", tame(host)), Mood::Bad),
        (None, None) if age > STALE => (format!("{} old", brief(age)), Mood::Unsure),
        (None, None) => (String::new(), Mood::Plain),
    };
    let count = |good: usize, all: usize| if good < all { Mood::Bad } else { Mood::Good };
    let line = Line::from(vec![
        Span::styled(
            format!("{}/{} hosts", view.hosts.good, view.hosts.all),
            top.style(count(view.hosts.good, view.hosts.all)),
        ),
        Span::raw("  "),
        Span::styled(
            format!("{}/{} VMs run", view.vms.good, view.vms.all),
            top.style(count(view.vms.good, view.vms.all)),
        ),
        Span::raw(format!("  {} voters  ", view.voters.len())),
        Span::styled(note, top.style(mood)),
    ]);
    line.render(second, buffer);
}

fn state(top: &Top, view: &ClusterView) -> Vec<Span<'static>> {
    let armed = match view.armed {
        Armed::Armed => Span::styled("armed", top.style(Mood::Good)),
        Armed::Observe => Span::styled("observing only: nothing is restarted", top.style(Mood::Bad)),
    };
    let master = match (&view.master, view.term) {
        (Some(master), Some(term)) => Span::raw(format!("  master {} (term {term})", tame(master))),
        (Some(master), None) => Span::raw(format!("  master {}", tame(master))),
        (None, _) => Span::styled("  NO MASTER: no majority of voters", top.style(Mood::Bad)),
    };
    vec![armed, master]
}

fn tab_line(top: &Top) -> Line<'static> {
    let mut spans = Vec::new();
    for (place, tab) in Tab::ALL.into_iter().enumerate() {
        let count = match tab {
            Tab::Hosts => top.picture.as_ref().map_or(0, |picture| picture.hosts.len()),
            Tab::Vms => top.picture.as_ref().map_or(0, |picture| picture.vms.len()),
            Tab::Recoveries => top.recoveries.len(),
            Tab::Events => top.picture.as_ref().map_or(0, |picture| picture.events.len()),
        };
        let name = ["Hosts", "VMs", "Recoveries", "Events"].get(place).copied().unwrap_or_default();
        let style = if tab == top.tab { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        // Where nothing is inverse, the brackets say which one it is.
        let text = if tab == top.tab {
            format!("[{} {name} {count}]", place + 1)
        } else {
            format!(" {} {name} {count} ", place + 1)
        };
        spans.push(Span::styled(text, style));
    }
    let turned = if top.reversed { ", reversed" } else { "" };
    spans.push(Span::raw(format!("  by {}{turned}", top.sort.word())));
    Line::from(spans)
}

fn key_line(top: &Top) -> Line<'static> {
    if top.writes {
        return Line::from(format!("/{}_   Enter keeps it, Escape drops it", tame(&top.filter)));
    }
    if !top.filter.is_empty() {
        return Line::from(format!("only \"{}\", Escape drops it  q quit  s sort  p pause  ? help", tame(&top.filter)));
    }
    let pause = if top.paused { "p go on" } else { "p pause" };
    Line::from(format!("q quit  Tab next  s sort  r reverse  / filter  {pause}  ? help"))
}

fn table(top: &Top, now: Instant, area: Rect, buffer: &mut Buffer) {
    let page = usize::from(area.height.saturating_sub(1));
    // The rows may have become fewer since the last key.
    let first = top.first.min(top.count().saturating_sub(page));
    let (head, widths, rows): (Vec<&str>, Vec<Constraint>, Vec<Row<'_>>) = match top.tab {
        Tab::Hosts => hosts(top, first, page),
        Tab::Vms => vms(top, first, page),
        Tab::Recoveries => recoveries(top, now, first, page),
        Tab::Events => events(top, first, page),
    };
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    Widget::render(Table::new(rows, widths).header(head).column_spacing(1), area, buffer);
}

type Parts<'a> = (Vec<&'static str>, Vec<Constraint>, Vec<Row<'a>>);

fn hosts(top: &Top, first: usize, page: usize) -> Parts<'_> {
    use Constraint::{Length, Min};
    let rows = top.hosts().into_iter().skip(first).take(page).map(|(host, load)| {
        let role = match (host.is_master, host.votes, host.is_witness) {
            (true, ..) => "master",
            (_, true, true) => "witness",
            (_, true, _) => "voter",
            _ => "",
        };
        let silent = host.silent_milliseconds.map_or("–".to_owned(), |silent| brief(Duration::from_millis(silent)));
        Row::new(vec![
            Cell::from(tame(&host.name)),
            Cell::from(host.state.clone()).style(top.style(mood(&host.state))),
            Cell::from(role),
            Cell::from(silent),
            Cell::from(bar(load.and_then(|load| load.busy_millicores), load.map_or(0, |load| load.millicores))),
            Cell::from(bar(load.and_then(|load| load.used_mib), load.map_or(0, |load| load.memory_mib))),
            Cell::from(host.vms.len().to_string()),
        ])
    });
    let widths = vec![Min(12), Length(10), Length(7), Length(7), Length(16), Length(16), Length(5)];
    (vec!["HOST", "STATE", "ROLE", "HEARD", "CPU", "MEMORY", "VMS"], widths, rows.collect())
}

fn vms(top: &Top, first: usize, page: usize) -> Parts<'_> {
    use Constraint::{Length, Min};
    let rows = top.vms().into_iter().skip(first).take(page).map(|(vm, load)| {
        Row::new(vec![
            Cell::from(tame(&vm.name)),
            Cell::from(vm.state.clone()).style(top.style(mood(&vm.state))),
            Cell::from(vm.host.as_deref().map(tame).unwrap_or_default()),
            Cell::from(bar(load.and_then(|load| load.busy_millicores), load.map_or(0, |load| load.millicores))),
            Cell::from(load.map_or("–".to_owned(), |load| memory(load.used_mib))),
            Cell::from(vm.waits.as_deref().map(tame).unwrap_or_default()),
        ])
    });
    let widths = vec![Min(12), Length(11), Length(12), Length(16), Length(7), Min(12)];
    (vec!["VM", "STATE", "HOST", "CPU", "MEMORY", "WAITS FOR"], widths, rows.collect())
}

fn recoveries(top: &Top, now: Instant, first: usize, page: usize) -> Parts<'_> {
    let rows = top.shown_recoveries().into_iter().skip(first).take(page).map(|recovery| recovering(top, now, recovery));
    (vec!["VM", "STAGE", "SO FAR", "WAITS FOR"], recovery_widths(), rows.collect())
}

fn recovery_widths() -> Vec<Constraint> {
    use Constraint::{Length, Min};
    vec![Length(16), Length(7), Length(8), Min(20)]
}

fn recovering<'a>(top: &Top, now: Instant, recovery: &Recovery) -> Row<'a> {
    let so_far = match top.since.get(&recovery.vm) {
        Some((begin, true)) => brief(now.since(*begin)),
        // It was so already when this was begun.
        Some((begin, false)) => format!(">{}", brief(now.since(*begin))),
        None => "–".to_owned(),
    };
    Row::new(vec![
        Cell::from(tame(&recovery.vm)),
        Cell::from(recovery.stage).style(top.style(Mood::Unsure)),
        Cell::from(so_far),
        Cell::from(tame(&recovery.waits)),
    ])
}

fn beside(top: &Top, now: Instant, area: Rect, buffer: &mut Buffer) {
    let rows = top.shown_recoveries();
    let more = rows.len().saturating_sub(STRIP);
    let title = if more > 0 { format!("ON THE WAY ({more} more: 3)") } else { "ON THE WAY".to_owned() };
    let head = Row::new(vec![Cell::from(title), Cell::from("STAGE"), Cell::from("SO FAR"), Cell::from("WAITS FOR")]);
    let shown = rows.into_iter().take(STRIP).map(|recovery| recovering(top, now, recovery));
    let table = Table::new(shown, recovery_widths()).header(head.style(Style::new().add_modifier(Modifier::BOLD)));
    Widget::render(table.column_spacing(1), area, buffer);
}

fn events(top: &Top, first: usize, page: usize) -> Parts<'_> {
    use Constraint::{Length, Min};
    let rows = top.events().into_iter().skip(first).take(page).map(|event| {
        let moment = jiff::Timestamp::from_millisecond(event.at_milliseconds);
        let moment = moment.map_or_else(|_| String::new(), |at| at.strftime("%H:%M:%S%.3f").to_string());
        Row::new(vec![Cell::from(moment), Cell::from(tame(&event.text))])
    });
    (vec!["UTC", "WHAT HAPPENED"], vec![Length(12), Min(20)], rows.collect())
}

fn help(area: Rect, buffer: &mut Buffer) {
    let (width, height) = (72.min(area.width), 10.min(area.height));
    let room = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    Clear.render(room, buffer);
    Paragraph::new(HELP).wrap(Wrap { trim: false }).block(Block::bordered().title("Keys")).render(room, buffer);
}
