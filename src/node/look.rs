//! What others may see of a node. Nothing here changes anything.

use super::Node;
use crate::core::agent::Agent;
use crate::core::ids::{Address, Authority, DatastoreId, FenceId, HostId, LogIndex, VmId, VoterId};
use crate::core::master::{Forecast, Master, Verified};
use crate::core::reason::{HostState, NoProof, StorageTrouble, Wait};
use crate::core::state::ClusterState;
use crate::core::time::Instant;
use crate::election::{Members, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The signs of a host's life, as one voter knows them: for how long each has been missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signs {
    /// Its newest heartbeat.
    pub heartbeat: Option<Duration>,
    /// The last change of its liveness record on any datastore, as the master reads them.
    pub record: Option<Duration>,
    /// What stands in the way of a proof of its death, if it is judged.
    pub no_proof: Vec<NoProof>,
}

/// How the election stands, as one voter knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionStanding {
    /// The part that this voter plays.
    pub role: Role,
    /// The latest term.
    pub term: u64,
    /// The last entry of the log that is known to be committed.
    pub committed: LogIndex,
    /// The last entry of the log.
    pub last: LogIndex,
    /// The entry up to which the latest snapshot reaches.
    pub snapshot: LogIndex,
    /// How long ago the newest quorum round that a majority has answered was sent, if this voter leads.
    pub quorum: Option<Duration>,
}

impl Node {
    /// The replicated state as this node has it, if it votes.
    pub fn state(&self) -> Option<&ClusterState> {
        self.voter.as_ref().map(|voter| &voter.state)
    }

    /// Its authority, if it is the master and has applied all that its predecessors decided.
    pub fn master(&self) -> Option<Authority> {
        self.voter.as_ref()?.master.as_ref().map(|master| master.authority())
    }

    /// Where the master is, as far as this node knows.
    pub fn master_address(&self) -> Option<Address> {
        let Some(voter) = &self.voter else { return self.agent.master() };
        match voter.election.role() {
            // Until it knows all that its predecessors decided, it can do nothing for anybody.
            Role::Leader { .. } => voter.master.as_ref().map(|_| self.address),
            Role::Follower { leader, .. } | Role::Learner { leader, .. } => voter.peers.get(&leader?).copied(),
            Role::Candidate { .. } => None,
        }
    }

    /// Whether there is a master, as far as this node knows.
    pub fn knows_master(&self) -> bool {
        self.voter.as_ref().map_or_else(|| self.agent.master().is_some(), |voter| voter.knows_master())
    }

    /// How the master sees a host; `None` if this is not the master.
    pub fn host_state(&self, host: HostId) -> Option<HostState> {
        Some(self.voter.as_ref()?.master.as_ref()?.host_state(host))
    }

    /// What the master knows a VM to wait for; `None` if this is not the master.
    pub fn wait(&self, now: Instant, vm: VmId) -> Option<Wait> {
        let voter = self.voter.as_ref()?;
        Some(voter.master.as_ref()?.wait(&voter.context(now), vm))
    }

    /// Who votes, as far as this node knows, if it takes part.
    pub fn electorate(&self) -> Option<&Members> {
        self.voter.as_ref().map(|voter| voter.election.members())
    }

    /// How the election stands, as far as this node knows, if it takes part.
    pub fn election(&self, now: Instant) -> Option<ElectionStanding> {
        let election = &self.voter.as_ref()?.election;
        Some(ElectionStanding {
            role: election.role(),
            term: election.term(),
            committed: election.committed(),
            last: election.last_index(),
            snapshot: election.snapshot_index(),
            quorum: election.quorum_at().map(|at| now.since(at)),
        })
    }

    /// How many entries of the log each voter has not acknowledged yet; known to the leader only.
    pub fn lags(&self) -> BTreeMap<HostId, u64> {
        let Some(voter) = &self.voter else { return BTreeMap::new() };
        let lag = |(store, home): (&VoterId, &HostId)| {
            let progress = voter.election.progress(*store)?;
            Some((*home, voter.election.last_index().0.saturating_sub(progress.acknowledged.0)))
        };
        voter.state.voters.iter().filter_map(lag).collect()
    }

    /// Whether the brake is on; nothing is known where this is not the master.
    pub fn is_braked(&self) -> Option<bool> {
        Some(self.voter.as_ref()?.master.as_ref()?.is_braked())
    }

    /// The voter's store that this node takes part with.
    pub fn voter(&self) -> Option<VoterId> {
        self.voter.as_ref().map(|voter| voter.election.id())
    }

    /// How often this node's state began with one that it had not come to by itself: with a store, or a snapshot.
    pub fn beginnings(&self) -> u64 {
        self.beginnings
    }

    /// The agent, for those who check it.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The signs of a host's life.
    pub fn signs(&self, now: Instant, host: HostId) -> Signs {
        let Some(voter) = &self.voter else { return Signs::default() };
        let heartbeat = voter.ears.newest(host).map(|heard| now.since(heard.at));
        let Some(master) = &voter.master else { return Signs { heartbeat, ..Signs::default() } };
        let (record, no_proof) = master.signs(&voter.context(now), host);
        Signs { heartbeat, record, no_proof }
    }

    /// What is wrong with heartbeat datastores; nothing is known where this is not the master.
    pub fn storage(&self, now: Instant) -> BTreeMap<DatastoreId, StorageTrouble> {
        let Some(voter) = &self.voter else { return BTreeMap::new() };
        voter.master.as_ref().map(|master| master.storage(&voter.context(now))).unwrap_or_default()
    }

    /// What each fence device said when the master asked it last; nothing is known where this is not the master.
    pub fn verified(&self) -> BTreeMap<(HostId, FenceId), Verified> {
        let master = self.voter.as_ref().and_then(|voter| voter.master.as_ref());
        master.map(Master::verified).unwrap_or_default()
    }

    /// The hosts whose voters take in nothing of what the others agree on, as the master knows it.
    pub fn idle_voters(&self, now: Instant) -> BTreeSet<HostId> {
        let patience = self.timing.suspect;
        let Some(voter) = self.voter.as_ref().filter(|voter| voter.master.is_some()) else { return BTreeSet::new() };
        let idle = voter.tending.idle(now, patience);
        idle.filter_map(|store| voter.state.voters.get(&store).copied()).collect()
    }

    /// What would happen if these hosts died now; `None` if this is not the master.
    pub fn forecast(&self, now: Instant, failing: &BTreeSet<HostId>) -> Option<Vec<Forecast>> {
        let voter = self.voter.as_ref()?;
        Some(voter.master.as_ref()?.forecast(&voter.context(now), failing))
    }
}
