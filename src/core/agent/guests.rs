//! What guests answer, on its way to the master.
//!
//! ```text
//!                 an answer                       two failures in a row
//!  not heard ──────────────────▶ told to answer ──────────────────────▶ told to be silent
//!      │                               ▲                                       │  ▲
//!      │  failures for a minute        └───────────── an answer ───────────────┘  │
//!      └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The master names the VMs whose guests are to be asked, and how. Only what changes is told, until the master says that
//! the log has it; a guest that comes and goes is told to have come back only after it has answered for a while. The
//! operating system of every guest is asked for too, seldom. Nothing here has any bearing on what runs where: who could
//! not be asked has said nothing, and a host that is silent says nothing of its guests.

use super::Agent;
use super::local::LocalPresence;
use crate::core::action::{Action, GuestAnswer};
use crate::core::ids::{Address, Authority, Epoch, Ticket, VmId};
use crate::core::message::{Asking, GuestReport, Message};
use crate::core::state::{GuestWord, SYSTEM_LENGTH, UpMeans};
use crate::core::time::Instant;
use crate::core::timing::Timing;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many guests are asked at once; each question takes a task, and maybe a process.
const AT_ONCE: usize = 16;
/// So many words are told at once.
const TOLD_AT_ONCE: usize = 8;

/// The guests of this host.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// The guests that the master wants asked, and how.
    wanted: BTreeMap<VmId, UpMeans>,
    /// By which word of which master.
    wanted_by: Option<(Authority, Ticket)>,
    tracks: BTreeMap<VmId, Track>,
    questions: BTreeMap<Ticket, Question>,
    /// What is not known to be in the log.
    pending: BTreeMap<(VmId, Topic), Pending>,
}

/// What a word is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Health,
    System,
}

/// A question under way.
#[derive(Debug)]
struct Question {
    vm: VmId,
    epoch: Epoch,
    asked: Instant,
    up: UpMeans,
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    epoch: Epoch,
    word: Word,
    /// When it was told last.
    told: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Whether it answers, and since when.
    Answers(bool, Instant),
    System(String),
}

/// What is known of one guest in its present run.
#[derive(Debug)]
struct Track {
    epoch: Epoch,
    up: UpMeans,
    /// Since when it is asked.
    since: Instant,
    /// When to ask next whether it answers; never, while that is being asked.
    next: Instant,
    /// When to ask next for its operating system.
    next_system: Instant,
    system: Option<String>,
    /// When it was asked what it has answered last.
    last_sign: Option<Instant>,
    /// Since when every question was answered.
    answers_since: Option<Instant>,
    /// Since when none was, and how many.
    fails_since: Option<Instant>,
    failures: u32,
    /// What was told of it.
    told: Option<bool>,
    /// When it was told last that it answers again.
    came_back: Option<Instant>,
}

impl Track {
    fn new(now: Instant, epoch: Epoch, up: UpMeans, timing: &Timing) -> Track {
        Track {
            epoch,
            next: if up.asks() { now } else { Instant::NEVER },
            up,
            since: now,
            next_system: now + timing.ask_interval,
            system: None,
            last_sign: None,
            answers_since: None,
            fails_since: None,
            failures: 0,
            told: None,
            came_back: None,
        }
    }

    /// Takes in whether a question that was asked then was answered; whether that is to be told, and since when it is so.
    fn heard(&mut self, now: Instant, asked: Instant, answers: bool, timing: &Timing) -> Option<(bool, Instant)> {
        let news = if answers { self.answered(now, asked, timing) } else { self.failed(now, asked, timing) };
        if let Some((answers, _)) = news {
            if answers && self.told == Some(false) {
                self.came_back = Some(now);
            }
            self.told = Some(answers);
        }
        news
    }

    fn answered(&mut self, now: Instant, asked: Instant, timing: &Timing) -> Option<(bool, Instant)> {
        self.failures = 0;
        self.fails_since = None;
        self.last_sign = Some(asked);
        let since = *self.answers_since.get_or_insert(now);
        // Else one that comes and goes all the time would fill the log.
        let is_unsteady = self.came_back.is_some_and(|back| now.since(back) < timing.guest_unsteady);
        let steady = if is_unsteady { timing.guest_steady } else { Duration::ZERO };
        (self.told != Some(true) && now.since(since) >= steady).then_some((true, since))
    }

    fn failed(&mut self, now: Instant, asked: Instant, timing: &Timing) -> Option<(bool, Instant)> {
        self.failures = self.failures.saturating_add(1);
        self.answers_since = None;
        let since = *self.fails_since.get_or_insert(asked);
        // One that has never answered may still be on its way up.
        let patience = if self.last_sign.is_some() { Duration::ZERO } else { timing.guest_patience };
        let is_silent = self.failures >= 2 && now.since(since) >= patience;
        (self.told != Some(false) && is_silent).then_some((false, self.last_sign.unwrap_or(since)))
    }

