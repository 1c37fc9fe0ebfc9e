//! From samples to rows: of whom they are, how fine they are read, and what is summed up.

use super::errors::Failure;
use super::handle::{Api, portion};
use super::load::{LoadRow, Point};
use crate::core::ids::{HostId, VmId};
use crate::core::state::Vm;
use crate::ledger::Grouping;
use crate::samples::{ArchiveError, Level, Look, Measure, Reader, Slot, Subject, Summary, Window};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A chart has no more points.
const MOST_POINTS: usize = 2_000;
/// An answer that is passed on must fit: so many bytes of rows are told at once.
pub(super) const ANSWER_BYTES: usize = 400 * 1_024;
/// So many bytes a row takes besides its points, and a point.
pub(super) const ROW_BYTES: usize = 256;
const POINT_BYTES: usize = 36;

/// Of whom there is a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) name: String,
    /// Its UUID, if it is a host or VM.
    pub(super) uuid: Option<Uuid>,
    pub(super) millicores: u64,
    pub(super) memory_mib: u64,
    pub(super) members: Vec<Subject>,
}

impl Row {
    pub(super) fn of_vm(vm: &Vm) -> Row {
        let definition = &vm.definition;
        Row {
            name: definition.name.clone(),
            uuid: Some(Uuid::from_u128(definition.uuid)),
            millicores: definition.millicores,
            memory_mib: definition.memory_mib,
            members: vec![Subject::Vm(definition.uuid)],
        }
    }

    fn capacity(&self, of: Measure) -> u64 {
        match of {
            Measure::Cpu => self.millicores,
            Measure::Memory => self.memory_mib,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.uuid.is_some_and(|uuid| name.parse() == Ok(uuid))
    }
}

/// All rows, in the order of their names.
pub(super) async fn rows(api: &Api, by: Grouping) -> Result<Vec<Row>, Failure> {
    let mut rows = match by {
        Grouping::Vm => vms(api, |vm| vec![Row::of_vm(vm)]).await?,
        Grouping::Host => hosts(api).await?,
        Grouping::Cluster => {
            let name = api.state(|state| state.registry.cluster.name.clone()).await?;
            vec![together(name, hosts(api).await?)]
        }
        Grouping::Tag => summed(vms(api, tagged).await?),
        Grouping::GuestOs => summed(vms(api, |vm| named_after(vm, vm.guest.system.iter())).await?),
    };
    rows.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(rows)
}

fn tagged(vm: &Vm) -> Vec<Row> {
    named_after(vm, vm.account.tags.iter().map(|tag| tag.as_str()))
}

fn named_after(vm: &Vm, names: impl Iterator<Item = impl Into<String>>) -> Vec<Row> {
    names.map(|name| Row { name: name.into(), uuid: None, ..Row::of_vm(vm) }).collect()
}

/// One row of all that have the same name.
fn summed(rows: Vec<Row>) -> Vec<Row> {
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    rows.into_iter().for_each(|row| groups.entry(row.name.clone()).or_default().push(row));
    groups.into_iter().map(|(name, rows)| together(name, rows)).collect()
}

fn together(name: String, rows: Vec<Row>) -> Row {
    Row {
        name,
        uuid: None,
        millicores: rows.iter().map(|row| row.millicores).sum(),
        memory_mib: rows.iter().map(|row| row.memory_mib).sum(),
        members: rows.into_iter().flat_map(|row| row.members).collect(),
    }
}

/// What becomes of all VMs, looked at in portions.
pub(super) async fn vms<T: Send + 'static>(api: &Api, view: fn(&Vm) -> Vec<T>) -> Result<Vec<T>, Failure> {
    let (mut all, mut after): (Vec<T>, Option<VmId>) = (Vec::new(), None);
    loop {
        let part = api.state(move |state| portion(&state.vms, after, usize::MAX, |_, vm| view(vm)));
        let (found, last) = part.await?;
        all.extend(found.into_iter().flatten());
        match last {
            Some(last) => after = Some(last),
            None => return Ok(all),
        }
    }
}

/// All hosts that can run VMs.
pub(super) async fn hosts(api: &Api) -> Result<Vec<Row>, Failure> {
    let rows = api.state(|state| {
        let hosts = state.hosts.iter().filter(|(_, host)| !host.is_witness());
        let row = |(HostId(number), host): (&HostId, &crate::core::state::Host)| Row {
            name: host.name.clone(),
            uuid: Some(Uuid::from_u128(host.uuid)),
            millicores: host.millicores,
            memory_mib: host.memory_mib,
            members: vec![Subject::Host(*number)],
        };
        hosts.map(row).collect()
    });
    rows.await
}

