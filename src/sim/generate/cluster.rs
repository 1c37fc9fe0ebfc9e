//! What a random world is made of.

use super::Shape;
use crate::core::ids::{DatastoreId, FenceId, HostId, NetworkId, VmId};
use crate::core::message::Watchdog;
use crate::core::state::{Isolation, Policy, Response, VmDefinition};
use crate::core::timing::Timing;
use crate::sim::dice::Dice;
use crate::sim::spec::{DatastoreSpec, FenceSpec, HostSpec, Nature, VmSpec, WorldSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) fn spec(seed: u64, shape: &Shape, dice: &mut Dice) -> WorldSpec {
    let datastores = datastores(dice);
    let networks: BTreeMap<NetworkId, String> =
        (1..=dice.range(0, 2)).map(|n| (NetworkId(n as u16), NetworkId(n as u16).to_string())).collect();
    let mut fences = BTreeMap::new();
    let mut hosts = BTreeMap::new();
    let voters = if shape.hosts >= 5 && dice.chance(25) { 5 } else { 3.min(shape.hosts) };
    let domains = dice.range(1, 4);
    let well_guarded = dice.chance(60);
    for number in 1..=shape.hosts {
        let id = HostId(number);
        let host = HostSpec {
            name: id.to_string(),
            memory_mib: 65_536,
            millicores: 32_000,
            datastores: reached(&datastores, dice),
            networks: networks.keys().copied().filter(|_| !dice.chance(8)).collect(),
            tags: BTreeSet::new(),
            failure_domain: format!("rack-{}", u64::from(number) % domains + 1),
            watchdog: watchdog(shape, well_guarded, dice),
            fences: chain(id, &mut fences, well_guarded, dice),
            votes: number <= voters,
            on: number <= voters || !dice.chance(5),
            drift_ppm: dice.range(0, 1_000) as i32 - 500,
            boot_time: Duration::from_millis(dice.range(4_000, 25_000)),
        };
        hosts.insert(id, host);
    }
    if shape.hosts == 2 {
        let witness = HostId(3);
        hosts.insert(witness, witness_spec(dice));
    }
    let vms = (1..=shape.vms).map(|number| vm(VmId(number), shape, &datastores, &networks, dice)).collect();
    WorldSpec {
        seed,
        profile: shape.profile,
        policy: policy(voters, dice),
        armed: !dice.chance(4),
        hosts,
        datastores,
        networks,
        fences,
        vms,
        nature: nature(dice),
    }
}

fn datastores(dice: &mut Dice) -> BTreeMap<DatastoreId, DatastoreSpec> {
    let count = [0, 1, 1, 2, 2, 2, 3].get(dice.range(0, 6) as usize).copied().unwrap_or(2);
    let locks = dice.chance(35);
    // The last one holds disks only: not every datastore carries records.
    (1..=count + 1)
        .map(|number| {
            let heartbeat = number <= count;
            let name = DatastoreId(number).to_string();
            (DatastoreId(number), DatastoreSpec { name, heartbeat, locks: locks || dice.chance(10) })
        })
        .collect()
}

fn reached(datastores: &BTreeMap<DatastoreId, DatastoreSpec>, dice: &mut Dice) -> BTreeSet<DatastoreId> {
    datastores.keys().copied().filter(|_| !dice.chance(5)).collect()
}

fn watchdog(shape: &Shape, well_guarded: bool, dice: &mut Dice) -> Watchdog {
    let timeout = Timing::of(shape.profile).hard_deadline;
    match dice.range(0, 99) {
        0..=69 => Watchdog::Hardware { timeout },
        _ if well_guarded => Watchdog::Hardware { timeout },
        70..=84 => Watchdog::Software { timeout },
        85..=88 => Watchdog::Hardware { timeout: timeout * 4 },
        _ => Watchdog::None,
    }
}

