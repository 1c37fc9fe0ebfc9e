//! `holdfast vm`: the VMs of the cluster, and what people want of them.

use super::account::{SetArgs, guest, set, tags};
use super::flags::{Flags, Form};
use super::host::say;
use super::live::{Follower, LiveArgs, of_move, of_vm, with};
use super::protect::{ProtectArgs, found, protect};
use super::session::{Answer, Progress, Session, Twice, Verb, ended, is, segment};
use super::show::{Mood, Sheet, cores, json, memory, or_dash, tame};
use crate::api::{HostView, VmView};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::core::command::Want;
use crate::core::state::Health;
use clap::{Args, Subcommand};
use serde_json::{Value, json as value};

const EXAMPLES: &str = "\
A VM is named by its name or its UUID.

Examples:
  holdfast vm list
  holdfast vm explain db-1
  holdfast vm stop db-1 --reason \"disk change\"
  holdfast vm move db-1 host-2
  holdfast vm protect db-1 --memory 4GiB --cores 2 --definition db-1.xml --start
  holdfast vm set db-1 --tag production --up agent --target 99.95";

const STOP_HELP: &str = "\
Without --force the guest is asked to power off, and may take its time. A VM that a person stopped stays stopped.

Examples:
  holdfast vm stop db-1
  holdfast vm stop db-1 --force --yes";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VmArgs {
    #[command(subcommand)]
    verb: VmVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum VmVerb {
    /// Shows all VMs
    #[command(after_help = "Examples:\n  holdfast vm list\n  holdfast vm list -o csv")]
    List,
    /// Shows one VM
    #[command(after_help = "Examples:\n  holdfast vm show db-1\n  holdfast vm show db-1 --live -o json")]
    Show(ShowArgs),
    /// Says why a VM runs or does not, what it waits for, and what proved its last holders gone
    #[command(after_help = "Examples:\n  holdfast vm explain db-1")]
    Explain(VmName),
    /// Has a VM run, and sees it running
    #[command(after_help = "Examples:\n  holdfast vm start db-1\n  holdfast vm start db-1 --no-wait")]
    Start(VmName),
    /// Has a VM stopped, and sees it stopped
    #[command(after_help = STOP_HELP)]
    Stop(StopArgs),
    /// Moves a VM to another host without stopping it
    #[command(after_help = "Examples:\n  holdfast vm move db-1 host-2")]
    Move(MoveArgs),
    /// Shows the VMs that the hypervisors have, protected or not
    #[command(after_help = "Examples:\n  holdfast vm found\n  holdfast vm found --host host-1")]
    Found {
        /// Those of one host
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
    },
    /// Puts a VM under protection
    #[command(after_help = super::protect::HELP)]
    Protect(Box<ProtectArgs>),
    /// Says by what the time of a VM is accounted for: its tags, when it counts as up, its target
    #[command(after_help = super::account::SET_HELP)]
    Set(Box<SetArgs>),
    /// Ends the protection of a VM, which runs on
    #[command(after_help = "Examples:\n  holdfast vm unprotect db-1 --yes")]
    Unprotect(VmName),
    /// Forgets a VM that is not protected any more; its disks stay
    #[command(after_help = "Examples:\n  holdfast vm remove db-1")]
    Remove(VmName),
}

#[derive(Debug, Args)]
struct VmName {
    /// The VM's name or UUID
    #[arg(value_name = "VM", value_parser = named)]
    name: String,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    vm: VmName,
    #[command(flatten)]
    live: LiveArgs,
}

#[derive(Debug, Args)]
struct StopArgs {
    #[command(flatten)]
    vm: VmName,
    /// At once, as if its power was cut, instead of by asking the guest
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct MoveArgs {
    #[command(flatten)]
    vm: VmName,
    /// Where to, by name or UUID
    #[arg(value_name = "HOST", value_parser = named)]
    host: String,
}

/// Does what is asked for.
pub fn vm(args: &VmArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        VmVerb::List => list(session, output),
        VmVerb::Show(args) => show(args, session, output),
        VmVerb::Explain(vm) => explain(&vm.name, session, output),
        VmVerb::Start(vm) => start(&vm.name, session, output),
        VmVerb::Stop(stop) => stop_vm(stop, session, output),
        VmVerb::Move(target) => move_vm(target, session, output),
        VmVerb::Found { host } => found(host.as_deref(), session, output),
        VmVerb::Protect(new) => protect(new, session, output),
        VmVerb::Set(args) => set(args, session, output),
        VmVerb::Unprotect(vm) => unprotect(&vm.name, session, output),
        VmVerb::Remove(vm) => remove(&vm.name, session, output),
    }
}