/// A part of the rows, and how they are to be read.
pub(super) struct Plan {
    pub(super) rows: Vec<Row>,
    pub(super) of: Measure,
    pub(super) level: Level,
    pub(super) window: Window,
    /// The slots of each point, if there are to be points.
    pub(super) step: Option<u32>,
    /// The name after which the rest begins.
    pub(super) next: Option<String>,
}

/// What of the rows is asked for.
pub(super) struct Wanted {
    pub(super) of: Measure,
    pub(super) window: Window,
    pub(super) name: Option<String>,
    pub(super) points: usize,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

impl Plan {
    /// Chooses as many rows as one answer holds, and reads them as fine as that can be done in a moment.
    pub(super) fn new(reader: &Reader, mut rows: Vec<Row>, wanted: Wanted, now: Slot) -> Result<Plan, Failure> {
        if let Some(name) = &wanted.name {
            let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
            rows.retain(|row| row.is_called(name));
            if rows.is_empty() {
                let failure = Failure::missing(format!("there is no row \"{name}\""));
                return Err(match crate::words::nearest(name, names.iter().map(String::as_str)) {
                    Some(meant) => failure.hint(format!("did you mean \"{meant}\"?")),
                    None => failure,
                });
            }
        }
        if let Some(after) = &wanted.after {
            rows.retain(|row| row.name > *after);
        }
        let points = wanted.points.min(MOST_POINTS);
        let count = rows.len();
        rows.truncate(wanted.limit.min(ANSWER_BYTES / (ROW_BYTES + points * POINT_BYTES)).max(1));
        let members = |rows: &[Row]| rows.iter().map(|row| row.members.len()).sum::<usize>();
        let level = reader.level(wanted.window, members(&rows), now);
        let most = Reader::most_subjects(wanted.window, level);
        while rows.len() > 1 && members(&rows) > most {
            rows.truncate(rows.len() * most / members(&rows).max(1));
        }
        rows.truncate(rows.len().max(1));
        let next = rows.last().filter(|_| rows.len() < count).map(|row| row.name.clone());
        let window = Window { from: Slot(wanted.window.from.0 / level.slots() * level.slots()), ..wanted.window };
        let step = (points > 0).then(|| {
            let slots = window.slots().div_ceil(points as u32).max(1);
            slots.div_ceil(level.slots()) * level.slots()
        });
        Ok(Plan { rows, of: wanted.of, level, window, step, next })
    }

    /// Reads the rows.
    pub(super) fn read(&self, look: &Look) -> Result<Vec<LoadRow>, ArchiveError> {
        self.rows.iter().map(|row| Ok(self.row(row, &self.values(row, look)?))).collect()
    }

    /// The values of a row. Those of several are their sums: each is the sum of what was measured of them then.
    fn values(&self, row: &Row, look: &Look) -> Result<Vec<(Slot, Summary)>, ArchiveError> {
        let of = |subject: &Subject| look.summaries(*subject, self.of, self.window, self.level);
        if let [only] = row.members.as_slice() {
            return of(only);
        }
        let mut sums: BTreeMap<Slot, u32> = BTreeMap::new();
        for member in &row.members {
            for (slot, summary) in of(member)? {
                let sum = sums.entry(slot).or_default();
                *sum = sum.saturating_add(summary.mean);
            }
        }
        let whole = |(slot, sum)| (slot, Summary { count: self.level.slots(), ..Summary::one(sum) });
        Ok(sums.into_iter().map(whole).collect())
    }

    fn row(&self, row: &Row, values: &[(Slot, Summary)]) -> LoadRow {
        let all = Summary::over(values.iter().map(|(_, summary)| summary));
        let measured = all.map_or(0, |all| u64::from(all.count) * 100 / u64::from(self.window.slots().max(1)));
        let figure = |of: fn(&Summary) -> u32| all.as_ref().map(|all| u64::from(of(all)));
        LoadRow {
            name: row.name.clone(),
            capacity: Some(row.capacity(self.of)).filter(|capacity| *capacity > 0),
            min: figure(|all| all.min),
            mean: figure(|all| all.mean),
            max: figure(|all| all.max),
            p95: figure(|all| all.p95),
            last: values.last().map(|(_, summary)| u64::from(summary.mean)),
            measured_percent: u8::try_from(measured.min(100)).unwrap_or(100),
            points: self.step.map(|step| self.points(values, step)).unwrap_or_default(),
        }
    }

