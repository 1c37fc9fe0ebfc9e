//! How a host becomes a member of a cluster, and what it keeps of that on its disk.
//!
//! ```text
//!  <state>/member.json       which cluster, which number: 0600
//!  <state>/trust/host.*      the key and certificate that it shows to its peers
//!  <state>/trust/api.*       the same key, with a certificate that people's programs can check
//!  <state>/holdfast.db       what it must not forget
//!  <state>/api.sock          the operators' interface for root on this machine
//! ```

mod found;
mod joining;

pub use found::{Founded, found};
pub use joining::{JoinError, join};

use crate::core::timing::Profile;
use crate::files::{read_text, replace};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use uuid::Uuid;

/// Which cluster a host is a member of, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The cluster's UUID.
    pub cluster: Uuid,
    /// The cluster's name.
    pub cluster_name: String,
    /// Which time limits hold in it.
    pub profile: Profile,
    /// The host's number.
    pub host: u32,
    /// The host's name when it joined, which its certificate bears.
    pub name: String,
}

/// Why a host's membership could not be read or written.
#[derive(Debug, Error)]
pub enum MemberError {
    /// It is no member.
    #[error("{} is no member's state directory; see `holdfast init` and `holdfast join`", path.display())]
    NoMember {
        /// Where that should be written.
        path: PathBuf,
    },
    /// It is a member already.
    #[error("{} is a member's state directory already; a host is a member of one cluster", path.display())]
    Member {
        /// Where that is written.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says something else than a membership.
    #[error("{} is damaged: {why}; restore it, or join anew", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Where things lie in a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    state: PathBuf,
}

impl Places {
    /// Those in this directory.
    pub fn of(state: &Path) -> Places {
        Places { state: state.to_owned() }
    }

    /// Who the host is.
    pub fn member(&self) -> PathBuf {
        self.state.join("member.json")
    }

    /// Keys and certificates.
    pub fn trust(&self) -> PathBuf {
        self.state.join("trust")
    }

    /// The first operator's key and certificate.
    pub fn operator(&self) -> PathBuf {
        self.state.join("operator")
    }

    /// The operators' interface for root on this machine.
    pub fn socket(&self) -> PathBuf {
        self.state.join("api.sock")
    }

    /// The directory itself.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Makes the directory, for its owner alone.
    pub fn make(&self) -> Result<(), MemberError> {
        for path in [self.state.clone(), self.trust(), self.operator()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(file(&path))?;
        }
        Ok(())
    }
}

fn file(path: &Path) -> impl Fn(io::Error) -> MemberError {
    let path = path.to_owned();
    move |source| MemberError::File { path: path.clone(), source }
}

impl Membership {
    /// Reads who the host is.
    pub fn load(places: &Places) -> Result<Membership, MemberError> {
        let path = places.member();
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(MemberError::NoMember { path }),
            Err(error) => return Err(file(&path)(error)),
        };
        serde_json::from_str(&text).map_err(|error| MemberError::Damaged { path, why: error.to_string() })
    }

    /// Whether the host is a member of any cluster.
    pub fn must_be_none(places: &Places) -> Result<(), MemberError> {
        let path = places.member();
        if path.exists() { Err(MemberError::Member { path }) } else { Ok(()) }
    }

    /// Writes who the host is: the last step of becoming a member.
    pub fn save(&self, places: &Places) -> Result<(), MemberError> {
        let path = places.member();
        let failed = file(&path);
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(io::Error::other(error)))?;
        replace(&path, text.as_bytes()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_kept_and_not_overwritten_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::of(folder.path());
        places.make().unwrap();
        assert!(matches!(Membership::load(&places), Err(MemberError::NoMember { .. })));
        let member = Membership {
            cluster: Uuid::from_u128(7),
            cluster_name: "lab".to_owned(),
            profile: Profile::Fast,
            host: 3,
            name: "host-3".to_owned(),
        };
        member.save(&places).unwrap();
        assert_eq!(Membership::load(&places).unwrap(), member);
        assert!(matches!(Membership::must_be_none(&places), Err(MemberError::Member { .. })));
        fs::write(places.member(), "{").unwrap();
        assert!(matches!(Membership::load(&places), Err(MemberError::Damaged { .. })));
    }
}
