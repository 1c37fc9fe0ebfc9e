//! `holdfast report`: how VMs and hosts fared, for those who must account for it.

use super::flags::{Flags, Form};
use super::month::{self, MonthArgs, VerifyArgs};
use super::period::PeriodArgs;
use super::render::render;
use super::session::{Session, ended, segment};
use crate::api::{CapacityView, ClusterView, FailoversView, FiguresView, LoadView};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::clock::wall_milliseconds;
use crate::ledger::Zone;
use crate::report::{DEFINITIONS, Document, Frame, Order, availability, capacity, failovers, load, take_spans};
use clap::{Args, Subcommand, ValueEnum};

const HELP: &str = "\
Reports are about the time since --since, up to --until, or about the --last so much; all that the ledger has if nothing
is said. What the figures mean: `holdfast report definitions`.

In CSV times are in seconds, moments in UTC, CPU in thousandths of a core and memory in MiB, and one table is printed:
the main one, or that of --part. HTML is one file that needs nothing else: `-o html > report.html`.";

const AVAILABILITY_HELP: &str = "\
What nobody could see is neither up nor down, but unseen. The percentage is of the time in which something should have
been up and was seen; planned stops do not count. `holdfast report definitions` has it exactly.

Examples:
  holdfast report availability
  holdfast report availability --last 30d --by tag
  holdfast report availability --since 2026-10-01 --until 2026-11-01 --worst 20
  holdfast report availability --last 30d --part causes -o csv
  holdfast report availability --last 30d --zone Europe/Berlin -o html > availability.html";

const FAILOVERS_HELP: &str = "\
Each VM that was brought back or moved, with the length of each stage: detect, prove, queue, start, guest ready.

Examples:
  holdfast report failovers
  holdfast report failovers --last 7d --worst 10
  holdfast report failovers --vm db-1 -o json
  holdfast report failovers --last 30d --part stages -o csv";

const LOAD_HELP: &str = "\
The heaviest first. Without a time it is about the last day.

Examples:
  holdfast report cpu
  holdfast report memory --by vm --last 7d --worst 20
  holdfast report cpu --by tag -o markdown
  holdfast report cpu --name db-1 --last 30d -o html > db-1.html";

const CAPACITY_HELP: &str = "\
What hosts have, what is promised of it, what is used of it, and what would be left if hosts died.

Examples:
  holdfast report capacity
  holdfast report capacity --last 30d -o csv";

