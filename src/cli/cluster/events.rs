//! `holdfast events`: what happened, and what happens.

use super::flags::{Flags, Form};
use super::moment::{ago, moment, parse_span};
use super::session::{Session, segment};
use super::show::{Sheet, or_dash, tame};
use crate::api::{ClusterView, EventView};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::client::ClientError;
use clap::Args;
use std::time::Duration;

pub const HELP: &str = "\
Without --after or --since the last 50 events are shown. Times are in UTC. With --follow it goes on until it is ended;
-o json prints one object in a line then.

Examples:
  holdfast events
  holdfast events --follow
  holdfast events --since 2h -o csv
  holdfast events --after 0.1234.0 --limit 100 -o json";

/// So many are shown if nobody says otherwise.
const NEWEST: usize = 50;
/// So many are fetched at once.
const PORTION: usize = 1_000;
/// For so many seconds one request waits for news.
const WAIT: u64 = 20;
/// Before a host that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Goes on showing what happens
    #[arg(long, short)]
    follow: bool,
    /// Only what came after the event with this key
    #[arg(long, value_name = "KEY", conflicts_with = "since")]
    after: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only what happened in this time up to now
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    since: Option<Duration>,
    #[command(flatten)]
    pub flags: Flags,
}

/// Shows events.
pub fn events(args: &EventsArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let limit = args.limit.unwrap_or(usize::MAX);
    let past = match (&args.after, args.since) {
        (Some(key), _) => paged(session, &format!("after={}", segment(key)), limit)?,
        (None, Some(span)) => paged(session, &format!("from={}", ago(span)), limit)?,
        (None, None) => session.look(&format!("/v1/events?last={}", args.limit.unwrap_or(NEWEST).min(PORTION)))?,
    };
    if !args.follow {
        sheet(&past).show(session.flags.output, &past, output)?;
        return Ok(Exit::Good);
    }
    let mut after = past.last().map(|event| event.key.clone());
    print(&past, session.flags.output, output)?;
    let mut is_silent = false;
    loop {
        let start = after.as_deref().map(|key| format!("&after={key}")).unwrap_or_default();
        match session.look::<Vec<EventView>>(&format!("/v1/events?limit={PORTION}&wait={WAIT}{start}")) {
            Ok(more) => {
                is_silent = false;
                after = more.last().map(|event| event.key.clone()).or(after);
                print(&more, session.flags.output, output)?;
            }
            Err(error) if passes(&error) => {
                if !is_silent {
                    session.remark(&format!("{error}\n  it is asked again until it answers"));
                }
                is_silent = true;
                session.pause(AGAIN);
            }
            Err(error) => return Err(error),
        }
        if output.is_closed() {
            return Ok(Exit::Good);
        }
    }
}

/// Whether whoever follows can hope for more.
fn passes(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused { status, .. }) => *status >= 500,
        Some(ClientError::Unreachable { .. } | ClientError::Lost { .. }) => true,
        _ => false,
    }
}

pub(super) fn paged(session: &Session<'_>, start: &str, limit: usize) -> anyhow::Result<Vec<EventView>> {
    let mut all: Vec<EventView> = Vec::new();
    let mut start = start.to_owned();
    while all.len() < limit {
        let portion = PORTION.min(limit - all.len());
        let more: Vec<EventView> = session.look(&format!("/v1/events?limit={portion}&{start}"))?;
        let Some(last) = more.last() else { break };
        start = format!("after={}", last.key);
        all.extend(more);
    }
    Ok(all)
}

fn sheet(events: &[EventView]) -> Sheet {
    let mut sheet = Sheet::new(&["when", "key", "kind", "by", "what"]);
    for event in events {
        sheet.row([
            moment(event.at_milliseconds),
            event.key.clone(),
            event.kind.clone(),
            or_dash(event.by.as_deref()),
            text(event),
        ]);
    }
    sheet
}

fn text(event: &EventView) -> String {
    match &event.reason {
        Some(reason) => format!("{} ({reason})", event.text),
        None => event.text.clone(),
    }
}

/// Shows events as they come.
fn print(events: &[EventView], form: Form, output: &mut Output) -> anyhow::Result<()> {
    for event in events {
        match form {
            Form::Json => output.line(&serde_json::to_string(event)?)?,
            _ => {
                let by = event.by.as_ref().map(|by| format!(" [{by}]")).unwrap_or_default();
                output.line(&tame(&format!("{}  {}{by}", moment(event.at_milliseconds), text(event))))?;
            }
        }
    }
    output.flush()
}

/// The place from which on whatever happens is news.
pub(super) fn since_now(session: &mut Session<'_>) -> anyhow::Result<String> {
    let view: ClusterView = session.find("/v1/status")?;
    Ok(format!("{}.{}.{}", view.generation, view.index, u32::MAX))
}

/// What happened after that place, which moves on.
pub(super) fn staged(session: &mut Session<'_>, after: &mut String) -> anyhow::Result<Vec<EventView>> {
    let events: Vec<EventView> = session.find(&format!("/v1/events?after={after}"))?;
    if let Some(last) = events.last() {
        after.clone_from(&last.key);
    }
    Ok(events)
}
