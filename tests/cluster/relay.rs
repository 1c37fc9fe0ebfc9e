//! The network between hosts: a relay before each of them, which loses, delays and cuts.

use holdfast::demo::{Cluster, Machine};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
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
pub struct Network {
    faults: Arc<Mutex<Faults>>,
    tasks: JoinSet<()>,
}

impl Network {
    /// Puts a relay before each host. It must be there before the cluster is built.
    pub async fn between(cluster: &Cluster) -> Network {
        let faults = Arc::new(Mutex::new(Faults::default()));
        let mut tasks = JoinSet::new();
        for machine in cluster.machines() {
            let front = UdpSocket::bind(machine.relayed()).await.expect("the relay's address is free");
            tasks.spawn(relay(Arc::new(front), machine.peers(), Arc::clone(&faults)));
        }
        Network { faults, tasks }
    }

    /// Nothing comes from the one to the other any more.
    pub fn cut(&self, from: &Machine, to: &Machine) {
        self.faults.lock().unwrap().cuts.insert((from.address.into(), to.address.into()));
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
        let mut faults = self.faults.lock().unwrap();
        (faults.loss, faults.delay) = (loss, delay);
    }

    /// All is well again.
    pub fn mend(&self) {
        let mut faults = self.faults.lock().unwrap();
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
        let fate = faults.lock().unwrap().fate(sender.ip(), target.ip());
        pass(&back, &buffer[..length], target, fate).await;
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
        let fate = faults.lock().unwrap().fate(target.ip(), sender.ip());
        pass(&front, &buffer[..length], sender, fate).await;
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
