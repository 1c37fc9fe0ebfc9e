//! `holdfast host`: the hosts of the cluster, and what people do with them.

use super::events::{since_now, staged};
use super::flags::{Flags, Form};
use super::live::{LiveArgs, checkup, of_host, with};
use super::session::{Answer, Progress, Session, Twice, Verb, ended, is, segment};
use super::show::{Mood, Sheet, cores, json, memory, or_dash, span, tame};
use crate::api::HostView;
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use clap::{Args, Subcommand};
use serde_json::{Value, json as value};

const EXAMPLES: &str = "\
A host is named by its name or its UUID.

Examples:
  holdfast host list
  holdfast host explain host-3
  holdfast host fence host-3 bmc-3 --level pdu-a,pdu-b
  holdfast host drill host-3
  holdfast host remove host-3";

const FENCE_HELP: &str = "\
The devices are tried level by level; all devices of one level must switch off for the host to count as off.

Examples:
  holdfast host fence host-3 bmc-3
  holdfast host fence host-3 bmc-3 --level pdu-a,pdu-b
  holdfast host fence host-3 --none";

const REMOVE_HELP: &str = "\
Move or stop its VMs first. To come back it joins as a new host: stop its agent, move its state directory away, and
`holdfast join` with a new token.

Examples:
  holdfast host remove host-3 --yes";

const CONFIRM_HELP: &str = "\
Your word is a proof: VMs of the host are started elsewhere at once. If it still runs them, they run twice. See with
your own eyes that it is off. It is refused while any channel shows life.

Examples:
  holdfast host confirm-dead host-3 --reason \"rack 4 burnt\"";

const DRILL_HELP: &str = "\
A device that cannot say which machine it controls (any fence agent) proves nothing before a drill has shown that this very
host goes off and comes up in a new boot. If such a device is plugged to another machine, that one is cut off instead: it
is told, and the device stays without proof.

The host must hold no VM. It is powered off by its fence devices, read back as off, and powered on again.

Examples:
  holdfast host drill host-3
  holdfast drill host-3 --timeout 15m";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HostArgs {
    #[command(subcommand)]
    verb: HostVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum HostVerb {
    /// Shows all hosts
    #[command(after_help = "Examples:\n  holdfast host list\n  holdfast host list -o csv")]
    List,
    /// Shows one host
    #[command(after_help = "Examples:\n  holdfast host show host-3\n  holdfast host show host-3 --live -o json")]
    Show(ShowArgs),
    /// Says why a host stands as it does, and what would change it
    #[command(after_help = "Examples:\n  holdfast host explain host-3")]
    Explain(HostName),
    /// Gives your word that a host is dead, so that its VMs are started elsewhere
    #[command(after_help = CONFIRM_HELP)]
    ConfirmDead(HostName),
    /// Has a host without VMs powered off and on, to see that its fence devices work
    #[command(after_help = DRILL_HELP)]
    Drill(HostName),
    /// Says that of two machines with one UUID only one is left
    #[command(after_help = "Examples:\n  holdfast host resolve host-3")]
    Resolve(HostName),
    /// Lets a host have VMs again that was fenced too often
    #[command(after_help = "Examples:\n  holdfast host end-quarantine host-3")]
    EndQuarantine(HostName),
    /// Removes a host for good, once it holds no VM and its vote has moved elsewhere
    #[command(after_help = REMOVE_HELP)]
    Remove(HostName),
    /// Keeps a host that was to be removed
    #[command(after_help = "Examples:\n  holdfast host keep host-3")]
    Keep(HostName),
    /// Sets which devices fence a host
    #[command(after_help = FENCE_HELP)]
    Fence(FenceArgs),
}

#[derive(Debug, Args)]
pub struct HostName {
    /// The host's name or UUID
    #[arg(value_name = "HOST", value_parser = named)]
    pub name: String,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    host: HostName,
    #[command(flatten)]
    live: LiveArgs,
}

#[derive(Debug, Args)]
#[command(after_help = DRILL_HELP)]
pub struct DrillArgs {
    #[command(flatten)]
    pub host: HostName,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Args)]
struct FenceArgs {
    #[command(flatten)]
    host: HostName,
    /// The devices of the first level, by name
    #[arg(value_name = "DEVICE", required_unless_present = "none")]
    devices: Vec<String>,
    /// The devices of a further level, which is tried when those before have failed
    #[arg(long, value_name = "DEVICE,DEVICE...")]
    level: Vec<String>,
    /// Leaves the host without fence devices
    #[arg(long, conflicts_with_all = ["devices", "level"])]
    none: bool,
}

