//! The guests of a random world: in most of them nobody asks what guests say.

use crate::core::action::Request;
use crate::core::ids::VmId;
use crate::core::state::{AccountChange, UpMeans};
use crate::sim::dice::Dice;
use crate::sim::fault::Fault;
use crate::sim::spec::WorldSpec;
use std::time::Duration;

/// Of a hundred worlds so many have guests that are asked.
const WORLDS: u32 = 12;
/// Nothing befalls a guest before it had time to come up.
const QUIET: Duration = Duration::from_secs(20);

/// Has the guests of some VMs asked, in some worlds, and keeps them from answering now and then: short hushes that nobody
/// is to hear of, and long ones. What else befalls the world is as it would be without.
pub(super) fn guests(spec: &mut WorldSpec, until: Duration, dice: &mut Dice) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    if !dice.chance(WORLDS) {
        return faults;
    }
    for vm in &mut spec.vms {
        if dice.chance(50) {
            vm.up = UpMeans::Agent;
        }
    }
    let pace = Duration::from_millis(2_000 << dice.range(0, 4));
    let ids: Vec<VmId> = spec.vms.iter().map(|vm| vm.definition.id).collect();
    let mut at = QUIET;
    while at < until {
        if let Some(vm) = dice.pick(&ids).copied() {
            faults.push((at, misfortune(vm, dice)));
        }
        at += dice.duration_between((Duration::ZERO, pace * 2));
    }
    faults
}

fn misfortune(vm: VmId, dice: &mut Dice) -> Fault {
    if dice.chance(20) {
        let up = if dice.chance(70) { UpMeans::Agent } else { UpMeans::Running };
        let change = AccountChange { up: Some(up), ..AccountChange::default() };
        return Fault::Request(Request::Account { vm, change: Box::new(change) });
    }
    let most = 1_000 << dice.range(0, 6);
    Fault::GuestHush(vm, Duration::from_millis(dice.range(1_000, most)))
}
