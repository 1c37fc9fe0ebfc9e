//! Makes the page that Prometheus reads.

use super::cluster;
use super::counts::Counts;
use super::node::{Own, tell_counts, tell_own, tell_transport};
use super::table::{BUILD_INFO, IS_MASTER, LIMIT, LOOP_ANSWERS, MASTER_KNOWN, START_TIME, TIME, VOTES};
use super::text::Page;
use crate::api::Handle;
use crate::clock;
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::platform::Reading;
use crate::transport::Transport;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A page is told again for so long.
const FRESH: Duration = Duration::from_secs(1);

/// What a page is made from.
pub struct Sources {
    /// The way to the loop.
    pub handle: Handle,
    /// What the node counts.
    pub counts: Arc<Counts>,
    /// How its packets fare.
    pub transport: Arc<Transport>,
    /// How its host is called.
    pub host: String,
    /// The time limits that hold.
    pub timing: Timing,
    /// When this run began, in milliseconds since 1970.
    pub begun: i64,
}

/// A page, and when it was begun.
type Made = (Instant, Arc<str>);

/// Makes the page of one node.
#[derive(Clone)]
pub struct Exporter {
    sources: Arc<Sources>,
    last: Arc<Mutex<Option<Made>>>,
}

impl Exporter {
    /// One that makes it from these.
    pub fn new(sources: Sources) -> Exporter {
        Exporter { sources: Arc::new(sources), last: Arc::default() }
    }

    /// What the host and its VMs have used by now.
    pub fn measured(&self, reading: &Reading) {
        self.sources.counts.measured(reading);
    }

    /// The page as it is now, or was within the last second. Of many who ask at once, one has it made.
    pub async fn page(&self) -> Arc<str> {
        let mut last = self.last.lock().await;
        if let Some((made, page)) = last.as_ref()
            && clock::boottime().since(*made) < FRESH
        {
            return Arc::clone(page);
        }
        let made = clock::boottime();
        let page: Arc<str> = self.sources.page().await.into();
        *last = Some((made, Arc::clone(&page)));
        page
    }
}

impl Sources {
    async fn page(&self) -> String {
        let mut page = Page::default();
        self.tell_node(&mut page);
        let own = self.handle.look(Own::of).await;
        page.one(&LOOP_ANSWERS, own.is_some());
        tell_counts(&mut page, &self.counts);
        tell_transport(&mut page, &self.transport);
        if let Some(own) = own {
            // An agent that does not vote takes the master to be where it heard it last, however long ago.
            let hears = own.voter.is_some() || own.standing.unacknowledged < self.timing.software_stop;
            page.one(&MASTER_KNOWN, hears && self.handle.glance.borrow().master.is_some());
            tell_own(&mut page, &own, &self.counts);
        }
        if self.handle.glance.borrow().is_master {
            cluster::tell(&mut page, &self.handle).await;
        }
        page.text()
    }

    fn tell_node(&self, page: &mut Page) {
        let seconds = |milliseconds: i64| milliseconds as f64 / 1_000.0;
        page.family(&BUILD_INFO).add(&[env!("CARGO_PKG_VERSION"), &self.host], 1_u64);
        page.one(&START_TIME, seconds(self.begun));
        page.one(&TIME, seconds(clock::wall_milliseconds()));
        let glance = *self.handle.glance.borrow();
        page.one(&VOTES, glance.votes);
        page.one(&IS_MASTER, glance.is_master);
        let Timing { heartbeat, suspect, fence_after, software_stop, quorum, record_interval, call_deadline, .. } =
            self.timing;
        let mut limits = page.family(&LIMIT);
        for (name, limit) in [
            ("heartbeat", heartbeat),
            ("suspect", suspect),
            ("judge", fence_after),
            ("lease", software_stop),
            ("quorum", quorum),
            ("record", record_interval),
            ("call", call_deadline),
        ] {
            limits.add(&[name], limit);
        }
    }
}
