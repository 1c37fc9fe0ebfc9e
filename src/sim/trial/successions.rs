//! One master after another dies, with nothing but the network to hold leases by: nobody else's VMs may feel it.

use super::{HOSTS, SETTLED, Storage, Trial, impair, world};
use crate::core::action::Note;
use crate::core::ids::HostId;
use crate::core::reason::HostState;
use crate::sim::dice::Dice;
use crate::sim::fault::{Fault, LinkFault};
use crate::sim::timeline::{Happening, Moment};
use crate::sim::world::{MachineState, Simulation};
use std::time::Duration;

/// What every link loses, in percent.
const LOSS: u32 = 5;
/// Longer than any world lasts.
const EVER: Duration = Duration::from_secs(1_000_000);
/// The master of a cluster that mends itself is looked for this often.
const STEP: Duration = Duration::from_millis(250);
/// Within this after a master's death, or its return, all must be as it was.
const PATIENCE: Duration = Duration::from_secs(180);
/// All is quiet for so long before the next thing happens.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(4_000));

/// A world of a seed, in which the master's host loses power so many times, and gets it back when its successor has
/// restarted what ran there. `keep` keeps all that happens.
///
/// A VM that ends on a host with power, or a lease that ends there, is a failure.
pub fn successions(seed: u64, deaths: u64, keep: bool) -> Trial {
    let spec = world(seed, Storage(0), false);
    let names = spec.names();
    let mut simulation = Simulation::new(spec);
    simulation.record(true);
    impair(&mut simulation, LinkFault::Loss(LOSS), EVER);
    simulation.run_until(SETTLED);
    let mut dice = Dice::new(seed).fork("deaths");
    let mut trial = Trial::default();
    for _ in 0..deaths {
        let Some(victim) = simulation.master().map(|(host, _)| host) else { break };
        simulation.schedule(simulation.now(), Fault::PowerOff(victim));
        let recovered = settle(&mut simulation, &mut dice, Some(victim));
        simulation.schedule(simulation.now(), Fault::PowerOn(victim));
        if !recovered || !settle(&mut simulation, &mut dice, None) {
            break;
        }
        trial.trials += 1;
    }
    if trial.trials < deaths {
        let at = simulation.now().as_secs();
        trial.failures.push(format!("{at} s: no master, or not all VMs and hosts, within {} s", PATIENCE.as_secs()));
    }
    // What loses power takes its VMs with it; all others end for a reason of their own.
    trial.conclude(&simulation, names, SETTLED, keep, |moment: &Moment| match &moment.what {
        Happening::VmDown(_, _, why) => *why != "power-lost",
        Happening::Note(_, Note::LeaseEnded) => true,
        _ => false,
    })
}

/// Waits until there is a master, all hosts but the dead one are alive to it and all VMs run, and a while longer.
fn settle(simulation: &mut Simulation, dice: &mut Dice, dead: Option<HostId>) -> bool {
    let begun = simulation.now();
    while simulation.now() < begun + PATIENCE {
        simulation.run_until(simulation.now() + STEP);
        if is_whole(simulation, dead) {
            simulation.run_until(simulation.now() + dice.duration_between(PAUSE));
            return is_whole(simulation, dead) || settle(simulation, dice, dead);
        }
    }
    false
}

fn is_whole(simulation: &Simulation, dead: Option<HostId>) -> bool {
    let Some((_, master)) = simulation.master() else { return false };
    let truth = simulation.truth();
    let mut hosts = (1..=HOSTS).map(HostId).filter(|host| Some(*host) != dead);
    let is_up = |host| truth.machine(host) == Some(MachineState::Up);
    hosts.all(|host| is_up(host) && master.host_state(host) == Some(HostState::Alive))
        && simulation.spec().vms.iter().all(|vm| truth.executes_on(vm.definition.id).is_some())
}
