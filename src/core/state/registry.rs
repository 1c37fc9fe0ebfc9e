//! What people have named: the cluster itself, its members, and what hosts and VMs refer to by number.
//!
//! None of this takes part in a decision about who runs what; it says who may speak, and what a number means.

use super::{Channel, ChannelChange, ClusterState, Former, Newcomer, Tag, Target};
use crate::core::ids::{DatastoreId, FenceId, Fingerprint, HostId, LogIndex, NetworkId};
use crate::core::reason::Refusal;
use crate::core::state::Change;
use crate::core::timing::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The cluster, its names and its members' keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Registry {
    /// The cluster itself.
    pub cluster: Identity,
    /// The shared datastores.
    pub datastores: BTreeMap<DatastoreId, Named>,
    /// The networks of guests.
    pub networks: BTreeMap<NetworkId, Named>,
    /// The fence devices.
    pub fences: BTreeMap<FenceId, FenceEntry>,
    /// Invitations to join, by their public part.
    pub invitations: BTreeMap<u128, Invitation>,
    /// Who may use the operators' interface, by certificate or by the print of a secret.
    pub accesses: BTreeMap<Fingerprint, Access>,
    /// By which people are told of what happens, by their names.
    pub channels: BTreeMap<String, Channel>,
    /// The last place in the log at which a person changed one of them.
    pub channels_changed: LogIndex,
    /// The last place in the log at which a member came, went or moved.
    pub roster: LogIndex,
    /// The number of the next host.
    pub next_host: u32,
    /// The number of the latest fence device. None is given twice: proofs name devices by it.
    pub last_fence: u32,
    /// What is there no more.
    pub former: Former,
    /// How much of their time VMs with a tag are to be up.
    pub targets: BTreeMap<Tag, Target>,
}

/// What a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Its name for ever.
    pub uuid: u128,
    /// Its name for people.
    pub name: String,
    /// Which time limits hold in it.
    pub profile: Profile,
    /// The certificate of its authority, in DER.
    pub certificate: Vec<u8>,
    /// The key of its authority. Every voter has it, so that any master can let a host join.
    pub key: Secret,
}

/// Something that never shows in a log or message.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Something with a name and an identity of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its identity, as it carries it itself; zero where it carries none.
    pub uuid: u128,
}

/// A fence device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceEntry {
    /// Its name.
    pub name: String,
    /// How it is reached and spoken to: opaque here, for it holds passwords and belongs to the adapter.
    pub settings: Arc<Secret>,
    /// The entry of the log that set it up so. What a device has said under other settings is no proof.
    pub set_up: LogIndex,
}

/// An invitation to join, which works once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The print of its secret part.
    pub secret: Fingerprint,
    /// Until when it is good, in milliseconds since 1970: whoever takes it checks that before it proposes.
    pub expires_milliseconds: i64,
}

/// The right to use the operators' interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Whose.
    pub name: String,
    /// To do what.
    pub right: Right,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Look.
    Viewer,
    /// Look and act.
    Operator,
}

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// A host joins.
    Join(Box<Newcomer>),
    /// A host goes for good. It must hold nothing and not vote.
    RemoveHost(HostId),
    /// A host is about to go for good, or stays after all. On one that goes no voter stays, and no VM starts.
    Leave(HostId, bool),
    /// These devices fence a host, in levels.
    HostFences(HostId, Vec<Vec<FenceId>>),
    /// A datastore gets a name and a number.
    Datastore(Named),
    /// A network of guests gets a name and a number.
    Network(Named),
    /// A fence device is added, or its settings change.
    Fence(FenceEntry),
    /// A fence device goes.
    RemoveFence(FenceId),
    /// Somebody is invited to join.
    Invite(u128, Invitation),
    /// Somebody may use the operators' interface.
    Grant(Fingerprint, Access),
    /// Somebody may no longer do so.
    Revoke(Fingerprint),
    /// How much of their time VMs with this tag are to be up, if that is said.
    Target(Tag, Option<Target>),
    /// A person changes the channel of this name.
    Channel(String, ChannelChange),
}

impl ClusterState {
    pub(super) fn register(&mut self, change: &Registration, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        match change {
            Registration::Join(newcomer) => self.join(newcomer, changes),
            Registration::RemoveHost(host) => self.remove_host(*host, changes),
            Registration::Leave(host, leaving) => self.leave(*host, *leaving, changes),
            Registration::HostFences(host, levels) => self.set_fences(*host, levels, changes),
            Registration::Datastore(named) => name(&mut self.registry.datastores, named, |id| DatastoreId(id as u16)),
            Registration::Network(named) => self.name_network(named),
            Registration::Fence(entry) => {
                self.add_fence(entry);
                Ok(())
            }
            Registration::RemoveFence(id) => self.remove_fence(*id),
            Registration::Invite(id, invitation) => {
                self.registry.invitations.insert(*id, invitation.clone());
                Ok(())
            }
            Registration::Grant(print, access) => {
                self.registry.accesses.insert(*print, access.clone());
                Ok(())
            }
            Registration::Revoke(print) => self.registry.accesses.remove(print).map(drop).ok_or(Refusal::NoSuchThing),
            Registration::Target(tag, target) => self.set_target(tag, *target),
            Registration::Channel(name, change) => self.change_channel(name, change),
        }
    }

