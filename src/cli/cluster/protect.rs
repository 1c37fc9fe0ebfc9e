//! `holdfast vm protect`: a VM under protection.

use super::host::say;
use super::session::{Answer, Session, Verb, ended};
use super::vm::see_running;
use crate::api::NewVm;
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::core::state::Response;
use crate::words::parse_memory;
use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use std::io::Read;
use std::path::{Path, PathBuf};
use uuid::Uuid;

pub const HELP: &str = "\
The definition is what the hypervisor needs to know of the VM, in its own words; with --definition - it is read from
standard input. Its datastores and networks must be known by name: `holdfast datastore add`, `holdfast network add`.

Examples:
  holdfast vm protect db-1 --memory 4GiB --cores 2 --definition db-1.xml --start
  holdfast vm protect db-1 --memory 4GiB --cores 2 --datastore san-1 --network guests --priority 9 --definition db-1.xml";

/// No definition is longer.
const LONGEST: u64 = 256 * 1_024;

#[derive(Debug, Args)]
pub struct ProtectArgs {
    /// What it is called
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Its memory
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    memory: u64,
    /// How much of a processor it needs
    #[arg(long, value_name = "COUNT", value_parser = millicores)]
    cores: u64,
    /// What the hypervisor needs to know of it
    #[arg(long, value_name = "FILE")]
    definition: PathBuf,
    /// Its UUID, if it has one already
    #[arg(long, value_name = "UUID")]
    uuid: Option<Uuid>,
    /// A datastore that holds a disk of it
    #[arg(long, value_name = "NAME")]
    datastore: Vec<String>,
    /// A network that it needs
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// Greater goes first when many must be restarted
    #[arg(long, value_name = "N", default_value_t = 0)]
    priority: u8,
    /// What is done when its host dies
    #[arg(long, value_enum, default_value = "restart")]
    response: ResponseArg,
    /// Where it is put at its very first start
    #[arg(long, value_name = "HOST")]
    home: Option<String>,
    /// All its disks lie where a lock lives as long as the process that took it
    #[arg(long)]
    locked: bool,
    /// Starts it, and sees it running
    #[arg(long)]
    start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ResponseArg {
    /// It is restarted by whichever proof comes first; on a host that is cut off it is ended in time
    Restart,
    /// It is restarted by proofs other than a lease; on a host that is cut off it runs on
    RestartWithoutLease,
    /// It is left alone
    Leave,
}

impl From<ResponseArg> for Response {
    fn from(response: ResponseArg) -> Response {
        match response {
            ResponseArg::Restart => Response::Restart,
            ResponseArg::RestartWithoutLease => Response::RestartWithoutLease,
            ResponseArg::Leave => Response::Leave,
        }
    }
}

fn millicores(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(cores) if (0.001..=100_000.0).contains(&cores) => Ok((cores * 1_000.0).round() as u64),
        _ => Err(format!("\"{text}\" is no number of cores: write 2 or 0.5")),
    }
}

/// Puts a VM under protection.
pub fn protect(args: &ProtectArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let new = NewVm {
        name: args.name.clone(),
        // Made up here, so that asking again after a lost answer makes no second one.
        uuid: Some(args.uuid.unwrap_or_else(Uuid::new_v4)),
        memory_mib: args.memory,
        millicores: args.cores,
        datastores: args.datastore.clone(),
        networks: args.network.clone(),
        response: args.response.into(),
        priority: args.priority,
        home: args.home.clone(),
        locked: args.locked,
        definition: definition(&args.definition)?,
        start: false,
    };
    let uuid = new.uuid.unwrap_or_default().to_string();
    if session.flags.dry_run {
        known(args, session)?;
    }
    match session.change(Verb::Post, "/v1/vms", &serde_json::to_value(&new)?, output)? {
        Answer::Dry => return Ok(Exit::Good),
        Answer::SoAlready => {
            session.remark(&format!("{} was protected already; its definition is as it was", args.name))
        }
        Answer::Done(_) if args.start => session.remark(&format!("{} is protected", args.name)),
        Answer::Done(_) => say(&format!("{} is protected, under UUID {uuid}", args.name), session, output)?,
    }
    if !args.start {
        return Ok(Exit::Good);
    }
    session.change(Verb::Post, &format!("{}/start", super::vm::path(&uuid)), &serde_json::json!({}), output)?;
    see_running(&uuid, &args.name, session, output)
}

fn definition(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text),
        _ => std::fs::File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_string(&mut text)),
    };
    read.with_context(|| format!("the definition {} cannot be read", file.display()))?;
    anyhow::ensure!(text.len() as u64 <= LONGEST, "the definition {} is longer than {LONGEST} bytes", file.display());
    Ok(text)
}

/// Whether the cluster knows what is named, where nothing is asked that would tell.
fn known(args: &ProtectArgs, session: &mut Session<'_>) -> anyhow::Result<()> {
    for (what, path, names) in [
        ("datastore", "/v1/datastores", args.datastore.as_slice()),
        ("network", "/v1/networks", args.network.as_slice()),
        ("host", "/v1/hosts", args.home.as_slice()),
    ] {
        if names.is_empty() {
            continue;
        }
        let known: Vec<serde_json::Value> = session.find(path)?;
        let known: Vec<&str> = known.iter().filter_map(|entry| entry["name"].as_str()).collect();
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            let hint = crate::reader::choice(name, known.iter().copied());
            return Err(ended(Exit::Failed, format!("there is no {what} \"{name}\"\n  hint: {hint}")));
        }
    }
    Ok(())
}
