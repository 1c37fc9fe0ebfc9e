//! By what a VM's time is accounted for. It is told to people, and never a reason to start or stop anything.

use super::ClusterState;
use crate::core::ids::VmId;
use crate::core::reason::Refusal;
use crate::core::state::Change;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A VM has so many tags at the most.
pub const TAGS_KEPT: usize = 32;
/// So many tags have a target at the most.
const TARGETS_KEPT: usize = 1_000;
/// No tag is longer.
const TAG_LENGTH: usize = 63;
/// No address, URL or name of a probe is longer.
const PROBE_LENGTH: usize = 1_024;

/// By what a VM's time is accounted for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// Words by which VMs are summed up.
    pub tags: BTreeSet<Tag>,
    /// When it counts as up.
    pub up: UpMeans,
    /// How much of its time it is to be up.
    pub target: Option<Target>,
}

/// A change of an account: what is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountChange {
    /// The tags, all of them.
    pub tags: Option<BTreeSet<Tag>>,
    /// When it counts as up.
    pub up: Option<UpMeans>,
    /// How much of its time it is to be up.
    pub target: Option<Option<Target>>,
}

/// When a VM counts as up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpMeans {
    /// When it runs.
    #[default]
    Running,
    /// When it runs and the agent in its guest answers.
    Agent,
    /// When it runs and what it is there for answers.
    Probe(Probe),
}

/// A question to what a VM is there for, which the host that runs the VM asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// Somebody takes a connection.
    Tcp {
        /// Where: a name or an address, and a port.
        address: String,
    },
    /// A web server answers.
    Http {
        /// What it is asked for.
        url: String,
        /// With which status; none: with any that says that all is well.
        status: Option<u16>,
    },
    /// A program ends with success.
    Command {
        /// The name by which the host's own configuration knows the program.
        name: String,
    },
}

/// A word by which VMs are summed up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// The share of the time in which something is to be up, in parts per million: above none, and at the most all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Target(u32);

/// What somebody wrote is no tag, target or probe.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountError {
    /// No tag.
    #[error(
        "\"{0}\" is no tag: one has 1 to 63 letters, digits, points, hyphens and underscores, and begins with a letter \
         or digit"
    )]
    Tag(String),
    /// No target.
    #[error("\"{0}\" is no target: name a share of the time in percent, above 0 and up to 100, such as 99.95")]
    Target(String),
    /// No meaning of "up".
    #[error(
        "\"{0}\" does not say when a VM is up: name running, agent, tcp:ADDRESS:PORT, http://HOST/PATH, https://HOST/PATH \
         or command:NAME"
    )]
    UpMeans(String),
    /// No status of an answer.
    #[error("{0} is no status of an HTTP answer: those are 100 to 599")]
    Status(u16),
    /// Too many.
    #[error("a VM has at most {TAGS_KEPT} tags")]
    TooManyTags,
}

impl Tag {
    /// As people write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = AccountError;

    fn try_from(text: String) -> Result<Tag, AccountError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        match begins_well && text.len() <= TAG_LENGTH && text.chars().all(is_plain) {
            true => Ok(Tag(text)),
            false => Err(AccountError::Tag(text)),
        }
    }
}

