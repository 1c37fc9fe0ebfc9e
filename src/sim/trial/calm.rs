//! A bad network and short stalls, without end: every host is well, so every VM runs on where it is.

use super::{HOSTS, SETTLED, Storage, Trial, impair, world};
use crate::core::action::Note;
use crate::core::ids::{DatastoreId, HostId};
use crate::sim::dice::Dice;
use crate::sim::fault::{DatastoreFault, Fault, LinkFault};
use crate::sim::timeline::Happening;
use crate::sim::world::Simulation;
use std::time::Duration;

/// What every link loses, in percent.
const LOSS: u32 = 20;
/// Up to this, each packet comes late.
const DELAY: Duration = Duration::from_millis(400);
/// So long something stands still.
const STALL: Duration = Duration::from_secs(2);
/// From one stall to the next: never two at once.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
const DATASTORES: u16 = 2;

/// A world of a seed, for so long after its start. `keep` keeps all that happens in it.
///
/// Every VM runs when the bad time begins, so each that ends or is placed from then on is a failure.
pub fn calm(seed: u64, lasts: Duration, keep: bool) -> Trial {
    let spec = world(seed, Storage(DATASTORES), true);
    let names = spec.names();
    let mut simulation = Simulation::new(spec);
    simulation.record(true);
    simulation.run_until(SETTLED);
    let mut trial = Trial::default();
    let idle = simulation.spec().vms.iter().filter(|vm| simulation.truth().executes_on(vm.definition.id).is_none());
    trial.failures.extend(idle.map(|vm| format!("{} did not even start", vm.definition.name)));
    impair(&mut simulation, LinkFault::Loss(LOSS), lasts);
    impair(&mut simulation, LinkFault::Delay(DELAY), lasts);
    let mut dice = Dice::new(seed).fork("stalls");
    let mut at = SETTLED + dice.duration_between(PAUSE);
    while at + STALL < SETTLED + lasts {
        simulation.schedule(at, stall(&mut dice));
        trial.trials += 1;
        at += dice.duration_between(PAUSE);
    }
    simulation.run_until(SETTLED + lasts);
    trial.conclude(&simulation, names, SETTLED, keep, |moment| {
        matches!(moment.what, Happening::VmDown(..) | Happening::VmUp(..) | Happening::Note(_, Note::Placed { .. }))
    })
}

/// One agent, one host's way to a datastore, or a whole datastore stands still.
fn stall(dice: &mut Dice) -> Fault {
    let host = HostId(dice.range(1, u64::from(HOSTS) + 1) as u32);
    let datastore = DatastoreId(dice.range(1, u64::from(DATASTORES) + 1) as u16);
    match dice.range(0, 4) {
        0 | 1 => Fault::AgentHang(host, STALL),
        2 => Fault::Datastore(Some(host), datastore, DatastoreFault::Hang, STALL),
        _ => Fault::Datastore(None, datastore, DatastoreFault::Hang, STALL),
    }
}
