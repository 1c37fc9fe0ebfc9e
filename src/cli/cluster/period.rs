//! Which time a report is about, as people say it.

use super::moment::{ago, parse_span};
use super::session::ended;
use crate::cli::Exit;
use crate::clock::wall_milliseconds;
use crate::ledger::{Period, PeriodError, Zone};
use clap::Args;
use std::time::Duration;

/// Which time, and in which zone.
#[derive(Debug, Args)]
pub(super) struct PeriodArgs {
    /// From this moment on, such as 2026-10-25 or 2026-10-25T18:30, or from so long ago, such as 30d
    #[arg(long, alias = "from", value_name = "MOMENT")]
    since: Option<String>,
    /// Up to this moment
    #[arg(long, alias = "to", value_name = "MOMENT")]
    until: Option<String>,
    /// Only this time up to now, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = parse_span, conflicts_with_all = ["since", "until"])]
    last: Option<Duration>,
    /// In which time zone moments are read and written, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = Zone::named)]
    pub(super) zone: Zone,
}

impl PeriodArgs {
    /// The ends of the time, as they are asked for.
    pub(super) fn query(&self) -> anyhow::Result<Vec<String>> {
        let (from, to) = self.ends().map_err(|error| ended(Exit::BadUsage, error.to_string()))?;
        Ok([from.map(|at| format!("from={at}")), to.map(|at| format!("to={at}"))].into_iter().flatten().collect())
    }

    /// In milliseconds since 1970, where they are said.
    fn ends(&self) -> Result<(Option<i64>, Option<i64>), PeriodError> {
        let said = self.since.as_deref().map(|text| self.moment(text)).transpose()?;
        let from = self.last.map(ago).or(said);
        let to = self.until.as_deref().map(|text| self.zone.moment(text)).transpose()?;
        if let Some(from) = from {
            Period::between(from, to, &self.zone, wall_milliseconds())?;
        }
        Ok((from, to))
    }

    /// A moment, or how long ago it was.
    fn moment(&self, text: &str) -> Result<i64, PeriodError> {
        self.zone.moment(text).or_else(|error| parse_span(text).map(ago).map_err(|_| error))
    }
}
