//! A cluster in virtual time: delays, losses, crashes that lose what was not synced, and clocks of different rates.

use crate::core::ids::{LogIndex, VoterId};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use crate::election::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        pace::mix([self.0, 0x5eed, 0, 0])
    }
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

pub struct Node {
    pub image: StoreImage,
    pub running: Option<Election>,
    life: u64,
    offset: u64,
    ppm: i64,
    unsynced: Option<StoreBatch>,
    /// What the node has applied in this life.
    pub applied: LogIndex,
    pub behind: bool,
    wake_at: u64,
}

enum Event {
    Wake(VoterId, u64),
    Deliver(VoterId, VoterId, Message),
    Synced(VoterId, u64, StoreBatch),
    Start(VoterId, u64),
}

pub struct Faults {
    pub loss_percent: u64,
    pub delay_max: u64,
    pub disk_max: u64,
    pub ppm: i64,
}

pub const CALM: Faults = Faults { loss_percent: 0, delay_max: 1_000, disk_max: 1_000, ppm: 0 };
pub const ROUGH: Faults = Faults { loss_percent: 3, delay_max: 8_000, disk_max: 12_000, ppm: 500 };

pub struct Cluster {
    pub timing: Timing,
    pub now: u64,
    pub nodes: BTreeMap<VoterId, Node>,
    pub random: Random,
    pub faults: Faults,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    payloads: BTreeMap<u64, Event>,
    sequence: u64,
    pub cut: Vec<(VoterId, VoterId)>,
    /// Who led each term, and since when.
    pub leaders: BTreeMap<u64, (VoterId, u64)>,
    pub log: BTreeMap<LogIndex, (u64, Vec<u8>)>,
    pub trace: Option<String>,
    pub compact_every: u64,
    /// Grants of votes that were seen to leave: when, by whom.
    pub votes_sent: Vec<(u64, VoterId)>,
    seed: u64,
    /// How many events have happened.
    pub steps: u64,
}

impl Cluster {
    pub fn new(seed: u64, voters: u64, timing: Timing, faults: Faults) -> Self {
        let ids: Vec<VoterId> = (1..=voters).map(VoterId).collect();
        let mut cluster = Cluster {
            timing,
            now: 0,
            nodes: BTreeMap::new(),
            random: Random(seed << 20),
            faults,
            events: BinaryHeap::new(),
            payloads: BTreeMap::new(),
            sequence: 0,
            cut: Vec::new(),
            leaders: BTreeMap::new(),
            log: BTreeMap::new(),
            trace: None,
            compact_every: u64::MAX,
            votes_sent: Vec::new(),
            seed,
            steps: 0,
        };
        for id in &ids {
            cluster.add(StoreImage::bootstrap(*id, &ids, b"genesis".to_vec()));
        }
        cluster
    }

