//! What a voter has heard. Every voter listens, so that a new master knows the silence before it.

use crate::core::ids::{Address, BootId, HostId};
use crate::core::message::Heartbeat;
use crate::core::time::Instant;

/// The heartbeats that one voter has heard, by host.
#[derive(Debug, Default)]
pub struct Ears {
    // Host numbers are small and dense, and this is looked at for every heartbeat.
    hosts: Vec<[Option<Heard>; 2]>,
}

/// The newest heartbeat of one boot of a host.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// When it was heard.
    pub at: Instant,
    /// When the first one of this boot was heard.
    pub first: Instant,
    /// From where.
    pub from: Address,
    /// How many came that were newer than all before.
    pub count: u64,
    /// The heartbeat.
    pub heartbeat: Heartbeat,
}

impl Ears {
    /// Takes in a heartbeat. One that is not newer than the last of its boot is an echo, and no sign of life.
    pub fn hear(&mut self, now: Instant, from: Address, heartbeat: Heartbeat) -> bool {
        let index = heartbeat.incarnation.host.0 as usize;
        if index >= self.hosts.len() {
            self.hosts.resize(index + 1, [None, None]);
        }
        let Some(pair) = self.hosts.get_mut(index) else { return false };
        let boot = heartbeat.incarnation.boot;
        let fresh = Heard { at: now, first: now, from, count: 1, heartbeat };
        let known = pair.iter_mut().flatten().find(|heard| heard.heartbeat.incarnation.boot == boot);
        if let Some(heard) = known {
            let order = |beat: &Heartbeat| (beat.session, beat.sequence);
            if order(&heartbeat) <= order(&heard.heartbeat) {
                return false;
            }
            *heard = Heard { first: heard.first, count: heard.count + 1, ..fresh };
            return true;
        }
        // The one that was heard longer ago makes room.
        match pair {
            [Some(one), Some(other)] if one.at > other.at => pair[1] = Some(fresh),
            [Some(_), None] => pair[1] = Some(fresh),
            _ => pair[0] = Some(fresh),
        }
        true
    }

    /// The newest heartbeat of this boot of the host.
    pub fn of_boot(&self, host: HostId, boot: BootId) -> Option<&Heard> {
        self.both(host).find(|heard| heard.heartbeat.incarnation.boot == boot)
    }

    /// The newest heartbeat of another boot of the host.
    pub fn of_other_boot(&self, host: HostId, boot: BootId) -> Option<&Heard> {
        self.both(host).filter(|heard| heard.heartbeat.incarnation.boot != boot).max_by_key(|heard| heard.at)
    }

    /// The newest heartbeat of any boot of the host.
    pub fn newest(&self, host: HostId) -> Option<&Heard> {
        self.both(host).max_by_key(|heard| heard.at)
    }

    fn both(&self, host: HostId) -> impl Iterator<Item = &Heard> {
        self.hosts.get(host.0 as usize).into_iter().flatten().flatten()
    }
}
