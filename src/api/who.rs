//! Who asks, and what they may do.

use super::errors::Failure;
use crate::core::ids::Fingerprint;
use crate::core::state::{ClusterState, Right};
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
}

/// A person who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) right: Right,
}

impl Who {
    /// Who that is, by the log.
    pub(super) fn person(&self, state: &ClusterState) -> Option<Person> {
        match self {
            Who::Local { host } => Some(Person { name: format!("root@{host}"), right: Right::Operator }),
            Who::Certificate(print) | Who::Token(print) => {
                let access = state.registry.accesses.get(print)?;
                Some(Person { name: access.name.clone(), right: access.right })
            }
            Who::Nobody => None,
        }
    }
}

impl Person {
    /// Whether that person may change something.
    pub(super) fn may_act(&self) -> Result<(), Failure> {
        match self.right {
            Right::Operator => Ok(()),
            Right::Viewer => Err(Failure::forbidden(&self.name)),
        }
    }
}
