//! People: operators who ask the cluster through a client, and who use the hypervisor's own tools past it.

use crate::core::action::{Ended, Event, Note, Outcome, PlatformEvent, Request};
use crate::core::ids::{Epoch, HostId, Ticket, VmId};
use crate::core::message::{Coming, Protection};
use crate::core::reason::Refusal;
use crate::node::NodeEvent;
use crate::sim::timeline::Happening;
use crate::sim::world::fact::Fact;
use crate::sim::world::machine::{CallKind, Daemon, Power};
use crate::sim::world::queue::Occurrence;
use crate::sim::world::state::World;

/// A client waits so long for a reply before it tries the next node.
const REPLY: u64 = 1_000_000;
/// A client that was sent away tries the next node after this.
const NEXT: u64 = 100_000;
/// A client tries for so long.
const PATIENCE: u64 = 20_000_000;
/// The hypervisor waits so long for its hook before it takes that for a refusal.
const HOOK: u64 = 5_000_000;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) request: Request,
    since: u64,
    attempt: u32,
    tried: Vec<usize>,
    pub(super) concluded: bool,
}

/// A question to an agent's hook that has no answer yet.
#[derive(Debug)]
pub(super) struct PendingHook {
    pub(super) machine: usize,
    pub(super) vm: VmId,
    asker: Asker,
}

/// What waits for a hook's answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// A start that did not come from the agent.
    Start,
    /// A start that the agent has ordered, in this call.
    Own { epoch: Epoch, answer: Option<(u64, Ticket)> },
    /// The destination of the migration of this number.
    Arrival(u64),
}

impl World {
    /// An operator asks the cluster.
    pub(super) fn ask_cluster(&mut self, mut request: Request) {
        if let Request::Protect(definition) = &mut request {
            definition.payload = self.found_as(definition.id);
        }
        let ticket = Ticket(self.number());
        let errand = Errand { request, since: self.now, attempt: 0, tried: Vec::new(), concluded: false };
        self.errands.insert(ticket, errand);
        self.try_next_node(ticket);
    }

    /// The client goes to a node that it has not tried yet.
    fn try_next_node(&mut self, ticket: Ticket) {
        let Some(errand) = self.errands.get_mut(&ticket) else { return };
        if errand.concluded {
            return;
        }
        if self.now >= errand.since + PATIENCE {
            errand.concluded = true;
            self.chronicle.counts.add("request", "unanswered");
            return;
        }
        // A forced recovery is begun on a voter that is left.
        let by_voter = matches!(errand.request, Request::Recover { .. });
        let living = |place: &usize| {
            let machine = &self.machines[*place];
            machine.is_up() && machine.agent.running && (machine.disk.image.is_some() || !by_voter)
        };
        let mut nodes: Vec<usize> = (0..self.machines.len()).filter(living).collect();
        if nodes.iter().all(|node| errand.tried.contains(node)) {
            errand.tried.clear();
        }
        nodes.retain(|node| !errand.tried.contains(node));
        errand.attempt += 1;
        let attempt = errand.attempt;
        let chosen = self.chance.people.pick(&nodes).copied();
        errand.tried.extend(chosen);
        let request = errand.request.clone();
        if let Some(node) = chosen.filter(|node| !self.network.is_isolated(*node, self.now)) {
            self.deliver(node, NodeEvent::Core(Event::Request { ticket, request, said: None }));
        }
        self.after(REPLY, Occurrence::ReplyOverdue { ticket, attempt });
    }

    /// The client has waited long enough for this attempt.
    pub(super) fn reply_overdue(&mut self, ticket: Ticket, attempt: u32) {
        if self.errands.get(&ticket).is_some_and(|errand| errand.attempt == attempt) {
            self.try_next_node(ticket);
        }
    }

    /// A node has replied.
    pub(super) fn replied(&mut self, machine: usize, ticket: Ticket, reply: Result<(), Refusal>) {
        let Some(errand) = self.errands.get_mut(&ticket) else { return };
        let concluded = std::mem::replace(&mut errand.concluded, true);
        let request = errand.request.clone();
        match reply {
            Ok(()) => {
                // Even if the client has gone: what was done on a false word stays done.
                if self.is_false(&request) {
                    self.excuse();
                }
                if let Request::SetPolicy(policy) = &request {
                    self.spec.policy.accept_software_guards |= policy.accept_software_guards;
                }
                if let Request::Recover { dead } = &request {
                    self.out_for_good.extend(dead);
                }
                if !concluded {
                    self.chronicle.counts.add("request", "accepted");
                    self.facts.push(Fact::Accepted(request));
                }
            }
            Err(refusal) if refusal == Refusal::NoMajority || matches!(request, Request::Recover { .. }) => {
                errand.concluded = concluded;
                self.chronicle.counts.refusal(&refusal);
                // Not at once: when no node has a majority, the client would ask them in turn without end.
                let attempt = self.errands.get(&ticket).map_or(0, |errand| errand.attempt);
                self.after(NEXT, Occurrence::ReplyOverdue { ticket, attempt });
                if refusal != Refusal::NoMajority {
                    self.tell(Happening::Note(self.machines[machine].host, Note::Refused(refusal)));
                }
            }
            Err(refusal) => {
                self.chronicle.counts.add("request", "refused");
                self.tell(Happening::Note(self.machines[machine].host, Note::Refused(refusal)));
            }
        }
    }

