//! The heartbeat datastores of a host, each with its thread.
//!
//! One that cannot be reached when the agent starts is looked for from then on: hosts come up before their storage does.
//! When it is found, the agent starts anew with it, as it would for an upgrade: what it tells the master of itself is
//! told once in a run.

use super::input::Answer;
use crate::clock;
use crate::config::DatastoreConfig;
use crate::core::action::Event;
use crate::core::ids::DatastoreId;
use crate::datastore::{Attached, DatastoreThread, Expected, Header, open};
use crate::metrics::Counts;
use crate::node::NodeEvent;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// A datastore that is absent is looked for this often. Each time that one is found the agent starts anew, and a service
/// manager bears that only so often.
const SEARCH: Duration = Duration::from_secs(10);

/// What a host reaches.
#[derive(Default)]
pub(super) struct Storage {
    pub(super) threads: BTreeMap<DatastoreId, DatastoreThread>,
    /// Where it keeps a liveness record.
    pub(super) heartbeat: BTreeSet<DatastoreId>,
    /// What its guests can use.
    pub(super) reached: BTreeSet<DatastoreId>,
    /// Where they are on this host, those that could not be reached too.
    pub(super) places: Vec<(Option<DatastoreId>, PathBuf)>,
    /// Which formatting each of them is.
    pub(super) formattings: BTreeMap<DatastoreId, u128>,
    /// Those that could not be reached.
    absent: Vec<DatastoreConfig>,
}

/// As long as this is held, absent datastores are looked for.
pub(super) type Search = Sender<()>;

/// Attaches every datastore that can be reached now. One that cannot is said so, loudly, and is left out.
///
/// All are asked at once, and none is waited for longer than `patience`: an older run's watchdog may be counting.
pub(super) fn attach(
    configs: &[DatastoreConfig],
    cluster: u128,
    patience: Duration,
    counts: &Counts,
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
            Ok((header, direct)) => storage.add(config, &header, direct, counts, answers),
            Err(why) => {
                let (name, path) = (&config.name, config.path.display());
                tracing::error!(datastore = name, %path, why, "a datastore is left out until it is found");
                storage.places.push((None, config.path.clone()));
                storage.absent.push(config.clone());
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
    /// Looks for each absent datastore, on a thread of its own that may hang alone, and tells of it once.
    pub(super) fn search(
        &self,
        cluster: u128,
        patience: Duration,
        answers: &mpsc::UnboundedSender<Answer>,
    ) -> Vec<Search> {
        let mut searches = Vec::new();
        for config in &self.absent {
            let (search, ends) = channel::<()>();
            let (config, answers) = (config.clone(), answers.clone());
            let name = format!("search {}", config.name);
            let spawned = thread::Builder::new().name(name).spawn(move || {
                while ends.recv_timeout(SEARCH) == Err(RecvTimeoutError::Timeout) {
                    let begun = clock::boottime();
                    let found = open(&config.path, cluster).is_ok_and(|found| found.header().name == config.name);
                    // One so slow that the next run would leave it out again is not found yet.
                    if found && clock::boottime().since(begun) < patience / 2 {
                        // A loop that has ended waits for nothing.
                        let _ = answers.send(Answer::StorageFound(config.name));
                        return;
                    }
                }
            });
            match spawned {
                Ok(_) => searches.push(search),
                Err(error) => tracing::error!(%error, "no thread can be made that looks for a datastore"),
            }
        }
        searches
    }

    fn add(
        &mut self,
        config: &DatastoreConfig,
        header: &Header,
        direct: bool,
        counts: &Counts,
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
        let started = match counts.datastore(&config.name) {
            Some(meter) => DatastoreThread::start(&config.name, meter.around(attached), answer),
            None => DatastoreThread::start(&config.name, attached, answer),
        };
        match started {
            Ok(thread) => {
                self.threads.insert(id, thread);
            }
            Err(error) => {
                tracing::error!(datastore = config.name, %error, "a datastore has no thread and is left out");
                return;
            }
        }
        self.reached.insert(id);
        self.places.push((Some(id), config.path.clone()));
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