pub(super) fn path(name: &str) -> String {
    format!("/v1/vms/{}", segment(name))
}

fn list(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let mut view: Vec<VmView> = session.list("/v1/vms", |vm: &VmView| vm.uuid)?;
    view.sort_by(|left, right| left.name.cmp(&right.name));
    let head =
        ["name", "state", "host", "guest", "tags", "memory", "cores", "priority", "if its host dies", "waits for"];
    let mut sheet = Sheet::new(&head);
    for vm in &view {
        let plain = |text: String| (text, Mood::Plain);
        sheet.moody([
            plain(vm.name.clone()),
            (vm.state.clone(), mood(vm)),
            plain(or_dash(vm.host.as_deref())),
            (or_dash(guest(vm).as_deref()), well(vm)),
            plain(or_dash(Some(tags(vm).as_str()).filter(|tags| !tags.is_empty()))),
            plain(memory(vm.memory_mib)),
            plain(cores(vm.millicores)),
            plain(vm.priority.to_string()),
            plain(response(vm)),
            plain(or_dash(vm.waits.as_deref())),
        ]);
    }
    sheet.show(session.flags.output, &view, output)?;
    Ok(Exit::Good)
}

fn mood(vm: &VmView) -> Mood {
    match vm.state.as_str() {
        "running" => Mood::Good,
        "starting" | "moving" | "stopping" | "unknown" => Mood::Unsure,
        "waiting" => Mood::Bad,
        _ => Mood::Plain,
    }
}

/// How its guest fares, where that is asked.
fn well(vm: &VmView) -> Mood {
    match vm.health {
        Health::Silent => Mood::Bad,
        Health::Answers => Mood::Good,
        Health::Unknown => Mood::Plain,
    }
}

fn response(vm: &VmView) -> String {
    if !vm.bonds.is_empty() {
        return format!("it stays down: {}", vm.bonds.join("; "));
    }
    serde_json::to_value(vm.response).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

fn show(args: &ShowArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.look(&path(&args.vm.name))?;
    let mut sheet = Sheet::new(&["what", "how"]);
    let mut row = |what: &str, how: String, mood| sheet.moody([(what.to_owned(), Mood::Plain), (how, mood)]);
    row("name", vm.name.clone(), Mood::Plain);
    row("uuid", vm.uuid.to_string(), Mood::Plain);
    row("state", vm.state.clone(), mood(&vm));
    row("host", or_dash(vm.host.as_deref()), Mood::Plain);
    row("wanted", wanted(vm.want).to_owned(), Mood::Plain);
    row("needs", format!("{}, {} cores", memory(vm.memory_mib), cores(vm.millicores)), Mood::Plain);
    row("priority", vm.priority.to_string(), Mood::Plain);
    row("if its host dies", response(&vm), Mood::Plain);
    row("counts as up", vm.up.to_string(), Mood::Plain);
    row("guest", or_dash(guest(&vm).as_deref()), well(&vm));
    row("tags", or_dash(Some(tags(&vm).as_str()).filter(|tags| !tags.is_empty())), Mood::Plain);
    row("target", or_dash(vm.target.map(|target| format!("{} %", target.0)).as_deref()), Mood::Plain);
    row("epoch", vm.epoch.clone(), Mood::Plain);
    row("waits for", or_dash(vm.waits.as_deref()), Mood::Plain);
    if vm.holders.is_empty() || !args.live.is_wanted(session) {
        sheet.show(session.flags.output, &vm, output)?;
        return Ok(Exit::Good);
    }
    let path = path(&vm.uuid.to_string());
    let is_moving = vm.state == "moving";
    let (moved, moving) = if is_moving { of_move(&path, session) } else { Default::default() };
    let (uses, live) = of_vm(&path, session);
    moved.into_iter().chain(uses).for_each(|(what, how, mood)| row(what, how, mood));
    sheet.show(session.flags.output, &with(&vm, [("move", moving), ("live", live)])?, output)?;
    Ok(Exit::Good)
}

fn wanted(want: Want) -> &'static str {
    match want {
        Want::Running => "running",
        Want::Stopped => "stopped",
        Want::Killed => "stopped at once",
    }
}