    /// How long after a question the next one comes, and how long an answer may take. When a guest that comes up is ready
    /// is to be known soon.
    fn pace(&self, now: Instant, timing: &Timing) -> (Duration, Duration) {
        let comes_up = self.last_sign.is_none() && now.since(self.since) < timing.guest_patience;
        if comes_up { (timing.ask_soon, timing.ask_soon * 2) } else { (timing.ask_interval, timing.ask_deadline) }
    }
}

impl Agent {
    /// The master names the guests to be asked, all of them.
    pub(super) fn asking_told(&mut self, from: Address, asking: Asking, actions: &mut Vec<Action>) {
        if !self.accepts(asking.authority, asking.incarnation, actions) {
            return;
        }
        let word = Some((asking.authority, asking.ticket));
        if self.guests.wanted_by != word {
            // Whoever asks anew may know less than was told before: what was asked otherwise in between counts no more,
            // and this host may not have heard of it.
            self.guests.tracks.values_mut().for_each(|track| track.told = None);
            self.guests.wanted_by = word;
        }
        self.guests.wanted = asking.vms.into_iter().collect();
        let heard = Message::AskingHeard { incarnation: self.incarnation(), ticket: asking.ticket };
        actions.push(Action::Send { to: from, message: heard });
    }

    /// After a forced recovery nobody may know any more what was told.
    pub(super) fn tell_guests_anew(&mut self) {
        for track in self.guests.tracks.values_mut() {
            track.told = None;
            track.system = None;
            track.next_system = track.since;
        }
    }

    /// Asks whom it is time to ask.
    pub(super) fn tend_guests(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.follow_guests(now);
        let timeout = self.timing.ask_deadline * 2;
        // Whoever was to ask has died, or hangs: that says nothing of the guest.
        let lost = |question: &Question| now.since(question.asked) >= timeout;
        let late: Vec<Ticket> =
            self.guests.questions.iter().filter(|(_, question)| lost(question)).map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            self.guest_answered(now, ticket, GuestAnswer::default(), actions);
        }
        let mut due: Vec<(Instant, VmId, UpMeans)> = Vec::new();
        for (vm, track) in &self.guests.tracks {
            if track.next <= now {
                due.push((track.next, *vm, track.up.clone()));
            } else if track.next_system <= now {
                due.push((track.next_system, *vm, UpMeans::Agent));
            }
        }
        // Who has waited longest comes first.
        due.sort();
        for (_, vm, up) in due.into_iter().take(AT_ONCE.saturating_sub(self.guests.questions.len())) {
            self.ask_guest(now, vm, up, actions);
        }
        self.send_guest_words(now, actions);
    }

    /// Follows each VM that runs here, for as long as it does so under one right and is asked in one way.
    fn follow_guests(&mut self, now: Instant) {
        let Guests { wanted, tracks, pending, .. } = &mut self.guests;
        let runs = |vm: &VmId| self.vms.get(vm).filter(|local| local.presence == LocalPresence::Running);
        tracks.retain(|vm, track| {
            let up = wanted.get(vm).unwrap_or(&UpMeans::Running);
            runs(vm).is_some_and(|local| local.epoch == track.epoch && track.up == *up)
        });
        for (vm, local) in &self.vms {
            if local.presence == LocalPresence::Running && !tracks.contains_key(vm) {
                let up = wanted.get(vm).cloned().unwrap_or_default();
                tracks.insert(*vm, Track::new(now, local.epoch, up, &self.timing));
            }
        }
        pending.retain(|(vm, topic), pending| {
            let track = tracks.get(vm).filter(|track| track.epoch == pending.epoch);
            track.is_some_and(|track| *topic == Topic::System || track.told.is_some())
        });
    }

    fn ask_guest(&mut self, now: Instant, vm: VmId, up: UpMeans, actions: &mut Vec<Action>) {
        let Some(uuid) = self.store.protected.get(&vm).map(|known| known.uuid) else { return };
        let ticket = self.ticket();
        let Some(track) = self.guests.tracks.get_mut(&vm) else { return };
        let within = track.pace(now, &self.timing).1;
        // Either question is asked anew once this one has ended.
        if track.next <= now {
            track.next = Instant::NEVER;
        }
        if up == UpMeans::Agent {
            track.next_system = Instant::NEVER;
        }
        self.guests.questions.insert(ticket, Question { vm, epoch: track.epoch, asked: now, up: up.clone() });
        actions.push(Action::AskGuest { ticket, vm, uuid, up, within });
    }

    /// A question has ended.
    pub(super) fn guest_answered(
        &mut self,
        now: Instant,
        ticket: Ticket,
        answer: GuestAnswer,
        actions: &mut Vec<Action>,
    ) {
        let Some(Question { vm, epoch, asked, up }) = self.guests.questions.remove(&ticket) else { return };
        let Some(track) = self.guests.tracks.get_mut(&vm).filter(|track| track.epoch == epoch) else { return };
        let mut words = Vec::new();
        if up == track.up {
            let news = answer.answers.and_then(|answers| track.heard(now, asked, answers, &self.timing));
            words.extend(news.map(|(answers, since)| (Topic::Health, Word::Answers(answers, since))));
            track.next = now + track.pace(now, &self.timing).0;
        }
        if up == UpMeans::Agent {
            let system = answer.system.map(|name| cut(&name)).filter(|name| track.system.as_ref() != Some(name));
            if let Some(system) = system {
                track.system = Some(system.clone());
                words.push((Topic::System, Word::System(system)));
            }
            let known = track.system.is_some();
            track.next_system = now + if known { self.timing.ask_system } else { self.timing.guest_patience };
        }
        for (topic, word) in words {
            let ticket = self.ticket();
            self.guests.pending.insert((vm, topic), Pending { ticket, epoch, word, told: None });
        }
        self.send_guest_words(now, actions);
    }

    /// Tells what was never told, or was not answered, as far as it may.
    fn send_guest_words(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(master) = self.master.filter(|_| self.admitted) else { return };
        let (incarnation, patience) = (self.incarnation(), self.timing.resend * 4);
        let is_due = |pending: &&mut Pending| pending.told.is_none_or(|told| now.since(told) >= patience);
        let due = self.guests.pending.iter_mut().map(|((vm, _), pending)| (*vm, pending));
        for (vm, pending) in due.filter(|(_, pending)| is_due(pending)).take(TOLD_AT_ONCE) {
            pending.told = Some(now);
            let word = match &pending.word {
                Word::Answers(answers, since) => {
                    let ago = u64::try_from(now.since(*since).as_millis()).unwrap_or(u64::MAX);
                    GuestWord::Answers { answers: *answers, ago_milliseconds: ago }
                }
                Word::System(system) => GuestWord::System(system.clone()),
            };
            let report = GuestReport { incarnation, ticket: pending.ticket, vm, epoch: pending.epoch, word };
            actions.push(Action::Send { to: master, message: Message::Guest(report) });
        }
    }

    /// The log has it, or has no use for it.
    pub(super) fn guest_noted(&mut self, now: Instant, ticket: Ticket, actions: &mut Vec<Action>) {
        self.guests.pending.retain(|_, pending| pending.ticket != ticket);
        self.send_guest_words(now, actions);
    }
}