impl FromStr for Tag {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Tag, AccountError> {
        Tag::try_from(text.to_owned())
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All of the time.
const WHOLE: u32 = 1_000_000;

impl Target {
    /// So many millionths of the time.
    pub fn parts_per_million(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Target {
    type Error = AccountError;

    fn try_from(parts: u32) -> Result<Target, AccountError> {
        match (1..=WHOLE).contains(&parts) {
            true => Ok(Target(parts)),
            false => Err(AccountError::Target(percent(parts))),
        }
    }
}

impl From<Target> for u32 {
    fn from(target: Target) -> u32 {
        target.0
    }
}

/// In percent, as `99.95`, with or without the sign.
impl FromStr for Target {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Target, AccountError> {
        let wrong = || AccountError::Target(text.to_owned());
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 4 {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let part: u32 = format!("{part:0<4}").parse().map_err(|_| wrong())?;
        let parts = whole.checked_mul(WHOLE / 100).and_then(|parts| parts.checked_add(part)).ok_or_else(wrong)?;
        Target::try_from(parts).map_err(|_| wrong())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&percent(self.0))
    }
}

fn percent(parts: u32) -> String {
    let text = format!("{}.{:04}", parts / (WHOLE / 100), parts % (WHOLE / 100));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// As it is shown, but for the status that a web server is to answer with.
impl FromStr for UpMeans {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<UpMeans, AccountError> {
        let up = match text {
            "running" => UpMeans::Running,
            "agent" => UpMeans::Agent,
            url if url.starts_with("http://") || url.starts_with("https://") => {
                UpMeans::Probe(Probe::Http { url: url.to_owned(), status: None })
            }
            _ => match text.split_once(':') {
                Some(("tcp", address)) => UpMeans::Probe(Probe::Tcp { address: address.to_owned() }),
                Some(("command", name)) => UpMeans::Probe(Probe::Command { name: name.to_owned() }),
                _ => return Err(AccountError::UpMeans(text.to_owned())),
            },
        };
        up.check()?;
        Ok(up)
    }
}

impl fmt::Display for UpMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpMeans::Running => f.write_str("running"),
            UpMeans::Agent => f.write_str("agent"),
            UpMeans::Probe(Probe::Tcp { address }) => write!(f, "tcp:{address}"),
            UpMeans::Probe(Probe::Http { url, status: None }) => f.write_str(url),
            UpMeans::Probe(Probe::Http { url, status: Some(status) }) => write!(f, "{url} with status {status}"),
            UpMeans::Probe(Probe::Command { name }) => write!(f, "command:{name}"),
        }
    }
}

impl UpMeans {
    /// Whether the guest has to be asked.
    pub fn asks(&self) -> bool {
        *self != UpMeans::Running
    }

    /// Whether that can be asked at all, as far as that is to be seen without asking.
    pub fn check(&self) -> Result<(), AccountError> {
        let is_short = |text: &str| !text.is_empty() && text.len() <= PROBE_LENGTH && !text.contains(char::is_control);
        let is_sound = match self {
            UpMeans::Running | UpMeans::Agent => true,
            UpMeans::Probe(Probe::Tcp { address }) => {
                let parts = address.rsplit_once(':');
                let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
                is_short(address) && parts.is_some_and(|(host, number)| !host.is_empty() && port(number))
            }
            UpMeans::Probe(Probe::Http { status: Some(status), .. }) if !(100..600).contains(status) => {
                return Err(AccountError::Status(*status));
            }
            UpMeans::Probe(Probe::Http { url, .. }) => {
                let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
                is_short(url) && !url.contains(' ') && rest.is_some_and(|rest| !rest.is_empty())
            }
            UpMeans::Probe(Probe::Command { name }) => is_short(name),
        };
        if is_sound { Ok(()) } else { Err(AccountError::UpMeans(self.to_string())) }
    }
}

impl AccountChange {
    /// Whether it can be made.
    pub fn check(&self) -> Result<(), AccountError> {
        if self.tags.as_ref().is_some_and(|tags| tags.len() > TAGS_KEPT) {
            return Err(AccountError::TooManyTags);
        }
        self.up.as_ref().map_or(Ok(()), UpMeans::check)
    }
}

impl ClusterState {
    pub(super) fn set_account(
        &mut self,
        id: VmId,
        change: &AccountChange,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let vm = self.vm_mut(id)?;
        let mut account = vm.account.clone();
        if let Some(tags) = &change.tags {
            account.tags.clone_from(tags);
        }
        if let Some(up) = &change.up {
            account.up.clone_from(up);
        }
        account.target = change.target.unwrap_or(account.target);
        if !vm.protected {
            return Err(Refusal::NoSuchThing);
        }
        if account == vm.account {
            return Err(Refusal::NothingToDo);
        }
        if account.up != vm.account.up {
            // What was asked before says nothing of what is asked from now on.
            vm.guest.heard = None;
        }
        vm.account = account;
        changes.push(Change::Account(id));
        Ok(())
    }

