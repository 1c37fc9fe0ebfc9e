//! Every time limit of Holdfast, and the inequalities between them on which safety rests.
//!
//! A limit belongs in this file even if only one module uses it. [`Timing::check`] is called once at start, by the
//! product and by the simulator alike; nothing runs with a table that fails it.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// Which table of limits a cluster runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// An ordinary data-centre network: a restart is ordered some two seconds after the host's death, plus the fence.
    #[default]
    Lan,
    /// A quiet network of its own: a restart is ordered within half a second, plus the fence.
    Fast,
}

/// The limits. Names in brackets are those of the protocol's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Two clocks' rates differ by no more than this many parts in a million, each from true time (ρ).
    pub drift_ppm: u32,
    /// A host sends a heartbeat this often (b).
    pub heartbeat: Duration,
    /// A host is suspected after so long without a heartbeat.
    pub suspect: Duration,
    /// The master starts to ping a host after so long without a heartbeat.
    pub ping_after: Duration,
    /// A host whose kernel answers pings is judged only after so long without a sign from its agent: a stalled agent
    /// is no dead host, and a watchdog ends it sooner if there is one.
    pub agent_patience: Duration,
    /// An agent that said it would end is taken for dead no sooner, as long as nothing tells that its machine is: it is
    /// being replaced by another one, and its VMs run on.
    pub agent_absence: Duration,
    /// The master looks over all hosts this often.
    pub scan: Duration,
    /// An operation on a datastore that takes longer is tried another way.
    pub storage_patience: Duration,
    /// A host is judged, and a fence ordered, after so long without a sign on any channel (F).
    pub fence_after: Duration,
    /// A host rewrites its liveness record, and the master reads all records, this often (p).
    pub record_interval: Duration,
    /// The master starts a quorum round this often.
    pub round_interval: Duration,
    /// The master acknowledges heartbeats only while a majority answered a round no older than this (q).
    pub quorum: Duration,
    /// A voter that heard its leader this lately elects no other (E1).
    pub election_min: Duration,
    /// A voter that has not heard a leader for this long stands for election (E2).
    pub election_max: Duration,
    /// The granularity of the election's clock.
    pub election_tick: Duration,
    /// An acknowledgement of a heartbeat, or a record's write, older than this extends nothing (d).
    pub oldest_ack: Duration,
    /// From a lease's last renewal to the kill of what the lease covers.
    pub software_stop: Duration,
    /// The time-out of the hardware watchdog, from its last feeding.
    pub hard_deadline: Duration,
    /// What is not gone this long after the kill takes the machine with it (K).
    pub kill_grace: Duration,
    /// Added to the master's wait, for what no other term covers.
    pub margin: Duration,
    /// A node whose loop stood still for longer has a gap, and trusts no silence from before it.
    pub gap: Duration,
    /// An order that shows no effect is sent again after this.
    pub resend: Duration,
    /// A rebooted host's older boot must have been silent for this long while the newer one was heard.
    pub reboot_watch: Duration,
    /// A power state is read again this long after a reading that did not settle it.
    pub fence_poll: Duration,
    /// One operation of a fence device is given up after this.
    pub fence_timeout: Duration,
    /// After a chain of fence devices failed, the next try waits this long, then twice that, up to `retry_max`.
    pub fence_retry: Duration,
    /// A fence device that is not needed is asked this often who it is.
    pub fence_check: Duration,
    /// One that is new to the master, or whose host is not alive, is asked after this.
    pub fence_first_check: Duration,
    /// A platform call without an answer for this long is of unknown outcome.
    pub call_deadline: Duration,
    /// An operation unanswered on a live host for this long escalates (X).
    pub unanswered: Duration,
    /// The first retry of a failed start waits this long; each further one twice as long.
    pub retry_base: Duration,
    /// No retry waits longer than this.
    pub retry_max: Duration,
    /// A VM that crashes sooner after its start was not started with success: that was one more failed start.
    pub steady: Duration,
    /// A start refused by a lock is tried again after this.
    pub lock_retry: Duration,
    /// A VM that should run and does not is alerted about after this.
    pub alert_after: Duration,
    /// A guest asked to stop that has not done so after this is killed.
    pub stop_patience: Duration,
    /// An agent looks at what runs this often, if nothing hurries it.
    pub look_interval: Duration,
    /// An agent looks again after this while something is unsettled.
    pub look_again: Duration,
    /// A voter silent for this long is replaced by a living host.
    pub replace_voter: Duration,
    /// An operator's start waits this long for a permit before the hook refuses it.
    pub hook_deadline: Duration,
    /// A host alone on the network, but alive on storage, keeps its VMs this long where policy says `release`.
    pub isolation: Duration,
    /// So many fences of one host within the window quarantine it.
    pub repeat_offender_window: Duration,
    /// A guest is asked this often whether it answers.
    pub ask_interval: Duration,
    /// One that has not answered since it came up is asked again after this, and has twice as long for its answer.
    pub ask_soon: Duration,
    /// A guest that has not answered by then does not.
    pub ask_deadline: Duration,
    /// A guest is asked this often what its operating system is.
    pub ask_system: Duration,
    /// One that has not answered since it came up is told to be silent after so long.
    pub guest_patience: Duration,
    /// One that has come back, and comes back again within this time, must answer for `guest_steady` without a break
    /// before that is told.
    pub guest_unsteady: Duration,
    /// How long that is.
    pub guest_steady: Duration,
}

