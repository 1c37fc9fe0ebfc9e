//! Whom a node pings, and whom not.

use crate::config::Config;
use crate::core::ids::Address;
use crate::ping::Pinger;
use crate::wire::Roster;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The pings of a node.
pub(super) struct Pings {
    pinger: Option<Pinger>,
    own: BTreeSet<IpAddr>,
}

impl Pings {
    /// Pings where that can tell anything: on a cluster whose hosts share one machine it cannot.
    pub(super) fn start(config: &Config, pong: impl Fn(Address) + Clone + Send + 'static) -> Pings {
        let own = config.listen.iter().chain(&config.advertise).map(SocketAddr::ip).collect();
        let mut pings = Pings { pinger: None, own };
        if config.advertise.iter().any(|address| !address.ip().is_loopback()) {
            match Pinger::start(pong) {
                Ok(pinger) => pings.pinger = Some(pinger),
                Err(error) => tracing::warn!(%error, "no host is pinged: a stalled agent is taken for a dead host"),
            }
        }
        pings
    }

    /// Pings a host at all its addresses.
    pub(super) fn ping(&self, roster: &Roster, host: Address) {
        let (Some(pinger), Some(member)) = (&self.pinger, roster.member(host)) else { return };
        for at in targets(&member.endpoints, &self.own) {
            pinger.ping(host, at);
        }
    }
}

/// Where a ping tells whether the other machine lives. What is this machine's own address answers in any case.
fn targets(endpoints: &[SocketAddr], own: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    endpoints.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback() && !own.contains(ip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_does_not_answer_for_another() {
        let endpoints = ["127.1.2.3:7770", "[::1]:7770", "192.0.2.1:7770", "192.0.2.2:7770", "192.0.2.2:7771"]
            .map(|text| text.parse().unwrap());
        let own = BTreeSet::from([IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(targets(&endpoints, &own), BTreeSet::from([IpAddr::from([192, 0, 2, 2])]));
    }
}
