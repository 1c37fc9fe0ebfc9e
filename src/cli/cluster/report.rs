//! `holdfast report`: how VMs and hosts fared, for those who must account for it.

use super::flags::{Flags, Form};
use super::moment::{ago, moment, parse_moment, parse_span};
use super::session::{Session, ended, segment};
use super::show::{Mood, Sheet, json, or_dash, span};
use crate::api::{FailoversView, FigureRow, FiguresView, RecoveryView};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::clock::wall_milliseconds;
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// So many rows are asked for at once.
const PART: usize = 200;

const HELP: &str = "\
What nobody could see is neither up nor down, but unseen. The percentage is of the time in which something should have
been up and was seen; planned stops do not count. Moments are in UTC. In CSV times are in seconds.

Examples:
  holdfast report availability
  holdfast report availability --since 30d
  holdfast report availability --by host --from 2026-10-01 --to 2026-11-01 -o json
  holdfast report failovers --since 30d -o csv";

#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(subcommand)]
    verb: ReportVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum ReportVerb {
    /// Shows for how long each was up and down
    #[command(after_help = HELP)]
    Availability {
        /// Of what each row is
        #[arg(long, value_enum, default_value = "vm")]
        by: Each,
        #[command(flatten)]
        window: WindowArgs,
    },
    /// Shows each VM that was brought back or moved, and how long each stage took
    #[command(after_help = HELP)]
    Failovers {
        #[command(flatten)]
        window: WindowArgs,
    },
}

#[derive(Debug, Args)]
struct WindowArgs {
    /// Only this time up to now
    #[arg(long, value_name = "DURATION", value_parser = parse_span, conflicts_with_all = ["from", "to"])]
    since: Option<Duration>,
    /// From this moment on
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    from: Option<i64>,
    /// Up to this moment
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    to: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Each {
    /// A VM
    Vm,
    /// A host
    Host,
    /// All VMs with one guest operating system
    GuestOs,
    /// All VMs with one tag
    Tag,
    /// All VMs
    Cluster,
}

impl Each {
    fn name(self) -> &'static str {
        match self {
            Each::Vm => "vm",
            Each::Host => "host",
            Each::GuestOs => "guest-os",
            Each::Tag => "tag",
            Each::Cluster => "cluster",
        }
    }
}

/// Reports.
pub fn report(args: &ReportArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        ReportVerb::Availability { by, window } => {
            let view = availability(*by, &query(window)?, session)?;
            match session.flags.output {
                Form::Json => json(&view, output)?,
                Form::Csv => raw(&view).show(Form::Csv, &view, output)?,
                Form::Table => {
                    period(view.from, view.to, output)?;
                    fared(by.name(), &view.rows).table(output)?;
                }
            }
        }
        ReportVerb::Failovers { window } => {
            let view = failovers(&query(window)?, session)?;
            match session.flags.output {
                Form::Json => json(&view, output)?,
                Form::Csv => raw_recoveries(&view.failovers).show(Form::Csv, &view, output)?,
                Form::Table => {
                    period(view.from, view.to, output)?;
                    match view.failovers.is_empty() {
                        true => output.line("no VM had to be brought back")?,
                        false => recoveries(&view.failovers).table(output)?,
                    }
                }
            }
        }
    }
    Ok(Exit::Good)
}

fn query(window: &WindowArgs) -> anyhow::Result<String> {
    let now = wall_milliseconds();
    if let Some(from) = window.from.filter(|from| *from > now) {
        return Err(ended(
            Exit::BadUsage,
            format!("--from {} lies in the future: it is {}", moment(from), moment(now)),
        ));
    }
    if let (Some(from), Some(to)) = (window.from, window.to) {
        anyhow::ensure!(from < to, "--from {} lies behind --to {}", moment(from), moment(to));
    }
    let from = window.since.map(ago).or(window.from);
    let bounds = [from.map(|from| format!("&from={from}")), window.to.map(|to| format!("&to={to}"))];
    Ok(bounds.into_iter().flatten().collect())
}

/// All rows, in parts: what a host passes on for the master must not be too long.
fn availability(by: Each, query: &str, session: &mut Session<'_>) -> anyhow::Result<FiguresView> {
    let path = format!("/v1/report/availability?by={}&limit={PART}", by.name());
    let mut view: FiguresView = session.look(&format!("{path}{query}"))?;
    while let Some(next) = view.next.take() {
        // The later parts are of the very same time.
        let bounds = format!("&from={}&to={}&after={}", view.from, view.to, segment(&next));
        let more: FiguresView = session.look(&format!("{path}{bounds}"))?;
        view.rows.extend(more.rows);
        view.next = more.next;
    }
    Ok(view)
}

