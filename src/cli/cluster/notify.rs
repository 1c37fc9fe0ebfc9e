//! `holdfast notify`: by which channels people and programs are told of what happens.

use super::flags::{Flags, Form, secret_line};
use super::host::say;
use super::moment::moment;
use super::session::{Answer, Session, Twice, Verb, ended, segment};
use super::show::{Sheet, json};
use crate::api::{ChannelView, Tested};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::core::state::Severity;
use crate::fence::Secret;
use crate::notify::{Authorities, CommandName, Login, MailAddress, Smtp, Target, Tls, Webhook};
use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::{Value, json as value};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
The master tells each channel, in order, what stands in the ledger (`holdfast events`) from the channel's making on and
matters enough. A channel that is down gets all of it once it is back; a master that dies is followed by the next one,
which sends at most the last notification again, under the same id. Each id comes once unless it says that it is another
attempt.

critical  a person is needed: VMs that wait, are given up or may run twice, the brake, two machines of one name, a time
          without a majority
warning   it took care of itself, or is to be looked at soon: a host judged, a VM restarted or crashed, a fence device
          or storage that fails, a quarantine
info      all else: who is up, what people decided, which host votes

Examples:
  holdfast notify add team --webhook https://hooks.example/T0/B1 --secret-file team.key
  holdfast notify add night --smtp mail.example:587 --from holdfast@example.org --to night@example.org --least critical
  holdfast notify test team
  holdfast notify list";

const ADD_HELP: &str = "\
A name that is known already gets the new settings, and goes on where it was. Secrets are read from files of one line
each, which nobody else can read.

A webhook is sent JSON by POST, with `Holdfast-Id`, `Holdfast-Attempt` and, if there is a secret, `Holdfast-Signature:
t=SECONDS,v1=HEX`: the HMAC-SHA256 of the seconds, a point and the body. It takes a notification by any 2xx. A command
has the same JSON on its standard input, and takes it by ending well; exit status 65 refuses it for good. It is one that
[commands] of the configuration names, on each host that votes.

Examples:
  holdfast notify add team --webhook https://hooks.example/T0/B1 --secret-file team.key --least info
  holdfast notify add night --smtp mail.example:465 --tls tls --from a@example.org --to b@example.org --user a \\
      --password-file mail.pw
  holdfast notify add pager --command page --least critical
  holdfast notify add votes --webhook https://hooks.example/x --least info --kind voters --kind master-began";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct NotifyArgs {
    #[command(subcommand)]
    verb: NotifyVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum NotifyVerb {
    /// Shows the channels, without their secrets, and how far each is
    #[command(after_help = "Examples:\n  holdfast notify list")]
    List,
    /// Shows all about one channel
    #[command(after_help = "Examples:\n  holdfast notify show team")]
    Show(ChannelName),
    /// Adds a channel, or changes its settings
    #[command(after_help = ADD_HELP)]
    Add(Box<AddArgs>),
    /// Sends a channel a notification that means nothing, and says whether it was taken
    #[command(after_help = "Examples:\n  holdfast notify test team")]
    Test(ChannelName),
    /// Tells a channel nothing for now; what happens meanwhile it is told later
    #[command(after_help = "Examples:\n  holdfast notify pause team")]
    Pause(ChannelName),
    /// Tells a channel again, what happened meanwhile first
    #[command(after_help = "Examples:\n  holdfast notify resume team")]
    Resume(ChannelName),
    /// Forgets what a channel has not been told yet
    #[command(after_help = "Examples:\n  holdfast notify skip team")]
    Skip(ChannelName),
    /// Removes a channel: it is told nothing more
    #[command(after_help = "Examples:\n  holdfast notify remove team")]
    Remove(ChannelName),
}

