//! Tests of the datastore as a whole, on real files.

mod crowd;
mod formatting;
mod hanging;
mod operations;
mod slots;
mod trouble;

use super::{Datastore, FormatOptions, format, open};
use crate::core::ids::{
    Authority, BootId, ClusterGeneration, ConfigVersion, DatastoreId, Epoch, Generation, HostId, Incarnation, VmId,
    VoterId,
};
use crate::core::message::Exit;
use crate::core::record::{DatastoreOp, DatastoreResult, Mail, Record, Released, Slot, Tombstone, VmEpoch};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const CLUSTER: u128 = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;
const OTHER_CLUSTER: u128 = 77;
const CAPACITY: u32 = 6;
/// For how long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> FormatOptions {
    let watch = Duration::from_millis(1);
    FormatOptions { capacity: CAPACITY, watch, ..FormatOptions::new(CLUSTER, DatastoreId(3), "rack a") }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn formatted() -> TempDir {
    let folder = folder();
    format(folder.path(), &options()).expect("it is formatted");
    folder
}

fn opened(path: &Path) -> Datastore {
    open(path, CLUSTER).expect("it opens")
}

/// Numbers without any pattern, each as long in postcard as one of its type can be. So all VMs take the same room, and
/// pages of two writings fit together but for what guards against that.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ (self.0 >> 29)) | 1 << 63
    }

    fn next_small(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    fn vm(&mut self) -> VmEpoch {
        let generation = ClusterGeneration(self.next_small());
        VmEpoch { vm: VmId(self.next_small()), epoch: Epoch { generation, number: self.next() } }
    }
}

fn record(host: u32, sequence: u64, held: usize, released: usize) -> Record {
    let mut numbers = Numbers(sequence ^ 0x5eed);
    let incarnation =
        Incarnation { host: HostId(host), boot: BootId(numbers.next()), generation: Generation(numbers.next()) };
    let config = ConfigVersion(numbers.next());
    let report = numbers.next();
    let held = (0..held).map(|_| numbers.vm()).collect();
    let gone = |VmEpoch { vm, epoch }| Released { vm, epoch, exit: Exit::Moved };
    let released = (0..released).map(|_| gone(numbers.vm())).collect();
    Record { incarnation, sequence, config, report, held, released }
}

fn tombstone(cluster_generation: u32, term: u64, generation: u64) -> Tombstone {
    let authority = Authority { generation: ClusterGeneration(cluster_generation), term };
    Tombstone { authority, generation: Generation(generation) }
}

fn mail(tombstone: Option<Tombstone>, releases: usize, serial: u64) -> Mail {
    let mut numbers = Numbers(serial);
    let releases = (0..releases).map(|_| numbers.vm()).collect();
    Mail { tombstone, releases, releases_for: Generation(numbers.next()), serial }
}

fn write_record(datastore: &mut Datastore, record: &Record) -> DatastoreResult {
    datastore.perform(DatastoreOp::WriteRecord(record.clone()))
}

fn write_mail(datastore: &mut Datastore, column: u64, host: u32, mail: &Mail) -> DatastoreResult {
    datastore.perform(DatastoreOp::WriteMail { column: VoterId(column), host: HostId(host), mail: mail.clone() })
}

fn records(datastore: &mut Datastore) -> Vec<(HostId, Slot<Record>)> {
    match datastore.perform(DatastoreOp::ReadRecords) {
        DatastoreResult::Records(records) => records,
        other => panic!("{other:?}"),
    }
}

fn mail_to(datastore: &mut Datastore, host: u32) -> Vec<(VoterId, Slot<Mail>)> {
    match datastore.perform(DatastoreOp::ReadMail { host: HostId(host) }) {
        DatastoreResult::Mail(mail) => mail,
        other => panic!("{other:?}"),
    }
}
