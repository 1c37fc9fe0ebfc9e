//! Random batches do the same to the tables as to an image; what would make an unsound store is refused.

use super::*;
use crate::core::ids::Ticket;
use crate::election::{Members, SnapshotWrite, StoredSnapshot};
use crate::store::WriteErrorKind;
use proptest::prelude::*;
use tempfile::TempDir;

/// What an election may want written, or never would; numbers are taken relative to the store as it is.
#[derive(Debug, Clone)]
enum Move {
    /// Entries after so many of the last ones are dropped, in a term so much later.
    Entries {
        dropped: u64,
        count: u64,
        later: u64,
    },
    /// The log up to some place goes.
    Compact {
        snapshot: u64,
        base: u64,
        entries: u64,
    },
    /// A leader's snapshot so far ahead.
    Install {
        ahead: u64,
        entries: u64,
    },
    /// A vote in the term before, in this one or in a later one.
    Vote {
        later: u64,
        vote: u64,
        commit: u64,
    },
    /// Any numbers at all.
    Wild {
        first: u64,
        term: u64,
        count: u64,
        base: u64,
        ballot: Option<(u64, u64, u64)>,
    },
    Disqualify,
    Reopen,
    NewVoter(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..4u64, 0..6u64, 0..2u64).prop_map(|(dropped, count, later)| Move::Entries { dropped, count, later }),
        2 => (0..9u64, 0..9u64, 0..3u64).prop_map(|(snapshot, base, entries)| Move::Compact { snapshot, base, entries }),
        1 => (1..9u64, 0..3u64).prop_map(|(ahead, entries)| Move::Install { ahead, entries }),
        2 => (0..4u64, 0..4u64, 0..3u64).prop_map(|(later, vote, commit)| Move::Vote { later, vote, commit }),
        2 => (0..30u64, 0..5u64, 0..5u64, 0..30u64, prop::option::of((0..6u64, 0..4u64, 0..30u64)))
            .prop_map(|(first, term, count, base, ballot)| Move::Wild { first, term, count, base, ballot }),
        1 => Just(Move::Disqualify),
        1 => Just(Move::Reopen),
        1 => (0..4u64).prop_map(Move::NewVoter),
    ]
}

fn entries(first: u64, count: u64, term: u64) -> Vec<StoredEntry> {
    let payload = |index: u64| match index % 3 {
        0 => Payload::Data(Vec::new()),
        1 => Payload::LeaveJoint,
        _ => Payload::Data(vec![u8::try_from(index % 200).unwrap_or(0); 40]),
    };
    (first..first + count).map(|index| StoredEntry { index: LogIndex(index), term, payload: payload(index) }).collect()
}

fn snapshot(index: u64, term: u64) -> StoredSnapshot {
    let members = Members { voters: vec![VoterId(1), VoterId(2)], ..Members::default() };
    StoredSnapshot { index: LogIndex(index), term, members, data: vec![3; 20] }
}

fn term_at(image: &StoreImage, index: u64) -> u64 {
    image.entries.iter().find(|entry| entry.index.0 == index).map_or(image.base_term, |entry| entry.term)
}

/// The batch of a move upon this store.
fn batch_of(image: &StoreImage, wanted: &Move) -> StoreBatch {
    let last = image.last_index().0;
    let ballot = image.ballot;
    let mut batch = StoreBatch {
        voter: image.voter,
        ticket: Ticket(last),
        snapshots: Vec::new(),
        entries: Vec::new(),
        ballot: None,
        disqualified: false,
    };
    match *wanted {
        Move::Entries { dropped, count, later } => {
            let term = ballot.term + later;
            batch.entries = entries(last.saturating_sub(dropped) + 1, count, term);
            batch.ballot = (later > 0).then_some(Ballot { term, vote: None, ..ballot });
        }
        Move::Compact { snapshot: at, base, entries: count } => {
            let index = (image.base_index.0 + at).min(ballot.commit.0);
            let base = (image.base_index.0 + base).min(index);
            batch.snapshots.push(SnapshotWrite::Compact {
                snapshot: snapshot(index, term_at(image, index)),
                base_index: LogIndex(base),
                base_term: term_at(image, base),
            });
            batch.entries = entries(last + 1, count, ballot.term);
        }
        Move::Install { ahead, entries: count } => {
            batch.snapshots.push(SnapshotWrite::Install(snapshot(last + ahead, ballot.term)));
            batch.entries = entries(last + ahead + 1, count, ballot.term);
            batch.ballot = Some(Ballot { commit: LogIndex(last + ahead), ..ballot });
        }
        Move::Vote { later, vote, commit } => {
            let vote = (vote > 0).then_some(VoterId(vote));
            let commit = LogIndex((ballot.commit.0 + commit).min(last));
            batch.ballot = Some(Ballot { term: (ballot.term + later).saturating_sub(1), vote, commit });
        }
        Move::Wild { first, term, count, base, ballot } => {
            if base % 2 == 0 {
                let (base_index, base_term) = (LogIndex(base), term);
                batch.snapshots.push(SnapshotWrite::Compact { snapshot: snapshot(first, term), base_index, base_term });
            }
            batch.entries = entries(first, count, term);
            batch.ballot = ballot.map(|(term, vote, commit)| Ballot {
                term,
                vote: (vote > 0).then_some(VoterId(vote)),
                commit: LogIndex(commit),
            });
        }
        Move::Disqualify => batch.disqualified = true,
        Move::Reopen | Move::NewVoter(_) => {}
    }
    batch
}

fn keeps_its_vote(before: Ballot, after: Ballot) -> bool {
    after.term > before.term || (after.term == before.term && (before.vote.is_none() || after.vote == before.vote))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_and_image_stay_equal(moves in prop::collection::vec(moves(), 1..40)) {
        let folder = TempDir::new().expect("a folder");
        let mut opened = open(folder.path());
        let mut image = bootstrap();
        written(&opened.store, new_voter());
        for wanted in &moves {
            match wanted {
                Move::Reopen => {
                    drop(opened);
                    opened = open(folder.path());
                    prop_assert_eq!(opened.voter.as_ref(), Some(&image));
                    continue;
                }
                Move::NewVoter(voter) => {
                    let new = StoreImage::learner(VoterId(*voter));
                    let result = write(&opened.store, Operation::NewVoter(Box::new(new.clone())));
                    prop_assert_eq!(result.is_ok(), *voter > 0);
                    if result.is_ok() {
                        image = new;
                    }
                }
                wanted => {
                    let batch = batch_of(&image, wanted);
                    let mut next = image.clone();
                    next.apply(&batch);
                    let is_sound = next.damage().is_none() && keeps_its_vote(image.ballot, next.ballot);
                    match write(&opened.store, Operation::Batch(Box::new(batch.clone()))) {
                        Ok(()) => {
                            prop_assert!(is_sound, "{:?} makes an unsound store: {:?}", batch, next.damage());
                            image = next;
                        }
                        Err(error) => {
                            prop_assert!(!is_sound, "{:?}: {}", batch, error);
                            prop_assert_eq!(error.kind, WriteErrorKind::Other);
                        }
                    }
                }
            }
            prop_assert_eq!(reload(&opened.store), Some(image.clone()));
        }
    }
}