/// Does what is asked for.
pub fn host(args: &HostArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        HostVerb::List => list(session, output),
        HostVerb::Show(args) => show(args, session, output),
        HostVerb::Explain(host) => explain(&host.name, session, output),
        HostVerb::ConfirmDead(host) => {
            let question = "Its VMs are started elsewhere at once, and run twice if it is not really off.";
            deed(&host.name, "confirm-dead", Some(question), session, output)
        }
        HostVerb::Drill(host) => drill(&host.name, session, output),
        HostVerb::Resolve(host) => deed(&host.name, "resolve", None, session, output),
        HostVerb::EndQuarantine(host) => deed(&host.name, "end-quarantine", None, session, output),
        HostVerb::Remove(host) => remove(&host.name, session, output),
        HostVerb::Keep(host) => deed(&host.name, "keep", None, session, output),
        HostVerb::Fence(fence) => set_fences(fence, session, output),
    }
}

fn path(name: &str) -> String {
    format!("/v1/hosts/{}", segment(name))
}

fn list(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let mut view: Vec<HostView> = session.list("/v1/hosts", |host: &HostView| host.uuid)?;
    view.sort_by(|left, right| left.name.cmp(&right.name));
    let mut sheet =
        Sheet::new(&["name", "state", "role", "vms", "memory", "cores", "domain", "fences", "watchdog", "silent"]);
    for host in &view {
        let fences: Vec<String> = host.fences.iter().map(|level| level.join("+")).collect();
        let plain = |text: String| (text, Mood::Plain);
        sheet.moody([
            plain(host.name.clone()),
            (state(host), mood(host)),
            plain(role(host).to_owned()),
            plain(host.vms.len().to_string()),
            plain(memory(host.memory_mib)),
            plain(cores(host.millicores)),
            plain(or_dash(Some(&host.failure_domain))),
            plain(or_dash(Some(&fences.join(" then ")))),
            plain(host.watchdog.clone()),
            plain(or_dash(silence(host.silent_milliseconds).as_deref())),
        ]);
    }
    sheet.show(session.flags.output, &view, output)?;
    Ok(Exit::Good)
}

fn state(host: &HostView) -> String {
    if host.quarantined { format!("{}, quarantined", host.state) } else { host.state.clone() }
}

fn mood(host: &HostView) -> Mood {
    match host.state.as_str() {
        "alive" if !host.quarantined => Mood::Good,
        "alive" | "joining" | "suspect" | "isolated" | "unknown" => Mood::Unsure,
        _ => Mood::Bad,
    }
}

fn role(host: &HostView) -> &'static str {
    match (host.is_master, host.is_witness, host.votes) {
        (true, true, _) => "master, witness",
        (true, false, _) => "master",
        (false, true, _) => "witness",
        (false, false, true) => "voter",
        (false, false, false) => "-",
    }
}

fn silence(milliseconds: Option<u64>) -> Option<String> {
    milliseconds.map(|silent| span(i64::try_from(silent).unwrap_or(i64::MAX)))
}

fn show(args: &ShowArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let host: HostView = session.look(&path(&args.host.name))?;
    let mut sheet = Sheet::new(&["what", "how"]);
    let mut row = |what: &str, how: String, mood| sheet.moody([(what.to_owned(), Mood::Plain), (how, mood)]);
    row("name", host.name.clone(), Mood::Plain);
    row("uuid", host.uuid.to_string(), Mood::Plain);
    row("state", state(&host), mood(&host));
    row("role", role(&host).to_owned(), Mood::Plain);
    row("failure domain", or_dash(Some(&host.failure_domain)), Mood::Plain);
    row("reached at", host.endpoints.join(", "), Mood::Plain);
    row("for VMs", format!("{}, {} cores", memory(host.memory_mib), cores(host.millicores)), Mood::Plain);
    row("holds", or_dash(Some(&host.vms.join(", "))), Mood::Plain);
    for (number, level) in host.fences.iter().enumerate() {
        row(&format!("fences, level {}", number + 1), level.join(" and "), Mood::Plain);
    }
    row("watchdog", host.watchdog.clone(), Mood::Plain);
    row("records on", or_dash(Some(&host.records_on.join(", "))), Mood::Plain);
    row(
        "last heartbeat",
        silence(host.silent_milliseconds).map_or("-".to_owned(), |ago| format!("{ago} ago")),
        Mood::Plain,
    );
    row(
        "last record",
        silence(host.record_milliseconds).map_or("-".to_owned(), |ago| format!("{ago} ago")),
        Mood::Plain,
    );
    if !args.live.is_wanted(session) {
        sheet.show(session.flags.output, &host, output)?;
        return Ok(Exit::Good);
    }
    let path = path(&host.uuid.to_string());
    let ((uses, live), (checked, checkup)) = (of_host(&path, session), checkup(&path, session));
    uses.into_iter().chain(checked).for_each(|(what, how, mood)| row(what, how, mood));
    sheet.show(session.flags.output, &with(&host, [("live", live), ("checkup", checkup)])?, output)?;
    Ok(Exit::Good)
}

