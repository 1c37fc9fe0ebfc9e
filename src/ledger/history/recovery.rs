//! A VM that went down, and how it came back.

use super::super::cause::{Cause, Kind};
use super::span::{Condition, State};
use crate::core::ids::{HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::Proof;

/// A VM that was brought back or moved, with the length of each stage in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Which.
    pub vm: VmId,
    /// Whether it was planned.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// From where, if it was known to run somewhere.
    pub from: Option<HostId>,
    /// To where.
    pub to: HostId,
    /// What proved the old holder gone.
    pub proof: Option<Proof>,
    /// How it ended there, if the host could say so.
    pub exit: Option<Exit>,
    /// Since when it was down, in milliseconds since 1970.
    pub down_at: i64,
    /// Since when it runs again.
    pub up_at: i64,
    /// From the last sign to the judgement.
    pub detect: i64,
    /// From there to the proof.
    pub prove: i64,
    /// From there to the placement.
    pub queue: i64,
    /// From there until its new host said that it runs.
    pub start: i64,
    /// From there until its guest answered, where that is what counts.
    pub ready: Option<i64>,
}

/// A VM that went down and does not run yet.
#[derive(Debug, Clone)]
pub(super) struct Fall {
    pub(super) from: HostId,
    pub(super) down_at: i64,
    pub(super) noticed_at: i64,
    pub(super) proof: Option<Proof>,
    pub(super) exit: Option<Exit>,
    pub(super) proven_at: Option<i64>,
    pub(super) placed_at: Option<i64>,
    /// A person meant it to be down, or to stay down: what is started again later is not brought back.
    pub(super) meant: bool,
}

impl Fall {
    /// It was noticed that a VM had gone down.
    pub(super) fn noticed(from: HostId, down_at: i64, noticed_at: i64, meant: bool) -> Fall {
        let (proof, exit, proven_at, placed_at) = (None, None, None, None);
        Fall { from, down_at, noticed_at, proof, exit, proven_at, placed_at, meant }
    }

    /// It runs again, on a host; until then it was down in this state.
    pub(super) fn over(self, vm: VmId, to: HostId, up_at: i64, state: State) -> Option<Recovery> {
        let proven = self.proven_at.filter(|_| !self.meant)?;
        let placed = self.placed_at.unwrap_or(up_at).clamp(proven, up_at.max(proven));
        let kind = if state.is(Condition::Planned) { Kind::SwitchOver } else { Kind::Failover };
        Some(Recovery {
            vm,
            kind,
            cause: state.cause.unwrap_or(Cause::Unknown),
            from: Some(self.from),
            to,
            proof: self.proof,
            exit: self.exit,
            down_at: self.down_at,
            up_at,
            detect: self.noticed_at - self.down_at,
            prove: proven - self.noticed_at,
            queue: placed - proven,
            start: up_at - placed,
            ready: None,
        })
    }
}

impl Recovery {
    /// A VM was moved alive: it ran all the time, as far as anybody but its own guest can tell.
    pub(super) fn moved(vm: VmId, from: HostId, to: HostId, at: i64) -> Recovery {
        Recovery {
            vm,
            kind: Kind::SwitchOver,
            cause: Cause::PlannedMove,
            from: Some(from),
            to,
            proof: None,
            exit: Some(Exit::Moved),
            down_at: at,
            up_at: at,
            detect: 0,
            prove: 0,
            queue: 0,
            start: 0,
            ready: None,
        }
    }
}