fn failovers(query: &str, session: &mut Session<'_>) -> anyhow::Result<FailoversView> {
    let path = format!("/v1/report/failovers?limit={PART}");
    let mut view: FailoversView = session.look(&format!("{path}{query}"))?;
    while let Some(next) = view.next.take() {
        let bounds = format!("&from={}&to={}&after={}", view.from, view.to, segment(&next));
        let more: FailoversView = session.look(&format!("{path}{bounds}"))?;
        view.failovers.extend(more.failovers);
        view.next = more.next;
    }
    Ok(view)
}

fn period(from: i64, to: i64, output: &mut Output) -> anyhow::Result<()> {
    output.line(&format!("from {} to {}: {}", moment(from), moment(to), span(to.saturating_sub(from))))?;
    output.line("")
}

fn fared(what: &'static str, rows: &[FigureRow]) -> Sheet {
    let mut sheet = Sheet::new(&[what, "up", "planned", "unplanned", "unseen", "failures", "percent", "nines"]);
    for row in rows {
        let plain = |text: String| (text, Mood::Plain);
        let down = if row.unplanned_ms > 0 { Mood::Bad } else { Mood::Plain };
        sheet.moody([
            plain(row.name.clone()),
            plain(span(row.up_ms)),
            plain(span(row.planned_ms)),
            (span(row.unplanned_ms), down),
            plain(span(row.unseen_ms)),
            plain(row.failures.to_string()),
            plain(or_dash(row.percent.map(|percent| cut(percent, 5)).as_deref())),
            plain(or_dash(row.nines.map(|nines| cut(nines, 2)).as_deref())),
        ]);
    }
    sheet
}

/// A number with so many digits behind the point, never rounded up: 99.9999 percent is not 100.
fn cut(number: f64, digits: i32) -> String {
    let factor = 10f64.powi(digits);
    format!("{:.*}", usize::try_from(digits).unwrap_or(0), (number * factor).floor() / factor)
}

fn recoveries(rows: &[RecoveryView]) -> Sheet {
    let mut sheet = Sheet::new(&["vm", "when", "from", "to", "proof", "down", "detect", "prove", "queue", "start"]);
    for row in rows {
        sheet.row([
            row.vm.clone(),
            moment(row.down_at),
            or_dash(row.from.as_deref()),
            row.to.clone(),
            or_dash(row.proof.as_deref()),
            span(row.up_at.saturating_sub(row.down_at)),
            span(row.detect_ms),
            span(row.prove_ms),
            span(row.queue_ms),
            span(row.start_ms),
        ]);
    }
    sheet
}

/// The same for spreadsheets, which want numbers.
fn raw(view: &FiguresView) -> Sheet {
    let seconds = |milliseconds: i64| format!("{:.3}", milliseconds as f64 / 1_000.0);
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut sheet = Sheet::new(&["name", "up", "planned", "unplanned", "unseen", "failures", "percent", "nines"]);
    for row in &view.rows {
        let [up, planned, unplanned, unseen] =
            [row.up_ms, row.planned_ms, row.unplanned_ms, row.unseen_ms].map(seconds);
        let failures = row.failures.to_string();
        sheet.row([row.name.clone(), up, planned, unplanned, unseen, failures, number(row.percent), number(row.nines)]);
    }
    sheet
}

fn raw_recoveries(rows: &[RecoveryView]) -> Sheet {
    let seconds = |milliseconds: i64| format!("{:.3}", milliseconds as f64 / 1_000.0);
    let mut sheet =
        Sheet::new(&["vm", "down_at", "up_at", "from", "to", "proof", "down", "detect", "prove", "queue", "start"]);
    for row in rows {
        let down = row.up_at.saturating_sub(row.down_at);
        let [down, detect, prove, queue, start] =
            [down, row.detect_ms, row.prove_ms, row.queue_ms, row.start_ms].map(seconds);
        sheet.row([
            row.vm.clone(),
            moment(row.down_at),
            moment(row.up_at),
            row.from.clone().unwrap_or_default(),
            row.to.clone(),
            row.proof.clone().unwrap_or_default(),
            down,
            detect,
            prove,
            queue,
            start,
        ]);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_down_is_never_shown_as_always_up() {
        assert_eq!(cut(99.999_999, 5), "99.99999");
        assert_eq!(cut(99.999_999_99, 5), "99.99999");
        assert_eq!(cut(100.0, 5), "100.00000");
        assert_eq!(cut(2.999, 2), "2.99");
    }
}
