//! Whether what a scenario demands came true.

use crate::core::action::Note;
use crate::core::ids::{HostId, VmId};
use crate::core::reason::{HostState, Wait};
use crate::explain::{NameList, Names};
use crate::sim::facts;
use crate::sim::kinds::kind_of;
use crate::sim::run::Failure;
use crate::sim::run::finals::FinalStates;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::expect::{Demand, EndState, Expectation, Polarity, Saying, Window};
use crate::sim::timeline::{Happening, Moment};
use crate::words::{format_duration, listed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// The demands of a scenario that were not met.
pub fn unmet(scenario: &Scenario, events: &[Moment], finals: &FinalStates, names: &NameList) -> Vec<Failure> {
    let witness = Witness { events, finals, names, end: scenario.duration };
    let each = scenario.expectations.each.iter().flat_map(|expectation| {
        let unmet = witness.unmet(expectation);
        unmet.into_iter().map(|what| Failure { line: Some(expectation.line), what })
    });
    each.collect()
}

/// Who saw the whole run.
struct Witness<'a> {
    events: &'a [Moment],
    finals: &'a FinalStates,
    names: &'a NameList,
    end: Duration,
}

/// A time in which something was so.
#[derive(Debug, Clone, Copy)]
struct Spell<T> {
    from: Duration,
    until: Duration,
    what: T,
}

