//! Who tells channels: the master's node, with a worker for each of them.

use super::sender::Local;
use super::worker::Worker;
use super::{Sender, Target};
use crate::api::Api;
use crate::core::ids::{FactKey, LogIndex};
use crate::core::state::Channel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// A new master whose history may lack something, for it came late to the log, waits for it so long, then tells what it
/// has: a voter that does not answer must not keep people from hearing of that.
const HISTORY: Duration = Duration::from_secs(10);
/// What could not be looked at is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// How far a channel is, as its master knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// How much it has not been told yet; what is more than some ten thousand is not counted.
    pub behind: usize,
    /// When the first of that happened, in milliseconds since 1970.
    pub since_milliseconds: Option<i64>,
    /// How often the one that is under way was tried in vain.
    pub tries: u64,
    /// Why.
    pub trouble: Option<String>,
    /// When this master told it something last.
    pub last_milliseconds: Option<i64>,
}

/// How far each channel is.
#[derive(Debug, Clone, Default)]
pub struct Progresses(Arc<Mutex<BTreeMap<String, Progress>>>);

impl Progresses {
    /// All of them; none on a node that is no master.
    pub fn all(&self) -> BTreeMap<String, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, channel: &str, change: impl FnOnce(&mut Progress)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = all.get_mut(channel) {
            change(progress);
        }
    }

    fn begin(&self, channel: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(channel.to_owned()).or_default();
    }

    fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| keep(name));
    }
}

/// Tells channels for as long as the node runs, whenever it is master. `whole` says with which of its beginnings the
/// node's history became whole.
pub async fn notify(api: Api, whole: watch::Receiver<Option<u64>>) {
    let mut glance = api.handle.glance.clone();
    loop {
        if glance.wait_for(|glance| glance.is_master).await.is_err() {
            return;
        }
        let mut ending = glance.clone();
        tokio::select! {
            biased;
            // With the reign end its workers, each where it stands.
            _ = ending.wait_for(|glance| !glance.is_master) => {}
            () = reign(&api, whole.clone()) => {}
        }
        api.progresses.retain(|_| false);
    }
}

/// As long as this node is master.
async fn reign(api: &Api, mut whole: watch::Receiver<Option<u64>>) {
    let mut glance = api.handle.glance.clone();
    let beginnings = glance.borrow().beginnings;
    if timeout(HISTORY, whole.wait_for(|whole| *whole == Some(beginnings))).await.is_err() {
        tracing::warn!("the history of this master is not whole yet; channels are told what it has");
    }
    let mut workers = Workers::default();
    loop {
        let changed = glance.borrow_and_update().channels;
        let seen = api.handle.look(|node, _| {
            let state = node.state()?;
            let known = FactKey { generation: state.generation.0, index: state.applied, part: u32::MAX };
            Some((state.registry.channels.clone(), known))
        });
        let Some((channels, known)) = seen.await.flatten() else {
            sleep(AGAIN).await;
            continue;
        };
        workers.follow(api, channels, known);
        if glance.wait_for(|glance| glance.channels != changed).await.is_err() {
            return;
        }
    }
}

/// One worker for each channel as it is. They end with this.
#[derive(Default)]
struct Workers {
    tasks: JoinSet<()>,
    /// Each with the place in the log that made its channel as it is.
    running: BTreeMap<String, (LogIndex, AbortHandle)>,
}

impl Workers {
    /// Ends those whose channels have changed or are gone, and begins what is missing.
    fn follow(&mut self, api: &Api, channels: BTreeMap<String, Channel>, known: FactKey) {
        self.running.retain(|name, (changed, worker)| {
            let stays = channels.get(name).is_some_and(|channel| channel.changed == *changed);
            if !stays {
                worker.abort();
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        api.progresses.retain(|name| channels.contains_key(name));
        for (name, channel) in channels {
            if !self.running.contains_key(&name) {
                let changed = channel.changed;
                api.progresses.begin(&name);
                let worker = self.tasks.spawn(work(api.clone(), name.clone(), channel, known));
                self.running.insert(name, (changed, worker));
            }
        }
    }
}

async fn work(api: Api, name: String, channel: Channel, known: FactKey) {
    match sender(&channel, &api.local).await {
        Ok(sender) => {
            let progresses = api.progresses.clone();
            Worker { api, name, channel, sender, progresses, known }.run().await;
        }
        Err(why) => {
            tracing::error!(channel = name, why, "a channel cannot be used");
            api.progresses.change(&name, |progress| progress.trouble = Some(why));
        }
    }
}

/// What sends to a channel, or why its settings cannot be used.
pub(crate) async fn sender(channel: &Channel, local: &Local) -> Result<Sender, String> {
    let (target, local) = (channel.setup.target.clone(), local.clone());
    let made = tokio::task::spawn_blocking(move || {
        let target = serde_json::from_slice::<Target>(&target.0);
        target
            .map(|target| Sender::new(&target, &local))
            .map_err(|error| format!("its settings cannot be read: {error}"))
    });
    made.await.map_err(|error| error.to_string())?
}