#[derive(Debug, Args)]
struct ChannelName {
    /// Its name
    #[arg(value_name = "NAME", value_parser = named)]
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Least {
    Critical,
    Warning,
    Info,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Encryption {
    /// The connection begins in clear and is encrypted before anything is said
    Starttls,
    /// Encrypted from the first byte
    Tls,
    /// Never
    None,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("way").required(true).args(["webhook", "smtp", "command"]))]
struct AddArgs {
    /// What it is called
    #[arg(value_name = "NAME", value_parser = named)]
    name: String,
    /// From which severity on it is told
    #[arg(long, value_enum, default_value = "warning")]
    least: Least,
    /// Only facts of this kind, as `holdfast events -o json` has them; may be given again
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// The address of a server that takes notifications over HTTP
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// The file with the secret that signs them
    #[arg(long, value_name = "FILE", requires = "webhook")]
    secret_file: Option<PathBuf>,
    /// A mail server
    #[arg(long, value_name = "HOST:PORT", requires = "from", requires = "to")]
    smtp: Option<String>,
    /// How it is spoken to
    #[arg(long, value_enum, default_value = "starttls", requires = "smtp")]
    tls: Encryption,
    /// Who writes
    #[arg(long, value_name = "ADDRESS", requires = "smtp")]
    from: Option<String>,
    /// To whom; may be given again. One whom the server refuses holds up the mail to all
    #[arg(long, value_name = "ADDRESS", requires = "smtp")]
    to: Vec<String>,
    /// The user of the mail server
    #[arg(long, value_name = "NAME", requires = "smtp", requires = "password_file")]
    user: Option<String>,
    /// The file with the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// The authorities, in PEM, of which one has signed the receiver's certificate, instead of those of the system
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    receiver_ca: Option<PathBuf>,
    /// A program, by its name in [commands] of the configuration of each host that votes
    #[arg(long, value_name = "NAME")]
    command: Option<String>,
}

/// Does what is asked for.
pub fn notify(args: &NotifyArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        NotifyVerb::List => list(session, output),
        NotifyVerb::Show(channel) => show(&channel.name, session, output),
        NotifyVerb::Add(add) => add_channel(add, session, output),
        NotifyVerb::Test(channel) => test(&channel.name, session, output),
        NotifyVerb::Pause(channel) => deed(&channel.name, "pause", "is told nothing for now", session, output),
        NotifyVerb::Resume(channel) => deed(&channel.name, "resume", "is told again", session, output),
        NotifyVerb::Skip(channel) => deed(&channel.name, "skip", "is told what happens from now on", session, output),
        NotifyVerb::Remove(channel) => remove(&channel.name, session, output),
    }
}

fn list(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let all: Vec<ChannelView> = session.look("/v1/channels")?;
    let mut sheet = Sheet::new(&["name", "channel", "least", "state", "behind", "since", "trouble"]);
    for channel in &all {
        let progress = channel.progress.clone().unwrap_or_default();
        let behind = channel.progress.as_ref().map(|progress| progress.behind.to_string());
        sheet.row([
            channel.name.clone(),
            channel.target.clone(),
            word(channel.least).to_owned(),
            state(channel).to_owned(),
            behind.unwrap_or_default(),
            progress.since_milliseconds.map(moment).unwrap_or_default(),
            progress.trouble.unwrap_or_default(),
        ]);
    }
    sheet.show(session.flags.output, &all, output)?;
    Ok(Exit::Good)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn state(channel: &ChannelView) -> &'static str {
    let trouble = channel.progress.as_ref().is_some_and(|progress| progress.trouble.is_some());
    match () {
        () if channel.paused => "paused",
        () if trouble => "failing",
        () if channel.refused_in_a_row > 0 => "refusing",
        () => "good",
    }
}

fn show(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let channel = find(name, session)?;
    if session.flags.output == Form::Json {
        json(&channel, output)?;
        return Ok(Exit::Good);
    }
    let progress = channel.progress.clone().unwrap_or_default();
    let kinds: Vec<&str> = channel.kinds.iter().map(String::as_str).collect();
    let of = if kinds.is_empty() { "all kinds".to_owned() } else { kinds.join(", ") };
    output.line(&format!("{} is {}; it is {}", channel.name, channel.target, state(&channel)))?;
    output.line(&format!("it is told of {} and what matters more, of {of}", word(channel.least)))?;
    let since = progress.since_milliseconds.map(|at| format!(", since {}", moment(at))).unwrap_or_default();
    output.line(&format!("told up to {}; behind by {}{since}", channel.told, progress.behind))?;
    if let Some(trouble) = &progress.trouble {
        output.line(&format!("tried {} times in vain: {trouble}", progress.tries))?;
    }
    if let Some(last) = progress.last_milliseconds {
        output.line(&format!("it took the last one at {}", moment(last)))?;
    }
    if channel.refused > 0 {
        output.line(&format!("it has refused {} for good: see `holdfast events`", channel.refused))?;
    }
    Ok(Exit::Good)
}

