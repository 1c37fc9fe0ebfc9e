//! The events of a scenario: what befalls the world, and when. The words are those of [`spelling`].
//!
//! [`spelling`]: crate::sim::spelling

use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::{DatastoreId, FenceId, HostId, VmId, VoterId};
use crate::core::state::AccountChange;
use crate::explain::NameList;
use crate::reader::Problem;
use crate::reader::{Found, Reader, choice};
use crate::sim::fault::{DatastoreFault, Fault, FenceFault, LinkFault};
use crate::sim::scenario::cluster;
use crate::sim::scenario::vms::{RESPONSES, up};
use crate::sim::spec::WorldSpec;
use crate::sim::spelling::FAULT_KINDS;
use std::time::Duration;

/// Something that befalls the world.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What expectations call it.
    pub name: Option<String>,
    /// What.
    pub fault: Fault,
}

/// Reads the events of a file, in their order in time.
pub fn read_all(file: &mut Reader<'_>, world: &WorldSpec) -> Result<Vec<Event>, Problem> {
    let names = world.names();
    let mut events: Vec<Event> = Vec::new();
    for mut entry in file.tables("event")? {
        let at = entry.must("at", Found::duration)?;
        let name = entry.maybe("name", |found| {
            let name = found.text()?;
            if events.iter().any(|event| event.name.as_deref() == Some(name)) {
                return Err(found.problem(format!("an event is called \"{name}\" already")));
            }
            Ok(name.to_owned())
        })?;
        let kind = entry.must("do", |found| {
            let text = found.text()?;
            let known = FAULT_KINDS.iter().find(|kind| **kind == text);
            known
                .copied()
                .ok_or_else(|| found.problem(format!("nothing is called \"{text}\"")).hint(choice(text, FAULT_KINDS)))
        })?;
        entry.call(format!("the event \"{kind}\""));
        let fault = Fields { entry: &mut entry, names: &names, world }.fault(kind)?;
        entry.finish()?;
        events.push(Event { at, name, fault });
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// The keys of one event.
struct Fields<'r, 'a> {
    entry: &'r mut Reader<'a>,
    names: &'r NameList,
    world: &'r WorldSpec,
}

impl Fields<'_, '_> {
    fn host(&mut self) -> Result<HostId, Problem> {
        self.host_at("host")
    }

    fn host_at(&mut self, key: &'static str) -> Result<HostId, Problem> {
        self.entry.must(key, |found| found.named("host", &self.names.hosts))
    }

    fn vm(&mut self) -> Result<VmId, Problem> {
        self.entry.must("vm", |found| found.named("vm", &self.names.vms))
    }

    fn datastore(&mut self) -> Result<DatastoreId, Problem> {
        self.entry.must("datastore", |found| found.named("datastore", &self.names.datastores))
    }

    fn fence(&mut self, key: &'static str) -> Result<FenceId, Problem> {
        self.entry.must(key, |found| found.named("fence", &self.names.fences))
    }

    fn duration(&mut self, key: &'static str) -> Result<Duration, Problem> {
        self.entry.must(key, Found::duration)
    }

    fn lasting(&mut self) -> Result<Duration, Problem> {
        self.duration("for")
    }

    fn count(&mut self) -> Result<u32, Problem> {
        Ok(self.entry.maybe("count", Found::number)?.unwrap_or(1))
    }

    fn fault(&mut self, kind: &'static str) -> Result<Fault, Problem> {
        let fault = match kind {
            "power-off" => Fault::PowerOff(self.host()?),
            "power-on" => Fault::PowerOn(self.host()?),
            "power-blip" => Fault::PowerBlip(self.host()?, self.lasting()?),
            "reboot" => Fault::Reboot(self.host()?),
            "shutdown" => Fault::Shutdown(self.host()?, self.entry.maybe("for", Found::duration)?),
            "freeze" => Fault::Freeze(self.host()?, self.lasting()?),
            "suspend" => Fault::Suspend(self.host()?, self.lasting()?),
            "agent-crash" => Fault::AgentCrash(self.host()?, self.lasting()?),
            "agent-hang" => Fault::AgentHang(self.host()?, self.lasting()?),
            "agent-upgrade" => Fault::AgentUpgrade(self.host()?, self.entry.maybe("for", Found::duration)?),
            "daemon-hang" => Fault::DaemonHang(self.host()?, self.lasting()?),
            "daemon-restart" => Fault::DaemonRestart(self.host()?),
            "fail-starts" => Fault::FailStarts(self.vm()?, self.count()?),
            "slow-starts" => Fault::SlowStarts(self.host()?, self.duration("takes")?, self.lasting()?),
            "timed-out-starts" => Fault::TimedOutStarts(self.host()?, self.count()?),
            "guest-crash" => Fault::GuestCrash(self.vm()?),
            "guest-poweroff" => Fault::GuestPoweroff(self.vm()?),
            "guest-hush" => Fault::GuestHush(self.vm()?, self.lasting()?),
            "isolate" => Fault::Isolate(self.host()?, self.lasting()?),
            "partition" => Fault::Partition(self.partition()?, self.lasting()?),
            "voter-disk-full" => Fault::VoterDiskFull(self.host()?, self.lasting()?),
            "voter-disk-slow" => Fault::VoterDiskSlow(self.host()?, self.duration("takes")?, self.lasting()?),
            "restore-backup" => Fault::RestoreBackup(self.host()?, self.duration("ago")?),
            "twin" => Fault::Twin(self.host()?, self.lasting()?),
            "hypervisor-start" => Fault::HypervisorStart(self.vm()?, self.host()?),
            "edit" => Fault::Edit(self.vm()?),
            "hypervisor-stop" => Fault::HypervisorStop(self.vm()?),
            "hypervisor-move" => Fault::HypervisorMove(self.vm()?, self.host_at("to")?),
            "move-in-doubt" => Fault::MoveInDoubt(self.vm()?, self.host_at("to")?),
            "confirm-seen-dead" => Fault::ConfirmDead(self.host()?),
            "recover-seen-dead" => Fault::Recover,
            "heal" => Fault::Heal,
            _ => return self.device_fault(kind),
        };
        Ok(fault)
    }

    /// Faults of links, datastores and fence devices; what remains is a request.
    fn device_fault(&mut self, kind: &'static str) -> Result<Fault, Problem> {
        let fault = match kind {
            "link-cut" => self.link(LinkFault::Cut)?,
            "link-loss" => {
                let percent = self.entry.must("percent", Found::percent)?;
                self.link(LinkFault::Loss(percent))?
            }
            "link-delay" => {
                let takes = self.duration("takes")?;
                self.link(LinkFault::Delay(takes))?
            }
            "link-duplicate" => {
                let percent = self.entry.must("percent", Found::percent)?;
                self.link(LinkFault::Duplicate(percent))?
            }
            "link-replay" => {
                let ago = self.duration("ago")?;
                self.link(LinkFault::Replay(ago))?
            }
            "datastore-hang" => self.datastore_fault(DatastoreFault::Hang)?,
            "datastore-error" => self.datastore_fault(DatastoreFault::Error)?,
            "datastore-slow" => {
                let takes = self.duration("takes")?;
                self.datastore_fault(DatastoreFault::Slow(takes))?
            }
            "tear-record" => Fault::TearRecord(self.datastore()?, self.host()?),
            "tear-mail" => Fault::TearMail(self.datastore()?, self.host()?),
            "stall-write" => Fault::StallWrite(self.host()?, self.datastore()?, self.lasting()?),
            "roll-back" => Fault::RollBack(self.datastore()?, self.duration("ago")?),
            "fence-slow" => {
                let takes = self.duration("takes")?;
                Fault::Fence(self.fence("fence")?, FenceFault::Slow(takes), self.lasting()?)
            }
            "fence-late" => {
                let takes = self.duration("takes")?;
                Fault::Fence(self.fence("fence")?, FenceFault::Late(takes), self.lasting()?)
            }
            "fence-unreachable" => Fault::Fence(self.fence("fence")?, FenceFault::Unreachable, self.lasting()?),
            "fence-wrong-password" => Fault::Fence(self.fence("fence")?, FenceFault::WrongPassword, self.lasting()?),
            "fence-lies" => Fault::Fence(self.fence("fence")?, FenceFault::Lies, self.lasting()?),
            "swap-fences" => Fault::SwapFences(self.fence("fence")?, self.fence("with")?, self.lasting()?),
            _ => Fault::Request(self.request(kind)?),
        };
        Ok(fault)
    }

    fn request(&mut self, kind: &'static str) -> Result<Request, Problem> {
        let request = match kind {
            "start" => Request::Intend { vm: self.vm()?, want: Want::Running },
            "stop" => Request::Intend { vm: self.vm()?, want: Want::Stopped },
            "kill" => Request::Intend { vm: self.vm()?, want: Want::Killed },
            "move" => Request::Move { vm: self.vm()?, to: self.host_at("to")? },
            "protect" => self.protect()?,
            "unprotect" => Request::Unprotect(self.vm()?),
            "remove" => Request::Remove(self.vm()?),
            "arm" => Request::Arm,
            "disarm" => Request::Disarm,
            "rearm-after" => Request::RearmAfter(self.entry.maybe("takes", Found::duration)?),
            "drill" => Request::Drill(self.host()?),
            "switch-off" => {
                let force = self.entry.maybe("force", Found::boolean)?.unwrap_or(false);
                Request::SwitchOff { host: self.host()?, force }
            }
            "switch-on" => Request::SwitchOn(self.host()?),
            "confirm-dead" => Request::ConfirmDead(self.host()?),
            "resolve-conflict" => Request::ResolveConflict(self.host()?),
            "end-quarantine" => Request::EndQuarantine(self.host()?),
            "set-policy" => {
                let base = &self.world.policy;
                Request::SetPolicy(Box::new(self.entry.must("policy", |found| cluster::policy(found, base))?))
            }
            "account" => {
                let change = AccountChange { up: Some(self.entry.must("up", up)?), ..AccountChange::default() };
                Request::Account { vm: self.vm()?, change: Box::new(change) }
            }
            "recover" => Request::Recover { dead: self.entry.must("voters", voters)? },
            _ => return Err(self.entry.problem(format!("\"{kind}\" has no meaning yet"))),
        };
        Ok(request)
    }

    fn protect(&mut self) -> Result<Request, Problem> {
        let id = self.vm()?;
        let definition = self.world.vms.iter().map(|vm| &vm.definition).find(|definition| definition.id == id);
        let mut definition = definition.cloned().ok_or_else(|| self.entry.problem("there is no such VM"))?;
        let response = self.entry.maybe("response", |found| found.word(&RESPONSES))?;
        definition.response = response.unwrap_or(definition.response);
        Ok(Request::Protect(Box::new(definition)))
    }

    fn partition(&mut self) -> Result<Vec<HostId>, Problem> {
        let names = &self.names.hosts;
        self.entry.must("hosts", |found| found.list()?.iter().map(|one| one.named("host", names)).collect())
    }

    fn link(&mut self, fault: LinkFault) -> Result<Fault, Problem> {
        Ok(Fault::Link(self.host_at("from")?, self.host_at("to")?, fault, self.lasting()?))
    }

    fn datastore_fault(&mut self, fault: DatastoreFault) -> Result<Fault, Problem> {
        let host = self.entry.maybe("host", |found| found.named("host", &self.names.hosts))?;
        Ok(Fault::Datastore(host, self.datastore()?, fault, self.lasting()?))
    }
}

/// Voters are numbered by the log: the first ones in the order of the hosts that vote from the start, from 1.
fn voters(found: &Found<'_>) -> Result<Vec<VoterId>, Problem> {
    found.one_or_more()?.iter().map(|one| one.number().map(VoterId)).collect()
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
