//! `holdfast vm protect`: a VM under protection.

use super::host::say;
use super::session::{Answer, Progress, Session, Verb, ended, segment};
use super::show::{Sheet, cores, memory};
use super::vm::see_running;
use crate::api::{Adopt, Adopted, FoundView, MOST_MEMORY, NewVm, VmView};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::core::state::{Response, Role};
use crate::words::parse_memory;
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::io::Read;
use std::path::{Path, PathBuf};
use uuid::Uuid;

pub const HELP: &str = "\
A VM that a hypervisor has already needs nothing but its name: its host says what it is, now and whenever it is changed
(`holdfast vm found` shows all that there are). One of the embedded hypervisor is described here: the definition is what
that needs to know of the VM, in its own words; with --definition - it is read from standard input. Its datastores and
networks must be known by name: `holdfast datastore add`, `holdfast network add`.

Examples:
  holdfast vm protect db-1
  holdfast vm protect --all --priority 5
  holdfast vm protect db-1 --memory 4GiB --cores 2 --definition db-1.xml --start
  holdfast vm protect db-1 --memory 4GiB --cores 2 --datastore san-1 --network guests --priority 9 --definition db-1.xml";

/// No definition is longer.
const LONGEST: u64 = 256 * 1_024;

#[derive(Debug, Args)]
pub struct ProtectArgs {
    /// What it is called
    #[arg(value_name = "NAME", required_unless_present = "all", value_parser = named)]
    name: Option<String>,
    /// All VMs that the hypervisors have
    #[arg(long, conflicts_with_all = ["name", "definition"])]
    all: bool,
    /// Whose it is, if more than one host has it
    #[arg(long, value_name = "HOST", conflicts_with_all = ["all", "definition"])]
    host: Option<String>,
    /// What the embedded hypervisor needs to know of it
    #[arg(long, value_name = "FILE", requires = "memory", requires = "cores")]
    definition: Option<PathBuf>,
    /// Its memory
    #[arg(long, value_name = "SIZE", requires = "definition", value_parser = mebibytes)]
    memory: Option<u64>,
    /// How much of a processor it needs
    #[arg(long, value_name = "COUNT", requires = "definition", value_parser = millicores)]
    cores: Option<u64>,
    /// Its UUID, if it has one already
    #[arg(long, value_name = "UUID", requires = "definition")]
    uuid: Option<Uuid>,
    /// A datastore that holds a disk of it
    #[arg(long, value_name = "NAME", requires = "definition")]
    datastore: Vec<String>,
    /// A network that it needs
    #[arg(long, value_name = "NAME", requires = "definition")]
    network: Vec<String>,
    /// Greater goes first when many must be restarted
    #[arg(long, value_name = "N", default_value_t = 0)]
    priority: u8,
    /// What is done when its host dies
    #[arg(long, value_enum, default_value = "restart")]
    response: ResponseArg,
    /// Where it is put at its very first start
    #[arg(long, value_name = "HOST", requires = "definition")]
    home: Option<String>,
    /// All its disks lie where a lock lives as long as the process that took it
    #[arg(long, requires = "definition")]
    locked: bool,
    /// Starts it, and sees it running
    #[arg(long, requires = "definition")]
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

fn mebibytes(text: &str) -> Result<u64, String> {
    let mebibytes = parse_memory(text)?;
    if mebibytes <= MOST_MEMORY { Ok(mebibytes) } else { Err("no VM has more than 1024TiB of memory".to_owned()) }
}

fn millicores(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(cores) if (0.001..=100_000.0).contains(&cores) => Ok((cores * 1_000.0).round() as u64),
        _ => Err(format!("\"{text}\" is no number of cores: write 2 or 0.5")),
    }
}

/// Puts a VM under protection.
pub fn protect(args: &ProtectArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let (Some(name), Some(file)) = (&args.name, &args.definition) else { return adopt(args, session, output) };
    let new = NewVm {
        name: name.clone(),
        // Made up here, so that asking again after a lost answer makes no second one.
        uuid: Some(args.uuid.unwrap_or_else(Uuid::new_v4)),
        memory_mib: args.memory.unwrap_or_default(),
        millicores: args.cores.unwrap_or_default(),
        datastores: args.datastore.clone(),
        networks: args.network.clone(),
        response: args.response.into(),
        priority: args.priority,
        home: args.home.clone(),
        locked: args.locked,
        definition: definition(file)?,
        start: false,
    };
    let uuid = new.uuid.unwrap_or_default().to_string();
    if session.flags.dry_run {
        known(args, session)?;
    }
    match session.change(Verb::Post, "/v1/vms", &serde_json::to_value(&new)?, output)? {
        Answer::Dry => return Ok(Exit::Good),
        Answer::SoAlready => session.remark(&format!("{name} was protected already; its definition is as it was")),
        Answer::Done(_) if args.start => session.remark(&format!("{name} is protected")),
        Answer::Done(_) => say(&format!("{name} is protected, under UUID {uuid}"), session, output)?,
    }
    if !args.start {
        return Ok(Exit::Good);
    }
    session.change(Verb::Post, &format!("{}/start", super::vm::path(&uuid)), &serde_json::json!({}), output)?;
    see_running(&uuid, name, session, output)
}