fn find(name: &str, session: &mut Session<'_>) -> anyhow::Result<ChannelView> {
    let all: Vec<ChannelView> = session.find("/v1/channels")?;
    let known: Vec<String> = all.iter().map(|channel| channel.name.clone()).collect();
    all.into_iter().find(|channel| channel.name == name).ok_or_else(|| {
        let hint = crate::reader::choice(name, known.iter().map(String::as_str));
        ended(Exit::Failed, format!("there is no channel \"{name}\"\n  hint: {hint}"))
    })
}

fn add_channel(args: &AddArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let target = target(args)?;
    if session.flags.dry_run {
        // What is asked has the secrets in it.
        output.line(&format!("would ask for the channel {}: {target}", args.name))?;
        return Ok(Exit::Good);
    }
    let least = match args.least {
        Least::Critical => Severity::Critical,
        Least::Warning => Severity::Warning,
        Least::Info => Severity::Info,
    };
    let body = value!({ "name": args.name, "target": target, "least": least, "kinds": args.kind });
    session.ask::<Value>(Verb::Post, "/v1/channels", &body, Twice::Harmless)?;
    if let Some(weakness) = target.weakness() {
        session.remark(&format!("note: {weakness}"));
    }
    match session.flags.output {
        Form::Json => json(&value!({ "name": args.name, "target": target.to_string() }), output)?,
        _ => {
            output.line(&format!("{} is {target}; next: `holdfast notify test {}`", args.name, args.name))?;
        }
    }
    Ok(Exit::Good)
}

fn target(args: &AddArgs) -> anyhow::Result<Target> {
    let secret = |file: &Path| anyhow::Ok(Secret::new(&secret_line(file)?)?);
    let authorities = match &args.receiver_ca {
        Some(file) => {
            let text = crate::files::read_text(file).with_context(|| format!("{} cannot be read", file.display()))?;
            Some(Authorities::try_from(text)?)
        }
        None => None,
    };
    if let Some(name) = &args.command {
        return Ok(Target::Command(CommandName::try_from(name.clone())?));
    }
    if let Some(url) = &args.webhook {
        let secret = args.secret_file.as_deref().map(secret).transpose()?;
        return Ok(Target::Webhook(Webhook::new(url, secret, authorities)?));
    }
    let (Some(server), Some(from)) = (&args.smtp, &args.from) else {
        return Err(ended(Exit::BadUsage, "a mail needs --smtp, --from and --to"));
    };
    let from = MailAddress::try_from(from.clone())?;
    let to = args.to.iter().map(|to| MailAddress::try_from(to.clone())).collect::<Result<Vec<_>, _>>()?;
    let login = match (&args.user, &args.password_file) {
        (Some(user), Some(file)) => Some(Login { user: user.clone(), password: secret(file)? }),
        _ => None,
    };
    let tls = match args.tls {
        Encryption::Starttls => Tls::Starttls,
        Encryption::Tls => Tls::Tls,
        Encryption::None => Tls::None,
    };
    Ok(Target::Smtp(Smtp::new(server, tls, (from, to), login, authorities)?))
}

fn test(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    find(name, session)?;
    let path = format!("/v1/channels/{}/test", segment(name));
    if session.flags.dry_run {
        output.line(&format!("would send {name} a notification that means nothing"))?;
        return Ok(Exit::Good);
    }
    let tested: Tested = session.ask(Verb::Post, &path, &value!({}), Twice::MakesTwo)?;
    match tested.problem {
        None => {
            say(&format!("{name} has taken a test"), session, output)?;
            Ok(Exit::Good)
        }
        Some(problem) => Err(ended(Exit::Failed, format!("{name} has not taken a test: {problem}"))),
    }
}

fn deed(name: &str, deed: &str, is: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    find(name, session)?;
    let path = format!("/v1/channels/{}/{deed}", segment(name));
    match session.change(Verb::Post, &path, &value!({}), output)? {
        Answer::Done(_) => say(&format!("{name} {is}"), session, output)?,
        Answer::SoAlready => say(&format!("{name} {is}, as before"), session, output)?,
        Answer::Dry => {}
    }
    Ok(Exit::Good)
}

fn remove(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    find(name, session)?;
    let path = format!("/v1/channels/{}", segment(name));
    if session.change(Verb::Delete, &path, &Value::Null, output)? != Answer::Dry {
        say(&format!("{name} is removed"), session, output)?;
    }
    Ok(Exit::Good)
}
