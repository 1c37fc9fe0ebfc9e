//! Datastores and networks, by name: what VMs and hosts refer to.

use super::flags::Flags;
use super::host::say;
use super::session::{Answer, Session, Twice, Verb, is};
use super::show::Sheet;
use crate::api::ClusterView;
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::core::ids::DatastoreId;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json as value};
use uuid::Uuid;

const NETWORK_HELP: &str = "\
Examples:
  holdfast network list
  holdfast network add guests";

#[derive(Debug, Args)]
#[command(after_help = NETWORK_HELP)]
pub struct NetworkArgs {
    #[command(subcommand)]
    verb: NetworkVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum NetworkVerb {
    /// Shows the networks of guests that the cluster knows
    #[command(after_help = NETWORK_HELP)]
    List,
    /// Makes a network of guests known, by the name that hosts have in their configuration
    #[command(after_help = NETWORK_HELP)]
    Add {
        /// Its name
        #[arg(value_name = "NAME", value_parser = named)]
        name: String,
    },
}

/// What a datastore is registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Of which cluster.
    pub cluster: Uuid,
    /// Its number.
    pub id: DatastoreId,
    /// Its identity.
    pub uuid: Uuid,
}

/// The networks of guests.
pub fn network(args: &NetworkArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        NetworkVerb::List => list("/v1/networks", &["name", "number"], session, output),
        NetworkVerb::Add { name } => {
            match session.change(Verb::Post, "/v1/networks", &value!({ "name": name }), output)? {
                Answer::Done(_) => say(&format!("the network {name} is known"), session, output)?,
                Answer::SoAlready => say(&format!("the network {name} was known already"), session, output)?,
                Answer::Dry => {}
            }
            Ok(Exit::Good)
        }
    }
}

/// The datastores that the cluster knows.
pub fn datastores(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    list("/v1/datastores", &["name", "number", "uuid"], session, output)
}

fn list(path: &str, keys: &[&'static str], session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let mut all: Vec<Value> = session.look(path)?;
    let text = |entry: &Value, key: &str| entry[key].as_str().map_or_else(|| entry[key].to_string(), str::to_owned);
    all.sort_by_key(|entry| text(entry, "name"));
    let mut sheet = Sheet::new(keys);
    for entry in &all {
        match keys {
            [first, second, third] => sheet.row([first, second, third].map(|key| text(entry, key))),
            _ => sheet.row(["name", "number"].map(|key| text(entry, key))),
        }
    }
    sheet.show(session.flags.output, &all, output)?;
    Ok(Exit::Good)
}

/// Makes a datastore known by name that hosts keep no records on.
pub fn add_datastore(name: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    if session.flags.dry_run {
        session.say_dry(Verb::Post, "/v1/datastores", &value!({ "name": name }), output)?;
        return Ok(Exit::Good);
    }
    let registered = register(name, session)?;
    say(&format!("{name} is {}, uuid {}", registered.id, registered.uuid), session, output)?;
    Ok(Exit::Good)
}

/// Has the cluster give a datastore its number and its identity.
pub fn register(name: &str, session: &mut Session<'_>) -> anyhow::Result<Registered> {
    let cluster: ClusterView = session.find("/v1/status")?;
    // Made up here, so that asking again after a lost answer names the same datastore.
    let uuid = Uuid::new_v4();
    let body = value!({ "name": name, "uuid": uuid });
    let answer = match session.ask::<Value>(Verb::Post, "/v1/datastores", &body, Twice::Harmless) {
        Ok(answer) => answer,
        // The answer to an earlier try was lost.
        Err(error) if is(&error, "nothing-to-do") => {
            let known: Vec<Value> = session.find("/v1/datastores")?;
            known.into_iter().find(|entry| entry["name"] == name).context("the datastore was named and is gone")?
        }
        Err(error) => return Err(error),
    };
    let id = answer["number"].as_u64().and_then(|number| u16::try_from(number).ok());
    let id = DatastoreId(id.context("the cluster has answered without a number")?);
    let told = answer["uuid"].as_str().and_then(|text| text.parse::<Uuid>().ok());
    Ok(Registered { cluster: cluster.uuid, id, uuid: told.context("the cluster has answered without a UUID")? })
}
