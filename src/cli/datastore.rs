//! `holdfast datastore`.

use super::Exit;
use super::cluster::{Flags, Session, add_datastore, datastores, ended, register};
use super::named;
use super::output::Output;
use crate::core::ids::DatastoreId;
use crate::core::record::Slot;
use crate::datastore::{
    DEFAULT_CAPACITY, FormatOptions, Header, Inspection, MailSeen, RecordSeen, check, format, inspect,
};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use uuid::Uuid;

const FORMAT_HELP: &str = "\
PATH is a folder on a shared file system, a block device, or a file that is treated like one. Storage that holds
anything is refused unless --force is given; storage on which hosts live is refused in any case.

Examples:
  holdfast datastore format /mnt/shared/heartbeat --name rack-a --register
  holdfast datastore format /mnt/shared/heartbeat --cluster 6f1c... --id 1 --name rack-a
  holdfast datastore format /dev/mapper/heartbeat --cluster 6f1c... --id 2 --name san --capacity 256

With --register the cluster, which must have a master, gives number and UUIDs. Hosts' records count only on the one
formatting whose UUID the cluster knows, so never format two places under one UUID.";

const INSPECT_HELP: &str = "\
Examples:
  holdfast datastore inspect /mnt/shared/heartbeat
  holdfast datastore inspect /dev/mapper/heartbeat -o json

Exit codes: 0 read, 2 it could not be read.";

#[derive(Debug, Subcommand)]
pub enum Datastore {
    /// Shows the datastores that the cluster knows
    #[command(after_help = "Examples:\n  holdfast datastore list")]
    List(ListArgs),
    /// Makes a datastore known on which hosts keep no liveness records, so that VMs can name it
    #[command(after_help = "Examples:\n  holdfast datastore add templates")]
    Add(AddArgs),
    /// Makes a heartbeat datastore of a folder, a file or a block device
    #[command(after_help = FORMAT_HELP)]
    Format(FormatArgs),
    /// Shows the header, the records and the mail of a heartbeat datastore, and changes nothing
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
pub struct FormatArgs {
    /// The folder, file or block device
    path: PathBuf,
    /// What people call it
    #[arg(long)]
    name: String,
    /// Asks the cluster for the number and the UUIDs, under this name
    #[arg(long, conflicts_with_all = ["cluster", "id", "uuid"])]
    register: bool,
    /// The UUID of the cluster
    #[arg(long, value_name = "UUID", required_unless_present = "register")]
    cluster: Option<Uuid>,
    /// The datastore's number in the cluster
    #[arg(long, value_name = "N", required_unless_present = "register")]
    id: Option<u16>,
    /// The UUID under which the cluster knows it; without one a new one is made, which no cluster knows
    #[arg(long, value_name = "UUID")]
    uuid: Option<Uuid>,
    /// For how many hosts there is room
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CAPACITY)]
    capacity: u32,
    /// Whatever is there may be lost for ever
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// What it is called
    #[arg(value_name = "NAME", value_parser = named)]
    name: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The folder, file or block device
    path: PathBuf,
    /// In which form it is shown
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// For machines: one JSON object.
    Json,
}

/// Does what is asked for.
pub fn datastore(command: &Datastore, output: &mut Output) -> anyhow::Result<Exit> {
    match command {
        Datastore::List(args) => return datastores(&mut Session::begin(&args.flags)?, output),
        Datastore::Add(args) => return add_datastore(&args.name, &mut Session::begin(&args.flags)?, output),
        Datastore::Format(args) => return make(args, output),
        Datastore::Inspect(args) => {
            let inspection = inspect(&args.path)?;
            match args.output {
                Form::Table => show(&inspection, output)?,
                Form::Json => output.line(&as_json(&inspection).to_string())?,
            }
        }
    }
    Ok(Exit::Good)
}

