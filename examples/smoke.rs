use holdfast::core::ids::*;
use holdfast::core::message::Watchdog;
use holdfast::core::state::*;
use holdfast::core::timing::Profile;
use holdfast::sim::{fault::*, spec::*, world::*};
use std::collections::*;
use std::time::Duration;
fn main() {
    let ms = Duration::from_millis;
    let mut hosts = BTreeMap::new();
    let mut fences = BTreeMap::new();
    let ds: BTreeSet<_> = [DatastoreId(0), DatastoreId(1)].into();
    for i in 0..5u32 {
        hosts.insert(
            HostId(i),
            HostSpec {
                name: format!("h{i}"),
                memory_mib: 65536,
                millicores: 32000,
                datastores: ds.clone(),
                networks: Default::default(),
                tags: Default::default(),
                failure_domain: "".into(),
                watchdog: Watchdog::Hardware { timeout: ms(4000) },
                fences: vec![vec![FenceId(i)]],
                votes: i < 3,
                on: true,
                drift_ppm: (i as i32) * 100 - 200,
                boot_time: ms(8000),
            },
        );
        fences.insert(FenceId(i), FenceSpec { name: format!("f{i}"), controls: HostId(i), latency: ms(300) });
    }
    let vms = (0..20u32)
        .map(|i| VmSpec {
            definition: VmDefinition {
                id: VmId(i),
                name: format!("vm{i}"),
                uuid: i as u128 + 1,
                memory_mib: 2048,
                millicores: 500,
                datastores: ds.clone(),
                networks: Default::default(),
                response: Response::Restart,
                priority: 1,
                home: None,
                locked: false,
            },
            wanted: true,
            protected: true,
        })
        .collect();
    let dss = (0..2u16)
        .map(|i| (DatastoreId(i), DatastoreSpec { name: format!("d{i}"), heartbeat: true, locks: false }))
        .collect();
    let spec = WorldSpec {
        seed: 1,
        profile: Profile::Lan,
        policy: Policy::default(),
        armed: true,
        hosts,
        datastores: dss,
        networks: Default::default(),
        fences,
        vms,
        nature: Nature::default(),
    };
    let t = std::time::Instant::now();
    let mut s: Simulation = Simulation::new(spec);
    s.record(std::env::args().nth(1).is_some());
    s.schedule(Duration::from_secs(30), Fault::PowerOff(HostId(1)));
    s.schedule(Duration::from_secs(60), Fault::PowerOff(HostId(0)));
    s.schedule(Duration::from_secs(100), Fault::Isolate(HostId(2), Duration::from_secs(20)));
    s.run_until(Duration::from_secs(600));
    eprintln!("{:?} steps {} viol {:?}", t.elapsed(), s.steps(), s.violations().len());
    for v in s.violations().iter().take(5) {
        eprintln!("{v:?}");
    }
    if std::env::args().nth(1).is_some() {
        for m in s.timeline() {
            println!("{:>10.3} {:?}", m.at_micros as f64 / 1e6, m.what);
        }
    }
    for (k, v) in s.counts() {
        if v > 0 {
            eprintln!("{k} {v}");
        }
    }
}