    pub(super) fn set_target(&mut self, tag: &Tag, target: Option<Target>) -> Result<(), Refusal> {
        let targets = &mut self.registry.targets;
        match target {
            None => targets.remove(tag).map(drop).ok_or(Refusal::NoSuchThing),
            Some(_) if targets.len() >= TARGETS_KEPT && !targets.contains_key(tag) => Err(Refusal::InUse),
            Some(target) if targets.insert(tag.clone(), target) == Some(target) => Err(Refusal::NothingToDo),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::{Command, Want};
    use crate::core::ids::LogIndex;
    use crate::core::state::{Registration, Vm, VmDefinition};

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let vm = VmId(1);
        let vms = [(vm, Vm::new(VmDefinition::plain(vm), Want::Running))].into();
        let mut state = ClusterState { vms, ..ClusterState::default() };
        let mut apply = |change| {
            let refused = state.apply(LogIndex(1), &Command::Account { vm, change: Box::new(change) }).refused;
            (refused, state.vms[&vm].account.clone())
        };
        let tag: Tag = "web".parse().expect("a tag");
        let target: Target = "99.9".parse().expect("a target");
        let tagged = AccountChange { tags: Some([tag.clone()].into()), ..AccountChange::default() };
        assert_eq!(apply(tagged).1, Account { tags: [tag.clone()].into(), ..Account::default() });
        let aimed = AccountChange { target: Some(Some(target)), ..AccountChange::default() };
        assert_eq!(apply(aimed).1, Account { tags: [tag].into(), target: Some(target), ..Account::default() });
        let bare = AccountChange { tags: Some([].into()), target: Some(None), ..AccountChange::default() };
        assert_eq!(apply(bare.clone()), (None, Account::default()));
        assert_eq!(apply(bare).0, Some(Refusal::NothingToDo));
    }

    #[test]
    fn tags_have_targets_and_not_without_bound() {
        let mut state = ClusterState::default();
        let mut set = |tag: String, target: Option<&str>| {
            let target = target.map(|text| text.parse().expect("a target"));
            let change = Registration::Target(tag.parse().expect("a tag"), target);
            state.apply(LogIndex(1), &Command::Register(Box::new(change))).refused
        };
        assert_eq!(set("web".to_owned(), None), Some(Refusal::NoSuchThing));
        assert_eq!(set("web".to_owned(), Some("99")), None);
        assert_eq!(set("web".to_owned(), Some("99")), Some(Refusal::NothingToDo));
        assert!((1..TARGETS_KEPT).all(|number| set(format!("t{number}"), Some("99")).is_none()));
        assert_eq!(set("one-more".to_owned(), Some("99")), Some(Refusal::InUse));
        assert_eq!(set("web".to_owned(), Some("99.5")), None);
        assert_eq!(set("web".to_owned(), None), None);
        assert_eq!(set("one-more".to_owned(), Some("99")), None);
    }

    #[test]
    fn a_target_is_read_as_it_is_shown() {
        for (text, parts, shown) in [
            ("99.95", 999_500, "99.95"),
            ("100", WHOLE, "100"),
            ("99.9999%", 999_999, "99.9999"),
            ("0.5", 5_000, "0.5"),
        ] {
            let target: Target = text.parse().expect("a target");
            assert_eq!((target.parts_per_million(), target.to_string()), (parts, shown.to_owned()));
        }
        for text in ["", "0", "100.1", "99.99999", "-1", "9e1", "99,9", ".5", "5.", "4294967296", "+9"] {
            assert_eq!(text.parse::<Target>(), Err(AccountError::Target(text.to_owned())));
        }
        assert!(serde_json::from_str::<Target>("0").is_err() && serde_json::from_str::<Target>("1000001").is_err());
    }

    #[test]
    fn a_tag_is_a_plain_word() {
        for text in ["web", "tier-1", "a.b_c", "0"] {
            assert_eq!(text.parse::<Tag>().map(|tag| tag.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "a b", "-a", "é", "a,b", &"a".repeat(64)] {
            assert!(text.parse::<Tag>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Tag>("\"a b\"").is_err());
    }

    #[test]
    fn what_up_means_is_read_as_it_is_shown() {
        for text in
            ["running", "agent", "tcp:10.0.0.7:80", "tcp:[fd00::1]:80", "http://a/b?c=d", "https://a", "command:x"]
        {
            assert_eq!(text.parse::<UpMeans>().map(|up| up.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "up", "tcp:", "tcp:a", "tcp:a:0", "tcp::80", "tcp:a:70000", "http://", "http://a b", "command:"]
        {
            assert!(text.parse::<UpMeans>().is_err(), "{text}");
        }
        let odd = UpMeans::Probe(Probe::Http { url: "http://a".to_owned(), status: Some(99) });
        assert_eq!(odd.check(), Err(AccountError::Status(99)));
    }
}
