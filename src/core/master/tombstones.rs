//! How the end of a lease becomes a proof (rule 7).
//!
//! ```text
//!  Writing ─▶ Rereading ─▶ Buried ──(all buried: the wait runs)──▶ ReadingBack ─▶ Verified ─▶ LeaseExpired
//!     ▲                                                                │
//!     └────────────── the tombstone is not there any more ◀────────────┘
//! ```

use super::reach::Purpose;
use super::{Context, Master, Output};
use crate::core::command::Command;
use crate::core::ids::{DatastoreId, HostId, Incarnation};
use crate::core::reason::{NoProof, Proof};
use crate::core::record::{DatastoreOp, DatastoreResult, Mail, Slot, Tombstone};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::state::{Armed, Standing};
use crate::core::time::Instant;
use std::collections::BTreeMap;

/// The burial of one generation of a host.
#[derive(Debug)]
pub(super) struct Burial {
    target: Incarnation,
    graves: BTreeMap<DatastoreId, Grave>,
    /// When the last thing could have extended the lease; known once every grave is closed.
    wait_from: Option<Instant>,
    proposed: Option<Instant>,
}

/// One datastore of the renewal set.
#[derive(Debug)]
struct Grave {
    stage: Stage,
    /// What the record said before the tombstone; none if it was never read by this master.
    before: Option<(Incarnation, u64)>,
    /// When the tombstone was known to be written.
    written: Instant,
    /// Whether the record moved until then, or may have.
    moved: bool,
    asked: bool,
    attempt: usize,
    /// Of the last tombstone that was ordered.
    serial: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Writing,
    Rereading,
    Buried,
    ReadingBack,
    Verified,
}

impl Grave {
    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.asked = false;
        self.attempt = 0;
    }

    fn needs_asking(&self) -> bool {
        matches!(self.stage, Stage::Writing | Stage::Rereading | Stage::ReadingBack)
    }
}

impl Master {
    pub(super) fn begin_burial(&mut self, cx: &Context<'_>, target: Incarnation, out: &mut Output) {
        let Some(host) = cx.state.hosts.get(&target.host) else { return };
        if cx.state.armed != Armed::Armed {
            return;
        }
        let stage = if breaks(Sabotage::NoTombstone) { Stage::Rereading } else { Stage::Writing };
        let grave = |datastore: &DatastoreId| Grave {
            stage,
            before: self.records.position(*datastore, target.host),
            written: cx.now,
            moved: true,
            asked: false,
            attempt: 0,
            serial: 0,
        };
        let graves = host.life.renewal_set.iter().map(|id| (*id, grave(id))).collect();
        self.tombstones.insert(target.host, Burial { target, graves, wait_from: None, proposed: None });
        self.tend_burial(cx, target.host, out);
    }

    pub(super) fn end_burial(&mut self, host: HostId) {
        self.tombstones.remove(&host);
    }

    pub(super) fn tend_tombstones(&mut self, cx: &Context<'_>, out: &mut Output) {
        let hosts: Vec<HostId> = self.tombstones.keys().copied().collect();
        for host in hosts {
            self.tend_burial(cx, host, out);
        }
    }

    /// The mail that a host finds in this master's column: never less than what it said before.
    pub(super) fn mail_to(&self, life: Incarnation, releases: Vec<crate::core::record::VmEpoch>) -> Mail {
        let generation = match self.tombstones.get(&life.host) {
            Some(burial) => burial.target.generation,
            None => crate::core::ids::Generation(life.generation.0.saturating_sub(1)),
        };
        let tombstone = Some(Tombstone { authority: self.authority, generation });
        Mail { tombstone, releases, releases_for: life.generation, serial: 0 }
    }

