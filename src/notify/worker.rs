//! Telling one channel, for as long as this node is master and the channel stays as it is.

use super::backlog::{Backlog, Next};
use super::notifier::Progresses;
use super::{Notification, Sender, Unsent};
use crate::api::Api;
use crate::clock;
use crate::core::action::Request;
use crate::core::ids::{FactKey, Ticket};
use crate::core::reason::Refusal;
use crate::core::state::{Channel, Telling};
use crate::ledger::Entry;
use crate::runtime::fact;
use crate::store::{LedgerKey, LedgerReader, LedgerRow, QueryError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

/// So many facts are read at once.
const PORTION: usize = 500;
/// What the disk or the log does not take is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Facts come in bursts: what follows within this is read with the first.
const GATHER: Duration = Duration::from_millis(20);
/// The first pause after a failure; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What was refused so often in a row is not sent again: by then half a minute is over.
const REFUSALS: u32 = 8;

type Rows = Result<Vec<LedgerRow>, QueryError>;

/// Tells one channel.
pub(super) struct Worker {
    pub(super) api: Api,
    pub(super) name: String,
    pub(super) channel: Channel,
    pub(super) sender: Sender,
    pub(super) progresses: Progresses,
    /// What the log had when this began. Of these facts the first may have been sent before, by an earlier master or an
    /// earlier worker; of all others this one is the first to know.
    pub(super) known: FactKey,
}

impl Worker {
    /// Works until nobody wants it to.
    pub(super) async fn run(mut self) {
        let mut facts = self.api.handle.facts.clone();
        let mut backlog = Backlog::new(self.channel.setup.clone(), self.channel.told);
        loop {
            facts.borrow_and_update();
            if self.read_on(&mut backlog).await.is_none() {
                sleep(AGAIN).await;
                continue;
            }
            match backlog.next().filter(|_| !self.channel.paused) {
                Some(next) => self.tell(next, &mut backlog, &mut facts).await,
                None => {
                    if let Some(upto) = backlog.passed() {
                        self.commit(upto, Telling::Passed, &mut backlog).await;
                    }
                    if facts.changed().await.is_err() {
                        return;
                    }
                    sleep(GATHER).await;
                }
            }
        }
    }

    /// Takes in what is new in the ledger: all that the log has applied by now, and nothing beyond it, for behind that
    /// there could be gaps that the disk has yet to fill.
    async fn read_on(&self, backlog: &mut Backlog) -> Option<()> {
        let applied = self.api.handle.look(|node, _| node.state().map(|state| (state.generation.0, state.applied)));
        let (generation, index) = applied.await??;
        if !self.api.handle.recorded_whole().await {
            return None;
        }
        let end = FactKey { generation, index, part: u32::MAX };
        while !backlog.is_full() {
            let after = place(backlog.read());
            let entries = self.read(move |ledger| ledger.after(Some(after), PORTION)).await?;
            let entries: Vec<Entry> = entries.into_iter().take_while(|entry| entry.key <= end).collect();
            backlog.extend(&entries);
            if entries.len() < PORTION {
                break;
            }
        }
        self.progresses.change(&self.name, |progress| {
            (progress.behind, progress.since_milliseconds) = (backlog.len(), backlog.since());
        });
        Some(())
    }

    async fn read(&self, query: impl FnOnce(&LedgerReader) -> Rows + Send + 'static) -> Option<Vec<Entry>> {
        let ledger = self.api.ledger.clone();
        let rows = tokio::task::spawn_blocking(move || query(&ledger)).await;
        match rows.ok()? {
            Ok(rows) => Some(rows.iter().filter_map(fact).collect()),
            Err(error) => {
                tracing::warn!(%error, channel = self.name, "the ledger cannot be read for a channel yet");
                None
            }
        }
    }

    /// Sends one notification until the channel takes it, or refuses it for good.
    async fn tell(&mut self, next: Next, backlog: &mut Backlog, facts: &mut watch::Receiver<u64>) {
        let Some(upto) = next.upto() else { return };
        let Some(told) = self.worded(next).await else {
            sleep(AGAIN).await;
            return;
        };
        let mut attempt = if upto <= self.known { 2 } else { 1 };
        let (mut refusals, mut pause) = (0, FIRST_PAUSE);
        loop {
            if !self.may_send().await {
                // If this is not only a look that came to nothing, whoever began this worker ends it in a moment.
                sleep(AGAIN).await;
                continue;
            }
            let unsent = match self.sender.send(&told, attempt).await {
                Ok(()) => return self.commit(upto, Telling::Told, backlog).await,
                Err(unsent) => unsent,
            };
            attempt += 1;
            refusals = if matches!(unsent, Unsent::Refused(_)) { refusals + 1 } else { 0 };
            self.failed(&told, attempt, &unsent);
            if refusals >= REFUSALS {
                return self.commit(upto, Telling::Refused(unsent.to_string()), backlog).await;
            }
            self.pass_time(pause, backlog, facts).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn worded(&self, next: Next) -> Option<Notification> {
        match next {
            Next::One(key) => {
                let entry = self.read(move |ledger| ledger.between(place(key)..=place(key), 1)).await?.pop()?;
                let told = self.api.handle.look(move |node, _| Some(Notification::of(&entry, node.state()?)));
                told.await?
            }
            Next::Many(facts) => {
                self.api.handle.look(move |node, _| Notification::summary(&facts, node.state()?)).await?
            }
        }
    }

    /// Whether this node is still master, by its own knowledge, and the channel is as it was.
    async fn may_send(&self) -> bool {
        let (name, changed) = (self.name.clone(), self.channel.changed);
        let same = self.api.handle.look(move |node, _| {
            let channel = node.state()?.registry.channels.get(&name)?;
            (node.master().is_some() && channel.changed == changed).then_some(())
        });
        matches!(same.await, Some(Some(())))
    }

    fn failed(&self, told: &Notification, attempt: u64, unsent: &Unsent) {
        let (channel, id, why) = (&self.name, &told.id, unsent.to_string());
        tracing::warn!(channel, id, tries = attempt - 1, why, "a channel has not taken a notification");
        self.progresses.change(channel, |progress| {
            progress.tries += 1;
            progress.trouble = Some(why);
        });
    }

    /// Waits; what happens meanwhile is counted.
    async fn pass_time(&self, pause: Duration, backlog: &mut Backlog, facts: &mut watch::Receiver<u64>) {
        let until = Instant::now() + pause;
        while let Ok(Ok(())) = timeout_at(until, facts.changed()).await {
            sleep(GATHER).await;
            facts.borrow_and_update();
            if self.read_on(backlog).await.is_none() {
                break;
            }
        }
        sleep_until(until).await;
    }

    /// Has the log know up to where the channel was told. Until it does nothing more is sent: so no more than one
    /// notification is ever sent again by a successor.
    async fn commit(&mut self, upto: FactKey, telling: Telling, backlog: &mut Backlog) {
        let was_told = telling == Telling::Told;
        loop {
            let (channel, telling) = (self.name.clone(), telling.clone());
            let ticket = Ticket(Uuid::new_v4().as_u64_pair().0 >> 2);
            match self.api.handle.request(ticket, Request::Notified { channel, upto, telling }, None).await {
                Some(Ok(()) | Err(Refusal::NothingToDo | Refusal::NoSuchThing)) => break,
                // There is no majority just now, or this node is master no more and this worker about to be ended.
                Some(Err(_)) | None => sleep(AGAIN).await,
            }
        }
        backlog.told(upto);
        // Nobody else can have sent what comes behind this one.
        self.known = upto;
        self.progresses.change(&self.name, |progress| {
            (progress.behind, progress.since_milliseconds) = (backlog.len(), backlog.since());
            (progress.trouble, progress.tries) = (None, 0);
            if was_told {
                progress.last_milliseconds = Some(clock::wall_milliseconds());
            }
        });
    }
}

fn place(key: FactKey) -> LedgerKey {
    LedgerKey { generation: key.generation, log_index: key.index.0, part: key.part }
}
