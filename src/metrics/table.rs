//! All metrics there are: what is told to Prometheus, and what is written about it, are made of this table.
//!
//! Names and labels are promises: rules, dashboards and habits rest on them. A new one may be added; one that is there
//! keeps its meaning.

/// A family of series: one name, one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Of which kind its numbers are.
    pub kind: Kind,
    /// Who tells it.
    pub scope: Scope,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence.
    pub help: &'static str,
}

/// Of which kind numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow: from zero on at each start of the agent, or of what is counted.
    Counter,
    /// They go up and down.
    Gauge,
    /// They count, in buckets, from zero on at each start of the agent.
    Histogram,
}

/// Who tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every node, of itself.
    Node,
    /// Every node that votes, of what it has of the log.
    Voter,
    /// The master alone, of the whole cluster.
    Master,
}

impl Kind {
    /// Its name in Prometheus' own words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Scope {
    fn title(self) -> &'static str {
        match self {
            Scope::Node => "Of each node",
            Scope::Voter => "Of each node that votes",
            Scope::Master => "Of the master: the whole cluster",
        }
    }
}

/// The table in words, as Markdown.
pub fn describe() -> String {
    let mut text = "# The metrics of Holdfast\n\n`holdfast metrics --describe` prints this page. Names and labels stay as they are; new ones may come.\n".to_owned();
    for scope in [Scope::Node, Scope::Voter, Scope::Master] {
        text.push_str(&format!("\n## {}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n", scope.title()));
        for family in ALL.iter().filter(|family| family.scope == scope) {
            let Family { name, kind, labels, help, .. } = family;
            text.push_str(&format!("| `{name}` | {} | {} | {help} |\n", kind.name(), labels.join(", ")));
        }
    }
    text
}

/// Each family under a name of its own, and all of them in [`ALL`].
macro_rules! families {
    ($($scope:ident { $($place:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)* })*) => {
        $($(
            #[doc = $help]
            pub static $place: Family = Family {
                name: $name,
                kind: Kind::$kind,
                scope: Scope::$scope,
                labels: &[$($label),*],
                help: $help,
            };
        )*)*
        /// All of them, in the order in which they are told.
        pub static ALL: &[&Family] = &[$($(&$place),*),*];
    };
}