    /// A network's number follows from its name. Two names with one number cannot be told apart.
    fn name_network(&mut self, named: &Named) -> Result<(), Refusal> {
        match self.registry.networks.entry(NetworkId::of(&named.name)) {
            Entry::Occupied(old) if old.get().name == named.name => Err(Refusal::NothingToDo),
            Entry::Occupied(_) => Err(Refusal::NameTaken),
            Entry::Vacant(place) => {
                place.insert(named.clone());
                Ok(())
            }
        }
    }

    fn leave(&mut self, id: HostId, leaving: bool, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let host = self.hosts.get(&id).ok_or(Refusal::NoSuchThing)?;
        if host.leaving == leaving {
            return Err(Refusal::NothingToDo);
        }
        if leaving && (!self.held_on(id).is_empty() || !host.accounted) {
            return Err(Refusal::Held);
        }
        // The vote of the last host has nowhere to go.
        if leaving && !self.hosts.iter().any(|(other, host)| *other != id && !host.leaving) {
            return Err(Refusal::Votes);
        }
        self.host_mut(id)?.leaving = leaving;
        changes.push(Change::Host(id));
        Ok(())
    }

    fn remove_host(&mut self, id: HostId, changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let host = self.hosts.get(&id).ok_or(Refusal::NoSuchThing)?;
        if !self.held_on(id).is_empty() || !host.accounted {
            return Err(Refusal::Held);
        }
        if self.voters.values().any(|home| *home == id) {
            return Err(Refusal::Votes);
        }
        if let Some(host) = self.hosts.remove(&id) {
            self.registry.former.keep_host(id, host.name);
        }
        self.registry.roster = self.applied;
        changes.push(Change::Host(id));
        Ok(())
    }

    fn set_fences(&mut self, host: HostId, levels: &[Vec<FenceId>], changes: &mut Vec<Change>) -> Result<(), Refusal> {
        let known = levels.iter().flatten().all(|id| self.registry.fences.contains_key(id));
        if !known {
            return Err(Refusal::NoSuchThing);
        }
        self.host_mut(host)?.fences = levels.to_vec();
        changes.push(Change::Host(host));
        Ok(())
    }

    fn add_fence(&mut self, entry: &FenceEntry) {
        let registry = &mut self.registry;
        let entry = FenceEntry { set_up: self.applied, ..entry.clone() };
        match registry.fences.values_mut().find(|old| old.name == entry.name) {
            Some(old) if old.settings == entry.settings => {}
            Some(old) => *old = entry,
            None => {
                registry.last_fence += 1;
                registry.fences.insert(FenceId(registry.last_fence), entry);
            }
        }
    }

    /// The devices that fence a host, in levels, each with the entry of the log that set it up.
    pub fn fence_plan(&self, host: HostId) -> Vec<Vec<(FenceId, LogIndex)>> {
        let set_up = |id: &FenceId| (*id, self.fence_set_up(*id));
        let levels = self.hosts.get(&host).map(|host| host.fences.iter());
        levels.into_iter().flatten().map(|level| level.iter().map(set_up).collect()).collect()
    }

    /// The entry of the log that set a fence device up as it is now.
    pub fn fence_set_up(&self, fence: FenceId) -> LogIndex {
        self.registry.fences.get(&fence).map_or(LogIndex(0), |entry| entry.set_up)
    }

    fn remove_fence(&mut self, id: FenceId) -> Result<(), Refusal> {
        if self.hosts.values().any(|host| host.fences.iter().flatten().any(|fence| *fence == id)) {
            return Err(Refusal::InUse);
        }
        let removed = self.registry.fences.remove(&id).ok_or(Refusal::NoSuchThing)?;
        self.registry.former.keep_fence(id, removed.name);
        Ok(())
    }
}