    fn tend_burial(&mut self, cx: &Context<'_>, host: HostId, out: &mut Output) {
        let Some(burial) = self.tombstones.get(&host) else { return };
        let target = burial.target;
        let mail = self.mail_to(target, Vec::new());
        let column = self.column;
        let mut due = Vec::new();
        for (datastore, grave) in &burial.graves {
            if grave.needs_asking() && !self.reach.is_under_way(Purpose::Bury(host, *datastore)) {
                due.push(*datastore);
            }
        }
        for datastore in due {
            let serial = self.ticket().0;
            let Some(grave) = self.grave(host, datastore) else { continue };
            if grave.asked {
                // It failed, or took too long: by another way.
                grave.attempt += 1;
                if breaks(Sabotage::UnreachableIgnored) {
                    grave.stage = if grave.stage == Stage::ReadingBack { Stage::Verified } else { Stage::Buried };
                    grave.moved = false;
                    continue;
                }
            }
            grave.asked = true;
            let attempt = grave.attempt;
            let op = match grave.stage {
                Stage::Writing => {
                    grave.serial = serial;
                    DatastoreOp::WriteMail { column, host, mail: Mail { serial, ..mail.clone() } }
                }
                Stage::Rereading => DatastoreOp::ReadRecords,
                _ => DatastoreOp::ReadMail { host },
            };
            self.on_datastore(cx, Purpose::Bury(host, datastore), datastore, op, attempt, out);
        }
        self.close_burial(cx, host, out);
    }

    fn grave(&mut self, host: HostId, datastore: DatastoreId) -> Option<&mut Grave> {
        self.tombstones.get_mut(&host)?.graves.get_mut(&datastore)
    }

    pub(super) fn burial_answered(
        &mut self,
        cx: &Context<'_>,
        host: HostId,
        datastore: DatastoreId,
        result: DatastoreResult,
        out: &mut Output,
    ) {
        let column = self.column;
        let Some(target) = self.tombstones.get(&host).map(|burial| burial.target) else { return };
        let Some(grave) = self.grave(host, datastore) else { return };
        match (grave.stage, result) {
            (Stage::Writing, DatastoreResult::Written) => {
                grave.written = cx.now;
                grave.enter(if breaks(Sabotage::RecordsNotReread) { Stage::Buried } else { Stage::Rereading });
                grave.moved = !breaks(Sabotage::RecordsNotReread);
            }
            (Stage::Rereading, DatastoreResult::Records(slots)) => {
                let slot = slots.iter().find(|(id, _)| *id == host).map(|(_, slot)| slot);
                grave.moved = match (slot, grave.before) {
                    (Some(Slot::Whole(record)), Some(before)) => (record.incarnation, record.sequence) != before,
                    // Torn, or never read before: it may have moved.
                    _ => true,
                };
                grave.enter(Stage::Buried);
                self.replace_tombstone(cx, host, datastore, out);
            }
            (Stage::ReadingBack, DatastoreResult::Mail(columns)) => {
                // The very same writing: one of the same words that hung may have covered what came in between.
                let serial = grave.serial;
                let stands = columns.iter().any(|(voter, slot)| {
                    let is_it = |mail: &Mail| mail.binds(target.generation) && mail.serial == serial;
                    *voter == column && matches!(slot, Slot::Whole(mail) if is_it(mail))
                });
                if stands || breaks(Sabotage::TombstoneReplaced) || breaks(Sabotage::NoTombstone) {
                    grave.enter(Stage::Verified);
                } else {
                    // It was lost meanwhile, so the host may have renewed: everything from the beginning.
                    grave.before = None;
                    grave.enter(Stage::Writing);
                    self.unclose_burial(host);
                }
            }
            // It failed: the next scan asks by another way.
            _ => return,
        }
        self.tend_burial(cx, host, out);
    }

    fn replace_tombstone(&mut self, cx: &Context<'_>, host: HostId, datastore: DatastoreId, out: &mut Output) {
        if breaks(Sabotage::TombstoneReplaced) {
            let op = DatastoreOp::WriteMail { column: self.column, host, mail: Mail::default() };
            self.on_datastore(cx, Purpose::Mail(host, datastore), datastore, op, 0, out);
        }
    }

