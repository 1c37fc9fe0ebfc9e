//! The way from a request to the loop of the node, and back.

use super::bodies::Part;
use super::errors::Failure;
use super::metrics::KnownPeople;
use super::who::{Person, Who};
use crate::core::action::Request;
use crate::core::command::Said;
use crate::core::ids::{Address, Ticket};
use crate::core::reason::Refusal;
use crate::core::state::ClusterState;
use crate::core::time::Instant;
use crate::explain::NameList;
use crate::metrics::Exporter;
use crate::node::Node;
use crate::notify::{Local, Progresses};
use crate::platform::{Live, Survey};
use crate::runtime::{Call, Glance, Leave};
use crate::samples::Reader;
use crate::store::LedgerReader;
use crate::transport::Transport;
use axum::http::request::Parts;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// A node answers a look between two of its steps; one that takes longer does not live.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// A majority answers a request within this, or there is none.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// So many things are looked at in one go.
const PORTION: usize = 500;

/// A part of a list, and the last of it if there may be more.
pub(crate) type Portion<View, Id> = (Vec<View>, Option<Id>);

/// The loop of a node, for those who ask.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) calls: mpsc::Sender<Call>,
    /// What is to be known of the node at a glance.
    pub glance: watch::Receiver<Glance>,
    /// Changes whenever there is more in the ledger.
    pub facts: watch::Receiver<u64>,
}

/// All that answering needs.
#[derive(Clone)]
pub struct Api {
    /// The loop.
    pub handle: Handle,
    /// The ledger, as it is on this node's disk.
    pub ledger: LedgerReader,
    /// The way to the master.
    pub transport: Arc<Transport>,
    /// This node's number.
    pub me: Address,
    /// This host's name.
    pub host: String,
    /// Since when it takes part in this run.
    pub begun: Instant,
    /// What Prometheus is told.
    pub metrics: Exporter,
    /// Those whom a master knew of late, and may ask for that.
    pub known: KnownPeople,
    /// What this host's hypervisor has.
    pub survey: Option<Arc<dyn Survey>>,
    /// What goes on there.
    pub live: Arc<dyn Live>,
    /// What was read of the ledger last, for reports.
    pub readings: super::Readings,
    /// The signed reports that were made last.
    pub reports: super::MadeReports,
    /// What hosts and VMs have used, as far as it was told to this node.
    pub samples: Reader,
    /// How far channels are, on the master's node.
    pub progresses: Progresses,
    /// What this host has for channels.
    pub local: Local,
}

impl Handle {
    /// Looks at the node between two of its steps.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Node, Instant) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let look = Box::new(move |node: &Node, now: Instant| {
            // Who looked may have gone.
            let _ = answer.send(look(node, now));
        });
        self.calls.send(Call::Look(look)).await.ok()?;
        timeout(LOOK_PATIENCE, answered).await.ok()?.ok()
    }

    /// Asks the node for something, as an operator.
    pub async fn request(&self, ticket: Ticket, request: Request, said: Option<Said>) -> Option<Result<(), Refusal>> {
        let (reply, answered) = oneshot::channel();
        let mut glance = self.glance.clone();
        let leads = glance.borrow_and_update().is_master;
        self.calls.send(Call::Request { ticket, request, said: said.map(Box::new), reply }).await.ok()?;
        tokio::select! {
            biased;
            answered = timeout(REQUEST_PATIENCE, answered) => answered.ok()?.ok(),
            // Who is master no more answers nothing that was asked of the master.
            _ = glance.wait_for(|glance| !glance.is_master), if leads => None,
        }
    }

    /// Waits until all facts that follow from what was seen so far are in the ledger on disk: the loop shows what it has
    /// applied at once, and the disk has it a moment later. Whether that came about.
    pub(super) async fn recorded(&self) -> bool {
        self.asked_recorded().await.is_some()
    }

    /// The same, and that the disk has refused none of them, which would be missing there for a while.
    pub(crate) async fn recorded_whole(&self) -> bool {
        self.asked_recorded().await == Some(true)
    }

    async fn asked_recorded(&self) -> Option<bool> {
        let (reply, recorded) = oneshot::channel();
        self.calls.send(Call::Recorded(reply)).await.ok()?;
        timeout(LOOK_PATIENCE, recorded).await.ok()?.ok()
    }

    /// Tells the agent to end, which ends no VM.
    pub async fn stop(&self, leave: Leave) {
        // If the loop has ended already, all is well.
        let _ = self.calls.send(Call::Stop(leave)).await;
    }
}