    pub fn add(&mut self, image: StoreImage) {
        let id = image.voter;
        let ppm = self.faults.ppm;
        let ppm = if ppm == 0 { 0 } else { [-ppm, 0, ppm][usize::try_from(self.random.below(3)).unwrap()] };
        let offset = self.random.below(1_000_000_000);
        let node = Node {
            image,
            running: None,
            life: 0,
            offset,
            ppm,
            unsynced: None,
            applied: LogIndex(0),
            behind: false,
            wake_at: u64::MAX,
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    pub fn local(&self, id: VoterId) -> Instant {
        let node = &self.nodes[&id];
        let drift = i128::from(self.now) * i128::from(node.ppm) / 1_000_000;
        Instant::from_micros(node.offset + u64::try_from(i128::from(self.now) + drift).unwrap())
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence)));
        self.payloads.insert(self.sequence, event);
    }

    pub fn start(&mut self, id: VoterId) {
        let (now, settings) = (self.local(id), Settings::new(&self.timing, self.seed));
        let node = self.nodes.get_mut(&id).unwrap();
        let Ok(election) = Election::start(now, node.image.clone(), settings) else {
            assert!(node.image.restored_from_backup, "{:?}", node.image.damage());
            return;
        };
        node.running = Some(election);
        node.life += 1;
        node.applied = node.image.snapshot.index;
        node.wake_at = u64::MAX;
        self.after(id);
    }

    /// The process dies. A batch that was not reported as synced is there as a whole or not at all.
    pub fn crash(&mut self, id: VoterId) {
        let kept = self.random.percent(50);
        let node = self.nodes.get_mut(&id).unwrap();
        node.running = None;
        node.life += 1;
        if let Some(batch) = node.unsynced.take().filter(|_| kept) {
            node.image.apply(&batch);
        }
    }

    pub fn start_later(&mut self, id: VoterId, delay: u64) {
        let life = self.nodes[&id].life;
        self.push(self.now + delay, Event::Start(id, life));
    }

    pub fn with<T>(&mut self, id: VoterId, act: impl FnOnce(&mut Election, Instant) -> T) -> Option<T> {
        let now = self.local(id);
        let result = act(self.nodes.get_mut(&id)?.running.as_mut()?, now);
        self.after(id);
        Some(result)
    }

    pub fn election(&self, id: VoterId) -> &Election {
        self.nodes[&id].running.as_ref().unwrap()
    }

    /// The leader of the latest term that still runs and leads.
    pub fn leader(&self) -> Option<VoterId> {
        let leading = self.nodes.iter().filter_map(|(id, node)| Some((id, node.running.as_ref()?)));
        leading.filter(|(_, e)| e.is_leader()).max_by_key(|(_, e)| e.term()).map(|(id, _)| *id)
    }

    /// Runs until that time, or until there is nothing more.
    pub fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while let Some(Reverse((at, _))) = self.events.peek() {
            if *at > end {
                break;
            }
            self.one();
        }
        self.now = end;
    }

    pub fn run_until(&mut self, limit: u64, done: impl Fn(&Cluster) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.one();
        }
        false
    }

    fn one(&mut self) {
        let Some(Reverse((at, sequence))) = self.events.pop() else { return };
        self.now = self.now.max(at);
        self.steps += 1;
        match self.payloads.remove(&sequence).unwrap() {
            Event::Wake(id, life) => {
                if self.nodes[&id].life == life && self.nodes[&id].wake_at == at {
                    self.nodes.get_mut(&id).unwrap().wake_at = u64::MAX;
                    self.with(id, |election, now| election.wake(now));
                }
            }
            Event::Deliver(from, to, message) => {
                if !self.cut.contains(&(from, to)) {
                    self.with(to, |election, now| election.step(now, from, message));
                }
            }
            Event::Synced(id, life, batch) => {
                let node = self.nodes.get_mut(&id).unwrap();
                if node.life == life {
                    node.image.apply(&batch);
                    assert_eq!(node.image.damage(), None);
                    node.unsynced = None;
                    self.with(id, |election, now| election.persisted(now, batch.ticket));
                }
            }
            Event::Start(id, life) => {
                if self.nodes[&id].life == life && self.nodes[&id].running.is_none() {
                    self.start(id);
                }
            }
        }
    }

    /// Carries out what an election wants done, and checks what must always hold.
    fn after(&mut self, id: VoterId) {
        let now = self.local(id);
        let Some(election) = self.nodes.get_mut(&id).and_then(|node| node.running.as_mut()) else { return };
        let output = election.drain(now);
        if let Some(trace) = self.trace.as_mut().filter(|_| !output.is_empty()) {
            writeln!(trace, "{} {id} {output:?}", self.now).unwrap();
        }
        let life = self.nodes[&id].life;
        if let Some(batch) = output.persist {
            self.nodes.get_mut(&id).unwrap().unsynced = Some(batch.clone());
            let delay = 1 + self.random.below(self.faults.disk_max);
            self.push(self.now + delay, Event::Synced(id, life, batch));
        }
        for (to, message) in output.messages {
            if message.is_granted_vote() {
                self.votes_sent.push((self.now, id));
            }
            let slow = if self.random.percent(1) { 30 } else { 1 };
            let delay = 100 + self.random.below(self.faults.delay_max) * slow;
            if !self.random.percent(self.faults.loss_percent) && self.nodes.contains_key(&to) {
                if self.random.percent(self.faults.loss_percent) {
                    self.push(self.now + 2 * delay, Event::Deliver(id, to, message.clone()));
                }
                self.push(self.now + delay, Event::Deliver(id, to, message));
            }
        }
        self.apply(id, output.install, output.committed, output.snapshot_wanted);
        self.nodes.get_mut(&id).unwrap().behind |= output.behind.is_some();
        self.check_leaders(id);
        self.plan_wake(id);
    }

    fn apply(&mut self, id: VoterId, install: Option<Install>, committed: Vec<Committed>, wanted: bool) {
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(install) = install {
            assert!(install.index > node.applied, "a snapshot goes back");
            node.applied = install.index;
        }
        for entry in committed {
            assert_eq!(entry.index.0, node.applied.0 + 1, "{id}: a hole in what is applied");
            node.applied = entry.index;
            let known = self.log.entry(entry.index).or_insert((entry.term, entry.data.clone()));
            assert_eq!(
                *known,
                (entry.term, entry.data),
                "two voters have applied different entries at {}",
                entry.index
            );
        }
        let election = node.running.as_mut().unwrap();
        if wanted || node.applied.0 >= election.snapshot_index().0.saturating_add(self.compact_every) {
            election.compact(node.applied, format!("state at {}", node.applied).into_bytes());
        }
    }

    /// One leader for each term; and from the moment at which a leader wins, no earlier one holds a quorum round
    /// younger than q by its own clock.
    fn check_leaders(&mut self, id: VoterId) {
        let election = self.election(id);
        if !election.is_leader() {
            return;
        }
        let (term, now) = (election.term(), self.now);
        let (leader, _) = *self.leaders.entry(term).or_insert((id, now));
        assert_eq!(leader, id, "two leaders of term {term}");
        let newest = self.leaders.keys().next_back().copied().unwrap();
        for (other, node) in &self.nodes {
            let Some(election) = &node.running else { continue };
            let Some(proven) = election.quorum_at().filter(|_| election.term() < newest) else { continue };
            let age = self.local(*other) - proven;
            assert!(age > self.timing.quorum, "{other} of term {} holds a round {age:?} old", election.term());
        }
    }

    fn plan_wake(&mut self, id: VoterId) {
        let node = &self.nodes[&id];
        let deadline = node.running.as_ref().unwrap().next_deadline();
        if deadline == Instant::NEVER {
            return;
        }
        let wait = u64::try_from((deadline - self.local(id)).as_micros()).unwrap();
        let wait = wait + wait * node.ppm.unsigned_abs() / 1_000_000 + u64::from(wait > 0);
        let (at, life) = (self.now + wait, node.life);
        if node.wake_at > at {
            self.nodes.get_mut(&id).unwrap().wake_at = at;
            self.push(at, Event::Wake(id, life));
        }
    }
}
