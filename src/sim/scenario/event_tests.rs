use super::*;
use crate::core::state::{AccountChange, Policy, Response, UpMeans, VmDefinition};
use crate::sim::scenario::Scenario;
use crate::sim::spelling::{fault_as_toml, fault_kind};
use std::collections::BTreeSet;
use std::path::Path;

const WORLD: &str = "[cluster]\nhosts = 3\nvms = 2\ndatastores = 2\n";

fn parse(text: &str) -> Result<Scenario, Problem> {
    Scenario::parse("test", Path::new("scenario.toml"), text)
}

/// One fault of every kind, with values that differ from any default.
fn samples(world: &WorldSpec) -> Vec<Fault> {
    let (host, other, vm) = (HostId(1), HostId(2), VmId(2));
    let (datastore, fence) = (DatastoreId(2), FenceId(3));
    let (time, short) = (Duration::from_millis(12_500), Duration::from_millis(30));
    let link = |fault| Fault::Link(host, other, fault, time);
    let mut definition = world.vms[1].definition.clone();
    definition.response = Response::RestartWithoutLease;
    let mut faults = vec![
        Fault::PowerOff(host),
        Fault::PowerOn(host),
        Fault::PowerBlip(host, time),
        Fault::Reboot(host),
        Fault::Shutdown(host, None),
        Fault::Shutdown(host, Some(time)),
        Fault::Freeze(host, time),
        Fault::Suspend(host, time),
        Fault::AgentCrash(host, time),
        Fault::AgentHang(host, time),
        Fault::AgentUpgrade(host, None),
        Fault::AgentUpgrade(host, Some(time)),
        Fault::DaemonHang(host, time),
        Fault::DaemonRestart(host),
        Fault::FailStarts(vm, 4),
        Fault::SlowStarts(host, short, time),
        Fault::TimedOutStarts(host, 2),
        Fault::GuestCrash(vm),
        Fault::GuestPoweroff(vm),
        Fault::GuestHush(vm, time),
        link(LinkFault::Cut),
        link(LinkFault::Loss(30)),
        link(LinkFault::Delay(short)),
        link(LinkFault::Duplicate(10)),
        link(LinkFault::Replay(time)),
        Fault::Isolate(host, time),
        Fault::Partition(vec![host, other], time),
        Fault::Datastore(None, datastore, DatastoreFault::Hang, time),
        Fault::Datastore(Some(host), datastore, DatastoreFault::Error, time),
        Fault::Datastore(Some(host), datastore, DatastoreFault::Slow(short), time),
        Fault::TearRecord(datastore, host),
        Fault::TearMail(datastore, host),
        Fault::StallWrite(host, datastore, time),
        Fault::RollBack(datastore, time),
        Fault::VoterDiskFull(host, time),
        Fault::VoterDiskSlow(host, short, time),
        Fault::RestoreBackup(host, time),
        Fault::Fence(fence, FenceFault::Slow(short), time),
        Fault::Fence(fence, FenceFault::Late(short), time),
        Fault::Fence(fence, FenceFault::Unreachable, time),
        Fault::Fence(fence, FenceFault::WrongPassword, time),
        Fault::Fence(fence, FenceFault::Lies, time),
        Fault::SwapFences(fence, FenceId(1), time),
        Fault::Twin(host, time),
        Fault::ConfirmDead(host),
        Fault::Recover,
        Fault::HypervisorStart(vm, host),
        Fault::HypervisorStop(vm),
        Fault::Edit(vm),
        Fault::HypervisorMove(vm, host),
        Fault::MoveInDoubt(vm, host),
        Fault::Heal,
    ];
    faults.extend(requests(definition).map(Fault::Request));
    faults
}

fn requests(definition: VmDefinition) -> [Request; 19] {
    let (host, vm) = (HostId(1), VmId(2));
    let change = AccountChange { up: Some(UpMeans::Agent), ..AccountChange::default() };
    let policy = Policy { brake_percent: 25, accept_software_guards: true, ..Policy::default() };
    [
        Request::Intend { vm, want: Want::Running },
        Request::Intend { vm, want: Want::Stopped },
        Request::Intend { vm, want: Want::Killed },
        Request::Move { vm, to: host },
        Request::Protect(Box::new(definition)),
        Request::Unprotect(vm),
        Request::Remove(vm),
        Request::Arm,
        Request::Disarm,
        Request::RearmAfter(Some(Duration::from_secs(9))),
        Request::Drill(host),
        Request::SwitchOff { host, force: true },
        Request::SwitchOn(host),
        Request::ConfirmDead(host),
        Request::ResolveConflict(host),
        Request::EndQuarantine(host),
        Request::SetPolicy(Box::new(policy)),
        Request::Account { vm, change: Box::new(change) },
        Request::Recover { dead: vec![VoterId(1), VoterId(3)] },
    ]
}

#[test]
fn every_fault_has_a_spelling_that_reads_as_itself() {
    let world = parse(WORLD).expect("a valid world").world;
    let names = world.names();
    for fault in samples(&world) {
        let text = format!("{WORLD}{}", fault_as_toml(Duration::from_secs(3), &fault, &names));
        let scenario = parse(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
        assert_eq!(scenario.events[0].fault, fault, "{text}");
        assert_eq!(scenario.events[0].at, Duration::from_secs(3));
    }
}

#[test]
fn the_list_of_words_is_complete() {
    let world = parse(WORLD).expect("a valid world").world;
    let spelt: BTreeSet<&str> = samples(&world).iter().map(fault_kind).collect();
    assert_eq!(spelt, FAULT_KINDS.into_iter().collect());
}

#[test]
fn the_documentation_names_every_fault() {
    let text = include_str!("../../../tests/scenarios/README.md");
    for kind in FAULT_KINDS {
        assert!(text.contains(&format!("`{kind}`")), "{kind} is not documented");
    }
}

#[test]
fn the_documentation_names_every_kind_of_reason() {
    use crate::core::reason::{Alert, NoProof, Refusal, Unfit, Wait};
    use crate::sim::kinds::kinds_of;
    let text = include_str!("../../../tests/scenarios/README.md");
    let kinds = [kinds_of::<Alert>(), kinds_of::<NoProof>(), kinds_of::<Refusal>(), kinds_of::<Unfit>()];
    for kind in kinds.into_iter().flatten().chain(kinds_of::<Wait>()) {
        assert!(text.contains(&format!("`{kind}`")), "{kind} is not documented");
    }
}
