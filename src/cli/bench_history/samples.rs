//! What it costs to keep samples of a large cluster, and how soon they are told.

use super::super::figure::{Figure, timed};
use super::{HOSTS, Scratch, VMS, mib, peak_mib};
use crate::clock::thread_processor_time;
use crate::core::ids::Address;
use crate::samples::{
    Batch, Delivery, Desk, HOUR_SLOTS, Level, Measure, Members, Piece, Reader, Retention, Slot, Subject, Summary,
    VmSample, Window, encode_batches, encode_summaries,
};
use crate::sim::dice::Dice;
use anyhow::Context;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

const VMS_OF_ONE: u32 = VMS / HOSTS;
/// What came is written so often.
const FLUSH_SLOTS: u32 = 60;
/// Something like the present: an hour counted from 1970 with which a day begins.
const NOW: u32 = 490_896 + 365 * 24;
const DAYS: u32 = 365;
/// So many different days are made up: to make up more would be what takes the time.
const PATTERNS: u32 = 64;
const PIECES: usize = 20_000;
/// So many VMs are asked about, one after the other.
const CHARTS: u32 = 25;

/// An hour of samples as it comes, then a year of hours that is there already, then charts of single VMs.
pub(super) fn samples(folder: &Scratch) -> anyhow::Result<Vec<Figure>> {
    let path = folder.0.join("samples.db");
    let mut figures = ingest(&path)?;
    figures.extend(year(&path)?);
    Ok(figures)
}

fn desk(path: &Path) -> Desk {
    let mut desk = Desk::new(path, Retention::default(), 1);
    let members = Members { hosts: (0..HOSTS).collect(), vms: (0..VMS).map(u128::from).collect() };
    desk.take(Delivery::Cluster(Some(members)), 0);
    desk
}

fn ingest(path: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut desk = desk(path);
    let mut noise = Noise::new();
    let (mut taking, mut writing) = (Duration::ZERO, Duration::ZERO);
    for slot in (NOW * HOUR_SLOTS..).take(HOUR_SLOTS as usize) {
        let now = Slot(slot + 1).begins();
        let bodies: Vec<Vec<u8>> = (0..HOSTS).map(|host| encode_batches(&[noise.batch(host, Slot(slot))])).collect();
        taking += processor_time(|| {
            for (host, body) in (0..).zip(bodies) {
                let (answer, _nobody_waits) = oneshot::channel();
                desk.take(Delivery::Batches { from: Address(host), body, answer }, now);
            }
        });
        if slot % FLUSH_SLOTS == FLUSH_SLOTS - 1 {
            writing += processor_time(|| desk.flush());
        }
    }
    let later = Slot((NOW + 2) * HOUR_SLOTS).begins();
    let summarising = processor_time(|| while desk.summarise(later) {});
    let memory = peak_mib()?;
    drop(desk);
    let bytes = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len();
    let seconds = |time: Duration| vec![time.as_secs_f64()];
    let name = |what: &str| format!("samples of an hour, {HOSTS} hosts, {VMS} VMs: {what}");
    Ok(vec![
        Figure::new(name("taken in"), "CPU seconds", seconds(taking)),
        Figure::new(name("written"), "CPU seconds", seconds(writing)),
        Figure::new(name("summarised"), "CPU seconds", seconds(summarising)),
        Figure::new(name("a day of such"), "MiB on the disk", vec![mib(bytes) * 24.0]),
        Figure::new(name("at the most"), "MiB of memory", vec![memory]),
    ])
}

