//! The report of a month, signed by the cluster's authority.
//!
//! The master makes it and signs it, once; whoever asked then fetches it in parts, for what is passed on for a master must
//! not be too long. The last few that were made are kept for that, in memory; whoever comes too late has it made again.

use super::actions::Looking;
use super::bodies::{Figuring, Loaded, MonthAsked, MonthPartAsked, Recovering};
use super::errors::Failure;
use super::extract::{Json, Query};
use super::figures::{figures, recoveries};
use super::handle::Api;
use super::load::{LoadView, used};
use super::queries::{names, read};
use super::readings::Readings;
use super::registry::authority;
use crate::clock;
use crate::core::state::Identity;
use crate::explain::Names;
use crate::ledger::{Grouping, Period, Zone};
use crate::report::{DEFINITIONS, Frame, Month, Order, Statement, html, month, seal, take_spans};
use crate::samples::Measure;
use crate::store::{LedgerReader, QueryError};
use crate::trust::{Authority, fingerprint};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// So many rows of each table are shown to readers; all stand in the data.
const READABLE: usize = 100;
/// So many VMs have their spans in the data, for the timeline.
const DRAWN: usize = 48;
/// The course of a host's load has so many points.
const POINTS: usize = 62;
/// The length of a month's name, such as `2026-10`.
const MONTH: usize = 7;
/// So many reports are kept until they are fetched.
const KEPT: usize = 2;
/// No part is longer: as text within a text within a text it still fits into an answer that is passed on.
const PART: usize = 96 * 1024;

/// A part of a signed report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthPart {
    /// The SHA-256 of the whole file.
    pub print: String,
    /// The length of the whole file, in bytes.
    pub length: usize,
    /// Where this part begins.
    pub offset: usize,
    /// The part.
    pub text: String,
}

/// The reports that were made last, the newest first.
#[derive(Debug, Clone, Default)]
pub struct MadeReports(Arc<Mutex<VecDeque<Made>>>);

#[derive(Debug)]
struct Made {
    print: String,
    file: String,
}

impl MadeReports {
    fn keep(&self, file: String) -> MonthPart {
        let made = Made { print: fingerprint(file.as_bytes()).to_string(), file };
        let first = made.part(0);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front(made);
        first
    }

    fn part(&self, print: &str, offset: usize) -> Option<MonthPart> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = kept.iter().find(|made| made.print == print)?;
        made.file.is_char_boundary(offset).then(|| made.part(offset))
    }
}

