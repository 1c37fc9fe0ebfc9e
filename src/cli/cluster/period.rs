//! Which time a report is about, as people say it.

use super::moment::{ago, parse_moment, parse_span};
use super::session::ended;
use crate::cli::Exit;
use crate::clock::wall_milliseconds;
use crate::report::moment;
use clap::Args;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Which time, and in which zone.
#[derive(Debug, Args)]
pub(super) struct PeriodArgs {
    /// From this moment on, or from so long ago
    #[arg(long, alias = "from", value_name = "MOMENT", value_parser = parse_since)]
    since: Option<Since>,
    /// Up to this moment
    #[arg(long, alias = "to", value_name = "MOMENT", value_parser = parse_moment)]
    until: Option<i64>,
    /// Only this time up to now, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = parse_span, conflicts_with_all = ["since", "until"])]
    last: Option<Duration>,
    /// In which time zone moments are written, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    pub(super) zone: TimeZone,
}

#[derive(Debug, Clone, Copy)]
enum Since {
    Moment(i64),
    Ago(Duration),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let bad = || format!("\"{text}\" is no moment: write it in UTC, as 2026-11-01 or 2026-11-01T18:30:15Z, or as 30d");
    let moment = parse_moment(text).map(Since::Moment);
    moment.or_else(|_| parse_span(text).map(Since::Ago)).map_err(|_| bad())
}

/// A zone by its name in the database of time zones.
pub(super) fn parse_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| format!("no time zone is called \"{text}\": write it as Europe/Berlin or UTC"))
}

impl PeriodArgs {
    /// The ends of the time in milliseconds since 1970, where they are said.
    pub(super) fn ends(&self) -> anyhow::Result<(Option<i64>, Option<i64>)> {
        let from = match (self.last, self.since) {
            (Some(span), _) | (None, Some(Since::Ago(span))) => Some(ago(span)),
            (None, Some(Since::Moment(moment))) => Some(moment),
            (None, None) => None,
        };
        let now = wall_milliseconds();
        let wrong = |text: String| Err(ended(Exit::BadUsage, text));
        let written = |at: i64| moment(at, &self.zone);
        match (from, self.until) {
            (Some(from), _) if from > now => {
                wrong(format!("--since {} lies in the future: it is {}", written(from), written(now)))
            }
            (Some(from), Some(until)) if from >= until => {
                wrong(format!("--since {} lies behind --until {}", written(from), written(until)))
            }
            ends => Ok(ends),
        }
    }

    /// The same, as it is asked for.
    pub(super) fn query(&self) -> anyhow::Result<Vec<String>> {
        let (from, to) = self.ends()?;
        Ok([from.map(|at| format!("from={at}")), to.map(|at| format!("to={at}"))].into_iter().flatten().collect())
    }
}