fn explain(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let host: HostView = session.look(&path(name))?;
    if session.flags.output == Form::Json {
        json(&value!({ "name": host.name, "state": host.state, "explanation": host.explanation }), output)?;
        return Ok(Exit::Good);
    }
    output.line(&format!("{} is {}", tame(&host.name), state(&host)))?;
    for sentence in &host.explanation {
        output.line(&format!("  {}", tame(sentence)))?;
    }
    if let Some(silent) = silence(host.silent_milliseconds) {
        output.line(&format!("  its last heartbeat was heard {silent} ago"))?;
    }
    if let Some(silent) = silence(host.record_milliseconds) {
        output.line(&format!("  its liveness record last changed {silent} ago"))?;
    }
    if !host.vms.is_empty() {
        output.line(&format!("  it holds {}", tame(&host.vms.join(", "))))?;
    }
    Ok(Exit::Good)
}

/// Something that is done with the cluster's word alone.
fn deed(
    name: &str,
    deed: &str,
    question: Option<&str>,
    session: &mut Session<'_>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let host: HostView = session.find(&path(name))?;
    if let Some(question) = question {
        session.confirm(&format!("{deed} {}? {question}", tame(&host.name)))?;
    }
    match session.change(Verb::Post, &format!("{}/{deed}", path(name)), &value!({}), output)? {
        Answer::Done(_) => say(&format!("{deed} {}: done", host.name), session, output)?,
        Answer::SoAlready => say(&format!("{deed} {}: there was nothing to do", host.name), session, output)?,
        Answer::Dry => {}
    }
    Ok(Exit::Good)
}

pub(super) fn say(text: &str, session: &Session<'_>, output: &mut Output) -> anyhow::Result<()> {
    match session.flags.output {
        Form::Json => output.line(&value!({ "done": true, "text": text }).to_string()),
        _ => output.line(&tame(text)),
    }
}

/// Has a host fenced that lives, and sees it come back.
pub fn drill(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let host: HostView = session.find(&path(name))?;
    drillable(&host)?;
    session.confirm(&format!("Power {} off and on, to see that its fence devices work?", tame(&host.name)))?;
    let mut after = since_now(session)?;
    if session.change(Verb::Post, &format!("{}/drill", path(name)), &value!({}), output)? == Answer::Dry {
        return Ok(Exit::Good);
    }
    if session.flags.no_wait {
        say(&format!("{} is being fenced", host.name), session, output)?;
        return Ok(Exit::Good);
    }
    let policy: Value = session.find("/v1/policy")?;
    let comes_back = policy["power_on_after_fence"] == Value::Bool(true);
    let mut proven: Option<String> = None;
    let done = session.wait(&format!("the drill of {}", host.name), |session| {
        for event in staged(session, &mut after)? {
            if event.host.as_ref() != Some(&host.name) {
                continue;
            }
            session.remark(&event.text);
            match (event.kind.as_str(), &proven) {
                ("host-proven", _) => proven = Some(event.text),
                ("host-up", Some(_)) => return Ok(Progress::Done(format!("{} was off, and is up again", host.name))),
                ("host-up", None) => return Ok(Progress::Failed("it was never read as off, and is up".to_owned())),
                _ => {}
            }
        }
        Ok(match &proven {
            Some(text) if !comes_back => Progress::Done(text.clone()),
            Some(_) => Progress::Going("it is off; it is powered on again".to_owned()),
            None => Progress::Going("it is being powered off".to_owned()),
        })
    })?;
    say(&done, session, output)?;
    Ok(Exit::Good)
}

