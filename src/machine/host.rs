//! One boot of the host: its processes, from the start of its init until nobody is left.

use crate::machine::family;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// What a host runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// The agent and its arguments.
    pub command: Vec<OsString>,
    /// Whether an agent that ends with an error is started again.
    pub restart: bool,
    /// What it is to its host.
    pub role: Role,
}

/// What the program of a host is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its agent. The host lives on without one, and when it shuts down, its guests are ended before the agent.
    Agent,
    /// A whole system, which ends what runs in it by itself, and with which the host ends.
    System,
}

/// How the host came to an end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was shut down in good order.
    ShutDown,
    /// Its processes were killed.
    Crashed,
}

/// A host that was started.
pub(super) struct Host {
    init: Pid,
    /// Once reaped, its number may belong to another, and names no group of ours any more.
    reaped: bool,
    /// While this end is open, the init knows that its machine lives.
    _line: UnixStream,
}

impl Host {
    /// Starts the init, as the leader of a new process group, which starts the agent, and puts the mark there when the
    /// host is shut down. Whenever another agent runs, or
    /// none does, `heard` is called with the init and the agent, on a thread of its own, until it says that nobody listens.
    pub(super) fn start(
        program: &Program,
        mark: &Path,
        mut heard: impl FnMut(Pid, Option<i32>) -> bool + Send + 'static,
    ) -> io::Result<Host> {
        let (ours, theirs) = UnixStream::pair()?;
        // This very program, even if its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("holdfast").arg("machine-init").stdin(Stdio::from(OwnedFd::from(theirs))).process_group(0);
        if program.restart {
            command.arg("--restart-agent");
        }
        if program.role == Role::System {
            command.arg("--system");
        }
        command.arg("--shutdown-mark").arg(mark).arg("--").args(&program.command);
        let child = command.spawn()?;
        // The command holds the other end of the line; the init must be the only one.
        drop(command);
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let init = id.ok_or_else(|| io::Error::other("the kernel gave a process an impossible number"))?;
        let host = Host { init, reaped: false, _line: ours.try_clone()? };
        thread::Builder::new().name("host".to_owned()).spawn(move || {
            for line in BufReader::new(ours).lines().map_while(Result::ok) {
                if let Some(agent) = parse_agent(&line)
                    && !heard(init, agent)
                {
                    return;
                }
            }
        })?;
        Ok(host)
    }

    /// The process group of everything in it.
    pub(super) fn group(&self) -> Pid {
        self.init
    }

    /// How it ended, if it did.
    pub(super) fn ended(&self) -> Option<End> {
        let status = family::ended(self.init)?;
        Some(if status.exit_status() == Some(0) { End::ShutDown } else { End::Crashed })
    }

    /// Asks it to shut down.
    pub(super) fn shut_down(&self) {
        kill_process(self.init, Signal::TERM).ok();
    }

    /// Ends all that is in it, also what has left the process group. It takes several calls until nobody is left, which
    /// the answer says.
    pub(super) fn end(&mut self) -> io::Result<bool> {
        if !self.reaped {
            // A group is killed as one: nobody in it can fork meanwhile and escape. The init, dead or alive, keeps the
            // number of the group taken, so it is reaped last.
            kill_process_group(self.init, Signal::KILL).ok();
        }
        let others: Vec<Pid> = family::children()?.into_iter().filter(|child| *child != self.init).collect();
        family::kill(&others);
        others.iter().for_each(|child| family::reap(*child));
        if !others.is_empty() {
            return Ok(false);
        }
        if !self.reaped && family::ended(self.init).is_some() {
            family::reap(self.init);
            self.reaped = true;
        }
        Ok(self.reaped && family::is_childless())
    }
}

/// What the init says of the agent: its number, or a dash.
pub(super) fn agent_line(agent: Option<Pid>) -> String {
    agent.map_or_else(|| "-\n".to_owned(), |agent| format!("{}\n", agent.as_raw_nonzero()))
}

fn parse_agent(line: &str) -> Option<Option<i32>> {
    if line == "-" { Some(None) } else { line.parse().ok().map(Some) }
}