/// A table whose limits contradict each other.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the time table is unsafe: {rule} does not hold ({left:?} against {right:?}); correct the table")]
pub struct UnsafeTiming {
    /// The inequality, as the protocol writes it.
    pub rule: &'static str,
    /// Its left side.
    pub left: Duration,
    /// Its right side.
    pub right: Duration,
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl Timing {
    /// The table of a profile.
    pub fn of(profile: Profile) -> Timing {
        match profile {
            Profile::Lan => Timing::lan(),
            Profile::Fast => Timing::fast(),
        }
    }

    fn lan() -> Timing {
        Timing {
            drift_ppm: 500,
            heartbeat: ms(200),
            suspect: ms(1_000),
            fence_after: ms(1_500),
            ping_after: ms(500),
            agent_patience: ms(10_000),
            agent_absence: ms(120_000),
            scan: ms(100),
            storage_patience: ms(1_000),
            record_interval: ms(500),
            round_interval: ms(100),
            quorum: ms(300),
            election_min: ms(600),
            election_max: ms(1_000),
            election_tick: ms(50),
            oldest_ack: ms(400),
            software_stop: ms(3_400),
            hard_deadline: ms(4_000),
            kill_grace: ms(600),
            margin: ms(200),
            gap: ms(500),
            resend: ms(400),
            reboot_watch: ms(1_500),
            fence_poll: ms(100),
            fence_timeout: ms(20_000),
            fence_retry: ms(2_000),
            fence_check: ms(3_600_000),
            fence_first_check: ms(30_000),
            call_deadline: ms(15_000),
            unanswered: ms(30_000),
            retry_base: ms(500),
            retry_max: ms(20_000),
            steady: ms(60_000),
            lock_retry: ms(2_000),
            alert_after: ms(10_000),
            stop_patience: ms(45_000),
            look_interval: ms(2_000),
            look_again: ms(150),
            replace_voter: ms(30_000),
            hook_deadline: ms(3_000),
            isolation: ms(10_000),
            repeat_offender_window: ms(600_000),
            ask_interval: ms(5_000),
            ask_soon: ms(500),
            ask_deadline: ms(3_000),
            ask_system: ms(600_000),
            guest_patience: ms(60_000),
            guest_unsteady: ms(600_000),
            guest_steady: ms(60_000),
        }
    }

    fn fast() -> Timing {
        Timing {
            heartbeat: ms(50),
            suspect: ms(250),
            fence_after: ms(300),
            ping_after: ms(110),
            agent_patience: ms(5_000),
            agent_absence: ms(30_000),
            scan: ms(20),
            storage_patience: ms(250),
            record_interval: ms(100),
            round_interval: ms(25),
            quorum: ms(80),
            election_min: ms(150),
            election_max: ms(250),
            election_tick: ms(10),
            oldest_ack: ms(100),
            software_stop: ms(850),
            hard_deadline: ms(1_000),
            kill_grace: ms(150),
            margin: ms(50),
            gap: ms(120),
            resend: ms(100),
            reboot_watch: ms(400),
            fence_poll: ms(20),
            look_again: ms(40),
            ..Timing::lan()
        }
    }

    /// A duration stretched by k = (1+ρ)/(1−ρ): what one clock must count so that any other has counted `duration`.
    pub fn stretched(&self, duration: Duration) -> Duration {
        let million = 1_000_000u128;
        let drift = u128::from(self.drift_ppm);
        let micros = (duration.as_micros() * (million + drift)).div_ceil(million - drift);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// How long the master waits from a host's last sign until `LeaseExpired` (rule 7).
    pub fn lease_wait(&self) -> Duration {
        self.stretched(self.hard_deadline + self.oldest_ack) + self.record_interval + self.margin
    }

    /// Within this, once every fault is mended, each VM that should run and can run must run (I3).
    ///
    /// It is the sum of the longest waits that may follow each other: noticing, a whole chain of fencing that fails
    /// once, an operation that must first be given up, the longest retry, and the starts.
    pub fn recovery_bound(&self) -> Duration {
        self.election_max * 4
            + self.fence_after
            + self.lease_wait()
            + self.fence_timeout * 2
            + self.call_deadline
            + self.unanswered
            + self.retry_max * 2
            + self.call_deadline
    }

    /// Refuses a table in which one limit undermines another.
    pub fn check(&self) -> Result<(), UnsafeTiming> {
        let k = |duration| self.stretched(duration);
        let rules = [
            ("4·heartbeat ≤ suspect", self.heartbeat * 4, self.suspect),
            ("suspect + heartbeat ≤ fence_after", self.suspect + self.heartbeat, self.fence_after),
            ("k·quorum + heartbeat ≤ election_min", k(self.quorum) + self.heartbeat, self.election_min),
            ("election_min ≤ election_max", self.election_min, self.election_max),
            ("3·election_max + quorum ≤ software_stop", self.election_max * 3 + self.quorum, self.software_stop),
            ("software_stop + kill_grace ≤ hard_deadline", self.software_stop + self.kill_grace, self.hard_deadline),
            (
                "k·(hard_deadline + oldest_ack) + record_interval + margin ≤ the master's wait",
                k(self.hard_deadline + self.oldest_ack) + self.record_interval + self.margin,
                self.lease_wait(),
            ),
            ("2·round_interval ≤ quorum", self.round_interval * 2, self.quorum),
            ("election_tick ≤ round_interval", self.election_tick, self.round_interval),
            ("heartbeat ≤ oldest_ack", self.heartbeat, self.oldest_ack),
            ("suspect ≤ reboot_watch", self.suspect, self.reboot_watch),
            // Else a VM that lasts a little longer than that would be restarted without a pause, for ever.
            ("retry_max ≤ steady", self.retry_max, self.steady),
            ("fence_after ≤ agent_patience", self.fence_after, self.agent_patience),
            // Less would make it worse for an agent to say that it ends than to die.
            ("agent_patience ≤ agent_absence", self.agent_patience, self.agent_absence),
        ];
        for (rule, left, right) in rules {
            if left > right {
                return Err(UnsafeTiming { rule, left, right });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_are_safe() {
        assert_eq!(Timing::lan().check(), Ok(()));
        assert_eq!(Timing::fast().check(), Ok(()));
    }

    #[test]
    fn a_contradiction_is_named() {
        let table = Timing { hard_deadline: ms(3_900), ..Timing::lan() };
        let error = table.check().expect_err("the stop would outlast the watchdog");
        assert_eq!(error.rule, "software_stop + kill_grace ≤ hard_deadline");
    }

    #[test]
    fn stretching_covers_the_fastest_against_the_slowest_clock() {
        let stretched = Timing::lan().stretched(ms(1_000));
        assert!(stretched >= Duration::from_micros(1_001_000) && stretched < Duration::from_micros(1_001_010));
    }
}
