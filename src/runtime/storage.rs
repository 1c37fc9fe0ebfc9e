//! The heartbeat datastores of a host, each with its thread.

use super::input::Answer;
use crate::clock;
use crate::config::DatastoreConfig;
use crate::core::action::Event;
use crate::core::ids::DatastoreId;
use crate::datastore::{Attached, DatastoreThread, Expected, Header, open};
use crate::node::NodeEvent;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a host reaches.
#[derive(Default)]
pub(super) struct Storage {
    pub(super) threads: BTreeMap<DatastoreId, DatastoreThread>,
    /// Where it keeps a liveness record.
    pub(super) heartbeat: BTreeSet<DatastoreId>,
    /// What its guests can use.
    pub(super) reached: BTreeSet<DatastoreId>,
    /// Which formatting each of them is.
    pub(super) formattings: BTreeMap<DatastoreId, u128>,
}

/// Attaches every datastore that can be reached now. One that cannot is said so, loudly, and is left out.
///
/// All are asked at once, and none is waited for longer than `patience`: an older run's watchdog may be counting.
pub(super) fn attach(
    configs: &[DatastoreConfig],
    cluster: u128,
    patience: Duration,
    answers: &mpsc::UnboundedSender<Answer>,
) -> Storage {
    let mut storage = Storage::default();
    let asked: Vec<_> = configs.iter().map(|config| (config, identify(config, cluster))).collect();
    let deadline = clock::boottime() + patience;
    for (config, told) in asked {
        let left = deadline.since(clock::boottime());
        let found = told.and_then(|told| {
            told.recv_timeout(left).unwrap_or_else(|_| Err(format!("it does not answer within {patience:?}")))
        });
        match found {
            Ok((header, direct)) => storage.add(config, &header, direct, answers),
            Err(why) => {
                let (name, path) = (&config.name, config.path.display());
                tracing::error!(datastore = name, %path, why, "a datastore is left out until the agent starts anew");
            }
        }
    }
    storage
}

/// What a datastore is, and whether it is read directly; or why that could not be told.
type Identified = Result<(Header, bool), String>;

/// Reads what a datastore is, on a thread that may hang alone.
fn identify(config: &DatastoreConfig, cluster: u128) -> Result<Receiver<Identified>, String> {
    let (told, tell) = channel();
    let path = config.path.clone();
    let spawned = thread::Builder::new().name(format!("identify {}", config.name)).spawn(move || {
        let opened = open(&path, cluster).map(|datastore| (datastore.header().clone(), datastore.is_direct()));
        // Whoever asked may have lost patience.
        let _ = told.send(opened.map_err(|error| error.to_string()));
    });
    spawned.map(|_| tell).map_err(|error| error.to_string())
}

impl Storage {
    fn add(
        &mut self,
        config: &DatastoreConfig,
        header: &Header,
        direct: bool,
        answers: &mpsc::UnboundedSender<Answer>,
    ) {
        let id = header.id;
        if header.name != config.name || self.threads.contains_key(&id) {
            let (name, found) = (&config.name, &header.name);
            tracing::error!(datastore = name, found, %id, "the path holds another datastore than it should; left out");
            return;
        }
        let expected = Expected { cluster: header.cluster, id, uuid: Some(header.uuid), direct };
        let answers = answers.clone();
        let answer = move |ticket, result| {
            // A loop that has ended waits for nothing.
            let _ = answers.send(Answer::Event(NodeEvent::Core(Event::Datastore { ticket, result })));
        };
        let attached = Attached::new(config.path.clone(), expected);
        match DatastoreThread::start(&config.name, attached, answer) {
            Ok(thread) => {
                self.threads.insert(id, thread);
            }
            Err(error) => {
                tracing::error!(datastore = config.name, %error, "a datastore has no thread and is left out");
                return;
            }
        }
        self.reached.insert(id);
        self.formattings.insert(id, header.uuid);
        match (config.heartbeat, direct) {
            (true, true) => {
                self.heartbeat.insert(id);
            }
            // What is read past a cache that another host does not see may be old: a tombstone would be overlooked.
            (true, false) => tracing::warn!(
                datastore = config.name,
                "it does not let itself be read directly, so no liveness record is kept there"
            ),
            (false, _) => {}
        }
    }
}
