//! Channels: by which people and programs are told of what stands in the ledger, and how far each has been told.
//!
//! How far is part of the replicated state, so that a new master goes on where the last one stopped. It only ever moves
//! forward; what a master has sent and not yet committed, its successor sends once more, under the same name.

use super::{ClusterState, Secret};
use crate::core::ids::{FactKey, LogIndex};
use crate::core::reason::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many channels are kept at most.
pub const MOST_CHANNELS: usize = 64;

/// How much something matters to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It took care of itself, or is to be looked at soon.
    #[default]
    Warning,
    /// A person is needed now.
    Critical,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// What it is told, and how.
    pub setup: ChannelSetup,
    /// The last entry of the log by which a person changed it.
    pub changed: LogIndex,
    /// Whether it is told nothing for now; what happens meanwhile it is told later.
    pub paused: bool,
    /// The last fact that it was told, or that was not for it.
    pub told: FactKey,
    /// How many facts it has refused for good.
    pub refused: u64,
    /// How many of them since it last took one.
    pub refused_in_a_row: u64,
}

/// What a channel is told, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSetup {
    /// Facts that matter less are not for it.
    pub least: Severity,
    /// Only facts of these kinds are for it; none named: all.
    pub kinds: BTreeSet<String>,
    /// How it is reached: opaque here, for it holds passwords and belongs to the adapter.
    pub target: Arc<Secret>,
}

/// What a person does with a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelChange {
    /// It is made, and told what happens from then on; or it is set up anew, and goes on where it was.
    SetUp(ChannelSetup),
    /// It is told nothing for now.
    Pause,
    /// It is told again, what happened meanwhile first.
    Resume,
    /// What it has not been told yet it is not told any more.
    Skip,
    /// It goes.
    Remove,
}

/// What became of facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Telling {
    /// The channel took them.
    Told,
    /// They were not for it.
    Passed,
    /// It refused them again and again, with these words, and is not asked any more.
    Refused(String),
}

impl Channel {
    fn new(setup: ChannelSetup, told: FactKey) -> Channel {
        Channel { setup, changed: told.index, paused: false, told, refused: 0, refused_in_a_row: 0 }
    }
}

impl ClusterState {
    /// The place behind all facts that there are.
    fn end_of_facts(&self) -> FactKey {
        FactKey { generation: self.generation.0, index: self.applied, part: u32::MAX }
    }

    pub(super) fn change_channel(&mut self, name: &str, change: &ChannelChange) -> Result<(), Refusal> {
        let end = self.end_of_facts();
        let channels = &mut self.registry.channels;
        match change {
            ChannelChange::SetUp(setup) => {
                if !channels.contains_key(name) && channels.len() >= MOST_CHANNELS {
                    return Err(Refusal::InUse);
                }
                let new = Channel::new(setup.clone(), end);
                let channel = channels.entry(name.to_owned()).or_insert(new);
                (channel.setup, channel.changed) = (setup.clone(), self.applied);
                channel.refused_in_a_row = 0;
            }
            ChannelChange::Remove => drop(channels.remove(name).ok_or(Refusal::NoSuchThing)?),
            change => {
                let channel = channels.get_mut(name).ok_or(Refusal::NoSuchThing)?;
                let pause = *change == ChannelChange::Pause;
                match change {
                    ChannelChange::Skip => channel.told = end,
                    _ if channel.paused == pause => return Err(Refusal::NothingToDo),
                    _ => channel.paused = pause,
                }
                channel.changed = end.index;
            }
        }
        self.registry.channels_changed = self.applied;
        Ok(())
    }

