//! `holdfast report`: how VMs and hosts fared, for those who must account for it.

use super::flags::{Flags, Form};
use super::moment::{ago, moment, parse_moment, parse_span};
use super::session::{Session, ended};
use super::show::{Mood, Sheet, json, or_dash, span};
use crate::api::{AvailabilityRow, AvailabilityView, RecoveryView};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::clock::wall_milliseconds;
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

const HELP: &str = "\
What nobody could see is neither up nor down, but unseen. The percentage is of the time in which something should have
been up and was seen; planned stops do not count. Moments are in UTC. In CSV times are in seconds.

Examples:
  holdfast report availability
  holdfast report availability --since 30d
  holdfast report availability --from 2026-10-01 --to 2026-11-01 -o json
  holdfast report availability --since 30d --part recoveries -o csv";

#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(subcommand)]
    verb: ReportVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum ReportVerb {
    /// Shows for how long VMs and hosts were up and down, and each recovery with its stages
    #[command(after_help = HELP)]
    Availability(AvailabilityArgs),
}

#[derive(Debug, Args)]
struct AvailabilityArgs {
    /// Only this time up to now
    #[arg(long, value_name = "DURATION", value_parser = parse_span, conflicts_with_all = ["from", "to"])]
    since: Option<Duration>,
    /// From this moment on
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    from: Option<i64>,
    /// Up to this moment
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    to: Option<i64>,
    /// Only this part of it; in CSV the VMs are shown if nothing is said
    #[arg(long, value_enum)]
    part: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The VMs
    Vms,
    /// The hosts
    Hosts,
    /// The recoveries
    Recoveries,
}

/// Reports.
pub fn report(args: &ReportArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let ReportVerb::Availability(args) = &args.verb;
    let now = wall_milliseconds();
    if let Some(from) = args.from.filter(|from| *from > now) {
        return Err(ended(
            Exit::BadUsage,
            format!("--from {} lies in the future: it is {}", moment(from), moment(now)),
        ));
    }
    if let (Some(from), Some(to)) = (args.from, args.to) {
        anyhow::ensure!(from < to, "--from {} lies behind --to {}", moment(from), moment(to));
    }
    let from = args.since.map(ago).or(args.from);
    let bounds = [from.map(|from| format!("from={from}")), args.to.map(|to| format!("to={to}"))];
    let query = bounds.into_iter().flatten().collect::<Vec<String>>().join("&");
    let mut view: AvailabilityView = session.look(&format!("/v1/report/availability?{query}"))?;
    view.vms.sort_by(|left, right| left.name.cmp(&right.name));
    view.hosts.sort_by(|left, right| left.name.cmp(&right.name));
    match session.flags.output {
        Form::Json => json(&view, output)?,
        Form::Csv => raw(&view, args.part.unwrap_or(Part::Vms)).show(Form::Csv, &view, output)?,
        Form::Table => tables(&view, args.part, output)?,
    }
    Ok(Exit::Good)
}

fn tables(view: &AvailabilityView, part: Option<Part>, output: &mut Output) -> anyhow::Result<()> {
    let length = span(view.to.saturating_sub(view.from));
    output.line(&format!("from {} to {}: {length}", moment(view.from), moment(view.to)))?;
    let is_wanted = |wanted: Part| part.is_none_or(|part| part == wanted);
    if is_wanted(Part::Vms) {
        output.line("")?;
        fared("vm", &view.vms).table(output)?;
    }
    if is_wanted(Part::Hosts) {
        output.line("")?;
        fared("host", &view.hosts).table(output)?;
    }
    if is_wanted(Part::Recoveries) {
        output.line("")?;
        match view.recoveries.is_empty() {
            true => output.line("no VM had to be brought back")?,
            false => recoveries(&view.recoveries).table(output)?,
        }
    }
    Ok(())
}

fn fared(what: &'static str, rows: &[AvailabilityRow]) -> Sheet {
    let mut sheet = Sheet::new(&[what, "up", "planned", "unplanned", "unseen", "failures", "percent", "nines"]);
    for row in rows {
        let fared = row.availability;
        let plain = |text: String| (text, Mood::Plain);
        let down = if fared.unplanned > 0 { Mood::Bad } else { Mood::Plain };
        sheet.moody([
            plain(row.name.clone()),
            plain(span(fared.up)),
            plain(span(fared.planned)),
            (span(fared.unplanned), down),
            plain(span(fared.unseen)),
            plain(fared.failures.to_string()),
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
fn raw(view: &AvailabilityView, part: Part) -> Sheet {
    let seconds = |milliseconds: i64| format!("{:.3}", milliseconds as f64 / 1_000.0);
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let rows = match part {
        Part::Vms => &view.vms,
        Part::Hosts => &view.hosts,
        Part::Recoveries => return raw_recoveries(&view.recoveries),
    };
    let mut sheet = Sheet::new(&["name", "up", "planned", "unplanned", "unseen", "failures", "percent", "nines"]);
    for row in rows {
        let fared = row.availability;
        let [up, planned, unplanned, unseen] = [fared.up, fared.planned, fared.unplanned, fared.unseen].map(seconds);
        let failures = fared.failures.to_string();
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
