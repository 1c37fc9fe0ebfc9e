//! Messages that no correct peer sends, and stores that were tampered with.

use super::*;
use crate::core::ids::LogIndex;
use cluster::Random;
use raft::eraftpb;

#[test]
fn a_store_that_was_rolled_back_is_found_out() {
    for seed in 0..20 {
        let mut cluster = led(seed, 3, CALM);
        let leader = cluster.leader().unwrap();
        let victim = VoterId(leader.0 % 3 + 1);
        cluster.run(SECOND);
        let old = cluster.nodes[&victim].image.clone();
        for _ in 0..5 {
            cluster.with(leader, |election, _| election.propose(b"x".to_vec())).unwrap().unwrap();
            cluster.run(20_000);
        }
        cluster.crash(victim);
        cluster.nodes.get_mut(&victim).unwrap().image = old;
        cluster.start(victim);
        assert!(cluster.run_until(SECOND, |cluster| cluster.nodes[&victim].behind), "seed {seed}");
        cluster.run(SECOND);
        assert!(cluster.nodes[&victim].image.restored_from_backup, "it would come back as its old self");
        assert_eq!(cluster.leader(), Some(leader));
        cluster.crash(victim);
        cluster.start(victim);
        assert!(cluster.nodes[&victim].running.is_none());
    }
}

#[test]
fn entries_that_were_acknowledged_but_not_committed_are_missed_too() {
    let cluster = led(4, 3, CALM);
    let leader = cluster.leader().unwrap();
    let victim = VoterId(leader.0 % 3 + 1);
    let mut image = cluster.nodes[&victim].image.clone();
    image.entries.pop();
    image.ballot.commit = image.last_index().min(image.ballot.commit);
    let heartbeat = eraftpb::Message {
        msg_type: MessageType::MsgHeartbeat,
        from: leader.0,
        to: victim.0,
        term: image.term(),
        index: image.last_index().0 + 1,
        ..eraftpb::Message::default()
    };
    let mut election = Election::start(Instant::ZERO, image, Settings::new(&Timing::of(Profile::Lan), 0)).unwrap();
    election.step(Instant::ZERO, leader, Message(heartbeat));
    let output = election.drain(Instant::ZERO);
    assert!(output.behind.is_some() && output.persist.is_some_and(|batch| batch.disqualified));
}

/// Any message of a higher term makes the library forget the leader, and with it that it must not vote yet.
#[test]
fn a_message_of_a_higher_term_does_not_end_the_promise() {
    for wait in [0, 300_000, 580_000, 700_000] {
        let mut cluster = led(5, 3, CALM);
        let leader = cluster.leader().unwrap();
        let (voter, other) = (VoterId(leader.0 % 3 + 1), VoterId((leader.0 + 1) % 3 + 1));
        cluster.run(SECOND);
        let image = cluster.nodes[&voter].image.clone();
        let message = |msg_type| eraftpb::Message {
            msg_type,
            from: other.0,
            to: voter.0,
            term: image.term() + 1,
            ..eraftpb::Message::default()
        };
        let asks = eraftpb::Message {
            index: image.last_index().0,
            log_term: image.last_term(),
            ..message(MessageType::MsgRequestVote)
        };
        cluster.crash(leader);
        cluster.crash(other);
        cluster.with(voter, |e, now| e.step(now, other, Message(message(MessageType::MsgAppendResponse))));
        assert_eq!(cluster.election(voter).term(), image.term() + 1);
        cluster.run(wait);
        cluster.with(voter, |e, now| e.step(now, other, Message(asks)));
        cluster.run(20_000);
        let voted = cluster.nodes[&voter].image.ballot.vote == Some(other);
        assert_eq!(voted, wait > 600_000, "after {wait} µs");
    }
}

/// A lone voter wins in the moment it stands, and the library panics over winning with unsynced entries.
#[test]
fn a_lone_voter_with_a_stuck_disk_waits_with_standing() {
    let image = StoreImage::bootstrap(VoterId(1), &[VoterId(1)], Vec::new());
    let mut now = Instant::ZERO;
    let mut election = Election::start(now, image, Settings::new(&Timing::of(Profile::Lan), 0)).unwrap();
    let mut stuck = None;
    while stuck.is_none() {
        now = election.next_deadline();
        election.wake(now);
        while let Some(batch) = election.drain(now).persist {
            election.persisted(now, batch.ticket);
        }
        if election.ready_to_lead() {
            election.propose(b"x".to_vec()).unwrap();
            stuck = election.drain(now).persist;
        }
    }
    let stranger = eraftpb::Message {
        msg_type: MessageType::MsgHeartbeat,
        from: 9,
        to: 1,
        term: election.term() + 1,
        ..eraftpb::Message::default()
    };
    election.step(now, VoterId(9), Message(stranger));
    for _ in 0..100 {
        now = election.next_deadline();
        election.wake(now);
        assert!(election.drain(now).messages.is_empty() && !election.is_leader());
    }
    let mut due = stuck;
    while !election.ready_to_lead() {
        if let Some(batch) = due.take() {
            election.persisted(now, batch.ticket);
        } else {
            now = election.next_deadline();
            election.wake(now);
        }
        due = election.drain(now).persist;
    }
}