impl Api {
    /// Looks at the node, which must vote.
    pub(super) async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&super::Viewer<'_>, &Node, Instant) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let seen =
            self.handle.look(move |node, now| super::Viewer::new(node, now).map(|viewer| look(&viewer, node, now)));
        match seen.await {
            Some(Some(view)) => Ok(view),
            Some(None) => Err(Failure::no_master()),
            None => Err(Failure::unanswered("the node does not answer")),
        }
    }

    /// Looks at a list in portions, for the loop has other things to do: `find` gives the one after which the part that
    /// was asked for begins, `next` those after one.
    pub(super) async fn list<View: Send + 'static, Id: Copy + Send + 'static>(
        &self,
        part: Part,
        find: fn(&ClusterState, &str) -> Result<Id, Failure>,
        next: fn(&super::Viewer<'_>, Option<Id>, usize) -> Portion<View, Id>,
    ) -> Result<Vec<View>, Failure> {
        let mut after = match part.after {
            Some(name) => Some(self.view(move |viewer, _, _| find(viewer.state(), &name)).await??),
            None => None,
        };
        let (mut list, limit) = (Vec::new(), part.limit.unwrap_or(usize::MAX));
        loop {
            let left = limit.saturating_sub(list.len());
            let (portion, last) = self.view(move |viewer, _, _| next(viewer, after, left)).await?;
            list.extend(portion);
            after = last;
            if after.is_none() || list.len() >= limit {
                return Ok(list);
            }
        }
    }

    /// Looks at the replicated state alone.
    pub(super) async fn state<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ClusterState) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        match self.handle.look(move |node, _| node.state().map(look)).await {
            Some(Some(seen)) => Ok(seen),
            Some(None) => Err(Failure::no_master()),
            None => Err(Failure::unanswered("the node does not answer")),
        }
    }

    /// Who asks, as the log knows him.
    pub(super) async fn person(&self, parts: &Parts) -> Result<Person, Failure> {
        let who = parts.extensions.get::<Who>().cloned().unwrap_or(Who::Nobody);
        // A stranger costs the loop nothing.
        if who == Who::Nobody {
            return Err(Failure::unknown_person());
        }
        self.state(move |state| who.person(state)).await?.ok_or_else(Failure::unknown_person)
    }

    /// Asks for something, and says in words why it was refused.
    pub(super) async fn ask(&self, ticket: Ticket, request: Request, said: Said) -> Result<(), Failure> {
        match self.handle.request(ticket, request, Some(said)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(refusal)) => {
                let names = self.handle.look(|node, _| node.state().map(NameList::of)).await.flatten();
                Err(Failure::refused(&refusal, &names.unwrap_or_default()))
            }
            None => Err(Failure::unanswered("no majority has confirmed the request in time")),
        }
    }
}

/// A portion of what is kept by number: a loop that has leases to extend cannot look at thousands in one go.
pub(crate) fn portion<Id: Ord + Copy, T, View>(
    all: &BTreeMap<Id, T>,
    after: Option<Id>,
    limit: usize,
    view: impl Fn(&Id, &T) -> View,
) -> Portion<View, Id> {
    let rest = all.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
    let portion: Vec<(&Id, &T)> = rest.take(limit.min(PORTION)).collect();
    let more = portion.last().filter(|_| portion.len() == limit.min(PORTION)).map(|(id, _)| **id);
    (portion.into_iter().map(|(id, one)| view(id, one)).collect(), more)
}
