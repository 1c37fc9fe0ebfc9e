//! Power on and off, by the product's own client over real HTTPS.

use crate::rig::{Rig, UUID, wait};
use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::machine::{HostState, Power};
use std::time::Duration;
use tokio::time::Instant;

const IDLE: &str = "echo $$ > $RIG/agent; exec sleep 1000";

#[tokio::test]
async fn a_fence_switches_it_off_and_on() {
    let rig = Rig::start(&[], IDLE);
    let first = rig.until("an agent", |status| status.agent_pid.is_some()).await;
    assert_eq!(rig.perform(FenceOp::Identity).await, FenceResult::Identity(UUID.as_u128()));
    assert_eq!(rig.perform(FenceOp::Power).await, FenceResult::On);
    assert_eq!(first.boot_id, Some(rig.boot()));

    assert_eq!(rig.perform(FenceOp::PowerOff).await, FenceResult::Taken);
    rig.until_power(FenceResult::Off).await;
    assert!(rig.processes().is_empty(), "off, and something runs");
    // A BMC has power of its own.
    assert_eq!(rig.perform(FenceOp::Identity).await, FenceResult::Identity(UUID.as_u128()));
    // To switch off what is off changes nothing.
    assert_eq!(rig.perform(FenceOp::PowerOff).await, FenceResult::Taken);
    let off = rig.until("off", |status| status.power == Power::Off).await;
    assert_eq!((off.host, off.boot_id, off.pgid, off.resets), (HostState::None, None, None, 1));

    assert_eq!(rig.perform(FenceOp::PowerOn).await, FenceResult::Taken);
    rig.until_power(FenceResult::On).await;
    let second = rig.until("an agent again", |status| status.agent_pid.is_some()).await;
    assert_eq!((second.power, second.boots), (Power::On, 2));
    assert!(second.boot_id != first.boot_id && second.boot_id == Some(rig.boot()), "the boot is another");
}

#[tokio::test]
async fn a_boot_finds_nothing_in_run_that_an_older_one_left() {
    let rig = Rig::start(&[], "mkdir $RIG/run/left; echo x > $RIG/run/left/over; exec sleep 1000");
    rig.until_file("run/left/over").await;
    let first = rig.boot();
    std::fs::write(rig.path("run/strange"), "x").expect("a file");
    rig.perform(FenceOp::PowerOff).await;
    rig.until_power(FenceResult::Off).await;
    assert_eq!(rig.perform(FenceOp::PowerOn).await, FenceResult::Taken);
    wait("another boot", || {
        std::fs::read_to_string(rig.path("run/boot-id")).ok().filter(|id| id.trim() != first.to_string())
    })
    .await;
    assert!(!rig.path("run/strange").exists());
}

/// Processes that ignore every signal they can, fork all the time, and leave the group.
const WILD: &str = "
trap '' TERM INT HUP QUIT
setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.02; done' &
setsid setsid sleep 1000 &
echo ready > $RIG/run/ready
while :; do sleep 0.05 & sleep 0.05; done";

#[tokio::test]
async fn off_is_said_only_when_nobody_is_left() {
    let rig = Rig::start(&[], WILD);
    for _ in 0..4 {
        rig.until_file("run/ready").await;
        assert_eq!(rig.perform(FenceOp::PowerOff).await, FenceResult::Taken);
        rig.until_power(FenceResult::Off).await;
        assert_eq!(rig.processes(), [], "off, and something runs");
        assert_eq!(rig.perform(FenceOp::PowerOn).await, FenceResult::Taken);
        rig.until_power(FenceResult::On).await;
    }
}

#[tokio::test]
async fn an_order_takes_the_time_that_it_takes() {
    let rig = Rig::start(&["--power-delay", "600ms"], IDLE);
    rig.until("an agent", |status| status.agent_pid.is_some()).await;
    let ordered = Instant::now();
    assert_eq!(rig.perform(FenceOp::PowerOff).await, FenceResult::Taken);
    assert!(ordered.elapsed() < Duration::from_millis(600), "the order itself waits for nothing");
    rig.until_power(FenceResult::Off).await;
    assert!(ordered.elapsed() >= Duration::from_millis(600), "off after {:?}", ordered.elapsed());
    assert_eq!(rig.status().resets, 1);

    let client = crate::bmc::client();
    let url = format!("{}{}", rig.info.address, rig.info.system);
    let change = serde_json::json!({ "Oem": { "Holdfast": { "PowerDelayMilliseconds": 50 } } });
    let answer = client.patch(&url).basic_auth("admin", Some(rig.password())).json(&change).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let ordered = Instant::now();
    rig.perform(FenceOp::PowerOn).await;
    rig.until_power(FenceResult::On).await;
    assert!(ordered.elapsed() >= Duration::from_millis(50));
    rig.until("shown", |status| status.power_delay_ms == 50 && status.boots == 2).await;
}
