//! The first process of a host on an embedded machine: what a kernel and its init are to a real one.
//!
//! It leads the process group of the host, starts the agent in it, adopts and reaps orphans, and starts an agent again
//! that ended with an error. Asked to shut down (SIGTERM), it leaves the mark of it, has the guests end, and the agent
//! after them, as a real host's service manager does. Told to (SIGUSR1), it starts an agent that has done its work, as
//! an upgrade would. While it lives, so does the host; if it is killed, the host has crashed. If the machine
//! dies, which closes the line to it, it takes the whole host with it.
//!
//! What it starts may also be a whole system, in namespaces of its own: then it is for that one to end its guests, and
//! the host ends with it.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::machine::family;
use crate::machine::host::{Program, Role, agent_line};
use crate::machine::status::replace;
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, WaitStatus, kill_current_process_group, kill_process};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

/// How long an agent that failed is let lie, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An agent that ran for so long has not failed at its start.
const STEADY: Duration = Duration::from_secs(10);
/// Guests that are asked to end have so long for it.
const GUESTS: Duration = Duration::from_secs(10);
/// So often is looked which of them are left.
const GUESTS_POLL: Duration = Duration::from_millis(20);
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
    course: Course,
    /// Where it says that it shuts down.
    mark: PathBuf,
}

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// There is none.
    Up,
    /// The guests are asked to end, and have time until then.
    Guests(Instant),
    /// The agent is.
    Agent,
    /// There was none, and the system is gone.
    Crashed,
}

/// Is the host until it is shut down. Returns only then.
pub fn run(program: Program, mark: PathBuf) -> io::Result<()> {
    family::adopt_orphans()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let line = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        line.set_nonblocking(true)?;
        let line = UnixStream::from_std(line)?;
        let now = boottime();
        let (pause, due) = (FIRST_PAUSE, Some(now));
        Init { program, line, agent: None, started: now, due, pause, course: Course::Up, mark }.live().await
    })
}

impl Init {
    async fn live(mut self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut start = signal(SignalKind::user_defined1())?;
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
                _ = start.recv() => self.ask_for_agent(),
                _ = children.recv() => self.reap(),
                () = tokio::time::sleep(GUESTS_POLL), if matches!(self.course, Course::Guests(_)) => self.end_guests(),
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
            match self.course {
                Course::Agent if self.agent.is_none() => return Ok(()),
                Course::Crashed => return end_group(),
                Course::Up | Course::Guests(_) | Course::Agent => {}
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
        let is_good = status.exit_status() == Some(0);
        if self.program.role == Role::System && self.course == Course::Up {
            self.course = if is_good { Course::Agent } else { Course::Crashed };
            return;
        }
        if is_good {
            return;
        }
        if boottime().since(self.started) >= STEADY {
            self.pause = FIRST_PAUSE;
        }
        self.fail();
    }

    fn fail(&mut self) {
        if self.program.restart && self.course == Course::Up {
            self.due = Some(boottime() + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn shut_down(&mut self) {
        if self.course != Course::Up {
            return;
        }
        // First of all: whatever ends from now on ends because of this.
        if let Err(error) = replace(&self.mark, "") {
            tracing::error!("nobody is told of the shutdown: {} cannot be written: {error}", self.mark.display());
        }
        self.due = None;
        match self.program.role {
            Role::Agent => {
                self.course = Course::Guests(boottime() + GUESTS);
                self.end_guests();
            }
            Role::System => {
                self.course = Course::Agent;
                self.end_agent();
            }
        }
    }

    /// Everything but the agent ends first, so that it can tell how.
    fn end_guests(&mut self) {
        let Course::Guests(until) = self.course else { return };
        let guests = family::below(self.agent).unwrap_or_default();
        let is_late = boottime() >= until;
        for guest in &guests {
            guest.signal(if is_late { Signal::KILL } else { Signal::TERM });
        }
        if guests.is_empty() || is_late {
            self.course = Course::Agent;
            self.end_agent();
        }
    }

    fn end_agent(&self) {
        if let Some(agent) = self.agent {
            // Not reaped yet, so the number is still the agent's.
            kill_process(agent, Signal::TERM).ok();
        }
    }

    fn ask_for_agent(&mut self) {
        if self.agent.is_none() && self.course == Course::Up {
            self.due = Some(boottime());
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