fn explain(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.look(&path(name))?;
    if session.flags.output == Form::Json {
        json(&vm, output)?;
        return Ok(Exit::Good);
    }
    let on = vm.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    output.line(&tame(&format!("{} is {}{on}, and should be {}", vm.name, vm.state, wanted(vm.want))))?;
    if let Some(waits) = &vm.waits {
        output.line(&format!("  {}", tame(waits)))?;
    }
    for holder in &vm.holders {
        let role = serde_json::to_value(holder.role).unwrap_or_default();
        let role = role.as_str().unwrap_or_default().to_lowercase();
        output.line(&tame(&format!("  {} may run it: {role}, epoch {}", holder.host, holder.epoch)))?;
    }
    for proof in &vm.proofs {
        let (host, epoch) = (&proof.host, &proof.epoch);
        output.line(&tame(&format!("  {host} no longer runs it (epoch {epoch}), proven: {}", proof.text)))?;
    }
    Ok(Exit::Good)
}

fn start(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.find(&path(name))?;
    let answer = session.change(Verb::Post, &format!("{}/start", path(name)), &value!({}), output)?;
    if answer == Answer::Dry {
        return Ok(Exit::Good);
    }
    see_running(&vm.uuid.to_string(), &vm.name, session, output)
}

/// Waits until a VM runs.
pub(super) fn see_running(
    uuid: &str,
    name: &str,
    session: &mut Session<'_>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    if session.flags.no_wait {
        say(&format!("{name} is to run"), session, output)?;
        return Ok(Exit::Good);
    }
    let vm = session.wait(&format!("the start of {name}"), |session| {
        let vm: VmView = session.find(&path(uuid))?;
        let waits = vm.waits.clone().unwrap_or_default();
        Ok(match (vm.state.as_str(), vm.waits_for.as_str()) {
            ("running", _) => Progress::Done(vm),
            ("unprotected", _) => Progress::Failed("it is not protected any more".to_owned()),
            ("stopped" | "stopping", _) if vm.want != Want::Running => {
                Progress::Failed("somebody stopped it meanwhile".to_owned())
            }
            (_, "gave-up") => Progress::Failed(waits),
            (_, "not-armed") => Progress::Stuck(waits),
            (state, _) => Progress::Going(if waits.is_empty() { state.to_owned() } else { waits }),
        })
    })?;
    done(&vm, &format!("{name} runs on {}", or_dash(vm.host.as_deref())), session, output)
}

fn done(vm: &VmView, text: &str, session: &Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match session.flags.output {
        Form::Json => json(vm, output)?,
        _ => output.line(&tame(text))?,
    }
    Ok(Exit::Good)
}

fn stop_vm(args: &StopArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.find(&path(&args.vm.name))?;
    let (name, uuid) = (vm.name, vm.uuid.to_string());
    if args.force {
        session.confirm(&format!("Stop {} at once? Its guest loses what it has not written.", tame(&name)))?;
    }
    let body = value!({ "force": args.force });
    if session.change(Verb::Post, &format!("{}/stop", path(&args.vm.name)), &body, output)? == Answer::Dry {
        return Ok(Exit::Good);
    }
    if session.flags.no_wait {
        say(&format!("{name} is to stop"), session, output)?;
        return Ok(Exit::Good);
    }
    let vm = session.wait(&format!("the stop of {name}"), |session| {
        let vm: VmView = session.find(&path(&uuid))?;
        Ok(match vm.state.as_str() {
            "stopped" if vm.holders.is_empty() => Progress::Done(vm),
            "unprotected" => Progress::Failed("it is not protected any more".to_owned()),
            _ if vm.want == Want::Running => Progress::Failed("somebody started it meanwhile".to_owned()),
            state => Progress::Going(vm.waits.unwrap_or_else(|| state.to_owned())),
        })
    })?;
    done(&vm, &format!("{name} is stopped"), session, output)
}