    fn points(&self, values: &[(Slot, Summary)], step: u32) -> Vec<Option<Point>> {
        let mut steps: Vec<Vec<Summary>> = vec![Vec::new(); self.window.slots().div_ceil(step) as usize];
        for (slot, summary) in values {
            let at = slot.0.saturating_sub(self.window.from.0) / step;
            if let Some(step) = steps.get_mut(at as usize) {
                step.push(*summary);
            }
        }
        let point = |summary: Summary| Point { mean: u64::from(summary.mean), max: u64::from(summary.max) };
        steps.iter().map(|step| Summary::over(step).map(point)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::Address;
    use crate::samples::{Batch, Delivery, Desk, HOUR_SLOTS, Members, Retention, VmSample, encode_batches};
    use tokio::sync::oneshot;

    const FIRST: u32 = 490_896 * HOUR_SLOTS;

    /// Two VMs on a host, measured in these slots.
    fn desk(path: &std::path::Path, slots: &[u32]) -> Desk {
        let mut desk = Desk::new(path, Retention::default(), 1);
        let members = Members { hosts: [0].into(), vms: [1, 2].into() };
        desk.take(Delivery::Cluster(Some(members)), 0);
        for slot in slots.iter().map(|slot| Slot(FIRST + slot)) {
            let vm = |uuid, busy| VmSample { uuid, busy_millicores: Some(busy), used_mib: 64 };
            let batch = Batch { slot, busy_millicores: Some(400), used_mib: 1_024, vms: vec![vm(1, 100), vm(2, 200)] };
            let (answer, _nobody_waits) = oneshot::channel();
            let body = encode_batches(&[batch]);
            desk.take(Delivery::Batches { from: Address(0), body, answer }, slot.begins());
        }
        desk
    }

    fn rows() -> Vec<Row> {
        let row = |name: &str, members: &[u128]| Row {
            name: name.to_owned(),
            millicores: 1_000 * members.len() as u64,
            members: members.iter().map(|uuid| Subject::Vm(*uuid)).collect(),
            ..Row::default()
        };
        vec![row("both", &[1, 2]), row("one", &[1])]
    }

    fn wanted(slots: u32, points: usize) -> Wanted {
        let window = Window { from: Slot(FIRST), to: Slot(FIRST + slots) };
        Wanted { of: Measure::Cpu, window, name: None, points, after: None, limit: usize::MAX }
    }

    #[test]
    fn what_several_use_is_the_sum_and_a_gap_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let reader = desk(&folder.path().join("samples.db"), &[0, 1, 4, 5]).reader();
        let plan = Plan::new(&reader, rows(), wanted(8, 4), Slot(FIRST + 8)).unwrap();
        assert_eq!((plan.level, plan.step), (Level::Raw, Some(2)));
        let read = plan.read(&reader.open().unwrap()).unwrap();
        let figures = |row: &LoadRow| (row.capacity, row.min, row.mean, row.p95, row.last, row.measured_percent);
        assert_eq!(figures(&read[0]), (Some(2_000), Some(300), Some(300), Some(300), Some(300), 50));
        assert_eq!(figures(&read[1]), (Some(1_000), Some(100), Some(100), Some(100), Some(100), 50));
        let point = |mean| Some(Point { mean, max: mean });
        assert_eq!(read[0].points, [point(300), None, point(300), None]);
    }

    #[test]
    fn a_part_of_the_rows_says_where_the_rest_begins() {
        let folder = tempfile::tempdir().unwrap();
        let reader = desk(&folder.path().join("samples.db"), &[0]).reader();
        let part = |change: fn(&mut Wanted)| {
            let mut wanted = wanted(8, 0);
            change(&mut wanted);
            Plan::new(&reader, rows(), wanted, Slot(FIRST + 8))
        };
        let first = part(|wanted| wanted.limit = 1).unwrap();
        assert_eq!((first.rows[0].name.as_str(), first.next.as_deref()), ("both", Some("both")));
        let rest = part(|wanted| wanted.after = Some("both".to_owned())).unwrap();
        assert_eq!((rest.rows[0].name.as_str(), rest.next), ("one", None));
        let missing = part(|wanted| wanted.name = Some("onee".to_owned())).err().unwrap().to_string();
        assert!(missing.contains("no row \"onee\""), "{missing}");
        // A year of very many is read by the hour, and as many at a time as can be.
        let many: Vec<Row> = std::iter::repeat_n(rows().remove(1), 5_000).collect();
        let year = Window { from: Slot(FIRST), to: Slot(FIRST + 365 * 24 * HOUR_SLOTS) };
        let plan = Plan::new(&reader, many, Wanted { window: year, ..wanted(8, 0) }, year.to).unwrap();
        assert_eq!(plan.level, Level::Hours);
        assert!(plan.next.is_some() && (100..200).contains(&plan.rows.len()), "{}", plan.rows.len());
    }
}