    pub(super) fn notified(&mut self, name: &str, upto: FactKey, telling: &Telling) -> Result<(), Refusal> {
        let end = self.end_of_facts();
        let channel = self.registry.channels.get_mut(name).ok_or(Refusal::NoSuchThing)?;
        if upto <= channel.told || upto > end {
            return Err(Refusal::NothingToDo);
        }
        channel.told = upto;
        match telling {
            Telling::Told => channel.refused_in_a_row = 0,
            Telling::Passed => {}
            Telling::Refused(_) => {
                channel.refused += 1;
                channel.refused_in_a_row += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::Command;
    use crate::core::state::Registration;

    fn setup(target: u8) -> ChannelChange {
        let target = Arc::new(Secret(vec![target]));
        ChannelChange::SetUp(ChannelSetup { least: Severity::Warning, kinds: BTreeSet::new(), target })
    }

    fn change(name: &str, change: ChannelChange) -> Command {
        Command::Register(Box::new(Registration::Channel(name.to_owned(), change)))
    }

    fn notified(name: &str, index: u64, telling: Telling) -> Command {
        let upto = FactKey { generation: 0, index: LogIndex(index), part: 0 };
        Command::Notified { channel: name.to_owned(), upto, telling }
    }

    /// Applies commands, one after the other from this index on, and gives what refused each.
    fn apply(state: &mut ClusterState, first: u64, commands: &[Command]) -> Vec<Option<Refusal>> {
        let indexes = (first..).map(LogIndex);
        indexes.zip(commands).map(|(index, command)| state.apply(index, command).refused).collect()
    }

    #[test]
    fn a_channel_begins_at_the_end_and_is_told_forward_only() {
        let mut state = ClusterState::default();
        assert_eq!(apply(&mut state, 10, &[change("a", setup(1))]), [None]);
        assert_eq!(state.registry.channels["a"].told.index, LogIndex(10));
        let told = |index| notified("a", index, Telling::Told);
        let refused = apply(&mut state, 20, &[told(10), told(15), told(15), told(14), told(16), told(99)]);
        let nothing = Some(Refusal::NothingToDo);
        assert_eq!(
            refused,
            [nothing, None, nothing, nothing, None, nothing],
            "back, again, or past the end is nothing"
        );
        assert_eq!(state.registry.channels["a"].told.index, LogIndex(16));
        let stranger = apply(&mut state, 30, &[notified("b", 16, Telling::Told), change("b", ChannelChange::Pause)]);
        assert_eq!(stranger, [Some(Refusal::NoSuchThing); 2]);
    }

    #[test]
    fn one_that_is_set_up_anew_goes_on_and_one_that_is_made_anew_begins_anew() {
        let mut state = ClusterState::default();
        apply(&mut state, 1, &[change("a", setup(1)), change("a", setup(2))]);
        let channel = &state.registry.channels["a"];
        assert_eq!((channel.told.index, channel.changed), (LogIndex(1), LogIndex(2)));
        assert_eq!(channel.setup.target.0, [2]);
        apply(&mut state, 3, &[change("a", ChannelChange::Remove), change("a", setup(1))]);
        // What the last master has still under way for the old one means nothing to the new one.
        assert_eq!(apply(&mut state, 5, &[notified("a", 2, Telling::Told)]), [Some(Refusal::NothingToDo)]);
        assert_eq!(state.registry.channels["a"].told.index, LogIndex(4));
        assert_eq!(state.registry.channels_changed, LogIndex(4));
    }

    #[test]
    fn a_pause_keeps_the_place_and_a_skip_leaves_it() {
        let mut state = ClusterState::default();
        let refused = apply(
            &mut state,
            1,
            &[
                change("a", setup(1)),
                change("a", ChannelChange::Resume),
                change("a", ChannelChange::Pause),
                change("a", ChannelChange::Pause),
                change("a", ChannelChange::Resume),
            ],
        );
        let nothing = Some(Refusal::NothingToDo);
        assert_eq!(refused, [None, nothing, None, nothing, None]);
        assert_eq!(state.registry.channels["a"].told.index, LogIndex(1));
        apply(&mut state, 9, &[change("a", ChannelChange::Skip)]);
        assert_eq!(state.registry.channels["a"].told.index, LogIndex(9));
    }

    #[test]
    fn what_is_refused_is_counted_until_something_is_taken() {
        let mut state = ClusterState::default();
        apply(&mut state, 1, &[change("a", setup(1))]);
        let no = || Telling::Refused("no".to_owned());
        let tellings = [no(), no(), Telling::Passed, Telling::Told, no()];
        let counts = (10..).zip(tellings).map(|(index, telling)| {
            apply(&mut state, index, &[notified("a", index - 5, telling)]);
            let channel = &state.registry.channels["a"];
            (channel.refused, channel.refused_in_a_row)
        });
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 1), (2, 2), (2, 2), (2, 0), (3, 1)]);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut state = ClusterState::default();
        let all: Vec<Command> = (0..=MOST_CHANNELS).map(|number| change(&number.to_string(), setup(1))).collect();
        let refused = apply(&mut state, 1, &all);
        assert_eq!(refused.iter().flatten().collect::<Vec<_>>(), [&Refusal::InUse]);
    }
}
