//! What is said between the agent and the watchdog of an embedded machine: one line of text in each packet.

use crate::core::time::Instant;
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// No packet is longer.
pub(crate) const LONGEST: usize = 256;

/// What the agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What would you grant?
    Probe(Duration),
    /// Count, for the boot of this identity.
    Open(Duration, Uuid),
    /// Count anew, from when this was said. Both ends are on one kernel, so they share a clock.
    Feed(Instant),
    /// Stop counting.
    Close,
}

/// What the watchdog answers. It does not answer [`Ask::Feed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To a probe, and when it is open: the time-out as it is.
    Granted(Duration),
    /// It does not count any more.
    Closed,
    /// No, because of this.
    Refused(String),
}

impl Ask {
    pub(crate) fn parse(packet: &[u8]) -> Option<Ask> {
        let words: Vec<&str> = std::str::from_utf8(packet).ok()?.split(' ').collect();
        match words.as_slice() {
            ["probe", timeout] => Some(Ask::Probe(milliseconds(timeout)?)),
            ["open", timeout, boot] => Some(Ask::Open(milliseconds(timeout)?, Uuid::try_parse(boot).ok()?)),
            ["feed", at] => Some(Ask::Feed(Instant::from_micros(at.parse().ok()?))),
            ["close"] => Some(Ask::Close),
            _ => None,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Probe(timeout) => write!(f, "probe {}", timeout.as_millis()),
            Ask::Open(timeout, boot) => write!(f, "open {} {boot}", timeout.as_millis()),
            Ask::Feed(at) => write!(f, "feed {}", at.as_micros()),
            Ask::Close => f.write_str("close"),
        }
    }
}

impl Answer {
    pub(crate) fn parse(packet: &[u8]) -> Option<Answer> {
        match std::str::from_utf8(packet).ok()?.split_once(' ') {
            Some(("granted", timeout)) => Some(Answer::Granted(milliseconds(timeout)?)),
            Some(("refused", why)) => Some(Answer::Refused(why.to_owned())),
            None if packet == b"closed" => Some(Answer::Closed),
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Granted(timeout) => write!(f, "granted {}", timeout.as_millis()),
            Answer::Closed => f.write_str("closed"),
            Answer::Refused(why) => write!(f, "refused {why}"),
        }
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let (timeout, boot) = (Duration::from_millis(1500), Uuid::from_u128(7));
        for ask in [Ask::Probe(timeout), Ask::Open(timeout, boot), Ask::Feed(Instant::from_micros(9)), Ask::Close] {
            assert_eq!(Ask::parse(ask.to_string().as_bytes()), Some(ask));
        }
        for answer in [Answer::Granted(timeout), Answer::Closed, Answer::Refused("it is another boot".to_owned())] {
            assert_eq!(Answer::parse(answer.to_string().as_bytes()), Some(answer));
        }
        for bad in
            [&b""[..], b"open", b"open x y", b"open 1 2 3", b"feed -1", b"close ", b"\xff", b"granted", b"closed x"]
        {
            assert_eq!(Ask::parse(bad), None);
            assert_eq!(Answer::parse(bad), None);
        }
    }
}