/// So many rows are asked for at once: what a host passes on for the master must not be too long.
const PART: usize = 400;
/// So many rows with their spans, which are longer.
const DRAWN: usize = 48;
/// More rows than this help nobody who reads: the rest stands in the data.
const READABLE: usize = 100;
/// So many points a course has.
const POINTS: usize = 240;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ReportArgs {
    #[command(subcommand)]
    verb: ReportVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum ReportVerb {
    /// Shows for how long VMs, hosts and groups of them were up and down, and why
    #[command(after_help = AVAILABILITY_HELP)]
    Availability(AvailabilityArgs),
    /// Shows each VM that was brought back or moved, and how long each stage took
    #[command(after_help = FAILOVERS_HELP)]
    Failovers(FailoversArgs),
    /// Shows how busy the processors were
    #[command(after_help = LOAD_HELP)]
    Cpu(LoadArgs),
    /// Shows how much memory was in use
    #[command(after_help = LOAD_HELP)]
    Memory(LoadArgs),
    /// Shows what there is, what is used of it, and what would be left if hosts died
    #[command(after_help = CAPACITY_HELP)]
    Capacity(CapacityArgs),
    /// Writes the report of a month, signed by the cluster, into a file
    #[command(after_help = month::MONTH_HELP)]
    Month(MonthArgs),
    /// Checks a report that a cluster has signed; needs no cluster
    #[command(after_help = month::VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Prints what the figures mean
    #[command(after_help = "Examples:\n  holdfast report definitions")]
    Definitions,
}

#[derive(Debug, Args)]
struct AvailabilityArgs {
    /// Of what each row is
    #[arg(long, value_enum, default_value = "vm")]
    by: By,
    /// Only the row of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
struct FailoversArgs {
    /// Only those of this VM
    #[arg(long, value_name = "VM")]
    vm: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Of what each row is
    #[arg(long, value_enum, default_value = "host")]
    by: By,
    /// Only the row of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
struct CapacityArgs {
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    shape: Shape,
}

/// Of what each row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Of each VM
    Vm,
    /// Of each host
    Host,
    /// Of all VMs with one guest operating system
    GuestOs,
    /// Of all VMs with one tag
    Tag,
    /// Of all together
    Cluster,
}

impl By {
    /// As it is asked for.
    fn word(self) -> &'static str {
        match self {
            By::Vm => "vm",
            By::Host => "host",
            By::GuestOs => "guest-os",
            By::Tag => "tag",
            By::Cluster => "cluster",
        }
    }
}

/// Which rows of a report, and in which order.
#[derive(Debug, Args)]
struct Shape {
    /// In which order the rows stand
    #[arg(long, value_enum, default_value = "worst")]
    sort: Sort,
    /// Only so many rows, the worst ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "sort")]
    worst: Option<u32>,
    /// Only this part of the report; a wrong one is answered with those that there are
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Those that fared worst, or use most, first
    Worst,
    /// By name, or by time
    Name,
}

impl Shape {
    /// How it is shown: forms for programs have all rows, those for readers as many as can be read.
    fn frame(&self, session: &Session<'_>, zone: &Zone) -> anyhow::Result<Frame> {
        let view: ClusterView = session.look("/v1/status")?;
        let readable = match session.flags.output {
            Form::Html | Form::Markdown => READABLE,
            Form::Table | Form::Csv | Form::Json => usize::MAX,
        };
        let order = match self.sort {
            Sort::Worst => Order::Worst,
            Sort::Name => Order::Name,
        };
        let most = self.worst.map_or(readable, |worst| worst as usize);
        let made_at = wall_milliseconds();
        Ok(Frame { cluster: view.name, zone: zone.time_zone().clone(), made_at, order, most, definitions: DEFINITIONS })
    }
}

/// Reports.
pub fn report(args: &ReportArgs, output: &mut Output) -> anyhow::Result<Exit> {
    if let ReportVerb::Definitions = &args.verb {
        return output.line(DEFINITIONS.trim_end()).map(|()| Exit::Good);
    }
    if let ReportVerb::Verify(verify) = &args.verb {
        return month::verify(verify, &args.flags, output);
    }
    let session = &mut Session::for_report(&args.flags)?;
    let (document, shape) = match &args.verb {
        ReportVerb::Availability(args) => (of_availability(args, session)?, &args.shape),
        ReportVerb::Failovers(args) => (of_failovers(args, session)?, &args.shape),
        ReportVerb::Cpu(args) => (of_load("cpu", args, session)?, &args.shape),
        ReportVerb::Memory(args) => (of_load("memory", args, session)?, &args.shape),
        ReportVerb::Capacity(args) => (of_capacity(args, session)?, &args.shape),
        ReportVerb::Month(args) => return month::month(args, session, output),
        ReportVerb::Verify(_) | ReportVerb::Definitions => return Ok(Exit::Good),
    };
    render(&document, args.flags.output, shape.part.as_deref(), output)?;
    Ok(Exit::Good)
}

fn of_availability(args: &AvailabilityArgs, session: &Session<'_>) -> anyhow::Result<Document> {
    let by = match args.shape.part.as_deref() {
        Some("vms") => return Err(moved("--by vm")),
        Some("hosts") => return Err(moved("--by host")),
        Some("recoveries") => return Err(moved("holdfast report failovers")),
        _ => args.by,
    };
    let period = args.period.query()?.join("&");
    let frame = args.shape.frame(session, &args.period.zone)?;
    let name = named(args.name.as_deref()).map(|name| format!("&{name}")).unwrap_or_default();
    let path = format!("/v1/report/availability?by={}{name}", by.word());
    let mut view: FiguresView = session.look(&format!("{path}&limit={PART}&{period}"))?;
    // The time is for all parts what it was for the first one.
    let path = format!("{path}&from={}&to={}", view.from, view.to);
    while let Some(next) = view.next.take() {
        let part: FiguresView = session.look(&format!("{path}&limit={PART}&after={}", segment(&next)))?;
        view.rows.extend(part.rows);
        view.next = part.next;
    }
    if session.flags.output != Form::Csv {
        take_spans(&mut view, session.look(&format!("{path}&spans=true&worst={DRAWN}"))?);
    }
    Ok(availability(&view, &frame))
}

/// What was called otherwise before.
fn moved(to: &str) -> anyhow::Error {
    ended(Exit::BadUsage, format!("this part is a report of its own now\n  hint: {to}"))
}

fn of_failovers(args: &FailoversArgs, session: &Session<'_>) -> anyhow::Result<Document> {
    let mut query = args.period.query()?;
    let frame = args.shape.frame(session, &args.period.zone)?;
    query.extend(named(args.vm.as_deref()));
    query.push(format!("limit={PART}"));
    let path = format!("/v1/report/failovers?{}", query.join("&"));
    let mut view: FailoversView = session.look(&path)?;
    while let Some(next) = view.next.take() {
        let part: FailoversView = session.look(&format!("{path}&after={}", segment(&next)))?;
        view.failovers.extend(part.failovers);
        view.next = part.next;
    }
    Ok(failovers(&view, &frame))
}

fn of_load(what: &str, args: &LoadArgs, session: &Session<'_>) -> anyhow::Result<Document> {
    let mut query = args.period.query()?;
    let frame = args.shape.frame(session, &args.period.zone)?;
    query.push(format!("of={what}&by={}&points={POINTS}", args.by.word()));
    query.extend(named(args.name.as_deref()));
    let path = format!("/v1/report/load?{}", query.join("&"));
    let mut view: LoadView = session.look(&path)?;
    while let Some(next) = view.next.take() {
        let part: LoadView = session.look(&format!("{path}&after={}", segment(&next)))?;
        view.rows.extend(part.rows);
        view.next = part.next;
    }
    Ok(load(&view, &frame))
}

fn of_capacity(args: &CapacityArgs, session: &Session<'_>) -> anyhow::Result<Document> {
    let query = args.period.query()?.join("&");
    let frame = args.shape.frame(session, &args.period.zone)?;
    let view: CapacityView = session.look(&format!("/v1/report/capacity?{query}"))?;
    Ok(capacity(&view, &frame))
}

fn named(name: Option<&str>) -> Option<String> {
    name.map(|name| format!("name={}", segment(name)))
}