#[test]
fn a_store_from_a_backup_or_with_a_hole_is_not_started() {
    let settings = Settings::new(&Timing::of(Profile::Lan), 0);
    let sound = StoreImage::bootstrap(VoterId(1), &[VoterId(1)], Vec::new());
    let restored = StoreImage { restored_from_backup: true, ..sound.clone() };
    let error = Election::start(Instant::ZERO, restored, settings.clone()).err();
    assert!(matches!(error, Some(ElectionError::RestoredFromBackup { .. })));
    let mut holed = sound;
    holed.entries.push(StoredEntry { index: LogIndex(9), term: 1, payload: Payload::Data(Vec::new()) });
    let error = Election::start(Instant::ZERO, holed, settings).err();
    assert!(matches!(error, Some(ElectionError::Damaged { .. })));
}

/// Whatever a peer sends, the library must not panic. Numbers stay small so that they often nearly fit.
#[test]
fn no_message_panics() {
    for seed in 0..60 {
        let mut cluster = led(seed, 3, CALM);
        let leader = cluster.leader().unwrap();
        let mut random = Random(seed);
        for _ in 0..150 {
            let to = VoterId(1 + random.below(3));
            let message = nonsense(&mut random, to);
            let from = VoterId(message.from);
            let _ = cluster.with(to, |election, now| election.step(now, from, Message(message)));
            if random.percent(20) {
                let _ = cluster.with(leader, |election, _| election.propose(b"x".to_vec()));
            }
            for node in cluster.nodes.values_mut() {
                node.behind = false;
            }
            step_without_checks(&mut cluster, to);
        }
    }
}

/// Forged messages may break agreement, which the cluster would notice; here only panics of the library count.
fn step_without_checks(cluster: &mut Cluster, id: VoterId) {
    let now = cluster.local(id);
    if let Some(election) = cluster.nodes.get_mut(&id).and_then(|node| node.running.as_mut()) {
        while let Some(batch) = election.drain(now).persist {
            election.persisted(now, batch.ticket);
        }
        election.wake(now);
    }
}

fn nonsense(random: &mut Random, to: VoterId) -> eraftpb::Message {
    let kinds = [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgTransferLeader,
        MessageType::MsgTimeoutNow,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
        MessageType::MsgPropose,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
    ];
    let number = |random: &mut Random| match random.below(20) {
        0 => u64::MAX,
        1 => 1 << 40,
        _ => random.below(6),
    };
    let index = number(random);
    let term = 2 + random.below(3);
    let entries = (0..random.below(3)).map(|n| eraftpb::Entry {
        index: index.saturating_add(1 + n + u64::from(random.percent(10))),
        term: random.below(4),
        entry_type: if random.percent(20) { EntryType::EntryConfChangeV2 } else { EntryType::EntryNormal },
        context: MemberChange::Remove(VoterId(random.below(4))).to_bytes().into(),
        ..eraftpb::Entry::default()
    });
    let entries: Vec<_> = entries.collect();
    let some = |random: &mut Random| (0..random.below(4)).map(|_| VoterId(random.below(5))).collect::<Vec<_>>();
    let members =
        Members { voters: some(random), learners: some(random), voters_outgoing: some(random), ..Members::default() };
    let snapshot = StoredSnapshot { index: LogIndex(number(random)), term: random.below(4), members, data: Vec::new() };
    eraftpb::Message {
        msg_type: kinds[usize::try_from(random.below(kinds.len() as u64)).unwrap()],
        to: to.0,
        from: 1 + random.below(4),
        term: if random.percent(10) { 0 } else { term },
        log_term: number(random),
        index,
        entries: entries.into(),
        commit: number(random),
        commit_term: number(random),
        snapshot: Some(message::raft_snapshot(snapshot)).into(),
        reject: random.percent(30),
        reject_hint: number(random),
        context: if random.percent(20) { vec![1; 8].into() } else { Vec::new().into() },
        request_snapshot: if random.percent(10) { 3 } else { 0 },
        ..eraftpb::Message::default()
    }
}

#[test]
fn messages_survive_the_wire() {
    let mut random = Random(9);
    for _ in 0..300 {
        let mut raw = nonsense(&mut random, VoterId(1));
        let message = Message(raw.clone());
        let is_sound = message::stored_snapshot(raw.get_snapshot()).members.is_sound();
        match postcard::to_allocvec(&message) {
            Ok(bytes) if !is_sound => assert!(postcard::from_bytes::<Message>(&bytes).is_err()),
            Ok(bytes) => {
                let back: Message = postcard::from_bytes(&bytes).unwrap();
                raw.request_snapshot = 0;
                for entry in raw.entries.iter_mut().filter(|entry| entry.entry_type == EntryType::EntryNormal) {
                    entry.context = Vec::new().into();
                }
                let sorted = message::stored_snapshot(raw.get_snapshot());
                raw.snapshot = Some(message::raft_snapshot(sorted)).into();
                assert_eq!(back, Message(raw));
            }
            Err(_) => assert!(matches!(
                raw.msg_type,
                MessageType::MsgTransferLeader
                    | MessageType::MsgTimeoutNow
                    | MessageType::MsgReadIndex
                    | MessageType::MsgReadIndexResp
                    | MessageType::MsgPropose
            )),
        }
    }
}