fn chain(
    host: HostId,
    fences: &mut BTreeMap<FenceId, FenceSpec>,
    well_guarded: bool,
    dice: &mut Dice,
) -> Vec<Vec<FenceId>> {
    let mut device = |dice: &mut Dice| {
        let id = FenceId(fences.len() as u32 + 1);
        let milliseconds = dice.range(20, 900);
        let (name, latency) = (id.to_string(), Duration::from_millis(milliseconds));
        // As chance has it, too, and no die more is cast for it.
        let (nameless, drilled) = (milliseconds.is_multiple_of(6), well_guarded || !milliseconds.is_multiple_of(4));
        fences.insert(id, FenceSpec { name, controls: host, latency, nameless, drilled });
        id
    };
    match dice.range(0, 99) {
        0..=24 if !well_guarded => Vec::new(),
        0..=79 => vec![vec![device(dice)]],
        80..=91 => vec![vec![device(dice)], vec![device(dice)]],
        _ => vec![vec![device(dice), device(dice)]],
    }
}

fn witness_spec(dice: &mut Dice) -> HostSpec {
    HostSpec {
        name: "witness".to_owned(),
        memory_mib: 0,
        millicores: 0,
        datastores: BTreeSet::new(),
        networks: BTreeSet::new(),
        tags: BTreeSet::new(),
        failure_domain: "elsewhere".to_owned(),
        watchdog: Watchdog::None,
        fences: Vec::new(),
        votes: true,
        on: true,
        drift_ppm: dice.range(0, 1_000) as i32 - 500,
        boot_time: Duration::from_secs(10),
    }
}

fn vm(
    id: VmId,
    shape: &Shape,
    datastores: &BTreeMap<DatastoreId, DatastoreSpec>,
    networks: &BTreeMap<NetworkId, String>,
    dice: &mut Dice,
) -> VmSpec {
    let stores: Vec<DatastoreId> = datastores.keys().copied().collect();
    let mut disks: BTreeSet<DatastoreId> = dice.pick(&stores).copied().into_iter().collect();
    if dice.chance(15) {
        disks.extend(dice.pick(&stores).copied());
    }
    let locked = disks.iter().all(|disk| datastores.get(disk).is_some_and(|store| store.locks));
    let response = match dice.range(0, 99) {
        0..=77 => Response::Restart,
        78..=91 => Response::RestartWithoutLease,
        _ => Response::Leave,
    };
    let protected = !dice.chance(8);
    let definition = VmDefinition {
        id,
        name: id.to_string(),
        uuid: u128::from(id.0),
        memory_mib: dice.range(512, 6_144),
        millicores: dice.range(250, 2_000),
        datastores: disks,
        networks: networks.keys().copied().filter(|_| dice.chance(30)).collect(),
        response,
        priority: dice.range(0, 4) as u8,
        home: (!protected || dice.chance(50)).then(|| HostId(dice.range(1, u64::from(shape.hosts)) as u32)),
        locked,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: Default::default(),
    };
    VmSpec { definition, wanted: !dice.chance(8), protected, up: Default::default() }
}

fn policy(voters: u32, dice: &mut Dice) -> Policy {
    Policy {
        brake_percent: if dice.chance(80) { 40 } else { 30 },
        parallel_starts: dice.range(2, 8) as u32,
        max_attempts: dice.range(3, 12) as u32,
        accept_software_guards: dice.chance(3),
        fence_unanswered: dice.chance(40),
        isolation: if dice.chance(35) { Isolation::Release } else { Isolation::Leave },
        power_on_after_fence: dice.chance(80),
        max_fences: dice.range(1, 4) as u32,
        voters,
    }
}

fn nature(dice: &mut Dice) -> Nature {
    let ms = Duration::from_millis;
    let calm = Nature::default();
    match dice.range(0, 9) {
        0..=6 => calm,
        7 => Nature { network: (ms(1), ms(20)), ..calm },
        8 => Nature { sync: (ms(2), ms(40)), datastore: (ms(2), ms(60)), ..calm },
        _ => Nature { start: (ms(500), ms(6_000)), kill: (ms(20), ms(400)), ..calm },
    }
}