impl Witness<'_> {
    fn unmet(&self, expectation: &Expectation) -> Vec<String> {
        match &expectation.what {
            Demand::Runs { vms, on, proof } => {
                vms.iter().filter_map(|vm| self.runs(expectation, *vm, on, proof.as_deref())).collect()
            }
            Demand::NeverOn { vms, hosts } => {
                vms.iter().filter_map(|vm| self.never_on(expectation.window, *vm, hosts)).collect()
            }
            Demand::Ends { vms, state } => vms.iter().filter_map(|vm| self.ends(*vm, *state)).collect(),
            Demand::Waits { vms, kind, because } => {
                vms.iter().filter_map(|vm| self.waits(expectation, *vm, kind, because.as_deref())).collect()
            }
            Demand::Restarts { vms, count } => self.restarts(expectation.window, vms, *count).into_iter().collect(),
            Demand::HostState { host, state } => self.host_state(expectation, *host, *state).into_iter().collect(),
            Demand::Said { saying, kind, host, vm } => {
                self.said(expectation, *saying, kind, *host, *vm).into_iter().collect()
            }
        }
    }

    fn runs(&self, expectation: &Expectation, vm: VmId, on: &BTreeSet<HostId>, proof: Option<&str>) -> Option<String> {
        let name = self.names.vm(vm);
        let spells: Vec<Spell<bool>> = self
            .lives(vm)
            .into_iter()
            .map(|life| Spell { from: life.from, until: life.until, what: on.contains(&life.what) })
            .collect();
        let hosts: Vec<String> = on.iter().map(|host| self.names.host(*host)).collect();
        let what = format!("{name} running on {}", listed(&hosts, "or"));
        if let Some(failure) = self.judge(expectation, &what, &spells) {
            return Some(format!("{failure}; {}", self.story(vm)));
        }
        let wanted = proof?;
        let since = expectation.window.after;
        let used: Vec<&str> = self.proofs_of(vm, since, self.deadline(expectation.window));
        let missing = !used.contains(&wanted);
        missing.then(|| match used.is_empty() {
            true => format!("{name} must be restarted by the proof {wanted}, but it was placed without a proof"),
            false => format!("{name} must be restarted by the proof {wanted}, but was by {}", listed(&used, "and")),
        })
    }

    fn never_on(&self, window: Window, vm: VmId, hosts: &BTreeSet<HostId>) -> Option<String> {
        let deadline = self.deadline(window);
        let lives = self.lives(vm);
        let wrong = lives
            .iter()
            .find(|life| hosts.contains(&life.what) && life.from >= window.after && life.from <= deadline)?;
        let (name, host) = (self.names.vm(vm), self.names.host(wrong.what));
        Some(format!("{name} must not come to run on {host}, but did at {}", when(wrong.from)))
    }

    fn ends(&self, vm: VmId, state: EndState) -> Option<String> {
        let name = self.names.vm(vm);
        match self.finals.vms.get(&vm).map(|end| end.state) {
            Some(end) if end == state => None,
            Some(end) => {
                Some(format!("{name} must be {} at the end, but is {}; {}", state.name(), end.name(), self.story(vm)))
            }
            None => Some(format!("{name} must be {} at the end, but nothing is known of it", state.name())),
        }
    }

    fn waits(&self, expectation: &Expectation, vm: VmId, kind: &str, because: Option<&str>) -> Option<String> {
        let spells = self.spells(|note| match note {
            Note::Waits(other, wait) if *other == vm => Some(kind_of(wait) == kind && has_reason(wait, because)),
            _ => None,
        });
        let because = because.map(|because| format!(" ({because})")).unwrap_or_default();
        self.judge(expectation, &format!("{} waiting: {kind}{because}", self.names.vm(vm)), &spells)
    }

    fn host_state(&self, expectation: &Expectation, host: HostId, state: HostState) -> Option<String> {
        let spells = self.spells(|note| match note {
            Note::Host(other, seen) if *other == host => Some(*seen == state),
            _ => None,
        });
        self.judge(expectation, &format!("{} {}", self.names.host(host), state.name()), &spells)
    }

    fn restarts(&self, window: Window, vms: &[VmId], count: usize) -> Option<String> {
        let deadline = self.deadline(window);
        let all: Vec<VmId> = if vms.is_empty() { self.names.vms.keys().copied().collect() } else { vms.to_vec() };
        let restarted: Vec<String> = all
            .iter()
            .flat_map(|vm| self.restarts_of(*vm).into_iter().map(|at| (*vm, at)))
            .filter(|(_, at)| *at >= window.after && *at <= deadline)
            .map(|(vm, at)| format!("{} at {}", self.names.vm(vm), when(at)))
            .collect();
        let wrong = restarted.len() != count;
        wrong.then(|| format!("expected {count} restarts, not {}: {}", restarted.len(), listed(&restarted, "and")))
    }

    fn said(
        &self,
        expectation: &Expectation,
        saying: Saying,
        kind: &str,
        host: Option<HostId>,
        vm: Option<VmId>,
    ) -> Option<String> {
        let (key, what) = match saying {
            Saying::Alert => ("alert", "the alert"),
            Saying::Refusal => ("refusal", "the refusal"),
            Saying::Proof => ("proof", "the proof"),
            Saying::Power => ("state", "the machine's power"),
            Saying::Note => ("kind", "the note"),
        };
        let about = host.map(|host| self.names.host(host)).into_iter().chain(vm.map(|vm| self.names.vm(vm)));
        let about: Vec<String> = about.collect();
        let notes = self.events.iter().filter(|moment| match moment.what {
            Happening::Note(..) => saying != Saying::Power,
            Happening::Power(..) => saying == Saying::Power,
            _ => false,
        });
        let spells: Vec<Spell<bool>> = notes
            .filter(|moment| {
                let event = facts::event(moment, self.names);
                let placed = event.get("proofs").and_then(Value::as_array).into_iter().flatten();
                let said = placed.chain([&event]).filter_map(|part| part.get(key)).any(|value| value == kind);
                said && about.iter().all(|name| facts::is_about(&event, name))
            })
            .map(|moment| Spell { from: time(moment), until: time(moment), what: true })
            .collect();
        let about = if about.is_empty() { String::new() } else { format!(" about {}", listed(&about, "and")) };
        self.judge(expectation, &format!("{what} {kind}{about}"), &spells)
    }

    /// Whether the spells in which something was so are as demanded; if not, why.
    fn judge(&self, expectation: &Expectation, what: &str, spells: &[Spell<bool>]) -> Option<String> {
        let window = expectation.window;
        let deadline = self.deadline(window);
        let held: Vec<&Spell<bool>> = spells.iter().filter(|spell| spell.what).collect();
        let first = match window.at {
            Some(at) => held.iter().find(|spell| spell.from <= at && at <= spell.until).map(|_| at),
            None => {
                let within = held.iter().filter(|spell| spell.until >= window.after && spell.from <= deadline);
                within.map(|spell| spell.from.max(window.after)).min()
            }
        };
        match (expectation.polarity, first) {
            (Polarity::Never, None) => None,
            (Polarity::Never, Some(at)) => Some(format!("expected never {what}, but it came at {}", when(at))),
            (Polarity::Must, Some(at)) if at >= window.not_before => None,
            (Polarity::Must, Some(at)) => {
                let earliest = when(window.not_before);
                Some(format!("expected {what} not before {earliest}, but it came at {}", when(at)))
            }
            (Polarity::Must, None) => {
                let moment = match window.at {
                    Some(at) => format!("at {}", when(at)),
                    None => format!("by {}", when(deadline)),
                };
                let later = held.iter().map(|spell| spell.from).find(|from| *from > deadline);
                let instead = later.map(|at| format!("it came at {}", when(at)));
                Some(format!("expected {what} {moment}, but {}", instead.unwrap_or_else(|| "it never came".to_owned())))
            }
        }
    }

    fn deadline(&self, window: Window) -> Duration {
        window.by.unwrap_or(self.end)
    }

    /// The times in which the latest note of a kind said yes or no.
    fn spells(&self, says: impl Fn(&Note) -> Option<bool>) -> Vec<Spell<bool>> {
        let mut spells: Vec<Spell<bool>> = Vec::new();
        for moment in self.events {
            let Happening::Note(_, note) = &moment.what else { continue };
            let Some(what) = says(note) else { continue };
            if let Some(last) = spells.last_mut() {
                last.until = time(moment);
            }
            spells.push(Spell { from: time(moment), until: self.end, what });
        }
        spells
    }

    /// The times in which a VM's processors ran, and where.
    fn lives(&self, vm: VmId) -> Vec<Spell<HostId>> {
        let mut lives: Vec<Spell<HostId>> = Vec::new();
        for moment in self.events {
            match &moment.what {
                Happening::VmUp(up, host, _) if *up == vm => {
                    lives.push(Spell { from: time(moment), until: self.end, what: *host });
                }
                Happening::VmDown(down, host, _) if *down == vm => {
                    let ended = lives.iter_mut().rev().find(|life| life.what == *host && life.until == self.end);
                    if let Some(life) = ended {
                        life.until = time(moment);
                    }
                }
                _ => {}
            }
        }
        lives
    }

    /// When a VM began to run, but for its first time and its arrivals by live migration.
    fn restarts_of(&self, vm: VmId) -> Vec<Duration> {
        let mut before = None;
        let mut restarts = Vec::new();
        for moment in self.events {
            match &moment.what {
                Happening::VmUp(up, _, _) if *up == vm => {
                    if before.is_some_and(|why| why != "moved") {
                        restarts.push(time(moment));
                    }
                    before = Some("nothing: it ran on");
                }
                Happening::VmDown(down, _, why) if *down == vm => before = Some(why),
                _ => {}
            }
        }
        restarts
    }

    /// The kinds of proof by which a VM was placed within a time.
    fn proofs_of(&self, vm: VmId, from: Duration, until: Duration) -> Vec<&'static str> {
        let within = self.events.iter().filter(|moment| time(moment) >= from && time(moment) <= until);
        let placed = within.filter_map(|moment| match &moment.what {
            Happening::Note(_, Note::Placed { vm: placed, proofs, .. }) if *placed == vm => Some(proofs),
            _ => None,
        });
        placed.flatten().map(|by| by.proof.kind()).collect()
    }

    /// What became of a VM, in short.
    fn story(&self, vm: VmId) -> String {
        let lives: Vec<String> = self
            .lives(vm)
            .iter()
            .map(|life| {
                let (host, from) = (self.names.host(life.what), when(life.from));
                match life.until == self.end {
                    true => format!("on {host} from {from}"),
                    false => format!("on {host} from {from} to {}", when(life.until)),
                }
            })
            .collect();
        match lives.is_empty() {
            true => "it never ran".to_owned(),
            false => format!("it ran {}", listed(&lives, "and")),
        }
    }
}

/// Whether one of the reasons for a wait is of this kind.
fn has_reason(wait: &Wait, because: Option<&str>) -> bool {
    let Some(because) = because else {
        return true;
    };
    match wait {
        Wait::Proof(hosts) => hosts.iter().flat_map(|(_, closed)| closed).any(|closed| kind_of(closed) == because),
        Wait::NoRoom(hosts) => hosts.iter().any(|(_, unfit)| kind_of(unfit) == because),
        _ => false,
    }
}

fn time(moment: &Moment) -> Duration {
    Duration::from_micros(moment.at_micros)
}

/// A moment as people are told of it, to the millisecond.
fn when(moment: Duration) -> String {
    format_duration(Duration::from_millis(u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)))
}
