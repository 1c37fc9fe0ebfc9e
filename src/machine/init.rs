//! The first process of a host on an embedded machine: what a kernel and its init are to a real one.
//!
//! It leads the process group of the host, starts the agent in it, adopts and reaps orphans, and starts an agent again
//! that ended with an error. While it lives, so does the host; if it is killed, the host has crashed. If the machine
//! dies, which closes the line to it, it takes the whole host with it.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::machine::family;
use crate::machine::host::{Program, agent_line};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, WaitStatus, kill_current_process_group, kill_process};
use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

/// How long an agent that failed is let lie, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An agent that ran for so long has not failed at its start.
const STEADY: Duration = Duration::from_secs(10);
/// So often what has left the process group is hunted before the group itself goes.
const HUNTS: u32 = 20;

struct Init {
    program: Program,
    /// To the machine.
    line: UnixStream,
    agent: Option<Pid>,
    started: Instant,
    /// When the agent is started.
    due: Option<Instant>,
    pause: Duration,
    shutting_down: bool,
}

/// Is the host until it is shut down. Returns only then.
pub fn run(program: Program) -> io::Result<()> {
    family::adopt_orphans()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let line = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        line.set_nonblocking(true)?;
        let line = UnixStream::from_std(line)?;
        let now = boottime();
        let (pause, due) = (FIRST_PAUSE, Some(now));
        Init { program, line, agent: None, started: now, due, pause, shutting_down: false }.live().await
    })
}

impl Init {
    async fn live(mut self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // The kernel hangs up on a group that is left by its parent while it stands still: the machine's death is told by
        // the line, and must find the init alive.
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            if self.due.is_some_and(|due| boottime() >= due) {
                self.start_agent();
            }
            let pause = self.due.map(|due| due.since(boottime()));
            tokio::select! {
                biased;
                () = machine_gone(&self.line) => return end_group(),
                _ = terminate.recv() => self.shut_down(),
                _ = hang_up.recv() => {}
                _ = children.recv() => self.reap(),
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
            if self.shutting_down && self.agent.is_none() {
                return Ok(());
            }
        }
    }

    fn start_agent(&mut self) {
        self.due = None;
        let Some((name, arguments)) = self.program.command.split_first() else { return };
        // Without a group of its own, it is in this one, and so is what it starts.
        match Command::new(name).args(arguments).stdin(Stdio::null()).spawn() {
            Ok(child) => {
                self.agent = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.started = boottime();
                self.tell_agent();
            }
            Err(error) => {
                tracing::error!("the agent {} cannot be started: {error}", name.display());
                self.fail();
            }
        }
    }

    fn reap(&mut self) {
        while let Some((pid, status)) = family::reap_any() {
            if self.agent == Some(pid) {
                self.agent = None;
                self.tell_agent();
                self.agent_ended(status);
            }
        }
    }

    fn agent_ended(&mut self, status: WaitStatus) {
        if status.exit_status() == Some(0) || self.shutting_down {
            return;
        }
        if boottime().since(self.started) >= STEADY {
            self.pause = FIRST_PAUSE;
        }
        self.fail();
    }

    fn fail(&mut self) {
        if self.program.restart && !self.shutting_down {
            self.due = Some(boottime() + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn shut_down(&mut self) {
        self.shutting_down = true;
        self.due = None;
        if let Some(agent) = self.agent {
            // Not reaped yet, so the number is still the agent's.
            kill_process(agent, Signal::TERM).ok();
        }
    }

    fn tell_agent(&self) {
        // The machine reads all the time, so there is room. If it is gone, that shows elsewhere.
        send(&self.line, agent_line(self.agent).as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT).ok();
    }
}

/// Waits until the machine has closed its end. It says nothing before that.
async fn machine_gone(line: &UnixStream) {
    loop {
        if line.readable().await.is_err() {
            return;
        }
        match line.try_read(&mut [0; 64]) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Kills the host's processes, this one last.
fn end_group() -> io::Result<()> {
    for _ in 0..HUNTS {
        let children = family::children()?;
        if children.is_empty() {
            break;
        }
        family::kill(&children);
        while family::reap_any().is_some() {}
    }
    Ok(kill_current_process_group(Signal::KILL)?)
}
