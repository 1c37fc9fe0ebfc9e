#![allow(missing_docs)]
use holdfast::core::{ids::*, timing::Profile};
use holdfast::sim::{generate::*, world::*};
use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let seed: u64 = a[1].parse().unwrap();
    let shape = Shape { hosts: 5, vms: 20, profile: Profile::Lan, lasts: Duration::from_secs(600) };
    let g = world(seed, &shape);
    let mut s: Simulation = Simulation::new(g.spec);
    for (at, f) in g.faults {
        s.schedule(at, f);
    }
    for t in a[2..].iter() {
        let t: f64 = t.parse().unwrap();
        s.run_until(Duration::from_secs_f64(t));
        println!("--- at {t}");
        for h in 1..=5 {
            let n = s.node(HostId(h));
            println!(
                "host-{h} durable {:?} voter {:?} state {:?}",
                s.truth().image(HostId(h)).map(|i| (
                    i.voter,
                    i.restored_from_backup,
                    i.last_index(),
                    i.term(),
                    i.snapshot.members.clone()
                )),
                n.and_then(|n| n.voter()),
                n.and_then(|n| n.state()).map(|s| (s.applied, s.voters.clone(), s.retired.clone()))
            );
            if let Some(n) = n {
                println!("   {}", n.debug_election());
            }
        }
    }
}