/// A name that the log takes: a guest may say anything.
fn cut(name: &str) -> String {
    let mut plain: String = name.chars().filter(|c| !c.is_control()).collect();
    while plain.len() > SYSTEM_LENGTH {
        plain.pop();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::timing::Profile;

    /// A guest that is asked every so many seconds, and what is told of it: when, and since when.
    fn told(answers: &[(u64, bool)]) -> Vec<(u64, bool, u64)> {
        let timing = Timing::of(Profile::Lan);
        let second = |number: u64| Instant::ZERO + Duration::from_secs(number);
        let mut track = Track::new(Instant::ZERO, Epoch::NONE, UpMeans::Agent, &timing);
        let mut told = Vec::new();
        for (at, answers) in answers {
            if let Some((answers, since)) = track.heard(second(*at), second(*at), *answers, &timing) {
                told.push((*at, answers, since.as_micros() / 1_000_000));
            }
        }
        told
    }

    #[test]
    fn one_failure_is_none_and_two_count_from_the_last_sign_of_life() {
        assert_eq!(told(&[(1, true), (6, false), (11, true), (16, false), (21, true)]), [(1, true, 1)]);
        assert_eq!(
            told(&[(1, true), (6, true), (11, false), (16, false), (21, false)]),
            [(1, true, 1), (16, false, 6)]
        );
    }

    #[test]
    fn one_that_comes_up_has_a_minute() {
        let mut answers: Vec<(u64, bool)> = (0..12).map(|step| (step * 5, false)).collect();
        assert_eq!(told(&answers), []);
        answers.push((60, false));
        assert_eq!(told(&answers), [(60, false, 0)]);
        answers.push((70, true));
        assert_eq!(told(&answers), [(60, false, 0), (70, true, 70)]);
    }

    #[test]
    fn one_that_comes_and_goes_is_told_to_be_back_when_it_stays() {
        let flapping = |step: u64| (step * 5, step % 4 < 2);
        let mut answers: Vec<(u64, bool)> = (0..100).map(flapping).collect();
        let first = [(0, true, 0), (15, false, 5), (20, true, 20), (35, false, 25)];
        assert_eq!(told(&answers), first, "the first time it is believed at once");
        answers.extend((100..120).map(|step| (step * 5, true)));
        let last = [(560, true, 500)];
        assert_eq!(told(&answers), [&first[..], &last].concat());
    }

    #[test]
    fn what_a_guest_says_is_cut_to_what_the_log_takes() {
        assert_eq!(cut("Debian\n12\u{1b}"), "Debian12");
        assert!(cut(&"é".repeat(100)).len() <= SYSTEM_LENGTH);
    }
}
