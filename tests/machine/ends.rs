//! The end of a machine: nothing of it is left behind.

use crate::rig::{Rig, wait};
use holdfast::machine::Power;
use rustix::process::Signal;
use std::fs;

const STUBBORN: &str = "
trap '' TERM HUP INT
setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.02; done' &
sh -c 'trap \"\" TERM HUP; while :; do sleep 0.02; done' &
echo ready > $RIG/run/ready
while :; do sleep 0.02; done";

async fn all_are_gone(rig: &Rig) {
    wait("nobody is left", || rig.processes().is_empty().then_some(())).await;
}

#[tokio::test]
async fn told_to_terminate_it_switches_off_and_leaves_nothing() {
    let mut rig = Rig::start(&["--restart-agent"], STUBBORN);
    rig.until_file("run/ready").await;
    rig.signal_machine(Signal::TERM);
    let ended = rig.machine_has_ended().await;
    assert_eq!(rig.processes(), [], "the machine has ended ({ended}), and something runs");
    assert_eq!(rig.status().power, Power::Off);
    assert!(!rig.path("bmc.json").exists() && !rig.path("watchdog.sock").exists());
}

#[tokio::test]
async fn a_host_that_stands_still_goes_with_it_too() {
    let mut rig = Rig::start(&[], STUBBORN);
    rig.until_file("run/ready").await;
    rig.signal_host(Signal::STOP);
    rig.signal_machine(Signal::TERM);
    rig.machine_has_ended().await;
    assert_eq!(rig.processes(), [], "the machine has ended, and something stands still");
}

#[tokio::test]
async fn a_machine_that_is_killed_takes_its_host_with_it() {
    let mut rig = Rig::start(&["--restart-agent"], STUBBORN);
    rig.until_file("run/ready").await;
    rig.signal_machine(Signal::KILL);
    rig.machine_has_ended().await;
    all_are_gone(&rig).await;
}

#[tokio::test]
async fn a_machine_that_is_killed_takes_even_a_host_that_stands_still() {
    let mut rig = Rig::start(&["--restart-agent"], STUBBORN);
    rig.until_file("run/ready").await;
    rig.signal_host(Signal::STOP);
    rig.signal_machine(Signal::KILL);
    rig.machine_has_ended().await;
    all_are_gone(&rig).await;
}

#[tokio::test]
async fn one_folder_is_one_machine() {
    let rig = Rig::start(&[], "exec sleep 1000");
    let before = fs::read_to_string(rig.path("bmc.json")).expect("a file");
    let second = rig.another();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another machine runs in"), "{second:?}");
    assert_eq!(fs::read_to_string(rig.path("bmc.json")).expect("a file"), before);
}
