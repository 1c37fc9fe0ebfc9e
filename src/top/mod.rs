//! `holdfast top`: the living cluster on a terminal.
//!
//! ```text
//!  interface ─▶ Picture ─┐
//!                        ├─▶ Top ─▶ [draw] ─▶ cells of a terminal
//!  keys ────▶ Key ───────┘
//! ```
//!
//! [`Top`] is all that there is to know, and changes by pictures and keys alone; `draw` makes the same cells of it each
//! time. The terminal, the network and the clock are the command line's.

mod draw;
mod keys;
mod parts;
mod picture;
mod rows;
#[cfg(test)]
mod tests;

pub use draw::{draw, text};
pub use keys::{Key, What};
pub use picture::Picture;

use crate::core::time::Instant;
use rows::Recovery;
use std::collections::BTreeMap;

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tab {
    /// The hosts.
    Hosts,
    /// The VMs.
    Vms,
    /// The VMs that are being brought back or moved.
    Recoveries,
    /// What happened.
    Events,
}

impl Tab {
    /// All of them, in their order.
    pub const ALL: [Tab; 4] = [Tab::Hosts, Tab::Vms, Tab::Recoveries, Tab::Events];
}

/// By what rows stand in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// What is not as it should be comes first.
    State,
    /// By name.
    Name,
    /// By host, or, of hosts, by how many VMs they have.
    Host,
    /// Who uses most CPU comes first.
    Cpu,
    /// Who uses most memory comes first.
    Memory,
}

impl Sort {
    const ALL: [Sort; 5] = [Sort::State, Sort::Name, Sort::Host, Sort::Cpu, Sort::Memory];

    fn word(self) -> &'static str {
        match self {
            Sort::State => "state",
            Sort::Name => "name",
            Sort::Host => "host",
            Sort::Cpu => "cpu",
            Sort::Memory => "memory",
        }
    }
}

/// Whether it is drawn in colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// In colours.
    Colours,
    /// Without any: bold and inverse must do.
    Plain,
}

/// All that is shown, and how.
#[derive(Debug, Clone)]
pub struct Top {
    picture: Option<Picture>,
    /// When the picture came.
    came: Instant,
    /// Why there is no newer one.
    trouble: Option<String>,
    tab: Tab,
    sort: Sort,
    reversed: bool,
    /// Only rows that hold this.
    filter: String,
    /// The filter is being written.
    writes: bool,
    /// The first row that is shown.
    first: usize,
    paused: bool,
    helps: bool,
    paint: Paint,
    /// Since when each VM is on its way back, and whether that is known or was only found so.
    since: BTreeMap<String, (Instant, bool)>,
    recoveries: Vec<Recovery>,
}

impl Top {
    /// Nothing is known yet.
    pub fn new(tab: Tab, paint: Paint) -> Top {
        Top {
            picture: None,
            came: Instant::ZERO,
            trouble: None,
            tab,
            sort: Sort::State,
            reversed: false,
            filter: String::new(),
            writes: false,
            first: 0,
            paused: false,
            helps: false,
            paint,
            since: BTreeMap::new(),
            recoveries: Vec::new(),
        }
    }

    /// A new picture has come.
    pub fn take(&mut self, picture: Picture, now: Instant) {
        if self.paused {
            return;
        }
        let is_first = self.picture.is_none();
        let recoveries = rows::recoveries(&picture, self.picture.as_ref());
        let mut since = std::mem::take(&mut self.since);
        since.retain(|name, _| recoveries.iter().any(|recovery| recovery.vm == *name));
        for recovery in &recoveries {
            // Where the host is silent, it began with the silence; else when it was seen for the first time.
            let begin = recovery.silent.map_or((now, !is_first), |silent| (now.before(silent), true));
            since.entry(recovery.vm.clone()).or_insert(begin);
        }
        (self.since, self.recoveries) = (since, recoveries);
        (self.picture, self.came, self.trouble) = (Some(picture), now, None);
    }

    /// The cluster does not answer. What was known before stays.
    pub fn fail(&mut self, why: &str) {
        self.trouble = Some(why.lines().next().unwrap_or_default().to_owned());
    }

    /// Whether somebody wants to see newer pictures.
    pub fn is_paused(&self) -> bool {
        self.paused
    }
}
