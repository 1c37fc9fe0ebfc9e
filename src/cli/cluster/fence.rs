//! `holdfast fence`: the devices that switch hosts off.

use super::flags::{Flags, Form, secret_line};
use super::host::{HostName, say};
use super::policy::pair;
use super::power;
use super::session::{Answer, Session, Twice, Verb, ended, segment};
use super::show::{Sheet, json};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::fence::{Agent, FenceDevice, Fingerprint, Redfish, Secret, Verify};
use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  holdfast fence list
  holdfast fence add bmc-1 --redfish https://10.0.9.1 --user holdfast --password-file bmc-1.pw --fingerprint 28f4...
  holdfast host fence host-1 bmc-1
  holdfast fence test host-1
  holdfast fence off host-3 --reason \"new memory\"
  holdfast fence history host-3
  holdfast doctor";

const ADD_HELP: &str = "\
A name that is known already gets the new settings. A BMC is believed by its certificate's fingerprint, by an authority
that has signed it, or, with --insecure, without any proof. Secrets are read from files of one line each, which nobody
else can read.

Examples:
  holdfast fence add bmc-1 --redfish https://10.0.9.1 --user holdfast --password-file bmc-1.pw --fingerprint 28f4...
  holdfast fence add bmc-2 --redfish https://bmc-2.example --user holdfast --password-file bmc-2.pw --bmc-ca bmc.pem
  holdfast fence add pdu-a --agent fence_apc --option ip=10.0.9.9 --option plug=4 --secret-option password=pdu.pw";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct FenceArgs {
    #[command(subcommand)]
    verb: FenceVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum FenceVerb {
    /// Shows the fence devices, without their passwords
    #[command(after_help = "Examples:\n  holdfast fence list")]
    List,
    /// Adds a fence device, or changes its settings
    #[command(after_help = ADD_HELP)]
    Add(Box<AddArgs>),
    /// Asks devices now: who they are, whether their machine is on, and from which hosts they are reached
    #[command(after_help = power::TEST_HELP)]
    Test(power::TestArgs),
    /// Shows what was ordered of fence devices, by whom, what came of it and how long it took
    #[command(after_help = power::HISTORY_HELP)]
    History(power::HistoryArgs),
    /// Cuts the power of a host, which stays off
    #[command(after_help = power::OFF_HELP)]
    Off(power::OffArgs),
    /// Switches a host on again
    #[command(after_help = power::ON_HELP)]
    On(HostName),
    /// Shows the fence agents that are installed on the master's host, or the options of one
    #[command(after_help = "Examples:\n  holdfast fence agents\n  holdfast fence agents fence_ipmilan")]
    Agents {
        /// Of which the options are shown
        #[arg(value_name = "PROGRAM", value_parser = named)]
        name: Option<String>,
    },
    /// Removes a fence device that fences no host
    #[command(after_help = "Examples:\n  holdfast fence remove pdu-a")]
    Remove {
        /// Its name
        #[arg(value_name = "NAME", value_parser = named)]
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("kind").required(true).args(["redfish", "agent"]))]
#[command(group = ArgGroup::new("proof").args(["fingerprint", "bmc_ca", "insecure"]))]
struct AddArgs {
    /// What it is called
    #[arg(value_name = "NAME", value_parser = named)]
    name: String,
    /// The address of a BMC that speaks Redfish
    #[arg(long, value_name = "URL", requires = "user", requires = "password_file", requires = "proof")]
    redfish: Option<String>,
    /// The user of the BMC
    #[arg(long, value_name = "NAME", requires = "redfish")]
    user: Option<String>,
    /// The file with the password of the BMC
    #[arg(long, value_name = "FILE", requires = "redfish")]
    password_file: Option<PathBuf>,
    /// Which of the BMC's systems it is, where it has more than one
    #[arg(long, value_name = "PATH", requires = "redfish")]
    system: Option<String>,
    /// The SHA-256 of the BMC's certificate
    #[arg(long, value_name = "HEX", requires = "redfish")]
    fingerprint: Option<String>,
    /// The authorities, in PEM, of which one has signed the BMC's certificate
    #[arg(long, value_name = "FILE", requires = "redfish")]
    bmc_ca: Option<PathBuf>,
    /// Believes whoever answers at the address
    #[arg(long, requires = "redfish")]
    insecure: bool,
    /// A fence agent of the distribution
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<String>,
    /// What the agent is told
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "agent")]
    option: Vec<(String, String)>,
    /// What the agent is told and nobody else may see
    #[arg(long, value_name = "KEY=FILE", value_parser = pair, requires = "agent")]
    secret_option: Vec<(String, String)>,
}