fn make(args: &FormatArgs, output: &mut Output) -> anyhow::Result<Exit> {
    // What nobody gives before it is asked for stands for itself where it is only looked.
    let (cluster, id) = (args.cluster.unwrap_or_default(), DatastoreId(args.id.unwrap_or_default()));
    if args.register || args.flags.dry_run {
        check(&args.path, &options(args, cluster, id, args.uuid))?;
    }
    if args.flags.dry_run {
        return would_make(args, output);
    }
    let (cluster, id, uuid) = if args.register {
        let registered = register(&args.name, &mut Session::begin(&args.flags)?)?;
        (registered.cluster, registered.id, Some(registered.uuid))
    } else {
        (cluster, id, args.uuid)
    };
    let options = options(args, cluster, id, uuid);
    let header = format(&args.path, &options).map_err(|error| match (args.register, uuid) {
        (true, Some(uuid)) => {
            let again = format!("--cluster {cluster} --id {} --uuid {uuid}", id.0);
            ended(
                Exit::Failed,
                format!("{error}\n  hint: its name is registered; when that is mended, format it with {again}"),
            )
        }
        _ => error.into(),
    })?;
    output.line(&format!("{} is a heartbeat datastore now:", args.path.display()))?;
    output.line(&about(&header))?;
    output.line("next: name it in the hosts' configurations, and start their agents anew")?;
    Ok(Exit::Good)
}

fn options(args: &FormatArgs, cluster: Uuid, id: DatastoreId, uuid: Option<Uuid>) -> FormatOptions {
    FormatOptions {
        capacity: args.capacity,
        force: args.force,
        uuid: uuid.map(|uuid| uuid.as_u128()),
        ..FormatOptions::new(cluster.as_u128(), id, &args.name)
    }
}

fn would_make(args: &FormatArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let first = if args.register { format!("register \"{}\", and then ", args.name) } else { String::new() };
    let lost = if args.force { "; whatever is there would be lost" } else { "" };
    output.line(&format!("would {first}format {} as \"{}\"{lost}", args.path.display(), args.name))?;
    Ok(Exit::Good)
}

fn about(header: &Header) -> String {
    format!(
        "{} \"{}\", uuid {}, of cluster {}, with room for {} hosts in {} MiB",
        header.id,
        header.name,
        Uuid::from_u128(header.uuid),
        Uuid::from_u128(header.cluster),
        header.layout.capacity(),
        header.layout.size() >> 20,
    )
}

fn show(inspection: &Inspection, output: &mut Output) -> anyhow::Result<()> {
    output.line(&about(&inspection.header))?;
    if !inspection.direct {
        output.line("the file system refuses O_DIRECT: good for tests, but no lease may rest on this datastore")?;
    }
    let mut records = table(&["record of", "state", "boot", "generation", "sequence", "held", "gone"]);
    for RecordSeen { host, slot } in &inspection.records {
        let mut row = vec![host.to_string(), state(slot).to_owned()];
        if let Slot::Whole(record) = slot {
            let life = record.incarnation;
            let numbers = [life.boot.0, life.generation.0, record.sequence];
            row.extend(numbers.map(|number| number.to_string()));
            row.extend([record.held.len(), record.released.len()].map(|count| count.to_string()));
        }
        records.add_row(row);
    }
    let mut mail = table(&["mail to", "from", "state", "tombstone by", "ends up to", "releases", "serial"]);
    for MailSeen { host, voter, slot } in &inspection.mail {
        let mut row = vec![host.to_string(), voter.to_string(), state(slot).to_owned()];
        if let Slot::Whole(mail) = slot {
            let by = mail.tombstone.map(|tombstone| tombstone.authority);
            row.push(by.map_or("-".to_owned(), |by| format!("term {} of {}", by.term, by.generation)));
            row.push(mail.tombstone.map_or("-".to_owned(), |tombstone| tombstone.generation.to_string()));
            row.extend([mail.releases.len().to_string(), mail.serial.to_string()]);
        }
        mail.add_row(row);
    }
    output.line(&records.to_string())?;
    output.line(&mail.to_string())
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head.to_vec());
    table
}

fn state<T>(slot: &Slot<T>) -> &'static str {
    match slot {
        Slot::Empty => "empty",
        Slot::Torn => "torn",
        Slot::Whole(_) => "whole",
    }
}

