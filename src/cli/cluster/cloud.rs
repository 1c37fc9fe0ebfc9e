//! What is asked of an OpenStack cloud, without any cluster.

use super::flags::Form;
use super::show::{Mood, Sheet, or_dash, tame};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::openstack::{
    CloudReport, Compute, Gravity, Patience, ServiceState, ServiceStatus, Surroundings, check, cloud,
};
use crate::words::{listed, parse_duration};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::time::Duration;

const CHECK_HELP: &str = "\
The cloud and its credentials are found as OpenStack's own tools find them: in clouds.yaml (OS_CLIENT_CONFIG_FILE, .,
~/.config/openstack, /etc/openstack) with a secure.yaml beside it, or in the variables OS_AUTH_URL and so on. An
application credential will do, or a password with a project. Nothing is changed in the cloud.

Examples:
  holdfast cloud check                          # the cloud of OS_CLOUD, of OS_AUTH_URL, or the only one
  holdfast cloud check --cloud production
  holdfast cloud check --cloud production --output json

It ends with 4 if something is missing that recoveries need, and with 5 if the cloud does not answer.";

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub struct CloudArgs {
    #[command(subcommand)]
    verb: CloudVerb,
}

#[derive(Debug, Subcommand)]
enum CloudVerb {
    /// Says who may ask, which compute hosts there are, and what is missing for recoveries; changes nothing
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The cloud of this name in clouds.yaml
        #[arg(long, value_name = "NAME")]
        cloud: Option<String>,
        /// In which form the answer is printed
        #[arg(short, long, value_enum, default_value = "table")]
        output: Form,
        /// For how long each question is asked again while the cloud does not answer
        #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
        timeout: Duration,
    },
}

/// Asks a cloud.
pub fn clouds(args: &CloudArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let CloudVerb::Check { cloud: name, output: form, timeout } = &args.verb;
    let cloud = cloud(name.as_deref(), &Surroundings::here())?;
    let patience = Patience { each: Patience::default().each.min(*timeout), whole: *timeout };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime can be made")?;
    let report = runtime.block_on(check(cloud, patience))?;
    show(&report, *form, output)?;
    let is_bad = report.findings.iter().any(|finding| finding.gravity == Gravity::Bad);
    Ok(if is_bad { Exit::Failed } else { Exit::Good })
}

fn show(report: &CloudReport, form: Form, output: &mut Output) -> anyhow::Result<()> {
    let sheet = computes(report.computes.as_deref().unwrap_or_default());
    if form != Form::Table {
        return sheet.show(form, report, output);
    }
    let roles = listed(&report.roles, "and");
    let project = or_dash(report.project.as_deref());
    output.line(&tame(&format!(
        "cloud \"{}\": {} as {}, project {project}, roles {roles}",
        report.cloud, report.keystone, report.user
    )))?;
    let (lowest, highest) = (report.microversion_lowest, report.microversion_highest);
    output.line(&tame(&format!(
        "Nova of region {}: {}, version {} of {lowest} to {highest}",
        report.region, report.nova, report.microversion
    )))?;
    if let (Some(computes), Some(servers)) = (&report.computes, report.servers) {
        output.line(&format!("compute hosts: {}, servers: {servers}", computes.len()))?;
    }
    if !sheet.is_empty() {
        output.line("")?;
        sheet.table(output)?;
    }
    output.line("")?;
    if report.findings.is_empty() {
        return output.line("nothing is amiss");
    }
    let mut findings = Sheet::new(&["how bad", "finding", "advice"]);
    for finding in &report.findings {
        let (word, mood) = match finding.gravity {
            Gravity::Bad => ("bad", Mood::Bad),
            Gravity::Weak => ("weak", Mood::Unsure),
        };
        let plain = |text: &String| (text.clone(), Mood::Plain);
        findings.moody([(word.to_owned(), mood), plain(&finding.finding), plain(&finding.advice)]);
    }
    findings.table(output)
}

fn computes(computes: &[Compute]) -> Sheet {
    let mut sheet = Sheet::new(&["host", "hypervisor", "zone", "state", "new servers", "servers", "reason"]);
    for compute in computes {
        let state = match compute.state {
            _ if compute.forced_down => ("forced down", Mood::Bad),
            ServiceState::Up => ("up", Mood::Good),
            ServiceState::Down => ("down", Mood::Bad),
            ServiceState::Unknown => ("unknown", Mood::Unsure),
        };
        let status = match compute.status {
            ServiceStatus::Enabled => ("enabled", Mood::Good),
            ServiceStatus::Disabled => ("disabled", Mood::Unsure),
            ServiceStatus::Unknown => ("unknown", Mood::Unsure),
        };
        let plain = |text: String| (text, Mood::Plain);
        sheet.moody([
            plain(compute.host.clone()),
            plain(or_dash(Some(&compute.hypervisors.join(", ")))),
            plain(or_dash(compute.zone.as_deref())),
            (state.0.to_owned(), state.1),
            (status.0.to_owned(), status.1),
            plain(compute.servers.map_or_else(|| "-".to_owned(), |servers| servers.to_string())),
            plain(or_dash(compute.disabled_reason.as_deref())),
        ]);
    }
    sheet
}