    fn unclose_burial(&mut self, host: HostId) {
        let Some(burial) = self.tombstones.get_mut(&host) else { return };
        burial.wait_from = None;
        for grave in burial.graves.values_mut().filter(|grave| grave.stage == Stage::Verified) {
            grave.enter(Stage::Buried);
        }
    }

    /// Starts the wait when every grave is closed, reads the tombstones back when it ends, and then says so.
    fn close_burial(&mut self, cx: &Context<'_>, host: HostId, out: &mut Output) {
        let last_sign = self.watched(host).map_or(cx.now, |watched| watched.last_sign);
        let lease_wait = if breaks(Sabotage::NoLeaseWait) { Default::default() } else { self.timing.lease_wait() };
        let braked = self.brake.is_on;
        let resend = self.timing.resend;
        let Some(burial) = self.tombstones.get_mut(&host) else { return };
        let is_at = |stage: fn(Stage) -> bool| burial.graves.values().all(|grave| stage(grave.stage));
        if burial.wait_from.is_none() && is_at(|stage| stage == Stage::Buried) {
            let moved = burial.graves.values().filter(|grave| grave.moved).map(|grave| grave.written).max();
            burial.wait_from = Some(moved.map_or(last_sign, |moved| moved.max(last_sign)));
        }
        let Some(wait_from) = burial.wait_from else { return };
        if cx.now < wait_from + lease_wait {
            return;
        }
        let mut back = false;
        for grave in burial.graves.values_mut().filter(|grave| grave.stage == Stage::Buried) {
            grave.enter(Stage::ReadingBack);
            back = true;
        }
        if back {
            return self.tend_burial(cx, host, out);
        }
        let verified = burial.graves.values().all(|grave| grave.stage == Stage::Verified);
        let proposed = burial.proposed.is_some_and(|at| cx.now.since(at) < resend);
        if verified && !proposed && !braked && covers_any(cx, burial.target) {
            burial.proposed = Some(cx.now);
            let proof = Proof::LeaseExpired { generation: burial.target.generation };
            out.propose(Command::ProveHost { target: burial.target, proof });
        }
    }

    /// Why the end of the lease proves nothing about a host yet.
    pub(super) fn why_no_lease_proof(&self, cx: &Context<'_>, host: HostId) -> Option<NoProof> {
        let burial = self.tombstones.get(&host)?;
        if let Some((datastore, _)) = burial.graves.iter().find(|(_, grave)| grave.attempt > 0) {
            return Some(NoProof::DatastoreUnreachable(*datastore));
        }
        if self.brake.is_on {
            return Some(NoProof::Brake { suspects: self.brake.suspects, hosts: self.brake.hosts });
        }
        let ends = burial.wait_from.unwrap_or(cx.now) + self.timing.lease_wait();
        let milliseconds = u64::try_from(ends.since(cx.now).as_millis()).unwrap_or(u64::MAX);
        Some(NoProof::LeaseRuns { milliseconds })
    }
}

/// Whether the end of this lease would prove anything.
fn covers_any(cx: &Context<'_>, target: Incarnation) -> bool {
    let Some(host) = cx.state.hosts.get(&target.host) else { return false };
    let is_judged = matches!(host.standing, Standing::Judged { .. });
    let held = cx.state.held_on(target.host);
    if held.is_empty() {
        // It is done with all the same: it must not count as silent for ever.
        return is_judged && host.accounted && host.acknowledged >= cx.state.armed_at;
    }
    (is_judged || host.standing == Standing::Conflicted)
        && held.iter().any(|id| {
            let Some(vm) = cx.state.vms.get(id) else { return false };
            vm.holders.get(&target.host).is_some_and(|holder| cx.state.lease_covers(vm, host, holder).is_ok())
        })
}
