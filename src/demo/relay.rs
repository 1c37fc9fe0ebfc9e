//! The network between hosts: a relay before each of them, which loses, delays and cuts.

use super::{Cluster, Machine};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// What befalls packets.
#[derive(Debug, Default)]
struct Faults {
    /// None from the first to the second.
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    /// So many of a hundred are lost.
    loss: u64,
    delay: Duration,
    dice: u64,
}

/// All relays of a cluster.
#[derive(Debug)]
pub struct Network {
    faults: Arc<Mutex<Faults>>,
    tasks: JoinSet<()>,
}

impl Network {
    /// Puts a relay before each host. It must be there before the cluster is built.
    pub async fn between(cluster: &Cluster) -> anyhow::Result<Network> {
        let faults = Arc::new(Mutex::new(Faults::default()));
        let mut tasks = JoinSet::new();
        for machine in cluster.machines() {
            let address = machine.relayed();
            let front = UdpSocket::bind(address).await.with_context(|| format!("the relay before {}", machine.name))?;
            tasks.spawn(relay(Arc::new(front), machine.peers(), Arc::clone(&faults)));
        }
        Ok(Network { faults, tasks })
    }

    /// Nothing comes from the one to the other any more.
    pub fn cut(&self, from: &Machine, to: &Machine) {
        locked(&self.faults).cuts.insert((from.address.into(), to.address.into()));
    }

    /// Nothing comes from a host, or to it.
    pub fn isolate(&self, machine: &Machine, others: &[Machine]) {
        for other in others {
            self.cut(machine, other);
            self.cut(other, machine);
        }
    }

    /// So many of a hundred packets are lost, and each of the others is late by that.
    pub fn disturb(&self, loss: u64, delay: Duration) {
        let mut faults = locked(&self.faults);
        (faults.loss, faults.delay) = (loss, delay);
    }

    /// All is well again.
    pub fn mend(&self) {
        let mut faults = locked(&self.faults);
        faults.cuts.clear();
        (faults.loss, faults.delay) = (0, Duration::ZERO);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

impl Faults {
    /// How late a packet is to be; none: it is lost.
    fn fate(&mut self, from: IpAddr, to: IpAddr) -> Option<Duration> {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lost = self.cuts.contains(&(from, to)) || (self.dice >> 33) % 100 < self.loss;
        (!lost).then_some(self.delay)
    }
}

/// Nothing is half done where a task that held the lock has panicked.
fn locked(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on what comes for one host, and what it answers.
async fn relay(front: Arc<UdpSocket>, target: SocketAddr, faults: Arc<Mutex<Faults>>) {
    let mut backs: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, sender)) = front.recv_from(&mut buffer).await else { continue };
        let back = match backs.get(&sender) {
            Some(back) => Arc::clone(back),
            None => {
                // From the sender's own network, so that the host sees a peer of its own.
                let Ok(back) = UdpSocket::bind((sender.ip(), 0)).await else { continue };
                let back = Arc::new(back);
                backs.insert(sender, Arc::clone(&back));
                answers.spawn(answer(Arc::clone(&back), Arc::clone(&front), (target, sender), Arc::clone(&faults)));
                back
            }
        };
        let fate = locked(&faults).fate(sender.ip(), target.ip());
        pass(&back, buffer.get(..length).unwrap_or_default(), target, fate).await;
    }
}

async fn answer(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    (target, sender): (SocketAddr, SocketAddr),
    faults: Arc<Mutex<Faults>>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, _)) = back.recv_from(&mut buffer).await else { continue };
        let fate = locked(&faults).fate(target.ip(), sender.ip());
        pass(&front, buffer.get(..length).unwrap_or_default(), sender, fate).await;
    }
}

async fn pass(socket: &Arc<UdpSocket>, packet: &[u8], to: SocketAddr, fate: Option<Duration>) {
    match fate {
        None => {}
        Some(Duration::ZERO) => drop(socket.send_to(packet, to).await),
        Some(delay) => {
            let (socket, packet) = (Arc::clone(socket), packet.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                drop(socket.send_to(&packet, to).await);
            });
        }
    }
}