/// Puts VMs under protection that hypervisors have already.
fn adopt(args: &ProtectArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => unprotected(session)?,
    };
    let body = Adopt { host: args.host.clone(), response: args.response.into(), priority: args.priority };
    let body = serde_json::to_value(&body)?;
    let (mut exit, mut running) = (Exit::Good, Vec::new());
    for name in names {
        match session.change(Verb::Post, &format!("/v1/found/{}", segment(&name)), &body, output) {
            Ok(Answer::Dry) => {}
            Ok(Answer::SoAlready) => session.remark(&format!("{name} was protected already")),
            Ok(Answer::Done(answer)) => {
                let adopted: Adopted = serde_json::from_value(answer)?;
                say(&format!("{} of {} is protected", adopted.name, adopted.host), session, output)?;
                for bond in &adopted.bonds {
                    session.remark(&format!("note: only {} can run {}: {bond}", adopted.host, adopted.name));
                }
                if adopted.runs {
                    running.push(adopted);
                }
            }
            // Of many, one that cannot be had hinders no other.
            Err(error) if args.all => {
                session.remark(&format!("{name} is not protected: {error:#}"));
                exit = Exit::Failed;
            }
            Err(error) => return Err(error),
        }
    }
    if !session.flags.no_wait {
        running.iter().try_for_each(|adopted| see_counted(adopted, session))?;
    }
    Ok(exit)
}

/// Waits until the log has the host's word that the VM runs: only then it is restarted when that host dies.
fn see_counted(adopted: &Adopted, session: &mut Session<'_>) -> anyhow::Result<()> {
    let path = super::vm::path(&adopted.uuid.to_string());
    session.wait(&format!("the word of {} that {} runs", adopted.host, adopted.name), |session| {
        let vm: VmView = session.find(&path)?;
        Ok(match vm.state.as_str() {
            "running" => Progress::Done(()),
            "unprotected" => Progress::Failed("it is not protected any more".to_owned()),
            // It may have been moved, or have ended, since it was asked for.
            "stopped" if vm.holders.iter().all(|holder| holder.role != Role::Unaccounted) => Progress::Done(()),
            state => Progress::Going(vm.waits.unwrap_or_else(|| state.to_owned())),
        })
    })
}

/// The VMs that hypervisors have and the cluster does not protect, by UUID.
fn unprotected(session: &mut Session<'_>) -> anyhow::Result<Vec<String>> {
    let view: FoundView = session.find("/v1/found")?;
    for unheard in &view.unheard {
        session.remark(&format!("note: {} could not be asked: {}", unheard.host, unheard.why));
    }
    let mut uuids: Vec<Uuid> = view.vms.iter().filter(|vm| !vm.protected).map(|vm| vm.uuid).collect();
    uuids.dedup();
    Ok(uuids.iter().map(Uuid::to_string).collect())
}

/// Shows the VMs that the hypervisors have.
pub fn found(host: Option<&str>, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let place = host.map(|host| format!("?host={}", segment(host))).unwrap_or_default();
    let view: FoundView = session.look(&format!("/v1/found{place}"))?;
    let mut sheet = Sheet::new(&["name", "host", "state", "protected", "memory", "cores", "only this host can run it"]);
    for vm in &view.vms {
        sheet.row([
            vm.name.clone(),
            vm.host.clone(),
            if vm.runs { "running" } else { "stopped" }.to_owned(),
            if vm.protected { "yes" } else { "no" }.to_owned(),
            memory(vm.memory_mib),
            cores(vm.millicores),
            vm.bonds.join("; "),
        ]);
    }
    sheet.show(session.flags.output, &view, output)?;
    for unheard in &view.unheard {
        session.remark(&format!("note: {} could not be asked: {}", unheard.host, unheard.why));
    }
    Ok(if view.unheard.is_empty() { Exit::Good } else { Exit::Failed })
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
