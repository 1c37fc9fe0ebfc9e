//! What the world needs of a node: so that tests of the world can put a script in its place.

use crate::core::ids::{Authority, HostId, VmId};
use crate::core::reason::{HostState, Wait};
use crate::core::state::ClusterState;
use crate::core::time::Instant;
use crate::election::Members;
use crate::node::{Node, NodeAction, NodeEvent, Setup};

/// What decides on a machine, under the contract of [`crate::node`].
pub trait Brain: Sized {
    /// Starts it.
    fn start(now: Instant, setup: Setup, actions: &mut Vec<NodeAction>) -> Self;
    /// Lets one thing happen.
    fn step(&mut self, now: Instant, event: NodeEvent, actions: &mut Vec<NodeAction>);
    /// Tells it what people's clocks show: for the history, and for no decision.
    fn tell_time(&mut self, _now: Instant, _milliseconds: i64) {}
    /// Whether it knows a master.
    fn knows_master(&self) -> bool {
        false
    }
    /// When it wants to be woken.
    fn next_deadline(&self) -> Instant;
    /// The replicated state as it has it, if it votes.
    fn state(&self) -> Option<&ClusterState> {
        None
    }
    /// Its authority, if it is the master.
    fn master(&self) -> Option<Authority> {
        None
    }
    /// How it sees a host, if it is the master.
    fn host_state(&self, _host: HostId) -> Option<HostState> {
        None
    }
    /// Who votes, as far as it knows, if it takes part.
    fn electorate(&self) -> Option<&Members> {
        None
    }
    /// What it knows a VM to wait for, if it is the master.
    fn wait(&self, _now: Instant, _vm: VmId) -> Option<Wait> {
        None
    }
}

impl Brain for Node {
    fn start(now: Instant, setup: Setup, actions: &mut Vec<NodeAction>) -> Self {
        Node::start(now, setup, actions)
    }
    fn step(&mut self, now: Instant, event: NodeEvent, actions: &mut Vec<NodeAction>) {
        Node::step(self, now, event, actions);
    }
    fn tell_time(&mut self, now: Instant, milliseconds: i64) {
        Node::tell_time(self, now, milliseconds);
    }
    fn knows_master(&self) -> bool {
        Node::knows_master(self)
    }
    fn next_deadline(&self) -> Instant {
        Node::next_deadline(self)
    }
    fn state(&self) -> Option<&ClusterState> {
        Node::state(self)
    }
    fn master(&self) -> Option<Authority> {
        Node::master(self)
    }
    fn electorate(&self) -> Option<&Members> {
        Node::electorate(self)
    }
    fn host_state(&self, host: HostId) -> Option<HostState> {
        Node::host_state(self, host)
    }
    fn wait(&self, now: Instant, vm: VmId) -> Option<Wait> {
        Node::wait(self, now, vm)
    }
}
