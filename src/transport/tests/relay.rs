//! A network in a box: a UDP relay that loses, delays and cuts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// What the relay does to packets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// None to the target.
    pub(super) cut_to: bool,
    /// None from the target.
    pub(super) cut_from: bool,
    /// So many of a hundred are lost, either way.
    pub(super) loss: u64,
    /// Each one is late by this.
    pub(super) delay: Duration,
}

impl Faults {
    pub(super) const CUT: Faults = Faults { cut_to: true, cut_from: true, loss: 0, delay: Duration::ZERO };
}

struct State {
    target: SocketAddr,
    faults: Faults,
    /// Decides what is lost: the same each time.
    dice: u64,
    /// The relay's own socket for each sender.
    senders: BTreeMap<SocketAddr, Arc<UdpSocket>>,
    tasks: Vec<AbortHandle>,
}

/// Passes packets on to a target, and the answers back.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Relay {
    pub(super) async fn to(target: SocketAddr) -> Relay {
        let front = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.unwrap());
        let address = front.local_addr().unwrap();
        let state = State { target, faults: Faults::default(), dice: 1, senders: BTreeMap::new(), tasks: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let task = tokio::spawn(forward(front, state.clone()));
        state.lock().unwrap().tasks.push(task.abort_handle());
        Relay { address, state }
    }

    pub(super) fn set(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    /// From now on packets go there, and answers are taken from there.
    pub(super) fn retarget(&self, target: SocketAddr) {
        self.state.lock().unwrap().target = target;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.lock().unwrap().tasks.iter().for_each(AbortHandle::abort);
    }
}

impl State {
    /// How late a packet is to be; `None`: it is lost.
    fn fate(&mut self, cut: bool) -> Option<Duration> {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lost = cut || (self.dice >> 33) % 100 < self.faults.loss;
        (!lost).then_some(self.faults.delay)
    }
}

async fn forward(front: Arc<UdpSocket>, state: Arc<Mutex<State>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, sender)) = front.recv_from(&mut buffer).await else { continue };
        let known = state.lock().unwrap().senders.get(&sender).cloned();
        let back = match known {
            Some(back) => back,
            None => {
                let back = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.unwrap());
                let task = tokio::spawn(answer(back.clone(), front.clone(), sender, state.clone()));
                let mut state = state.lock().unwrap();
                state.tasks.push(task.abort_handle());
                state.senders.insert(sender, back.clone());
                back
            }
        };
        let (fate, target) = {
            let mut state = state.lock().unwrap();
            let cut = state.faults.cut_to;
            (state.fate(cut), state.target)
        };
        pass(&back, &buffer[..length], target, fate).await;
    }
}

async fn answer(back: Arc<UdpSocket>, front: Arc<UdpSocket>, sender: SocketAddr, state: Arc<Mutex<State>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = back.recv_from(&mut buffer).await else { continue };
        let fate = {
            let mut state = state.lock().unwrap();
            let cut = state.faults.cut_from || from != state.target;
            state.fate(cut)
        };
        pass(&front, &buffer[..length], sender, fate).await;
    }
}

async fn pass(socket: &Arc<UdpSocket>, packet: &[u8], to: SocketAddr, fate: Option<Duration>) {
    match fate {
        None => (),
        Some(Duration::ZERO) => drop(socket.send_to(packet, to).await),
        Some(delay) => {
            let (socket, packet) = (socket.clone(), packet.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                drop(socket.send_to(&packet, to).await);
            });
        }
    }
}