fn year(path: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut desk = desk(path);
    let mut dice = Dice::new(2);
    let patterns: Vec<Vec<u8>> = (0..PATTERNS).map(|_| encode_summaries(&hours(&mut dice))).collect();
    let mut pieces = Vec::with_capacity(PIECES);
    for (day, subject) in (0..DAYS).flat_map(|day| (0..VMS).map(move |vm| (day, Subject::Vm(vm.into())))) {
        let data = patterns[dice.range(0, patterns.len() as u64) as usize].clone();
        let number = NOW / 24 - DAYS + day;
        pieces.push(Piece { subject, measure: Measure::Cpu, level: Level::Hours, number, data });
        if pieces.len() == PIECES {
            let (kept, mut keeps) = oneshot::channel();
            desk.take(Delivery::Pieces { pieces: std::mem::take(&mut pieces), kept }, 0);
            anyhow::ensure!(keeps.try_recv() == Ok(true), "the disk takes no samples");
        }
    }
    let bytes = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len();
    let reader = desk.reader();
    let now = Slot((NOW + 1) * HOUR_SLOTS);
    let chart = |hours: u32| -> anyhow::Result<Vec<f64>> {
        let window = Window { from: Slot(now.0 - hours * HOUR_SLOTS), to: now };
        (0..CHARTS).map(|number| one(&reader, Subject::Vm((number * 797 % VMS).into()), window, now)).collect()
    };
    let name = |what: &str| format!("samples of a year, {VMS} VMs: {what}");
    Ok(vec![
        Figure::new(name("by the hour, of CPU"), "MiB on the disk", vec![mib(bytes)]),
        Figure::new(name("a VM's chart of the year"), "ms", chart(DAYS * 24)?),
        Figure::new(name("a VM's chart of the last hour"), "ms", chart(1)?),
        Figure::new(name("in all"), "MiB of memory", vec![peak_mib()?]),
    ])
}

/// The milliseconds until one VM's chart is there.
fn one(reader: &Reader, subject: Subject, window: Window, now: Slot) -> anyhow::Result<f64> {
    let mut values = Ok(Vec::new());
    let level = reader.level(window, 1, now);
    let time = timed(|| values = reader.open().and_then(|look| look.summaries(subject, Measure::Cpu, window, level)));
    anyhow::ensure!(!values?.is_empty(), "there is no chart");
    Ok(time.as_secs_f64() * 1e3)
}

/// A made-up day of a VM by the hour.
fn hours(dice: &mut Dice) -> Vec<Option<Summary>> {
    let hour = |hour: u64| {
        let busy = if (8..18).contains(&hour) { 600 } else { 40 };
        let slots = (0..HOUR_SLOTS).map(|_| Some((busy + dice.range(0, busy / 2)) as u32));
        Summary::of(slots.collect::<Vec<_>>())
    };
    (0..24).map(hour).collect()
}

/// Load as VMs have it: most idle, some as busy as the hour of the day wants it, some with bursts, a few always busy.
struct Noise {
    dice: Dice,
    bursts: Vec<u32>,
}

impl Noise {
    fn new() -> Noise {
        Noise { dice: Dice::new(1), bursts: vec![0; VMS as usize] }
    }

    fn batch(&mut self, host: u32, slot: Slot) -> Batch {
        let numbers = host * VMS_OF_ONE..(host + 1) * VMS_OF_ONE;
        let vms: Vec<VmSample> = numbers.map(|number| self.vm(number, slot)).collect();
        let busy = vms.iter().filter_map(|vm| vm.busy_millicores).sum::<u32>() + 150;
        Batch { slot, busy_millicores: Some(busy), used_mib: 90_000 + busy / 100, vms }
    }

    fn vm(&mut self, number: u32, slot: Slot) -> VmSample {
        let mut noise = |most: u64| self.dice.range(0, most) as u32;
        // The kernel counts in hundredths of a second, which are two thousandths of a slot.
        let busy = match number % 10 {
            0..=5 => noise(12),
            6 | 7 => 300 + slot.hour().1 as u32 / 4 + noise(120),
            8 => {
                let left = self.bursts.get(number as usize).copied().unwrap_or(0);
                let next = if left > 0 {
                    left - 1
                } else if noise(100) == 0 {
                    24
                } else {
                    0
                };
                if let Some(burst) = self.bursts.get_mut(number as usize) {
                    *burst = next;
                }
                if next > 0 { 1_800 + noise(200) } else { noise(30) }
            }
            _ => 960 + noise(40),
        };
        let used_mib = 2_048 + number % 7 * 512 + u32::from(slot.0 % 97 == number % 97);
        VmSample { uuid: number.into(), busy_millicores: Some(busy / 2 * 2), used_mib }
    }
}

/// The time that the processors have worked on something in this thread.
fn processor_time(work: impl FnOnce()) -> Duration {
    let before = thread_processor_time();
    work();
    thread_processor_time().saturating_sub(before)
}