families! {
    Node {
        BUILD_INFO: Gauge "holdfast_build_info" ["version", "host"] "Always 1; the program's version, and the name of the host in its cluster.";
        START_TIME: Gauge "holdfast_start_time_seconds" [] "When this run of the agent began, in seconds since 1970.";
        TIME: Gauge "holdfast_time_seconds" [] "What the host's wall clock shows, in seconds since 1970.";
        LIMIT: Gauge "holdfast_limit_seconds" ["limit"] "The time limits of the cluster's profile that others are measured by.";
        LOOP_ANSWERS: Gauge "holdfast_loop_answers" [] "Whether the agent's loop answered in time; if not, what only it knows is missing.";
        LOOP_LAG: Histogram "holdfast_loop_lag_seconds" [] "How much later than it wanted to the loop was woken.";
        HELD_ACTIONS: Gauge "holdfast_held_actions" [] "Actions that wait for a write to the disk before they may be done.";
        VOTES: Gauge "holdfast_votes" [] "Whether this node votes.";
        IS_MASTER: Gauge "holdfast_is_master" [] "Whether this node is the master.";
        MASTER_KNOWN: Gauge "holdfast_master_known" [] "Whether this node knows a master; one that does not vote, whether it has been acknowledged lately.";
        MASTER_CHANGES: Counter "holdfast_master_changes_total" [] "How often this node has come to know another master than before.";
        ADMITTED: Gauge "holdfast_host_admitted" [] "Whether the present life of this host is admitted.";
        GENERATION: Gauge "holdfast_host_generation" [] "The last life that this host was given in this boot.";
        CLUSTER_GENERATION: Gauge "holdfast_cluster_generation" [] "How often a majority was lost for good and a person went on without it, as this node knows it.";
        UNACKNOWLEDGED: Gauge "holdfast_unacknowledged_seconds" [] "For how long no master has acknowledged a heartbeat of this host.";
        LEASE_COUNTS: Gauge "holdfast_lease_counts" [] "Whether the end of this host's lease ends VMs on it.";
        LEASE_REMAINING: Gauge "holdfast_lease_remaining_seconds" [] "How much is left of this host's lease; told only while VMs here would end with it.";
        WATCHDOG_INFO: Gauge "holdfast_watchdog_info" ["kind"] "Always 1; the watchdog that this host has: hardware, software or none.";
        WATCHDOG_OPEN: Gauge "holdfast_watchdog_open" [] "Whether the watchdog is open, so that it ends a host that stands still.";
        ALERTS: Counter "holdfast_alerts_total" ["kind"] "Alerts that this node has raised.";
        STORE_WRITE: Histogram "holdfast_store_write_seconds" ["store"] "How long writes to this host's own disk took, from the order to stable storage.";
        STORE_FAILURES: Counter "holdfast_store_write_failures_total" ["store"] "Writes to this host's own disk that failed.";
        STORE_OLDEST: Gauge "holdfast_store_oldest_write_seconds" ["store"] "For how long the oldest write that has not ended yet is under way.";
        DATASTORE_ATTACHED: Gauge "holdfast_datastore_attached" ["datastore"] "Whether this run of the agent uses the datastore; if not, it is looked for.";
        DATASTORE_OPERATION: Histogram "holdfast_datastore_operation_seconds" ["datastore", "operation"] "How long reads and writes of liveness records and mail took.";
        DATASTORE_FAILURES: Counter "holdfast_datastore_failures_total" ["datastore", "operation"] "Reads and writes of liveness records and mail that failed.";
        DATASTORE_OLDEST: Gauge "holdfast_datastore_oldest_operation_seconds" ["datastore", "operation"] "For how long the oldest read or write that has not ended yet is under way.";
        FENCE_OPERATION: Histogram "holdfast_fence_operation_seconds" ["operation"] "How long fence devices took to answer this node.";
        FENCE_OPERATIONS: Counter "holdfast_fence_operations_total" ["device", "operation", "outcome"] "What fence devices answered this node.";
        LIVE_PEERS: Gauge "holdfast_transport_live_peers" [] "Peers to which this node has a link that is up.";
        QUEUED_PACKETS: Gauge "holdfast_transport_queued_packets" [] "Packets that wait to be sent.";
        QUEUED_BYTES: Gauge "holdfast_transport_queued_bytes" [] "How many bytes they have.";
        RECEIVED: Counter "holdfast_transport_received_packets_total" [] "Packets that were received.";
        DISPLACED: Counter "holdfast_transport_displaced_packets_total" [] "Packets among them that the loop was too slow to see.";
        DROPPED: Counter "holdfast_transport_dropped_packets_total" ["peer"] "Packets that were not sent: too many, too old, or lost with their link; told of peers that lost any.";
        UNADDRESSED: Counter "holdfast_transport_unaddressed_packets_total" [] "Packets to nobody that the roster names.";
        CALLS_ANSWERED: Counter "holdfast_transport_answered_calls_total" [] "Requests of peers that were answered.";
        REFUSED: Counter "holdfast_transport_refused_connections_total" [] "Connections that were refused: no member, another cluster, no common version.";
        BROKEN: Counter "holdfast_transport_broken_connections_total" [] "Connections that ended because what came over them could not be read.";
        DIALS_FAILED: Counter "holdfast_transport_failed_dials_total" [] "Tries to reach a peer that failed.";
        CORES: Gauge "holdfast_machine_cores" [] "The processors of this host's machine.";
        MACHINE_CPU: Counter "holdfast_machine_cpu_seconds_total" [] "The processor time that was used on this host, as its kernel counts it.";
        MACHINE_MEMORY: Gauge "holdfast_machine_memory_bytes" [] "The memory of this host's machine.";
        MACHINE_AVAILABLE: Gauge "holdfast_machine_available_memory_bytes" [] "How much of it is to be had without swapping.";
        VM_CPU: Counter "holdfast_vm_cpu_seconds_total" ["uuid"] "The processor time of each VM's process on this host.";
        VM_RESIDENT: Gauge "holdfast_vm_resident_memory_bytes" ["uuid"] "What each VM's process has in this host's memory.";
        PROCESS_CPU: Counter "holdfast_process_cpu_seconds_total" [] "The processor time of the agent itself.";
        PROCESS_MEMORY: Gauge "holdfast_process_resident_memory_bytes" [] "The memory of the agent itself.";
    }
    Voter {
        TERM: Gauge "holdfast_raft_term" [] "The latest term of elections.";
        ROLE: Gauge "holdfast_raft_role" ["role"] "1 for the part that this voter plays: leader, follower, candidate or learner.";
        COMMITTED: Gauge "holdfast_raft_committed_index" [] "The last entry of the log that is known to be committed.";
        APPLIED: Gauge "holdfast_raft_applied_index" [] "The last entry of the log that this node's state contains.";
        LAST: Gauge "holdfast_raft_last_index" [] "The last entry of the log.";
        SNAPSHOT: Gauge "holdfast_raft_snapshot_index" [] "The entry up to which the latest snapshot reaches; the log begins after it.";
        QUORUM: Gauge "holdfast_raft_quorum_age_seconds" [] "How long ago the newest round was sent that a majority has answered; told by the leader.";
        ARMED: Gauge "holdfast_armed" [] "Whether the cluster acts on what it decides.";
        VOTERS: Gauge "holdfast_voters" [] "How many voters there are.";
        VOTERS_WANTED: Gauge "holdfast_voters_wanted" [] "How many there should be by the cluster's rules.";
        FACTS: Counter "holdfast_ledger_facts_total" [] "Facts that this run of the agent has added to the ledger.";
        FACTS_WAITING: Gauge "holdfast_ledger_waiting_facts" [] "Facts that the disk has refused and that wait for another try.";
        RECOVERIES: Counter "holdfast_recoveries_total" ["cause", "proof"] "VMs that were brought back. Every voter counts all of them: take the greatest, not the sum.";
        STAGE: Histogram "holdfast_recovery_stage_seconds" ["stage"] "How long each stage of bringing a VM back took: detect, prove, queue, start; all of it until it ran, total; from then until its guest answered, where that counts, ready. Every voter counts all of them.";
    }
    Master {
        HOSTS: Gauge "holdfast_hosts" ["state"] "How many hosts are in each state.";
        HOST_STATE: Gauge "holdfast_host_state" ["host", "state"] "1 for the state that a host is in.";
        HEARTBEAT_AGE: Gauge "holdfast_host_heartbeat_age_seconds" ["host"] "For how long no heartbeat of a host was heard.";
        RECORD_AGE: Gauge "holdfast_host_record_age_seconds" ["host"] "For how long a host's liveness record has not changed on any datastore.";
        QUARANTINED: Gauge "holdfast_hosts_quarantined" [] "Hosts that get no VMs because they were fenced too often.";
        GUARDLESS: Gauge "holdfast_hosts_without_guard" [] "Hosts whose death nothing but a person could prove: no fence device and no hardware watchdog.";
        HOST_MEMORY: Gauge "holdfast_host_memory_bytes" ["host"] "What a host that is alive has for VMs.";
        HOST_COMMITTED: Gauge "holdfast_host_committed_memory_bytes" ["host"] "The memory of the protected VMs that hold a place on a host.";
        VMS: Gauge "holdfast_vms" ["state"] "How many VMs are in each state: running, stopped, not-protected, or what they wait for.";
        VM_WAITS: Gauge "holdfast_vm_waits" ["vm", "state"] "1 for each VM that should run and is not known to; of the first hundred of them.";
        FENCE_STATE: Gauge "holdfast_fence_device_state" ["host", "device", "state"] "1 for what a host's fence device said when it was asked last, unasked by a person: good, wrong-machine, refused, unreachable or not-yet.";
        FENCE_CHECKED: Gauge "holdfast_fence_device_check_age_seconds" ["host", "device"] "How long ago that was.";
        STORAGE_TROUBLE: Gauge "holdfast_datastore_trouble" ["datastore", "trouble"] "1 for a heartbeat datastore that nobody can read (unread), or that living hosts do not write to (unwritten).";
        BRAKE: Gauge "holdfast_brake" [] "Whether so many hosts are silent at once that no power is ordered off.";
        VOTER_LAG: Gauge "holdfast_voter_lag_entries" ["host"] "How many entries of the log a voter has not acknowledged yet.";
        VOTER_IDLE: Gauge "holdfast_voter_idle" ["host"] "Whether a voter takes in nothing of what the others agree on.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_current() {
        let told = include_str!("../../hosts/prometheus/metrics.md");
        assert_eq!(told, describe(), "holdfast metrics --describe > hosts/prometheus/metrics.md");
    }

    #[test]
    fn names_are_told_apart_and_say_their_unit() {
        let mut names: Vec<&str> = ALL.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            let says_total = family.name.ends_with("_total");
            assert_eq!(says_total, family.kind == Kind::Counter, "{}", family.name);
            assert!(family.kind != Kind::Histogram || family.name.ends_with("_seconds"), "{}", family.name);
            assert!(family.name.starts_with("holdfast_") && family.help.ends_with('.'), "{}", family.name);
        }
    }
}
