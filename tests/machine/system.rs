//! A host whose program is a whole system: it ends what runs in it by itself, and the host ends with it.

use crate::rig::Rig;
use holdfast::machine::{HostState, Power};
use rustix::process::{Pid, Signal, kill_process};

/// A system with a guest, which writes down when it is told to end.
const SYSTEM: &str = "
trap 'sleep 0.2; kill -KILL $guest; echo ended > $RIG/end; exit 0' TERM
sh -c 'trap \"echo told > $RIG/guest\" TERM; echo ready > $RIG/run/ready; while :; do sleep 0.05; done' &
guest=$!
while [ ! -e $RIG/go ]; do sleep 0.02; done
exit $(cat $RIG/go)";

#[tokio::test]
async fn it_alone_is_told_to_shut_down() {
    let rig = Rig::start(&["--system"], SYSTEM);
    rig.until_file("run/ready").await;
    let first = rig.status().pgid.and_then(Pid::from_raw).expect("a host");
    kill_process(first, Signal::TERM).expect("it runs");
    let off = rig.until("off", |status| status.power == Power::Off).await;
    assert_eq!((off.host, off.boots, rig.until_file("end").await.as_str()), (HostState::None, 1, "ended"));
    assert!(!rig.path("guest").exists(), "its guest is its own affair");
    assert!(rig.processes().is_empty());
}

#[tokio::test]
async fn a_system_that_ends_in_good_order_switches_the_machine_off() {
    let rig = Rig::start(&["--system"], SYSTEM);
    rig.until_file("run/ready").await;
    std::fs::write(rig.path("go"), "0\n").expect("a file");
    rig.until("off", |status| status.power == Power::Off).await;
    assert!(rig.processes().is_empty());
}

#[tokio::test]
async fn a_system_that_fails_is_a_host_that_has_crashed() {
    let rig = Rig::start(&["--system"], SYSTEM);
    rig.until_file("run/ready").await;
    std::fs::write(rig.path("go"), "3\n").expect("a file");
    let crashed = rig.until("crashed", |status| status.host == HostState::Crashed).await;
    assert_eq!((crashed.power, crashed.boots), (Power::On, 1));
    assert!(rig.processes().is_empty(), "what ran in it is gone with it");
}
