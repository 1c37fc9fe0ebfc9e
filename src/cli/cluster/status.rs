//! `holdfast status`, `doctor`, `plan`: the cluster as a whole, as it is and as it would be.

use super::flags::{Flags, Form};
use super::moment::moment;
use super::session::Session;
use super::show::{Mood, Sheet, json, or_dash, span, tame};
use crate::api::{ClusterView, DoctorView, ForecastView, Severity, Share};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::clock::wall_milliseconds;
use crate::core::state::Armed;
use clap::Args;
use serde_json::{Value, json as value};

pub const STATUS_HELP: &str = "\
Examples:
  holdfast status
  holdfast status --server 10.0.0.1:7780 --identity ~/holdfast -o json";

pub const DOCTOR_HELP: &str = "\
Asks every fence device whose it is, and names what would keep a VM down. Findings that are bad end with code 4, so
that a monitor notices.

Examples:
  holdfast doctor
  holdfast doctor -o json";

pub const PLAN_HELP: &str = "\
The same code decides when hosts really die. Nothing is changed.

Examples:
  holdfast plan --fail host-1
  holdfast plan --fail host-1 host-2 -o json";

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The hosts that die, in thought
    #[arg(long, value_name = "HOST", num_args = 1.., required = true, value_parser = named)]
    fail: Vec<String>,
    #[command(flatten)]
    pub flags: Flags,
}

/// Shows the cluster at a glance.
pub fn status(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let all: Value = session.look("/v1/status")?;
    let view: ClusterView = serde_json::from_value(all.clone())?;
    let mut sheet = Sheet::new(&["what", "how"]);
    let mut row = |what: &str, how: String, mood| sheet.moody([(what.to_owned(), Mood::Plain), (how, mood)]);
    row("cluster", view.name.clone(), Mood::Plain);
    row("uuid", view.uuid.to_string(), Mood::Plain);
    row("time limits", format!("{:?}", view.profile).to_lowercase(), Mood::Plain);
    let (acts, mood) = acts(&view);
    row("acts", acts, mood);
    match (&view.master, view.term) {
        (Some(host), term) => row("master", format!("{host}, term {}", term.unwrap_or_default()), Mood::Good),
        (None, _) => row("master", "none: no majority of voters is up, nothing is restarted".to_owned(), Mood::Bad),
    }
    row("voters", view.voters.join(", "), Mood::Plain);
    row("hosts alive", share(view.hosts), good(view.hosts));
    row("VMs running", share(view.vms), good(view.vms));
    row("log", format!("entry {} of generation {}", view.index, view.generation), Mood::Plain);
    sheet.show(session.flags.output, &all, output)?;
    Ok(Exit::Good)
}

fn acts(view: &ClusterView) -> (String, Mood) {
    let mut text = match view.armed {
        Armed::Armed => "armed: it restarts what must be restarted".to_owned(),
        Armed::Observe => "it only observes: nothing is restarted; see `holdfast arm`".to_owned(),
    };
    if let Some(left) = view.rearms_in_seconds {
        let at = wall_milliseconds().saturating_add(i64::try_from(left).unwrap_or(i64::MAX).saturating_mul(1_000));
        text = format!("{text}; armed again at {}", moment(at));
    }
    if !view.unaware.is_empty() {
        text = format!("{text}; not known yet to {}", view.unaware.join(", "));
    }
    let settled = view.armed == Armed::Armed && view.unaware.is_empty();
    (text, if settled { Mood::Good } else { Mood::Unsure })
}

fn share(share: Share) -> String {
    format!("{} of {}", share.good, share.all)
}

fn good(share: Share) -> Mood {
    if share.good == share.all { Mood::Good } else { Mood::Bad }
}

/// Says which guards there are, and which failures are survived with nobody at hand.
pub fn doctor(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let view: DoctorView = session.look("/v1/doctor")?;
    let mut sheet = Sheet::new(&["how bad", "what", "finding", "advice"]);
    for finding in &view.findings {
        let (word, mood) = match finding.severity {
            Severity::Bad => ("bad", Mood::Bad),
            Severity::Weak => ("weak", Mood::Unsure),
        };
        let plain = [&finding.subject, &finding.text, &finding.advice].map(|text| (text.clone(), Mood::Plain));
        let [subject, text, advice] = plain;
        sheet.moody([(word.to_owned(), mood), subject, text, advice]);
    }
    if session.flags.output != Form::Table || !view.findings.is_empty() {
        sheet.show(session.flags.output, &view, output)?;
    } else {
        output.line("nothing is amiss")?;
    }
    if session.flags.output == Form::Table {
        output.line("\nIf one host died now, alone:")?;
        for line in &view.survives {
            output.line(&format!("  {}", tame(line)))?;
        }
        if !view.devices.is_empty() {
            output.line("\nFence devices, as they were last asked before they are needed:")?;
        }
        for check in &view.devices {
            let asked = match (check.ago_milliseconds, &check.by) {
                (Some(ago), Some(by)) => {
                    format!("{}, {} ago by {by}", check.verdict, span(i64::try_from(ago).unwrap_or(0)))
                }
                _ => "not yet by this master".to_owned(),
            };
            output.line(&tame(&format!("  {} of {}: {asked}", check.device, check.host)))?;
        }
    }
    let is_bad = view.findings.iter().any(|finding| finding.severity == Severity::Bad);
    Ok(if is_bad { Exit::Failed } else { Exit::Good })
}

/// Says what would become of the VMs if hosts died.
pub fn plan(args: &PlanArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let mut view: Vec<ForecastView> = session.suppose("/v1/plan", &value!({ "fail": args.fail }))?;
    view.sort_by(|left, right| left.vm.cmp(&right.vm));
    let mut sheet = Sheet::new(&["vm", "from", "to", "proof", "ordered after", "what"]);
    for forecast in &view {
        let after = forecast.after_milliseconds.map(|after| span(i64::try_from(after).unwrap_or(i64::MAX)));
        let mood = if forecast.to.is_some() { Mood::Good } else { Mood::Bad };
        sheet.moody([
            (forecast.vm.clone(), Mood::Plain),
            (forecast.from.clone(), Mood::Plain),
            (or_dash(forecast.to.as_deref()), mood),
            (or_dash(forecast.proof.as_deref()), Mood::Plain),
            (or_dash(after.as_deref()), Mood::Plain),
            (forecast.text.clone(), Mood::Plain),
        ]);
    }
    match session.flags.output {
        Form::Json => json(&view, output)?,
        Form::Csv => sheet.show(Form::Csv, &view, output)?,
        _ if view.is_empty() => output.line(&format!("no VM would feel it if {} died", args.fail.join(", ")))?,
        _ => {
            sheet.table(output)?;
            let back = view.iter().filter(|forecast| forecast.to.is_some()).count();
            output.line(&format!(
                "\n{back} of {} VMs would come back. Nothing was changed: this is a forecast.",
                view.len()
            ))?;
        }
    }
    Ok(Exit::Good)
}
