//! The host: its agent dies alone, or all of it does.

use crate::rig::{Rig, wait};
use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::machine::{HostState, Power};
use rustix::process::{Pid, Signal, getpgid, kill_process, test_kill_process};
use std::time::Duration;

/// An agent with one VM, which the next agent leaves alone.
const WITH_VM: &str = "
echo $$ >> $RIG/agents
[ -e $RIG/run/vm ] || { sleep 1000 & echo $! > $RIG/run/vm; }
exec sleep 1001";

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("a number")
}

#[tokio::test]
async fn an_agent_that_dies_alone_is_started_again_in_the_same_host() {
    let rig = Rig::start(&["--restart-agent"], WITH_VM);
    let vm: i32 = rig.until_file("run/vm").await.parse().expect("a number");
    let first = rig.until("an agent", |status| status.agent_pid.is_some()).await;
    let agent = first.agent_pid.expect("an agent");
    kill_process(pid(agent), Signal::KILL).expect("it was there");
    let second = rig.until("another agent", |status| status.agent_pid.is_some_and(|next| next != agent)).await;
    assert_eq!((second.boot_id, second.pgid, second.boots), (first.boot_id, first.pgid, 1));
    assert_eq!(second.host, HostState::Running);
    let group = getpgid(second.agent_pid.map(pid)).expect("it runs");
    assert_eq!(Some(group.as_raw_nonzero().get()), first.pgid);
    // Its VM went on, and when it ends nothing of it is left, though the one who started it is dead.
    test_kill_process(pid(vm)).expect("the VM runs");
    kill_process(pid(vm), Signal::KILL).expect("it was there");
    wait("the VM is gone", || test_kill_process(pid(vm)).err()).await;
}

#[tokio::test]
async fn an_agent_that_has_done_its_work_is_not_started_again() {
    let rig = Rig::start(&["--restart-agent"], "echo $$ >> $RIG/agents; [ -e $RIG/fail ] || exit 0; exit 3");
    rig.until_file("agents").await;
    rig.until("the agent has ended", |status| status.agent_pid.is_none()).await;
    // Longer than the pause before a failed agent is started.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(rig.until_file("agents").await.lines().count(), 1);
    let status = rig.status();
    assert_eq!((status.power, status.host), (Power::On, HostState::Running));
    // Told to, the host starts another one.
    kill_process(status.pgid.map(pid).expect("a host"), Signal::USR1).expect("it runs");
    wait("another run", || {
        let runs = std::fs::read_to_string(rig.path("agents")).ok()?;
        (runs.lines().count() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_fails_is_started_again_and_again() {
    let rig = Rig::start(&["--restart-agent"], "echo $$ >> $RIG/agents; exit 3");
    wait("three runs", || {
        let runs = std::fs::read_to_string(rig.path("agents")).ok()?;
        (runs.lines().count() >= 3).then_some(())
    })
    .await;
    assert_eq!(rig.status().boots, 1);
}

#[tokio::test]
async fn without_the_option_no_agent_is_started_again() {
    let rig = Rig::start(&[], WITH_VM);
    rig.until_file("run/vm").await;
    let agent = rig.until("an agent", |status| status.agent_pid.is_some()).await.agent_pid.map(pid);
    kill_process(agent.expect("an agent"), Signal::KILL).expect("it was there");
    rig.until("the agent has ended", |status| status.agent_pid.is_none()).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(rig.until_file("agents").await.lines().count(), 1);
    assert_eq!((rig.status().power, rig.status().host), (Power::On, HostState::Running));
}

#[tokio::test]
async fn a_crashed_host_stays_dead_until_it_is_reset() {
    let agent = "echo $$ >> $RIG/agents; setsid sleep 1000 & echo ready > $RIG/run/ready; exec sleep 1001";
    let rig = Rig::start(&["--restart-agent"], agent);
    for boots in 1..=3 {
        rig.until("an agent", |status| status.agent_pid.is_some() && status.boots == boots).await;
        rig.until_file("run/ready").await;
        rig.signal_host(Signal::KILL);
        let crashed = rig.until("crashed", |status| status.host == HostState::Crashed).await;
        assert_eq!((crashed.power, crashed.pgid, crashed.agent_pid), (Power::On, None, None));
        wait("nobody is left", || rig.processes().is_empty().then_some(())).await;
        let runs = rig.until_file("agents").await.lines().count();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(rig.until_file("agents").await.lines().count(), runs, "an agent ran in a dead host");
        // The power is on, and to switch it on does nothing.
        assert_eq!(rig.perform(FenceOp::Power).await, FenceResult::On);
        rig.perform(FenceOp::PowerOn).await;
        assert_eq!(rig.status().boots, boots);
        rig.perform(FenceOp::PowerOff).await;
        rig.until_power(FenceResult::Off).await;
        rig.perform(FenceOp::PowerOn).await;
    }
}