    /// Whether a person says what is not true: that something is dead which is not.
    fn is_false(&self, request: &Request) -> bool {
        let on = |host: &HostId| self.place(*host).is_some_and(|place| self.machines[place].power != Power::Off);
        let twins = |host: &HostId| {
            self.machines.iter().filter(|machine| machine.host == *host && machine.power != Power::Off).count() > 1
        };
        match request {
            Request::ConfirmDead(host) => on(host),
            Request::ResolveConflict(host) => twins(host),
            Request::Recover { dead } => self.machines.iter().any(|machine| {
                let votes = machine.disk.image.as_ref().is_some_and(|image| dead.contains(&image.voter));
                votes && machine.power != Power::Off
            }),
            _ => false,
        }
    }

    /// Whether a machine's hook lets the VM in with a permit only, as far as its agent knows.
    pub(super) fn is_guarded(&self, machine: usize, vm: VmId) -> bool {
        let known = self.machines[machine].agent.store.protected.get(&vm);
        known.is_some_and(|known| known.protection != Protection::None)
    }

    /// A start or an arrival, whoever ordered it: the hypervisor asks the hook. It fails closed for what is protected,
    /// and lets strangers pass.
    pub(super) fn ask_hook(&mut self, machine: usize, vm: VmId, asker: Asker) {
        let target = &self.machines[machine];
        if !target.is_up() || matches!(target.hypervisor.daemon, Daemon::Restarts(_)) {
            self.hook_refused(machine, asker);
        } else if !self.is_guarded(machine, vm) {
            self.hook_passed(machine, vm, asker, None);
        } else if !target.agent.running {
            self.chronicle.counts.add("hook", "failed-closed");
            self.hook_refused(machine, asker);
        } else {
            let ticket = Ticket(self.number());
            self.hooks.insert(ticket, PendingHook { machine, vm, asker });
            let coming = if matches!(asker, Asker::Arrival(_)) { Coming::Moved } else { Coming::Started };
            let hypervisor = &self.machines[machine].hypervisor;
            let former = hypervisor.definitions.get(&vm).map_or(Ended::Unknown, |domain| domain.ended);
            let ended = Some(former).filter(|_| !hypervisor.processes.contains_key(&vm));
            let event = PlatformEvent::Asks { ticket, vm, coming, ended };
            self.deliver(machine, NodeEvent::Core(Event::Platform(event)));
            self.after(HOOK, Occurrence::HookExpires(ticket));
        }
    }

    /// The agent has answered its hook.
    pub(super) fn hook_answered(&mut self, machine: usize, ticket: Ticket, answer: Result<Epoch, Refusal>) {
        if self.hooks.get(&ticket).is_none_or(|hook| hook.machine != machine) {
            return;
        }
        let Some(PendingHook { vm, asker, .. }) = self.hooks.remove(&ticket) else { return };
        match answer {
            Ok(epoch) => {
                self.chronicle.counts.add("hook", "passed");
                self.hook_passed(machine, vm, asker, Some(epoch));
            }
            Err(_) => {
                self.chronicle.counts.add("hook", "refused");
                self.hook_refused(machine, asker);
            }
        }
    }

    /// The agent has not answered in time.
    pub(super) fn hook_expires(&mut self, ticket: Ticket) {
        if let Some(hook) = self.hooks.remove(&ticket) {
            self.chronicle.counts.add("hook", "failed-closed");
            self.hook_refused(hook.machine, hook.asker);
        }
    }

    /// A machine is gone, and the questions of its hypervisor with it.
    pub(super) fn forget_hooks(&mut self, machine: usize) {
        self.hooks.retain(|_, hook| hook.machine != machine);
    }

    fn hook_passed(&mut self, machine: usize, vm: VmId, asker: Asker, epoch: Option<Epoch>) {
        if epoch.is_none_or(|epoch| epoch == Epoch::NONE) {
            let host = self.machines[machine].host;
            self.facts.push(Fact::LetPass { vm, machine, host });
        }
        match asker {
            Asker::Start => self.begin_call(machine, vm, CallKind::Start(epoch), None),
            Asker::Own { epoch, answer } => self.begin_call(machine, vm, CallKind::Start(Some(epoch)), answer),
            Asker::Arrival(migration) => self.let_in(migration, epoch),
        }
    }

    fn hook_refused(&mut self, machine: usize, asker: Asker) {
        match asker {
            Asker::Start => {}
            Asker::Own { answer, .. } => self.answer_call(machine, answer, Outcome::Refused),
            Asker::Arrival(migration) => self.abort_migration(migration),
        }
    }
}