/// Does what is asked for.
pub fn fence(args: &FenceArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        FenceVerb::List => list(session, output),
        FenceVerb::Test(args) => power::test(args, session, output),
        FenceVerb::History(args) => power::history(args, session, output),
        FenceVerb::Off(args) => power::off(args, session, output),
        FenceVerb::On(host) => power::on(host, session, output),
        FenceVerb::Agents { name } => power::agents(name.as_deref(), session, output),
        FenceVerb::Add(add) => add_device(add, session, output),
        FenceVerb::Remove { name } => remove(name, session, output),
    }
}

fn list(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let mut all: Vec<Value> = session.look("/v1/fences")?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    all.sort_by_key(|entry| text(entry, "name"));
    let mut sheet = Sheet::new(&["name", "device"]);
    for entry in &all {
        sheet.row([text(entry, "name"), text(entry, "device")]);
    }
    sheet.show(session.flags.output, &all, output)?;
    Ok(Exit::Good)
}

fn add_device(args: &AddArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    anyhow::ensure!(!args.name.contains(','), "a device's name has no comma: levels are written with them");
    let device = device(args)?;
    if session.flags.dry_run {
        // What is asked has the password in it.
        let shown = format!("would ask for the fence device {}: {device}", args.name);
        output.line(&shown)?;
        return Ok(Exit::Good);
    }
    let body = value!({ "name": args.name, "device": device });
    session.ask::<Value>(Verb::Post, "/v1/fences", &body, Twice::Harmless)?;
    if let Some(weakness) = device.weakness() {
        session.remark(&format!("note: {weakness}"));
    }
    match session.flags.output {
        Form::Json => json(&value!({ "name": args.name, "device": device.to_string() }), output)?,
        _ => {
            output.line(&format!("{} is {device}; next: `holdfast host fence HOST {}`", args.name, args.name))?;
        }
    }
    Ok(Exit::Good)
}

fn device(args: &AddArgs) -> anyhow::Result<FenceDevice> {
    if let Some(program) = &args.agent {
        let mut options = BTreeMap::new();
        for (key, value) in &args.option {
            options.insert(key.clone(), Secret::new(value)?);
        }
        for (key, file) in &args.secret_option {
            options.insert(key.clone(), Secret::new(&secret_line(file.as_ref())?)?);
        }
        let is_open = |key: &String| matches!(key.as_str(), "password" | "passwd" | "passphrase");
        if let Some((key, _)) = args.option.iter().find(|(key, _)| is_open(key)) {
            let text = format!("`{key}` would be seen by whoever lists processes\n  hint: --secret-option {key}=FILE");
            return Err(ended(Exit::BadUsage, text));
        }
        return Ok(FenceDevice::Agent(Agent::new(program, options)?));
    }
    let (Some(address), Some(user), Some(file)) = (&args.redfish, &args.user, &args.password_file) else {
        return Err(ended(Exit::BadUsage, "a BMC needs --redfish, --user and --password-file"));
    };
    let verify = match (&args.fingerprint, &args.bmc_ca) {
        (Some(digits), _) => Verify::Fingerprint(Fingerprint::try_from(digits.clone())?),
        (None, Some(file)) => {
            let text = crate::files::read_text(file).with_context(|| format!("{} cannot be read", file.display()))?;
            Verify::Authorities(text)
        }
        (None, None) => Verify::Nothing,
    };
    let password = Secret::new(&secret_line(file)?)?;
    Ok(FenceDevice::Redfish(Redfish::new(address, args.system.as_deref(), user, password, verify)?))
}

fn remove(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let path = format!("/v1/fences/{}", segment(name));
    let known: Vec<Value> = session.find("/v1/fences")?;
    let known: Vec<&str> = known.iter().filter_map(|entry| entry["name"].as_str()).collect();
    if !known.contains(&name) {
        let hint = crate::reader::choice(name, known.iter().copied());
        return Err(ended(Exit::Failed, format!("there is no fence device \"{name}\"\n  hint: {hint}")));
    }
    if session.change(Verb::Delete, &path, &Value::Null, output)? != Answer::Dry {
        say(&format!("{name} is removed"), session, output)?;
    }
    Ok(Exit::Good)
}