impl Made {
    /// What begins there, cut between two characters.
    fn part(&self, offset: usize) -> MonthPart {
        let rest = self.file.get(offset..).unwrap_or_default();
        let end = (0..=PART.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(0);
        let text = rest.get(..end).unwrap_or_default().to_owned();
        MonthPart { print: self.print.clone(), length: self.file.len(), offset, text }
    }
}

/// `GET /v1/report/month`
pub(super) async fn made(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<MonthAsked>,
) -> Result<Json<MonthPart>, Failure> {
    // What a voter knows by itself may be old, and is signed by nobody.
    if !api.handle.glance.borrow().is_master {
        return Err(Failure::no_master());
    }
    let zone = Zone::named(asked.zone.as_deref().unwrap_or("UTC")).map_err(|error| Failure::bad(error.to_string()))?;
    let now = clock::wall_milliseconds();
    let bad = || Failure::bad(format!("\"{}\" is no month", asked.month)).hint("write it as 2026-10");
    let period = Period::named(&asked.month, &zone).ok().filter(|_| asked.month.len() == MONTH).ok_or_else(bad)?;
    if period.from > now {
        return Err(Failure::bad(format!("{} is yet to come", asked.month)));
    }
    let provisional = !period.is_over(now);
    if provisional && !asked.provisional {
        let hint = "wait for its end, or ask for a provisional one: it says on its face that it is one";
        return Err(Failure::bad(format!("{} is not over yet", asked.month)).hint(hint));
    }
    let authority = authority(&api).await?;
    let cluster = api.state(|state| state.registry.cluster.clone()).await?;
    let statement = Statement {
        month: asked.month,
        zone: zone.name().to_owned(),
        from: period.from,
        to: period.to.min(now),
        provisional,
        ..stated(&cluster, &authority, &api.host, now)
    };
    let names = names(&api).await;
    let cpu = of_hosts(&api, Measure::Cpu, &statement).await?;
    let memory = of_hosts(&api, Measure::Memory, &statement).await?;
    let readings = api.readings.clone();
    let file = read(&api, move |ledger| {
        let parts = gather((ledger, &readings), statement, (cpu, memory), now, &names)?;
        let frame = Frame {
            cluster: parts.statement.cluster.clone(),
            zone: zone.time_zone().clone(),
            made_at: now,
            order: Order::Worst,
            most: READABLE,
            definitions: DEFINITIONS,
        };
        Ok(seal(&html(&month(&parts, &frame)), |page| authority.sign_message(page)))
    });
    let file = file.await?.map_err(|error| Failure::internal(format!("the report cannot be signed: {error}")))?;
    Ok(Json(api.reports.keep(file)))
}

fn gather(
    past: (&LedgerReader, &Readings),
    statement: Statement,
    (cpu, memory): (LoadView, LoadView),
    now: i64,
    names: &dyn Names,
) -> Result<Month, QueryError> {
    let (from, to) = (Some(statement.from), Some(statement.to));
    let of = |by| Figuring { by, from, to, ..Figuring::default() };
    let mut vms = figures(past, &of(Grouping::Vm), now, names)?;
    let drawn = Figuring { worst: Some(DRAWN), spans: true, ..of(Grouping::Vm) };
    take_spans(&mut vms, figures(past, &drawn, now, names)?);
    Ok(Month {
        statement,
        vms,
        tags: figures(past, &of(Grouping::Tag), now, names)?,
        hosts: figures(past, &of(Grouping::Host), now, names)?,
        failovers: recoveries(past, &Recovering { from, to, ..Recovering::default() }, now, names)?,
        cpu,
        memory,
    })
}

/// What all hosts used of one thing, though one answer does not hold it.
async fn of_hosts(api: &Api, of: Measure, statement: &Statement) -> Result<LoadView, Failure> {
    let (from, to) = (Some(statement.from), Some(statement.to));
    let asked =
        |after| Loaded { of, by: Some(Grouping::Host), name: None, from, to, points: Some(POINTS), after, limit: None };
    let mut view = used(api, asked(None)).await?;
    while let Some(after) = view.next.take() {
        let more = used(api, asked(Some(after))).await?;
        view.rows.extend(more.rows);
        view.next = more.next;
    }
    Ok(view)
}

fn stated(cluster: &Identity, authority: &Authority, host: &str, now: i64) -> Statement {
    Statement {
        cluster: cluster.name.clone(),
        uuid: uuid::Uuid::from_u128(cluster.uuid),
        authority: authority.fingerprint().to_string(),
        month: String::new(),
        zone: String::new(),
        from: 0,
        to: 0,
        provisional: false,
        signed_at_milliseconds: now,
        signed_on: host.to_owned(),
    }
}

/// `GET /v1/report/month/part`
pub(super) async fn more(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<MonthPartAsked>,
) -> Result<Json<MonthPart>, Failure> {
    let part = api.reports.part(&asked.print, asked.offset);
    part.map(Json).ok_or_else(|| {
        Failure::missing("that report is kept no more")
            .hint("have it made again: another master made it, or it is long ago")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_fetched_in_parts_that_fit() {
        let reports = MadeReports::default();
        let file = "ä–€".repeat(40_000);
        let first = reports.keep(file.clone());
        let mut fetched = first.text.clone();
        while fetched.len() < first.length {
            let part = reports.part(&first.print, fetched.len()).unwrap();
            assert!(part.text.len() <= PART && !part.text.is_empty() && part.offset == fetched.len());
            fetched.push_str(&part.text);
        }
        assert_eq!(fetched, file);
        assert_eq!(reports.part(&first.print, 1), None, "within a character");
        assert_eq!(reports.part(&first.print, file.len() + 1), None);
        assert_eq!(reports.part("none", 0), None);
        for number in 0..KEPT {
            reports.keep(number.to_string());
        }
        assert_eq!(reports.part(&first.print, 0), None, "it is kept no longer");
    }
}
