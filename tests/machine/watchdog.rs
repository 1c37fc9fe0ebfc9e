//! The watchdog, by the product's own client.

use crate::rig::Rig;
use holdfast::core::message;
use holdfast::machine::Power;
use holdfast::watchdog::{Kind, MachineWatchdog, Opened, Watchdog, WatchdogError};
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const IDLE: &str = "sleep 1000 & echo ready > $RIG/run/ready; exec sleep 1001";

async fn rig(options: &[&str]) -> Rig {
    let rig = Rig::start(options, IDLE);
    rig.until_file("run/ready").await;
    rig
}

fn watchdog(rig: &Rig, timeout: u64) -> MachineWatchdog {
    MachineWatchdog::new(&rig.path("watchdog.sock"), rig.boot(), Duration::from_millis(timeout))
}

/// Feeds it for so long.
async fn feed(watchdog: &mut MachineWatchdog, lasts: Duration) {
    let end = Instant::now() + lasts;
    while Instant::now() < end {
        watchdog.feed().expect("it takes it");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_host_that_stands_still_is_reset() {
    let rig = rig(&[]).await;
    let boot = rig.boot();
    let mut watchdog = watchdog(&rig, 700);
    let expected = Opened { timeout: Duration::from_millis(700), kind: Kind::Hardware };
    assert_eq!(watchdog.probe().expect("it is there"), expected);
    assert_eq!(rig.status().watchdog_ms, None, "to probe opens nothing");
    let opened = Instant::now();
    assert_eq!(watchdog.open().expect("it opens"), expected);
    assert_eq!(message::Watchdog::from(expected), message::Watchdog::Hardware { timeout: expected.timeout });
    rig.signal_host(Signal::STOP);
    let frozen = rig.processes();
    let reset = rig.until("another boot", |status| status.boots == 2).await;
    assert!(opened.elapsed() >= Duration::from_millis(700), "reset after {:?}", opened.elapsed());
    assert_eq!((reset.watchdog_expiries, reset.resets), (1, 0));
    assert!(reset.boot_id != Some(boot));
    rig.until_file("run/ready").await;
    assert!(rig.processes().iter().all(|pid| !frozen.contains(pid)), "something of the old boot is left");
    // The new boot begins with a watchdog that is closed, and the old one's agent has none.
    rig.until("closed", |status| status.watchdog_ms.is_none()).await;
    assert!(matches!(watchdog.feed(), Err(WatchdogError::Unreachable { .. })));
    assert!(matches!(watchdog.open(), Err(WatchdogError::Refused { .. })));
}

#[tokio::test]
async fn it_may_stay_off_after_that() {
    let rig = rig(&["--after-watchdog", "off"]).await;
    watchdog(&rig, 100).open().expect("it opens");
    let off = rig.until("off", |status| status.power == Power::Off).await;
    assert_eq!((off.watchdog_expiries, off.boots), (1, 1));
    assert_eq!(rig.processes(), []);
}

#[tokio::test]
async fn fed_it_does_nothing_and_closed_it_does_nothing() {
    let rig = rig(&[]).await;
    let mut watchdog = watchdog(&rig, 600);
    assert!(matches!(watchdog.feed(), Err(WatchdogError::NotOpen { .. })));
    assert!(matches!(watchdog.close(), Err(WatchdogError::NotOpen { .. })));
    watchdog.open().expect("it opens");
    feed(&mut watchdog, Duration::from_millis(1500)).await;
    rig.until("open", |status| status.watchdog_ms == Some(600)).await;
    watchdog.close().expect("it closes");
    rig.until("closed", |status| status.watchdog_ms.is_none()).await;
    sleep(Duration::from_millis(900)).await;
    assert_eq!((rig.status().watchdog_expiries, rig.status().boots), (0, 1));
    watchdog.open().expect("it opens again");
    rig.until("not fed any more", |status| status.watchdog_expiries == 1).await;
}

#[tokio::test]
async fn it_counts_on_when_its_agent_dies_and_the_next_agent_opens_it_anew() {
    let rig = rig(&[]).await;
    for _ in 0..5 {
        let mut watchdog = watchdog(&rig, 600);
        watchdog.open().expect("the one before is gone");
        feed(&mut watchdog, Duration::from_millis(300)).await;
    }
    assert_eq!(rig.status().watchdog_expiries, 0);
    // The last one is dropped, and closed nothing.
    rig.until("not fed any more", |status| status.watchdog_expiries == 1).await;
}

#[tokio::test]
async fn it_is_opened_by_one_process_of_this_boot() {
    let rig = rig(&[]).await;
    let mut first = watchdog(&rig, 5_000);
    first.open().expect("it opens");
    let refused = watchdog(&rig, 5_000).open();
    assert!(
        matches!(&refused, Err(WatchdogError::Refused { why, .. }) if why.contains("another process")),
        "{refused:?}"
    );
    first.close().expect("it closes");
    let timeout = Duration::from_secs(5);
    let refused = MachineWatchdog::new(&rig.path("watchdog.sock"), Uuid::new_v4(), timeout).open();
    assert!(matches!(&refused, Err(WatchdogError::Refused { why, .. }) if why.contains("another boot")), "{refused:?}");
    let nowhere = MachineWatchdog::new(&rig.path("nowhere"), rig.boot(), timeout).open();
    assert!(matches!(nowhere, Err(WatchdogError::Unreachable { .. })));
    // What the device cannot count is not granted, and the answer says so.
    let mut longest = watchdog(&rig, 86_400_000);
    assert_eq!(longest.open().expect("it opens").timeout, Duration::from_secs(600));
    longest.close().expect("it closes");
}

#[tokio::test]
async fn a_crashed_host_is_reset_too() {
    let rig = rig(&[]).await;
    watchdog(&rig, 500).open().expect("it opens");
    rig.signal_host(Signal::KILL);
    let reset = rig.until("another boot", |status| status.boots == 2).await;
    assert_eq!(reset.watchdog_expiries, 1);
}

#[tokio::test]
async fn to_feed_never_waits() {
    let mut rig = rig(&[]).await;
    let mut watchdog = watchdog(&rig, 600_000);
    watchdog.open().expect("it opens");
    rig.signal_machine(Signal::STOP);
    let full = (0..1_000_000).find_map(|_| watchdog.feed().err());
    assert!(matches!(full, Some(WatchdogError::Full { .. })), "{full:?}");
    rig.signal_machine(Signal::CONT);
    rig.signal_machine(Signal::TERM);
    rig.machine_has_ended().await;
    assert!(matches!(watchdog.feed(), Err(WatchdogError::Unreachable { .. })));
}
