//! Who asks, and what they may do.

use super::errors::Failure;
use crate::core::ids::Fingerprint;
use crate::core::state::{ClusterState, Right};
use crate::words::listed;
use serde::{Deserialize, Serialize};

/// Who asks, as far as the node knows that was asked. What that one may do is for a voter to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Who {
    /// Root on a host of the cluster.
    Local {
        /// On which.
        host: String,
    },
    /// Whoever has the key of this certificate, which the cluster's authority has signed.
    Certificate(Fingerprint),
    /// Whoever knows the secret with this print.
    Token(Fingerprint),
    /// Nobody has said.
    Nobody,
    /// Somebody for whom no more vouches than a host that does not vote. It is never sent: the receiver makes it of
    /// what such a host has passed on.
    #[serde(skip)]
    Vouched {
        /// The host.
        host: String,
        /// Who that is, if it is true.
        who: Box<Who>,
    },
}

/// A person who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) right: Right,
    /// How the same person may do more.
    pub(super) instead: Option<String>,
}

impl Who {
    /// Who that is, by the log.
    pub(super) fn person(&self, state: &ClusterState) -> Option<Person> {
        match self {
            Who::Local { host } => Some(Person { name: format!("root@{host}"), right: Right::Operator, instead: None }),
            Who::Certificate(print) | Who::Token(print) => {
                let access = state.registry.accesses.get(print)?;
                Some(Person { name: access.name.clone(), right: access.right, instead: None })
            }
            Who::Nobody => None,
            // Voters hold the log, so nothing is lost by believing them. Any other host could say that it was asked by
            // an operator whose print it has seen once.
            Who::Vouched { host, who } => {
                let person = who.person(state)?;
                let more = (person.right != Right::Viewer).then(|| voters(host, state));
                Some(Person { right: Right::Viewer, instead: more, ..person })
            }
        }
    }
}

/// Where whoever was not believed on this host will be.
fn voters(host: &str, state: &ClusterState) -> String {
    let voters = state.voters.values().filter_map(|home| state.hosts.get(home)).map(|host| host.name.as_str());
    let voters = listed(&voters.collect::<Vec<_>>(), "or");
    format!("{host} does not vote, so through it one may only look; to act, ask a host that votes: {voters}")
}

impl Person {
    /// Whether that person may change something.
    pub(super) fn may_act(&self) -> Result<(), Failure> {
        match self.right {
            Right::Operator => Ok(()),
            Right::Viewer => Err(match &self.instead {
                Some(instead) => Failure::forbidden(&self.name).hint(instead),
                None => Failure::forbidden(&self.name),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::Command;
    use crate::core::ids::{HostId, LogIndex, VoterId};
    use crate::core::state::{Access, Newcomer, Registration};

    fn state() -> ClusterState {
        let mut state = ClusterState::default();
        let mut register = |change| state.apply(LogIndex(1), &Command::Register(Box::new(change)));
        for (number, name) in (1_u16..).zip(["node-1", "node-2"]) {
            let newcomer = Newcomer { name: name.to_owned(), uuid: number.into(), ..Newcomer::default() };
            register(Registration::Join(Box::new(newcomer)));
        }
        for (print, right) in [(7, Right::Operator), (8, Right::Viewer)] {
            register(Registration::Grant(Fingerprint([print; 32]), Access { name: "ada".to_owned(), right }));
        }
        state.voters.insert(VoterId(1), HostId(0));
        state
    }

    #[test]
    fn whom_a_host_without_a_vote_vouches_for_may_look_and_is_told_where_to_act() {
        let state = state();
        let vouched = |who: Who| Who::Vouched { host: "node-2".to_owned(), who: Box::new(who) }.person(&state);
        let root = vouched(Who::Local { host: "node-2".to_owned() }).unwrap();
        assert_eq!((root.name.as_str(), root.right), ("root@node-2", Right::Viewer));
        assert!(root.may_act().is_err());
        assert!(root.instead.is_some_and(|text| text.contains("ask a host that votes: node-1")));
        let operator = vouched(Who::Certificate(Fingerprint([7; 32]))).unwrap();
        assert!(operator.right == Right::Viewer && operator.instead.is_some());
        let viewer = vouched(Who::Token(Fingerprint([8; 32]))).unwrap();
        assert!(viewer.right == Right::Viewer && viewer.instead.is_none());
        assert_eq!(vouched(Who::Token(Fingerprint([9; 32]))), None);
        assert_eq!(vouched(Who::Nobody), None);
        assert!(Who::Certificate(Fingerprint([7; 32])).person(&state).unwrap().may_act().is_ok());
    }

    #[test]
    fn nobody_sends_what_only_a_receiver_makes() {
        let vouched = Who::Vouched { host: "a".to_owned(), who: Box::new(Who::Nobody) };
        assert!(serde_json::to_string(&vouched).is_err());
        assert!(serde_json::from_str::<Who>(r#"{"Vouched":{"host":"a","who":"Nobody"}}"#).is_err());
    }
}
