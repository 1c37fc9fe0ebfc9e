//! The hardware watchdog of the machine: a thread of its own, which counts on whatever the host does.
//!
//! It listens on a socket that outlives the boots. It counts for one boot only, and goes on when the process that opened
//! it dies. A packet that was sent in time was in time, however late this thread is to read it.

use crate::clock::boottime;
use crate::core::time::Instant;
use crate::machine::power::Event;
use crate::machine::status::Shared;
use crate::watchdog::words::{Answer, Ask, LONGEST};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{accept_with, bind, listen, recv, send, socket_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use uuid::Uuid;

/// What the device can count.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
/// More processes are not listened to at once.
const MOST_CONNECTIONS: usize = 16;
/// So many packets of one process are read before the others' turn comes.
const MOST_PACKETS: usize = 64;

/// The device.
pub(super) struct Device {
    shared: Arc<Shared>,
    listener: OwnedFd,
    timer: OwnedFd,
    connections: Vec<Connection>,
    armed: Option<Armed>,
}

struct Connection {
    socket: OwnedFd,
    /// Whether it opened the watchdog that counts now.
    holds: bool,
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    boot: Uuid,
    timeout: Duration,
    fires_at: Instant,
}

impl Device {
    /// Listens at this path. Whoever owns the machine's folder alone has it, so a socket that is there is a dead one's.
    pub(super) fn new(path: &Path, shared: Arc<Shared>) -> io::Result<Device> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&listener, &SocketAddrUnix::new(path)?)?;
        listen(&listener, 16)?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Device { shared, listener, timer, connections: Vec::new(), armed: None })
    }

    /// Counts until the process ends.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            self.set_timer()?;
            let mut waited: Vec<PollFd<'_>> =
                self.connections.iter().map(|connection| PollFd::new(&connection.socket, PollFlags::IN)).collect();
            waited.push(PollFd::new(&self.listener, PollFlags::IN));
            waited.push(PollFd::new(&self.timer, PollFlags::IN));
            match poll(&mut waited, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            self.forget_old_boot();
            self.accept();
            self.listen();
            self.fire();
        }
    }

    fn set_timer(&self) -> io::Result<()> {
        let micros = self.armed.map_or(0, |armed| armed.fires_at.as_micros());
        let at = Timespec::try_from(Duration::from_micros(micros)).map_err(io::Error::other)?;
        let value = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)?;
        Ok(())
    }

    /// A machine without power counts nothing, and a new boot begins with a watchdog that is closed.
    fn forget_old_boot(&mut self) {
        let boot = self.shared.status().boot_id;
        if self.armed.is_some_and(|armed| boot != Some(armed.boot)) {
            self.disarm();
        }
    }

    fn disarm(&mut self) {
        self.armed = None;
        self.connections.retain(|connection| !connection.holds);
        self.show();
    }

    fn show(&self) {
        let timeout = self.armed.map(|armed| u64::try_from(armed.timeout.as_millis()).unwrap_or(u64::MAX));
        self.shared.status().watchdog_ms = timeout;
        self.shared.nudge();
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            if self.connections.len() < MOST_CONNECTIONS {
                self.connections.push(Connection { socket, holds: false });
            }
        }
    }

    /// Reads what was said. The one that holds the watchdog is first: if it is dead, another may open it.
    fn listen(&mut self) {
        let mut connections = std::mem::take(&mut self.connections);
        connections.sort_by_key(|connection| !connection.holds);
        for mut connection in connections {
            if self.hear(&mut connection) {
                self.connections.push(connection);
            }
        }
    }

    /// Whether the connection goes on.
    fn hear(&mut self, connection: &mut Connection) -> bool {
        for _ in 0..MOST_PACKETS {
            let mut packet = [0; LONGEST];
            let ask = match recv(&connection.socket, &mut packet[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return false,
                Ok((length, _)) => packet.get(..length).and_then(Ask::parse),
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_) => return false,
            };
            let Some(ask) = ask else { return false };
            let answer = match ask {
                Ask::Probe(timeout) => Answer::Granted(granted(timeout)),
                Ask::Open(timeout, boot) => self.open(connection, granted(timeout), boot),
                Ask::Feed(at) if connection.holds => {
                    self.feed(at);
                    continue;
                }
                Ask::Close if connection.holds => {
                    connection.holds = false;
                    self.armed = None;
                    self.show();
                    Answer::Closed
                }
                Ask::Feed(_) | Ask::Close => return false,
            };
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            if send(&connection.socket, answer.to_string().as_bytes(), flags).is_err() {
                // It counts on if it was opened: that its opener does not know it makes nothing less safe.
                return false;
            }
        }
        true
    }

    fn open(&mut self, connection: &mut Connection, timeout: Duration, boot: Uuid) -> Answer {
        if self.shared.status().boot_id != Some(boot) {
            return Answer::Refused("this is another boot of the machine".to_owned());
        }
        if self.connections.iter().any(|other| other.holds) {
            return Answer::Refused("another process has it open".to_owned());
        }
        connection.holds = true;
        self.armed = Some(Armed { boot, timeout, fires_at: boottime() + timeout });
        self.show();
        Answer::Granted(timeout)
    }

    fn feed(&mut self, at: Instant) {
        if let Some(armed) = &mut self.armed
            && at < armed.fires_at
        {
            armed.fires_at = armed.fires_at.max(at.min(boottime()) + armed.timeout);
        }
    }

    fn fire(&mut self) {
        let now = boottime();
        if let Some(armed) = self.armed.filter(|armed| now >= armed.fires_at) {
            // It is the last that this boot does; if the machine is about to end, nobody takes it any more.
            self.shared.events.send(Event::Expired(armed.boot)).ok();
            self.disarm();
        }
    }
}

/// What the device makes of the time-out that it is asked for.
fn granted(timeout: Duration) -> Duration {
    timeout.clamp(SHORTEST, LONGEST_TIMEOUT)
}
