//! What runs uses, and what guests say; and that whoever hangs hides nobody else.

use crate::guest;
use crate::host::inside;
use crate::rig::{Adapter, Host, ONE, TWO, pass, process, signal_to, succeed, until, uuid};
use holdfast::clock::boottime;
use holdfast::core::action::{Ended, Outcome, PlatformCall};
use holdfast::core::command::Want;
use holdfast::core::ids::{HostId, VmId};
use holdfast::platform::{Guest, GuestAgent, Live, Moving, Platform, Reading, VmUse};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Everything is told within this.
const PATIENCE: Duration = Duration::from_secs(5);

fn live(adapter: &Adapter) -> Arc<dyn Live> {
    adapter.platform.lock().unwrap().live()
}

fn reading(live: &Arc<dyn Live>) -> Reading {
    let began = boottime();
    let reading = live.reading(began + PATIENCE).unwrap();
    assert!(boottime().since(began) < PATIENCE);
    reading
}

fn name(vm: VmId) -> Uuid {
    uuid(vm).parse().unwrap()
}

fn of(reading: &Reading, vm: VmId) -> VmUse {
    *reading.vms.iter().find(|used| used.uuid == name(vm)).unwrap()
}

fn ask(live: &Arc<dyn Live>, vm: VmId) -> Result<Guest, String> {
    let began = boottime();
    let guest = live.guest(name(vm), began + PATIENCE);
    assert!(boottime().since(began) < PATIENCE);
    guest
}

#[test]
fn what_hangs_hides_nothing_but_itself() {
    inside("live::what_hangs_hides_nothing_but_itself", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        host.define(TWO);
        let mut adapter = Adapter::new(&host, pass());
        let live = live(&adapter);
        assert!(reading(&live).vms.is_empty() && ask(&live, ONE).is_err());
        assert_eq!([adapter.start(ONE), adapter.start(TWO)], [Outcome::Done; 2]);
        let first = reading(&live);
        assert_eq!((first.vms.len(), first.silent.clone()), (2, None));
        let one = of(&first, ONE);
        assert_eq!((one.vcpus, one.memory_kib), (Some(1), Some(8 * 1_024)));
        assert!(one.resident_kib > 1_024 && one.cpu_nanoseconds > 0, "{one:?}");
        assert_eq!(ask(&live, ONE), Ok(Guest { agent: GuestAgent::None, system: None }));
        // A process that answers its daemon nothing, as where its storage hangs.
        signal_to(&process(ONE).unwrap(), "STOP");
        let began = boottime();
        let second = reading(&live);
        assert!(boottime().since(began) < Duration::from_secs(1));
        assert_eq!((second.silent.clone(), of(&second, ONE).vcpus, of(&second, TWO).vcpus), (None, Some(1), Some(1)));
        assert!(second.at_nanoseconds > first.at_nanoseconds);
        assert!(of(&second, TWO).cpu_nanoseconds >= of(&first, TWO).cpu_nanoseconds);
        assert!(second.host.cpu_used_nanoseconds >= first.host.cpu_used_nanoseconds);
        host.signal_daemon("STOP");
        for _ in 0..2 {
            let third = reading(&live);
            assert!(third.silent.is_some(), "{third:?}");
            assert_eq!((third.vms.len(), of(&third, TWO).vcpus), (2, None));
        }
        assert!(ask(&live, TWO).is_err());
        host.signal_daemon("CONT");
        until("the daemon says something again", || reading(&live).silent.is_none().then_some(()));
    });
}

#[test]
fn a_guest_with_an_agent_says_what_it_is_and_is_stopped_by_it() {
    inside("live::a_guest_with_an_agent_says_what_it_is_and_is_stopped_by_it", |folder| {
        let Some(made) = guest::made() else { return };
        let host = Host::start(folder);
        guest::define(&host, ONE, &made);
        let mut adapter = Adapter::new(&host, pass());
        let live = live(&adapter);
        assert_eq!(adapter.start(ONE), Outcome::Done);
        let silent = Guest { agent: GuestAgent::Silent, system: Some("debian 12".to_owned()) };
        assert_eq!(ask(&live, ONE), Ok(silent.clone()), "it has only begun");
        let answers = Guest { agent: GuestAgent::Answers, system: Some(guest::SYSTEM.to_owned()) };
        until("the agent answers", || (ask(&live, ONE).as_ref() == Ok(&answers)).then_some(()));
        assert_eq!(of(&reading(&live), ONE).vcpus, Some(2));
        // It has opened its channel, and stands still.
        succeed(&["suspend", &ONE.to_string()]);
        assert_eq!([ask(&live, ONE), ask(&live, ONE)], [Ok(silent.clone()), Ok(silent)]);
        assert_eq!(of(&reading(&live), ONE).vcpus, Some(2));
        succeed(&["resume", &ONE.to_string()]);
        until("the agent answers again", || (ask(&live, ONE).as_ref() == Ok(&answers)).then_some(()));
        assert_eq!(adapter.stop(ONE, Want::Stopped), Outcome::Done);
        assert_eq!(adapter.ended(ONE), Ended::GuestPoweroff);
    });
}

#[test]
fn a_vm_on_a_disk_of_its_host_is_said_to_stay_as_libvirt_itself_says() {
    inside("live::a_vm_on_a_disk_of_its_host_is_said_to_stay_as_libvirt_itself_says", |folder| {
        let host = Host::start(folder);
        let disk = host.disk(ONE).display().to_string();
        let read_only = host.xml(TWO, "").replace("<target", "<readonly/><target");
        host.define(ONE);
        host.define_as(TWO, &read_only);
        let mut adapter = Adapter::new(&host, pass());
        let live = live(&adapter);
        assert_eq!([adapter.start(ONE), adapter.start(TWO)], [Outcome::Done; 2]);
        let reasons = |vm| live.immovable(name(vm), boottime() + PATIENCE).unwrap();
        let said = reasons(ONE);
        assert!(said.len() == 1 && said[0].contains(&disk) && said[0].contains("shared"), "{said:?}");
        assert!(reasons(TWO).is_empty(), "a disk that is only read is nobody's");
        // What libvirt says to the same, and is told to people.
        assert_eq!(live.moving(name(ONE), boottime() + PATIENCE), Moving::default());
        let call = PlatformCall::Move { vm: ONE, to: HostId(2) };
        assert_eq!(adapter.call(call), Outcome::Failed);
        let moving = live.moving(name(ONE), boottime() + PATIENCE);
        assert_eq!(moving.progress, None);
        assert!(moving.failed.as_ref().is_some_and(|why| why.contains("without shared storage")), "{moving:?}");
        succeed(&["snapshot-create-as", &ONE.to_string(), "s1"]);
        assert!(reasons(ONE)[0].contains("snapshots (1)"), "{:?}", reasons(ONE));
    });
}
