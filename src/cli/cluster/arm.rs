//! `holdfast arm`, `disarm`, `recover`: whether the cluster acts, and going on without a majority.

use super::flags::Flags;
use super::host::say;
use super::moment::parse_span;
use super::session::{Answer, Progress, Session, Twice, Verb, ended};
use crate::api::{ClusterView, HostView, LONGEST_DISARM};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::core::state::Armed;
use crate::words::format_duration;
use clap::Args;
use serde_json::{Value, json as value};
use std::time::Duration;

pub const ARM_HELP: &str = "\
A new cluster only observes. See `holdfast doctor` and `holdfast plan --fail HOST` before.

Examples:
  holdfast arm";

pub const DISARM_HELP: &str = "\
Nothing is restarted and no host stops itself until it is armed again. It is complete when each host knows.

Examples:
  holdfast disarm --for 2h --reason \"switch replacement\" --yes
  holdfast disarm --yes";

pub const RECOVER_HELP: &str = "\
Only where a majority of the voters' disks is lost for good. The voters named never count again; one that still lives
makes two clusters of one. It is asked of a voter that lives: run it there, or name that host with --server. It is
refused while signs of life of the others are fresh, and while any host lives by its records on storage and cannot be
heard: it may vote by now without this one's knowing. See to the network, or have that host off.

Examples:
  holdfast recover --dead host-2 host-3 --reason \"both burnt\"";

#[derive(Debug, Args)]
pub struct ArmArgs {
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Args)]
pub struct DisarmArgs {
    /// Arms it again after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_span)]
    length: Option<Duration>,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The hosts whose voters are dead for good
    #[arg(long, value_name = "HOST", num_args = 1.., required = true, value_parser = named)]
    dead: Vec<String>,
    #[command(flatten)]
    pub flags: Flags,
}

/// From observing to acting.
pub fn arm(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let answer = session.change(Verb::Post, "/v1/arm", &value!({}), output)?;
    settled(answer, Armed::Armed, "the cluster is armed", session, output)
}

/// From acting to observing.
pub fn disarm(args: &DisarmArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    if args.length.is_some_and(|length| length < Duration::from_secs(1)) {
        return Err(ended(Exit::BadUsage, "--for must be a second at least"));
    }
    if args.length.is_some_and(|length| length > LONGEST_DISARM) {
        let hint = "leave --for out, and arm it again with `holdfast arm`";
        return Err(ended(Exit::BadUsage, format!("--for is at most 30 days\n  hint: {hint}")));
    }
    let until =
        args.length.map_or("until somebody arms it".to_owned(), |length| format!("for {}", format_duration(length)));
    session.confirm(&format!("Disarm the cluster {until}? No VM is restarted meanwhile, whatever dies."))?;
    let body = value!({ "for_seconds": args.length.map(|length| length.as_secs()) });
    let answer = session.change(Verb::Post, "/v1/disarm", &body, output)?;
    settled(answer, Armed::Observe, &format!("the cluster only observes, {until}"), session, output)
}

/// Waits until all hosts know.
fn settled(
    answer: Answer,
    armed: Armed,
    text: &str,
    session: &mut Session<'_>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    if answer == Answer::Dry {
        return Ok(Exit::Good);
    }
    if !session.flags.no_wait {
        session.wait("the hosts' word that they know", |session| {
            let view: ClusterView = session.find("/v1/status")?;
            Ok(match view.armed == armed {
                false => Progress::Failed("somebody changed it back meanwhile".to_owned()),
                true if view.unaware.is_empty() => Progress::Done(()),
                true => Progress::Going(format!("not known yet to {}", view.unaware.join(", "))),
            })
        })?;
    }
    say(text, session, output)?;
    Ok(Exit::Good)
}

/// Goes on without voters that are dead for good.
pub fn recover(args: &RecoverArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let view: ClusterView = session.look("/v1/status")?;
    for name in &args.dead {
        let host: HostView = session.look(&format!("/v1/hosts/{}", super::session::segment(name)))?;
        if !host.votes {
            return Err(ended(Exit::Failed, format!("no voter lives on {}", host.name)));
        }
    }
    if let Some(master) = &view.master {
        let text = format!("there is a majority: {master} is master, so nothing is to be recovered");
        return Err(ended(Exit::Failed, text));
    }
    let dead = args.dead.join(", ");
    session.confirm(&format!(
        "Give up the voters on {dead} for good? If one of them lives, there are two clusters and VMs run twice."
    ))?;
    let body = value!({ "dead": args.dead });
    if session.flags.dry_run {
        session.say_dry(Verb::Post, "/v1/recover", &body, output)?;
        return Ok(Exit::Good);
    }
    session.ask::<Value>(Verb::Post, "/v1/recover", &body, Twice::Never)?;
    if !session.flags.no_wait {
        session.wait("the recovery", |session| {
            let view: ClusterView = session.find("/v1/status")?;
            Ok(match view.master {
                Some(master) => Progress::Done(master),
                None => Progress::Going("there is no master yet".to_owned()),
            })
        })?;
    }
    say(&format!("the cluster goes on without {dead}; see `holdfast status` and `holdfast vm list`"), session, output)?;
    Ok(Exit::Good)
}
