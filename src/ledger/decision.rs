//! What people decided about the cluster itself: who may do what, which rules hold, what fences whom.

use crate::core::command::Command;
use crate::core::ids::{FenceId, Fingerprint, HostId};
use crate::core::state::{ChannelChange, Policy, Registration, Right, Tag, Target};
use serde::{Deserialize, Serialize};

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// These rules changed, each as `name: old -> new`.
    Policy {
        /// Which, and how.
        changes: Vec<String>,
    },
    /// For how long the cluster only observes.
    Rearm {
        /// After that it acts again by itself, in milliseconds; none: not by itself.
        after_milliseconds: Option<u64>,
    },
    /// Of two machines with one identity only one is left.
    Resolved {
        /// Which host.
        host: HostId,
    },
    /// A host is to be removed, or stays after all.
    Leave {
        /// Which.
        host: HostId,
        /// Whether it goes.
        leaves: bool,
    },
    /// These devices fence a host, in levels.
    HostFences {
        /// Which host.
        host: HostId,
        /// By which devices.
        levels: Vec<Vec<FenceId>>,
    },
    /// A fence device was added, or set up anew.
    Fence {
        /// Its name.
        name: String,
    },
    /// A fence device was removed.
    FenceRemoved {
        /// Which.
        fence: FenceId,
    },
    /// A datastore got its name.
    Datastore {
        /// Its name.
        name: String,
    },
    /// A network of guests got its name.
    Network {
        /// Its name.
        name: String,
    },
    /// Somebody was invited to join.
    Invited,
    /// Somebody may use the operators' interface.
    Granted {
        /// Whoever shows this.
        print: Fingerprint,
        /// His name.
        name: String,
        /// To do what.
        right: Right,
    },
    /// Somebody may no longer.
    Revoked {
        /// Whoever shows this.
        print: Fingerprint,
    },
    /// How much of their time VMs with a tag are to be up.
    Target {
        /// Which tag.
        tag: Tag,
        /// How much; none: that is not said any more.
        target: Option<Target>,
    },
    /// A channel was made, or changed.
    Channel {
        /// Its name.
        name: String,
        /// What was done with it.
        deed: ChannelDeed,
    },
}

/// What was done with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelDeed {
    /// It was made, or set up anew.
    SetUp,
    /// It is told nothing for now.
    Paused,
    /// It is told again.
    Resumed,
    /// It is not told any more what it had not been told yet.
    Skipped,
    /// It is gone.
    Removed,
}

impl Decision {
    /// The host that it is about, if it is about one.
    pub fn host(&self) -> Option<HostId> {
        match self {
            Decision::Resolved { host } | Decision::Leave { host, .. } | Decision::HostFences { host, .. } => {
                Some(*host)
            }
            _ => None,
        }
    }

    /// What a command that was applied decides, if it decides something.
    pub(super) fn of(command: &Command, said: bool, rules_before: &Policy) -> Option<Decision> {
        match command {
            Command::SetPolicy(policy) => Some(Decision::Policy { changes: told_apart(rules_before, policy) }),
            // A master repeats what is left of the time; that decides nothing.
            Command::RearmAfter(after) if said => Some(Decision::Rearm { after_milliseconds: *after }),
            Command::ResolveConflict { host } => Some(Decision::Resolved { host: *host }),
            Command::Register(change) => Decision::of_registration(change),
            _ => None,
        }
    }

    fn of_registration(change: &Registration) -> Option<Decision> {
        Some(match change {
            // They are facts of their own.
            Registration::Join(_) | Registration::RemoveHost(_) => return None,
            Registration::Leave(host, leaves) => Decision::Leave { host: *host, leaves: *leaves },
            Registration::HostFences(host, levels) => Decision::HostFences { host: *host, levels: levels.clone() },
            Registration::Fence(entry) => Decision::Fence { name: entry.name.clone() },
            Registration::RemoveFence(fence) => Decision::FenceRemoved { fence: *fence },
            Registration::Datastore(named) => Decision::Datastore { name: named.name.clone() },
            Registration::Network(named) => Decision::Network { name: named.name.clone() },
            Registration::Invite(..) => Decision::Invited,
            Registration::Grant(print, access) => {
                Decision::Granted { print: *print, name: access.name.clone(), right: access.right }
            }
            Registration::Revoke(print) => Decision::Revoked { print: *print },
            Registration::Target(tag, target) => Decision::Target { tag: tag.clone(), target: *target },
            Registration::Channel(name, change) => {
                Decision::Channel { name: name.clone(), deed: ChannelDeed::of(change) }
            }
        })
    }
}

impl ChannelDeed {
    fn of(change: &ChannelChange) -> ChannelDeed {
        match change {
            ChannelChange::SetUp(_) => ChannelDeed::SetUp,
            ChannelChange::Pause => ChannelDeed::Paused,
            ChannelChange::Resume => ChannelDeed::Resumed,
            ChannelChange::Skip => ChannelDeed::Skipped,
            ChannelChange::Remove => ChannelDeed::Removed,
        }
    }
}

/// The rules in which two policies differ.
fn told_apart(before: &Policy, after: &Policy) -> Vec<String> {
    let rules = |policy: &Policy| match serde_json::to_value(policy) {
        Ok(serde_json::Value::Object(rules)) => rules,
        // A policy is an object.
        _ => serde_json::Map::new(),
    };
    let before = rules(before);
    let changed = rules(after).into_iter().filter(|(name, value)| before.get(name) != Some(value));
    let none = serde_json::Value::Null;
    changed.map(|(name, value)| format!("{name}: {} -> {value}", before.get(&name).unwrap_or(&none))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::What;

    #[test]
    fn rules_are_told_apart() {
        let before = Policy::default();
        let after = Policy { brake_percent: before.brake_percent + 1, ..before.clone() };
        let command = Command::SetPolicy(Box::new(after));
        let decision = Decision::of(&command, true, &before);
        assert_eq!(decision, Some(Decision::Policy { changes: vec!["brake_percent: 40 -> 41".to_owned()] }));
    }

    #[test]
    fn what_a_master_repeats_is_no_decision() {
        let command = Command::RearmAfter(Some(5));
        assert_eq!(Decision::of(&command, false, &Policy::default()), None);
        assert!(Decision::of(&command, true, &Policy::default()).is_some());
    }

    #[test]
    fn a_decision_is_read_as_it_was_written() {
        let levels = vec![vec![FenceId(1)], vec![FenceId(2)]];
        let what = What::Decided { decision: Decision::HostFences { host: HostId(3), levels } };
        let text = serde_json::to_string(&what).unwrap();
        assert!(text.contains("\"kind\":\"decided\"") && text.contains("\"decision\":\"host-fences\""), "{text}");
        assert_eq!(serde_json::from_str::<What>(&text).unwrap(), what);
    }
}