/// Gives a name the next free number, or keeps the one that it has under the same identity.
fn name<Id: Ord + Copy>(
    names: &mut BTreeMap<Id, Named>,
    named: &Named,
    number: impl Fn(usize) -> Id,
) -> Result<(), Refusal> {
    match names.values().find(|old| old.name == named.name) {
        Some(old) if old.uuid == named.uuid => Err(Refusal::NothingToDo),
        Some(_) => Err(Refusal::NameTaken),
        None if names.len() >= usize::from(u16::MAX) - 1 => Err(Refusal::InUse),
        None => {
            names.insert(number(names.len() + 1), named.clone());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::Command;
    use std::collections::BTreeSet;

    fn newcomer(name: &str, uuid: u128, invitation: Option<u128>) -> Command {
        Command::Register(Box::new(Registration::Join(Box::new(Newcomer {
            invitation,
            name: name.to_owned(),
            uuid,
            fingerprint: Fingerprint([1; 32]),
            endpoints: Vec::new(),
            failure_domain: String::new(),
            tags: BTreeSet::new(),
            memory_mib: 1,
            millicores: 1,
        }))))
    }

    fn register(change: Registration) -> Command {
        Command::Register(Box::new(change))
    }

    #[test]
    fn an_invitation_works_once() {
        let mut state = ClusterState::default();
        let invitation = Invitation { secret: Fingerprint([7; 32]), expires_milliseconds: 1 };
        let mut apply = |index, command| state.apply(LogIndex(index), &command).refused;
        assert_eq!(apply(1, register(Registration::Invite(5, invitation))), None);
        assert_eq!(apply(2, newcomer("a", 1, Some(5))), None);
        assert_eq!(apply(3, newcomer("b", 2, Some(5))), Some(Refusal::NotInvited));
        assert_eq!(state.registry.roster, LogIndex(2));
    }

    #[test]
    fn a_name_and_a_machine_are_taken_once() {
        let mut state = ClusterState::default();
        let mut apply = |index, command| state.apply(LogIndex(index), &command).refused;
        assert_eq!(apply(1, newcomer("a", 1, None)), None);
        assert_eq!(apply(2, newcomer("a", 2, None)), Some(Refusal::NameTaken));
        assert_eq!(apply(3, newcomer("b", 1, None)), Some(Refusal::NameTaken));
        assert_eq!(apply(4, newcomer("b", 2, None)), None);
        assert_eq!(state.hosts.keys().copied().collect::<Vec<_>>(), [HostId(0), HostId(1)]);
    }

    #[test]
    fn a_number_once_given_is_not_given_again() {
        let mut state = ClusterState::default();
        let mut apply = |index, command| state.apply(LogIndex(index), &command).refused;
        assert_eq!(apply(1, newcomer("a", 1, None)), None);
        assert_eq!(apply(2, register(Registration::RemoveHost(HostId(0)))), None);
        assert_eq!(apply(3, newcomer("a", 1, None)), None);
        assert_eq!(state.hosts.keys().copied().collect::<Vec<_>>(), [HostId(1)]);
    }

    #[test]
    fn a_fence_device_is_known_by_what_set_it_up() {
        let mut state = ClusterState::default();
        let fence = |name: &str, settings: u8| {
            let settings = Arc::new(Secret(vec![settings]));
            register(Registration::Fence(FenceEntry { name: name.to_owned(), settings, set_up: LogIndex(0) }))
        };
        let mut apply = |index, command| {
            assert_eq!(state.apply(LogIndex(index), &command).refused, None);
            state.registry.fences.iter().map(|(id, entry)| (id.0, entry.set_up.0)).collect::<Vec<_>>()
        };
        assert_eq!(apply(1, fence("a", 1)), [(1, 1)]);
        assert_eq!(apply(2, fence("a", 1)), [(1, 1)]);
        assert_eq!(apply(3, fence("a", 2)), [(1, 3)]);
        assert_eq!(apply(4, register(Registration::RemoveFence(FenceId(1)))), []);
        assert_eq!(apply(5, fence("a", 1)), [(2, 5)]);
    }

    #[test]
    fn a_host_that_votes_stays() {
        let mut state = ClusterState::default();
        state.apply(LogIndex(1), &newcomer("a", 1, None));
        state.voters.insert(crate::core::ids::VoterId(1), HostId(0));
        let refused = state.apply(LogIndex(2), &register(Registration::RemoveHost(HostId(0)))).refused;
        assert_eq!(refused, Some(Refusal::Votes));
    }

    #[test]
    fn the_last_host_cannot_leave_and_who_leaves_may_stay() {
        let mut state = ClusterState::default();
        let mut apply = |index, command| state.apply(LogIndex(index), &command).refused;
        assert_eq!(apply(1, newcomer("a", 1, None)), None);
        assert_eq!(apply(2, register(Registration::Leave(HostId(0), true))), Some(Refusal::Votes));
        assert_eq!(apply(3, newcomer("b", 2, None)), None);
        assert_eq!(apply(4, register(Registration::Leave(HostId(0), true))), None);
        assert_eq!(apply(5, register(Registration::Leave(HostId(1), true))), Some(Refusal::Votes));
        assert_eq!(apply(6, register(Registration::Leave(HostId(0), false))), None);
        assert_eq!(apply(7, register(Registration::Leave(HostId(0), false))), Some(Refusal::NothingToDo));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret(vec![1, 2, 3])), "Secret");
    }
}
