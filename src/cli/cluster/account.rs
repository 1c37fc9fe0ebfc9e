//! `holdfast vm set` and `holdfast target`: by what the time of VMs is accounted for.

use super::flags::Flags;
use super::host::say;
use super::session::{Answer, Session, Verb, ended, segment};
use super::show::Sheet;
use super::vm::path;
use crate::api::{NewAccount, Percent, TargetView, VmView};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::core::state::{Probe, Tag, Target, UpMeans};
use clap::{Args, Subcommand};
use serde_json::{json as value, to_value};
use std::collections::BTreeSet;

pub const SET_HELP: &str = "\
When a VM counts as up, in reports:

  running           its process runs
  agent             it runs, and the agent in its guest answers
  tcp:ADDRESS:PORT  it runs, and somebody takes a connection there
  http://HOST/PATH  it runs, and that answers with a status of success, or with --status; https:// does not look at
                    certificates
  command:NAME      it runs, and the program of that name in [commands] of its host's configuration ends with success;
                    the VM's UUID is its last argument

The host that runs the VM asks, every five seconds. Two failures in a row are told, and counted from the last answer.
What a guest answers is shown and reported, and never a reason to start, stop or move anything.

Examples:
  holdfast vm set web-1 --tag web --tag production --up http://10.0.0.7/health --target 99.95
  holdfast vm set db-1 --up tcp:10.0.0.8:5432
  holdfast vm set db-1 --no-tags --no-target";

const TARGET_HELP: &str = "\
A target is the share of its time for which something is to be up, in percent; what is left of it is the error budget that
`holdfast report availability` shows. A VM may have one of its own (`holdfast vm set`), which counts for more than those of
its tags.

Examples:
  holdfast target list
  holdfast target set production 99.95
  holdfast target remove production";

#[derive(Debug, Args)]
pub struct SetArgs {
    /// The VM's name or UUID
    #[arg(value_name = "VM", value_parser = named)]
    name: String,
    /// A tag, in place of all that it had
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// No tags any more
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// When it counts as up
    #[arg(long, value_name = "MEANS")]
    up: Option<UpMeans>,
    /// The status with which HTTP is to answer
    #[arg(long, value_name = "STATUS", requires = "up", value_parser = clap::value_parser!(u16).range(100..600))]
    status: Option<u16>,
    /// How much of its time it is to be up, in percent
    #[arg(long, value_name = "PERCENT")]
    target: Option<Target>,
    /// No target of its own any more
    #[arg(long, conflicts_with = "target")]
    no_target: bool,
}

#[derive(Debug, Args)]
#[command(after_help = TARGET_HELP)]
pub struct TargetArgs {
    #[command(subcommand)]
    verb: TargetVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum TargetVerb {
    /// Shows the targets of tags
    #[command(after_help = "Examples:\n  holdfast target list -o json")]
    List,
    /// Says how much of their time VMs with a tag are to be up
    #[command(after_help = "Examples:\n  holdfast target set production 99.95")]
    Set {
        /// The tag
        #[arg(value_name = "TAG")]
        tag: Tag,
        /// The share of the time, in percent
        #[arg(value_name = "PERCENT")]
        target: Target,
    },
    /// Takes the target of a tag back
    #[command(after_help = "Examples:\n  holdfast target remove production")]
    Remove {
        /// The tag
        #[arg(value_name = "TAG")]
        tag: Tag,
    },
}

/// Says by what a VM's time is accounted for.
pub fn set(args: &SetArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let new = wanted(args)?;
    let vm: VmView = session.find(&path(&args.name))?;
    let answer = session.change(Verb::Put, &format!("{}/account", path(&args.name)), &to_value(&new)?, output)?;
    let text = match answer {
        Answer::Dry => return Ok(Exit::Good),
        Answer::SoAlready => format!("{} was so already", vm.name),
        Answer::Done(_) => {
            let vm: VmView = session.find(&path(&vm.uuid.to_string()))?;
            format!("{}: {}", vm.name, summary(&vm))
        }
    };
    say(&text, session, output)?;
    Ok(Exit::Good)
}

fn wanted(args: &SetArgs) -> anyhow::Result<NewAccount> {
    let mut up = args.up.clone();
    if let Some(wanted) = args.status {
        match &mut up {
            Some(UpMeans::Probe(Probe::Http { status, .. })) => *status = Some(wanted),
            _ => return Err(ended(Exit::BadUsage, "--status is for --up http://... and https://... alone")),
        }
    }
    let tags = (!args.tags.is_empty() || args.no_tags).then(|| args.tags.iter().cloned().collect::<BTreeSet<Tag>>());
    let target = (args.target.is_some() || args.no_target).then(|| args.target.map(Percent));
    let new = NewAccount { tags, up, target };
    match new == NewAccount::default() {
        true => Err(ended(Exit::BadUsage, "nothing is to be changed: name --tag, --up or --target")),
        false => Ok(new),
    }
}

fn summary(vm: &VmView) -> String {
    let tags = if vm.tags.is_empty() { "no tags".to_owned() } else { format!("tags {}", tags(vm)) };
    let target =
        vm.target.map_or_else(|| "no target of its own".to_owned(), |Percent(target)| format!("target {target} %"));
    format!("up means {}; {tags}; {target}", vm.up)
}

/// A VM's tags, for people.
pub(super) fn tags(vm: &VmView) -> String {
    vm.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ")
}

/// What is known of a VM's guest, for people; nothing, where nothing is.
pub(super) fn guest(vm: &VmView) -> Option<String> {
    let health = vm.up.asks().then(|| vm.health.name().to_owned());
    let parts: Vec<String> = health.into_iter().chain(vm.system.clone()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The targets of tags.
pub fn target(args: &TargetArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        TargetVerb::List => {
            let list: Vec<TargetView> = session.look("/v1/targets")?;
            let mut sheet = Sheet::new(&["tag", "target", "vms"]);
            for one in &list {
                sheet.row([one.tag.to_string(), format!("{} %", one.target.0), one.vms.to_string()]);
            }
            sheet.show(session.flags.output, &list, output)?;
        }
        TargetVerb::Set { tag, target } => {
            let body = value!({ "target": Percent(*target) });
            let text = match session.change(Verb::Put, &at(tag), &body, output)? {
                Answer::Done(_) => format!("VMs with the tag {tag} are to be up for {target} % of their time"),
                Answer::SoAlready => format!("the target of {tag} was {target} % already"),
                Answer::Dry => return Ok(Exit::Good),
            };
            say(&text, session, output)?;
        }
        TargetVerb::Remove { tag } => {
            if session.change(Verb::Delete, &at(tag), &value!(null), output)? != Answer::Dry {
                say(&format!("VMs with the tag {tag} have no target any more"), session, output)?;
            }
        }
    }
    Ok(Exit::Good)
}

fn at(tag: &Tag) -> String {
    format!("/v1/targets/{}", segment(tag.as_str()))
}