fn as_json(inspection: &Inspection) -> Value {
    let header = &inspection.header;
    let record =
        |seen: &RecordSeen| json!({ "host": seen.host, "state": state(&seen.slot), "record": whole(&seen.slot) });
    let mail = |seen: &MailSeen| {
        let (state, mail) = (state(&seen.slot), whole(&seen.slot));
        json!({ "host": seen.host, "voter": seen.voter, "state": state, "mail": mail })
    };
    json!({
        "cluster": Uuid::from_u128(header.cluster).to_string(),
        "id": header.id,
        "uuid": Uuid::from_u128(header.uuid).to_string(),
        "name": header.name,
        "capacity": header.layout.capacity(),
        "bytes": header.layout.size(),
        "direct": inspection.direct,
        "records": inspection.records.iter().map(record).collect::<Vec<Value>>(),
        "mail": inspection.mail.iter().map(mail).collect::<Vec<Value>>(),
    })
}

fn whole<T: Serialize>(slot: &Slot<T>) -> Option<&T> {
    match slot {
        Slot::Whole(value) => Some(value),
        Slot::Empty | Slot::Torn => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::core::ids::{HostId, Incarnation, VoterId};
    use crate::core::record::{DatastoreOp, DatastoreResult, Mail, Record};
    use crate::datastore::open;
    use clap::Parser;

    const CLUSTER: &str = "12345678-9abc-def0-0fed-cba987654321";

    fn parsed(arguments: &[&str]) -> Datastore {
        let words = ["holdfast", "datastore"].iter().chain(arguments);
        match Cli::try_parse_from(words).expect("it is understood").command {
            Command::Datastore(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dry_run_says_what_would_be_and_leaves_every_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a name");
        let given = ["--cluster", CLUSTER, "--id", "3", "--name", "a", "--capacity", "4"];
        let run = |more: &[&str]| {
            datastore(&parsed(&[&["format", path], given.as_slice(), more].concat()), &mut Output::new())
        };
        assert_eq!(run(&["--dry-run"]).expect("it could be"), Exit::Good);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        assert_eq!(run(&[]).expect("it is formatted"), Exit::Good);
        let file = folder.path().join("holdfast.records");
        let before = std::fs::read(&file).expect("the datastore");
        assert!(run(&["--dry-run"]).is_err(), "it would be refused, too");
        assert_eq!(run(&["--dry-run", "--force"]).expect("it could be"), Exit::Good);
        assert_eq!(std::fs::read(&file).expect("the datastore"), before);
    }

    #[test]
    fn a_place_that_is_none_is_not_registered() {
        let words = ["format", "/nowhere", "--name", "z", "--register", "--socket", "/nowhere/api.sock"];
        let error = datastore(&parsed(&words), &mut Output::new()).expect_err("there is no such place").to_string();
        assert!(error.starts_with("/nowhere cannot be opened"), "{error}");
    }

    #[test]
    fn what_the_command_makes_can_be_opened_and_inspected() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a name");
        let format =
            parsed(&["format", path, "--cluster", CLUSTER, "--id", "3", "--name", "rack a", "--capacity", "4"]);
        let mut output = Output::new();
        assert_eq!(datastore(&format, &mut output).expect("it is formatted"), Exit::Good);
        let refused = datastore(&format, &mut output).expect_err("it is there already").to_string();
        assert!(refused.contains("\"rack a\" of the Holdfast cluster 12345678-"), "{refused}");
        let cluster = Uuid::parse_str(CLUSTER).expect("a UUID").as_u128();
        let mut opened = open(folder.path(), cluster).expect("it opens");
        let life = Incarnation { host: HostId(2), ..Incarnation::default() };
        let (config, nothing) = (Default::default(), [].into());
        let record = Record { incarnation: life, sequence: 9, config, report: 1, held: nothing, released: [].into() };
        assert_eq!(opened.perform(DatastoreOp::WriteRecord(record)), DatastoreResult::Written);
        let mail = Mail { serial: 5, ..Mail::default() };
        let op = DatastoreOp::WriteMail { column: VoterId(11), host: HostId(1), mail };
        assert_eq!(opened.perform(op), DatastoreResult::Written);
        let seen = as_json(&inspect(folder.path()).expect("it is read"));
        assert_eq!((&seen["cluster"], &seen["capacity"], &seen["id"]), (&json!(CLUSTER), &json!(4), &json!(3)));
        assert_eq!(seen["records"][0]["state"], "whole");
        assert_eq!(seen["records"][0]["record"]["sequence"], 9);
        assert_eq!((&seen["mail"][0]["voter"], &seen["mail"][0]["mail"]["serial"]), (&json!(11), &json!(5)));
    }
}
