//! The watchdog of an embedded machine ([`crate::machine`]), over its socket.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::watchdog::words::{Answer, Ask, LONGEST};
use crate::watchdog::{Kind, Opened, Watchdog, WatchdogError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{connect, recv, send, socket_with};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// The machine answers within microseconds, or not at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// The watchdog of the machine that this process runs on.
#[derive(Debug)]
pub struct MachineWatchdog {
    path: PathBuf,
    boot: Uuid,
    timeout: Duration,
    /// Open while this is there.
    socket: Option<OwnedFd>,
}

impl MachineWatchdog {
    /// The watchdog behind this socket, to count so long, for this boot and no other.
    pub fn new(path: &Path, boot: Uuid, timeout: Duration) -> MachineWatchdog {
        MachineWatchdog { path: path.to_owned(), boot, timeout, socket: None }
    }

    fn connect(&self) -> Result<OwnedFd, WatchdogError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let connected = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).and_then(|socket| {
            connect(&socket, &SocketAddrUnix::new(&self.path)?)?;
            Ok(socket)
        });
        connected.map_err(|errno| self.unreachable(errno.into()))
    }

    fn say(&self, socket: &OwnedFd, ask: Ask) -> Result<(), WatchdogError> {
        // A packet is sent whole or not at all.
        match send(socket, ask.to_string().as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(WatchdogError::Full { path: self.name() }),
            Err(errno) => Err(self.unreachable(errno.into())),
        }
    }

    fn ask(&self, socket: &OwnedFd, ask: Ask) -> Result<Answer, WatchdogError> {
        self.say(socket, ask)?;
        let answer = receive(socket).map_err(|source| self.unreachable(source))?;
        match answer {
            Answer::Refused(why) => Err(WatchdogError::Refused { path: self.name(), why }),
            answer => Ok(answer),
        }
    }

    fn granted(&self, answer: &Answer) -> Result<Opened, WatchdogError> {
        match answer {
            Answer::Granted(timeout) => Ok(Opened { timeout: *timeout, kind: Kind::Hardware }),
            _ => Err(self.unreachable(io::Error::other("it answers what was not asked"))),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn unreachable(&self, source: io::Error) -> WatchdogError {
        WatchdogError::Unreachable { path: self.name(), source }
    }
}

impl Watchdog for MachineWatchdog {
    fn probe(&mut self) -> Result<Opened, WatchdogError> {
        let socket = self.connect()?;
        self.granted(&self.ask(&socket, Ask::Probe(self.timeout))?)
    }

    fn open(&mut self) -> Result<Opened, WatchdogError> {
        // The old connection ends first: the watchdog listens to one process at a time.
        self.socket = None;
        let socket = self.connect()?;
        let opened = self.granted(&self.ask(&socket, Ask::Open(self.timeout, self.boot))?)?;
        self.socket = Some(socket);
        Ok(opened)
    }

    fn feed(&mut self) -> Result<(), WatchdogError> {
        let Some(socket) = &self.socket else { return Err(WatchdogError::NotOpen { path: self.name() }) };
        self.say(socket, Ask::Feed(boottime()))
    }

    fn close(&mut self) -> Result<(), WatchdogError> {
        let Some(socket) = &self.socket else { return Err(WatchdogError::NotOpen { path: self.name() }) };
        match self.ask(socket, Ask::Close)? {
            Answer::Closed => {
                self.socket = None;
                Ok(())
            }
            _ => Err(self.unreachable(io::Error::other("it answers what was not asked"))),
        }
    }
}

fn receive(socket: &OwnedFd) -> io::Result<Answer> {
    let deadline = boottime() + PATIENCE;
    loop {
        let mut packet = [0; LONGEST];
        match recv(socket, &mut packet[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Ok((length, _)) => {
                let answer = packet.get(..length).and_then(Answer::parse);
                return answer.ok_or_else(|| io::Error::other("its answer makes no sense"));
            }
            Err(Errno::AGAIN | Errno::INTR) => wait_until(socket, deadline)?,
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn wait_until(socket: &OwnedFd, deadline: Instant) -> io::Result<()> {
    let left = deadline.since(boottime());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