fn move_vm(args: &MoveArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.find(&path(&args.vm.name))?;
    let target: HostView = session.find(&format!("/v1/hosts/{}", segment(&args.host)))?;
    let (name, uuid, to) = (vm.name, vm.uuid.to_string(), target.name);
    if vm.host.as_ref() == Some(&to) && vm.state == "running" {
        say(&format!("{name} runs on {to} already"), session, output)?;
        return Ok(Exit::Good);
    }
    if vm.state != "running" {
        let text = format!("{name} is {}: only a VM that runs can be moved", vm.state);
        return Err(ended(Exit::Failed, text));
    }
    let body = value!({ "to": to });
    if session.change(Verb::Post, &format!("{}/move", path(&args.vm.name)), &body, output)? == Answer::Dry {
        return Ok(Exit::Good);
    }
    if session.flags.no_wait {
        say(&format!("{name} is being moved to {to}"), session, output)?;
        return Ok(Exit::Good);
    }
    let mut follower = Follower::new(&path(&uuid));
    let vm = session.wait(&format!("the move of {name}"), |session| {
        let vm: VmView = session.find(&path(&uuid))?;
        Ok(match vm.state.as_str() {
            // As long as there are two holders, the source has not said that it is done.
            "running" if vm.host.as_ref() == Some(&to) && vm.holders.len() == 1 => Progress::Done(vm),
            "running" if vm.host.as_ref() == Some(&to) => Progress::Going("its source lets go of it".to_owned()),
            "running" => {
                let host = or_dash(vm.host.as_deref());
                Progress::Failed(match follower.failure(session) {
                    Some(why) => format!("it still runs on {host}: {why}"),
                    None => format!("it still runs on {host}; the log of the agent there says why"),
                })
            }
            state => Progress::Going(follower.progress(session).or(vm.waits).unwrap_or_else(|| state.to_owned())),
        })
    })?;
    done(&vm, &format!("{name} runs on {to}"), session, output)
}

fn unprotect(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.find(&path(name))?;
    session.confirm(&format!("End the protection of {}? When its host dies, it stays down.", tame(&vm.name)))?;
    let answer = session.change(Verb::Post, &format!("{}/unprotect", path(name)), &value!({}), output)?;
    if answer != Answer::Dry {
        say(&format!("{} is not protected any more; it runs on where it runs", vm.name), session, output)?;
    }
    Ok(Exit::Good)
}

fn remove(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let vm: VmView = session.find(&path(name))?;
    if vm.protected {
        let text = format!("{} is protected\n  hint: `holdfast vm unprotect` it first", vm.name);
        return Err(ended(Exit::Failed, text));
    }
    if session.flags.dry_run {
        session.say_dry(Verb::Delete, &path(name), &value!(null), output)?;
        return Ok(Exit::Good);
    }
    // Hosts are still being told that it is not protected any more; what is asked of them then is refused.
    let path = path(&vm.uuid.to_string());
    let what = format!("the removal of {}", vm.name);
    let removed =
        session.wait(&what, |session| match session.ask::<Value>(Verb::Delete, &path, &Value::Null, Twice::Harmless) {
            Ok(_) => Ok(Progress::Done(())),
            Err(error) if is(&error, "config-behind") && !session.flags.no_wait => {
                Ok(Progress::Going("not every host knows yet that it is not protected any more".to_owned()))
            }
            Err(error) => Err(error),
        });
    match removed {
        // The answer to an earlier try was lost.
        Err(error) if is(&error, "not-found") => {}
        other => other?,
    }
    say(&format!("{} is forgotten; its disks are as they were", vm.name), session, output)?;
    Ok(Exit::Good)
}