/// Says in a host's own words what the cluster would refuse in general ones.
fn drillable(host: &HostView) -> anyhow::Result<()> {
    let name = &host.name;
    let why = if !host.vms.is_empty() {
        format!("{name} holds {}\n  hint: `holdfast vm move` or `holdfast vm stop` them first", host.vms.join(", "))
    } else if host.fences.is_empty() {
        format!("{name} has no fence device\n  hint: see `holdfast host fence --help`")
    } else if host.is_master {
        format!(
            "{name} is master, which fences others and not itself\n  hint: start its agent anew, and drill it when another host is master"
        )
    } else {
        return Ok(());
    };
    Err(ended(Exit::Failed, why))
}

/// Removes a host: its vote moves first, which takes a while.
fn remove(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let host: HostView = session.find(&path(name))?;
    if !host.vms.is_empty() {
        let text = format!("{} holds {}", host.name, host.vms.join(", "));
        return Err(ended(
            Exit::Failed,
            format!("{text}\n  hint: `holdfast vm move` or `holdfast vm stop` them first"),
        ));
    }
    session.confirm(&format!("Remove {} for good? To come back it must join anew.", tame(&host.name)))?;
    if session.flags.dry_run {
        session.say_dry(Verb::Delete, &path(name), &Value::Null, output)?;
        return Ok(Exit::Good);
    }
    // By its UUID, as its name may be another's by then.
    let path = path(&host.uuid.to_string());
    let first: Value = session.ask(Verb::Delete, &path, &Value::Null, Twice::Harmless)?;
    if first["done"] != Value::Bool(true) {
        if session.flags.no_wait {
            let text = format!("{} leaves as soon as its vote has moved; then ask again", host.name);
            return Err(ended(Exit::TimedOut, text));
        }
        session.wait(&format!("the removal of {}", host.name), |session| {
            match session.ask::<Value>(Verb::Delete, &path, &Value::Null, Twice::Harmless) {
                Ok(answer) if answer["done"] == Value::Bool(true) => Ok(Progress::Done(())),
                Ok(answer) => Ok(Progress::Going(format!("waits for {}", answer["waits_for"].as_str().unwrap_or("-")))),
                // It was asked for, and an answer was lost.
                Err(error) if is(&error, "not-found") => Ok(Progress::Done(())),
                Err(error) if is(&error, "votes") => Ok(Progress::Going("its voter is to move".to_owned())),
                Err(error) => Err(error),
            }
        })?;
    }
    say(&format!("{} is removed; stop `holdfast agent` there", host.name), session, output)?;
    Ok(Exit::Good)
}

fn set_fences(args: &FenceArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let further = args.level.iter().map(|level| level.split(',').map(str::to_owned).collect::<Vec<String>>());
    let first = Some(args.devices.clone()).filter(|devices| !devices.is_empty());
    let levels: Vec<Vec<String>> = first.into_iter().chain(further).collect();
    let all: Vec<&String> = levels.iter().flatten().collect();
    if let Some((_, twice)) = all.iter().enumerate().find(|(place, name)| all[..*place].contains(name)) {
        return Err(ended(Exit::BadUsage, format!("the device {twice} is named twice")));
    }
    let host: HostView = session.find(&path(&args.host.name))?;
    let known: Vec<Value> = session.find("/v1/fences")?;
    let known: Vec<&str> = known.iter().filter_map(|fence| fence["name"].as_str()).collect();
    if let Some(unknown) = levels.iter().flatten().find(|name| !known.contains(&name.as_str())) {
        let hint = crate::reader::choice(unknown, known.iter().copied());
        return Err(ended(Exit::Failed, format!("there is no fence device \"{unknown}\"\n  hint: {hint}")));
    }
    let body = value!({ "levels": levels });
    if session.change(Verb::Put, &format!("{}/fences", path(&args.host.name)), &body, output)? == Answer::Dry {
        return Ok(Exit::Good);
    }
    let text = match levels.is_empty() {
        true => format!("{} has no fence device", host.name),
        false => {
            let levels: Vec<String> = levels.iter().map(|level| level.join(" and ")).collect();
            format!("{} is fenced by {}; see `holdfast doctor`, and drill it", host.name, levels.join(", then "))
        }
    };
    say(&text, session, output)?;
    Ok(Exit::Good)
}
