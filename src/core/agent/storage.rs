//! The host's liveness records, and the mail that it finds beside them (rule 4b).

use super::Agent;
use crate::core::action::Action;
use crate::core::ids::{DatastoreId, Ticket, VoterId};
use crate::core::message::Presence;
use crate::core::reason::Refusal;
use crate::core::record::{DatastoreCall, DatastoreOp, DatastoreResult, Mail, Record, Released, Slot, VmEpoch};
use crate::core::sabotage::{Sabotage, breaks};
use crate::core::time::Instant;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One heartbeat datastore: at most one operation at a time, so that one that hangs holds up nothing else.
#[derive(Debug)]
pub(super) struct Channel {
    next_write: Instant,
    sequence: u64,
    under_way: Option<UnderWay>,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    ticket: Ticket,
    /// When the write was submitted: the moment from which it may renew.
    submitted: Instant,
    /// Whether the write is done and the mail is being read.
    reading: bool,
}

impl Channel {
    fn starting(now: Instant) -> Channel {
        Channel { next_write: now, sequence: 0, under_way: None }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        if self.under_way.is_some() { Instant::NEVER } else { self.next_write }
    }
}

impl Agent {
    pub(super) fn begin_channels(&mut self, now: Instant, renewal_set: &BTreeSet<DatastoreId>) {
        self.channels.retain(|datastore, _| renewal_set.contains(datastore));
        for datastore in renewal_set {
            self.channels.entry(*datastore).or_insert_with(|| Channel::starting(now));
        }
    }

    pub(super) fn write_records_if_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.channels.values().all(|channel| now < channel.next_deadline()) {
            return;
        }
        let (held, released) = self.told_on_storage();
        let incarnation = self.incarnation();
        let (config, report) = (self.store.config, self.report_version());
        for (datastore, channel) in &mut self.channels {
            if now < channel.next_deadline() {
                continue;
            }
            channel.sequence += 1;
            channel.next_write = now + self.timing.record_interval;
            self.last_ticket += 1;
            let ticket = Ticket(self.last_ticket);
            channel.under_way = Some(UnderWay { ticket, submitted: now, reading: false });
            let record = Record {
                incarnation,
                // Every run of the agent counts on from where no earlier one can have been.
                sequence: (self.session << 32) + channel.sequence,
                config,
                report,
                held: held.clone(),
                released: released.clone(),
            };
            let call = DatastoreCall { datastore: *datastore, op: DatastoreOp::WriteRecord(record) };
            actions.push(Action::Datastore { ticket, call });
        }
    }

    /// Reads the mail once at the start: if the cluster was recovered without this node, it must know before it votes.
    pub(super) fn read_first_mail(&mut self, actions: &mut Vec<Action>) {
        let host = self.machine.host;
        for datastore in self.machine.heartbeat_datastores.clone() {
            let ticket = self.ticket();
            self.first_mail.0.insert(ticket);
            let call = DatastoreCall { datastore, op: DatastoreOp::ReadMail { host } };
            actions.push(Action::Datastore { ticket, call });
        }
    }

    /// Whether the mail has been read that lay there at the start, wherever it can be read.
    pub fn has_read_mail(&self) -> bool {
        self.first_mail.0.is_empty()
    }

    fn heed_authorities(&mut self, columns: &[(VoterId, Slot<Mail>)], actions: &mut Vec<Action>) {
        for (_, slot) in columns {
            if let Slot::Whole(Mail { tombstone: Some(tombstone), .. }) = slot
                && tombstone.authority.generation > self.store.authority.generation
            {
                self.learn_authority(tombstone.authority, actions);
            }
        }
    }

    fn told_on_storage(&self) -> (Arc<[VmEpoch]>, Arc<[Released]>) {
        let held = self.vms.iter().filter(|(_, vm)| !vm.is_gone());
        let held = held.map(|(id, vm)| VmEpoch { vm: *id, epoch: vm.epoch }).collect();
        let released = self.vms.iter().filter_map(|(id, vm)| match vm.told() {
            Presence::Gone { refuses, exit } => Some(Released { vm: *id, epoch: refuses, exit }),
            _ => None,
        });
        (held, released.collect())
    }

    pub(super) fn storage_answered(
        &mut self,
        now: Instant,
        ticket: Ticket,
        result: DatastoreResult,
        actions: &mut Vec<Action>,
    ) {
        if self.first_mail.0.remove(&ticket) {
            if let DatastoreResult::Mail(columns) = &result {
                self.heed_authorities(columns, actions);
            }
            return;
        }
        let host = self.machine.host;
        let found = self.channels.iter_mut().find_map(|(datastore, channel)| {
            channel.under_way.filter(|call| call.ticket == ticket).map(|call| (*datastore, channel, call))
        });
        let Some((datastore, channel, call)) = found else { return };
        channel.under_way = None;
        match result {
            DatastoreResult::Written if !call.reading => {
                if breaks(Sabotage::MailNotRead) {
                    return self.renew_by_record(now, call.submitted, actions);
                }
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                channel.under_way = Some(UnderWay { ticket, reading: true, ..call });
                let call = DatastoreCall { datastore, op: DatastoreOp::ReadMail { host } };
                actions.push(Action::Datastore { ticket, call });
            }
            DatastoreResult::Mail(columns) if call.reading => {
                self.mail_read(now, call.submitted, &columns, actions);
            }
            _ => {}
        }
    }

    /// The mail beside a record that was written. Only mail that was read whole, and forbids nothing, lets it renew.
    fn mail_read(
        &mut self,
        now: Instant,
        submitted: Instant,
        columns: &[(VoterId, Slot<Mail>)],
        actions: &mut Vec<Action>,
    ) {
        self.heed_authorities(columns, actions);
        let mut renews = true;
        for (_, slot) in columns {
            match slot {
                Slot::Empty => {}
                Slot::Torn => renews &= breaks(Sabotage::TornMailRenews),
                Slot::Whole(mail) => {
                    if mail.binds(self.generation) {
                        renews = false;
                        self.refuse(Refusal::Tombstone, actions);
                    }
                    let for_this_life = self.admitted && mail.releases_for == self.generation;
                    for release in mail.releases.iter().filter(|_| for_this_life) {
                        self.release(now, release.vm, release.epoch, actions);
                    }
                }
            }
        }
        if renews {
            self.renew_by_record(now, submitted, actions);
        }
    }

    fn renew_by_record(&mut self, now: Instant, submitted: Instant, actions: &mut Vec<Action>) {
        if self.admitted && self.lease.is_acknowledged() {
            self.renew(now, submitted, actions);
        }
    }
}
