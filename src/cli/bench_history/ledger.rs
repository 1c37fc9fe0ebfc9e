//! How soon the ledger of a year tells how available each VM was.

use super::super::figure::{Figure, timed};
use super::past::{BEGIN, Past, YEAR};
use super::{HOSTS, Scratch, VMS, mib, peak_mib};
use crate::api::{Figuring, Readings, figures};
use crate::core::state::ClusterState;
use crate::ledger::Grouping;
use crate::runtime::row;
use crate::store::{LedgerReader, Operation, Store};
use anyhow::Context;
use std::fs;
use std::sync::mpsc::channel;

/// Writes a year into a real store, and asks it.
pub(super) fn ledger(folder: &Scratch, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let directory = folder.0.join("node");
    let store = Store::open(&directory)?.store;
    write(&store)?;
    let reader = store.ledger();
    let facts = reader.count()? as f64;
    peak_mib()?;
    let asked = |by, from| Figuring { by, from, ..Figuring::default() };
    let year =
        (0..runs).map(|_| one(&reader, &asked(Grouping::Vm, Some(BEGIN)))).collect::<anyhow::Result<Vec<_>>>()?;
    let memory = peak_mib()?;
    let month = asked(Grouping::Host, Some(BEGIN + YEAR - 30 * 24 * 3_600_000));
    let month = (0..runs).map(|_| one(&reader, &month)).collect::<anyhow::Result<Vec<_>>>()?;
    drop(reader);
    store.close()?;
    let database = directory.join("holdfast.db");
    let bytes = fs::metadata(&database).with_context(|| format!("cannot look at {}", database.display()))?.len();
    let name = |what: &str| format!("a year of {HOSTS} hosts, {VMS} VMs: {what}");
    Ok(vec![
        Figure::new(name("facts"), "facts", vec![facts]),
        Figure::new(name("facts on the disk"), "MiB", vec![mib(bytes)]),
        Figure::new(name("availability by VM"), "s", year),
        Figure::new(name("the same, at the most"), "MiB of memory", vec![memory]),
        Figure::new(name("its last month by host"), "s", month),
    ])
}

fn write(store: &Store) -> anyhow::Result<()> {
    let (done, written) = channel();
    Past::tell(|facts| {
        let rows = facts.iter().map(|fact| row(fact).context("a fact has no row")).collect::<Result<_, _>>()?;
        let done = done.clone();
        store.submit(Operation::Ledger(rows), move |result| drop(done.send(result)))?;
        Ok(written.recv()??)
    })
}

/// The seconds until the whole answer is there as it is sent.
fn one(reader: &LedgerReader, asked: &Figuring) -> anyhow::Result<f64> {
    let (names, mut answer) = (ClusterState::default(), Ok(Vec::new()));
    let time = timed(|| {
        // Nothing was read before.
        let told = figures((reader, &Readings::default()), asked, BEGIN + YEAR, &names);
        answer = told.map_err(anyhow::Error::from).and_then(|view| Ok(serde_json::to_vec(&view)?));
    });
    anyhow::ensure!(answer?.len() > 100_000, "the answer is too short to be one");
    Ok(time.as_secs_f64())
}
