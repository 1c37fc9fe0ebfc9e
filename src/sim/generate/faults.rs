//! What befalls a random world.

use super::kind::{KINDS, Kind};
use crate::core::action::Request;
use crate::core::command::Want;
use crate::core::ids::{DatastoreId, FenceId, HostId, VmId, VoterId};
use crate::core::state::{Policy, VmDefinition};
use crate::sim::dice::Dice;
use crate::sim::fault::{DatastoreFault, Fault, FenceFault, LinkFault};
use crate::sim::spec::WorldSpec;
use std::time::Duration;

/// Nothing befalls a cluster before it had time to start.
const QUIET: Duration = Duration::from_secs(12);

pub(super) fn faults(spec: &WorldSpec, until: Duration, dice: &mut Dice) -> Vec<(Duration, Fault)> {
    let taste = taste(dice);
    // From a fault every other second to one in half a minute.
    let pace = Duration::from_millis(2_000 << dice.range(0, 4));
    let burst = dice.range(0, 60) as u32;
    // Misfortunes seldom come singly: how often the next one meets the same host.
    let clings = dice.pick(&[0, 0, 30, 60, 85]).copied().unwrap_or(0);
    let mut victim = None;
    let mut faults = Vec::new();
    let mut at = QUIET;
    while at < until && !taste.is_empty() {
        let wait = if dice.chance(burst) { pace / 20 } else { pace };
        at += dice.duration_between((Duration::ZERO, wait * 2));
        let mut chooser = Chooser { spec, dice, victim, clings };
        let kind = chooser.kind(&taste);
        for (later, fault) in chooser.fault(kind) {
            faults.push((at + later, fault));
        }
        victim = chooser.victim;
    }
    faults.retain(|(at, _)| *at < until);
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// What a seed may choose from, by weight: some kinds not at all, a few much more often.
fn taste(dice: &mut Dice) -> Vec<(Kind, u64)> {
    let share = dice.range(10, 100) as u32;
    let mut taste = Vec::new();
    for (kind, weight) in KINDS {
        if dice.chance(share) {
            taste.push((kind, if dice.chance(12) { weight * 6 } else { weight }));
        }
    }
    taste
}

struct Chooser<'a> {
    spec: &'a WorldSpec,
    dice: &'a mut Dice,
    /// The host that something befell last.
    victim: Option<HostId>,
    /// How often it is that one again, in percent.
    clings: u32,
}

impl Chooser<'_> {
    fn kind(&mut self, taste: &[(Kind, u64)]) -> Kind {
        let total: u64 = taste.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.dice.range(0, total.saturating_sub(1));
        for (kind, weight) in taste {
            if drawn < *weight {
                return *kind;
            }
            drawn -= weight;
        }
        Kind::PowerOff
    }

    fn host(&mut self) -> HostId {
        if let Some(victim) = self.victim.filter(|_| self.dice.chance(self.clings)) {
            return victim;
        }
        let hosts: Vec<HostId> = self.spec.hosts.keys().copied().collect();
        let host = self.dice.pick(&hosts).copied().unwrap_or_default();
        self.victim = Some(host);
        host
    }

    fn other(&mut self, than: HostId) -> HostId {
        let hosts: Vec<HostId> = self.spec.hosts.keys().copied().filter(|host| *host != than).collect();
        self.dice.pick(&hosts).copied().unwrap_or(than)
    }

    fn vm(&mut self) -> VmId {
        let vms: Vec<VmId> = self.spec.vms.iter().map(|vm| vm.definition.id).collect();
        self.dice.pick(&vms).copied().unwrap_or_default()
    }

    fn datastore(&mut self) -> DatastoreId {
        let stores: Vec<DatastoreId> = self.spec.datastores.keys().copied().collect();
        self.dice.pick(&stores).copied().unwrap_or_default()
    }

    fn device(&mut self) -> Option<FenceId> {
        let devices: Vec<FenceId> = self.spec.fences.keys().copied().collect();
        self.dice.pick(&devices).copied()
    }

    fn device_of(&mut self, host: HostId) -> Option<FenceId> {
        let own: Vec<FenceId> = self.devices_of(host);
        if self.dice.chance(self.clings) {
            self.dice.pick(&own).copied().or_else(|| self.device())
        } else {
            self.device()
        }
    }

    fn devices_of(&self, host: HostId) -> Vec<FenceId> {
        self.spec.hosts.get(&host).map(|host| host.fences.iter().flatten().copied().collect()).unwrap_or_default()
    }

    /// Some of the hosts, but not all, this one among them.
    fn part(&mut self, host: HostId) -> Vec<HostId> {
        let size = self.dice.range(1, self.spec.hosts.len() as u64 - 1) as usize;
        let mut others: Vec<HostId> = self.spec.hosts.keys().copied().filter(|id| *id != host).collect();
        self.dice.shuffle(&mut others);
        others.truncate(size - 1);
        others.insert(0, host);
        others
    }

    /// A time span; short ones as likely as long ones.
    fn span(&mut self, least_millis: u64, doublings: u64) -> Duration {
        let most = least_millis << self.dice.range(0, doublings);
        Duration::from_millis(self.dice.range(least_millis, most))
    }

    /// What befalls, each part so much later than the first.
    fn fault(&mut self, kind: Kind) -> Vec<(Duration, Fault)> {
        let host = self.host();
        let one = match kind {
            Kind::PowerOff => Fault::PowerOff(host),
            Kind::PowerOn => Fault::PowerOn(host),
            Kind::PowerBlip => Fault::PowerBlip(host, self.span(50, 9)),
            Kind::Reboot => Fault::Reboot(host),
            Kind::Shutdown => {
                let back = self.dice.chance(70).then(|| self.span(1_000, 5));
                Fault::Shutdown(host, back)
            }
            Kind::Freeze => Fault::Freeze(host, self.span(200, 8)),
            Kind::Suspend => Fault::Suspend(host, self.span(500, 7)),
            Kind::AgentCrash => Fault::AgentCrash(host, self.span(50, 8)),
            Kind::AgentHang => Fault::AgentHang(host, self.span(200, 8)),
            Kind::AgentUpgrade => Fault::AgentUpgrade(host, self.dice.chance(40).then(|| self.span(2_000, 6))),
            Kind::DaemonHang => Fault::DaemonHang(host, self.span(500, 8)),
            Kind::DaemonRestart => Fault::DaemonRestart(host),
            Kind::SlowStarts => Fault::SlowStarts(host, self.span(1_000, 5), self.span(5_000, 4)),
            Kind::TimedOutStarts => Fault::TimedOutStarts(host, self.dice.range(1, 4) as u32),
            Kind::Twin => Fault::Twin(host, self.span(8_000, 3)),
            Kind::DiskFull => Fault::VoterDiskFull(host, self.span(1_000, 5)),
            Kind::DiskSlow => Fault::VoterDiskSlow(host, self.span(10, 6), self.span(2_000, 5)),
            Kind::RestoreBackup => Fault::RestoreBackup(host, self.span(5_000, 4)),
            Kind::Isolate => Fault::Isolate(host, self.span(200, 9)),
            Kind::ConfirmDead => Fault::ConfirmDead(host),
            Kind::Recover => return self.recover(),
            Kind::StalledSplit => return self.stalled_split(host),
            kind => return self.of_others(kind, host).into_iter().map(|fault| (Duration::ZERO, fault)).collect(),
        };
        vec![(Duration::ZERO, one)]
    }

    fn of_others(&mut self, kind: Kind, host: HostId) -> Vec<Fault> {
        match kind {
            Kind::LinkCut | Kind::LinkLoss | Kind::LinkDelay | Kind::LinkDuplicate | Kind::LinkReplay => {
                self.link(kind, host)
            }
            Kind::Partition => vec![Fault::Partition(self.part(host), self.span(200, 9))],
            Kind::SiteSplit => self.site_split(host),
            Kind::SwitchOutage => {
                let lasts = self.span(1_000, 6);
                let cut = |device| Fault::Fence(device, FenceFault::Unreachable, lasts);
                let devices = self.devices_of(host).into_iter().map(cut);
                std::iter::once(Fault::Isolate(host, lasts)).chain(devices).collect()
            }
            Kind::DatastoreHang | Kind::DatastoreError | Kind::DatastoreSlow => self.storage(kind, host),
            Kind::TearRecord => vec![Fault::TearRecord(self.datastore(), host)],
            Kind::TearMail => vec![Fault::TearMail(self.datastore(), host)],
            Kind::StallWrite => vec![Fault::StallWrite(host, self.datastore(), self.span(300, 6))],
            Kind::RollBack => vec![Fault::RollBack(self.datastore(), self.span(5_000, 3))],
            Kind::Fence | Kind::SwapFences => self.fence(kind, host),
            kind => self.of_people(kind, host),
        }
    }

    fn link(&mut self, kind: Kind, host: HostId) -> Vec<Fault> {
        let other = self.other(host);
        let fault = match kind {
            Kind::LinkCut => LinkFault::Cut,
            Kind::LinkLoss => LinkFault::Loss(self.dice.range(5, 80) as u32),
            Kind::LinkDelay => LinkFault::Delay(self.span(20, 9)),
            Kind::LinkDuplicate => LinkFault::Duplicate(self.dice.range(5, 60) as u32),
            _ => LinkFault::Replay(self.span(1_000, 6)),
        };
        let lasts = self.span(500, 7);
        if self.dice.chance(40) {
            // One host hears, or is heard by, nobody: the failures in which each side believes another thing.
            let outward = self.dice.chance(50);
            let others: Vec<HostId> = self.spec.hosts.keys().copied().filter(|id| *id != host).collect();
            let pair = |other| if outward { (host, other) } else { (other, host) };
            return others.into_iter().map(pair).map(|(from, to)| Fault::Link(from, to, fault, lasts)).collect();
        }
        vec![Fault::Link(host, other, fault, lasts)]
    }

    fn storage(&mut self, kind: Kind, host: HostId) -> Vec<Fault> {
        let whom = (!self.dice.chance(25)).then_some(host);
        let fault = match kind {
            Kind::DatastoreHang => DatastoreFault::Hang,
            Kind::DatastoreError => DatastoreFault::Error,
            _ => DatastoreFault::Slow(self.span(20, 7)),
        };
        vec![Fault::Datastore(whom, self.datastore(), fault, self.span(500, 7))]
    }

    /// One side of the split has the network's one half, and each datastore answers one side only.
    fn site_split(&mut self, host: HostId) -> Vec<Fault> {
        let side = self.part(host);
        let lasts = self.span(1_000, 6);
        let mut faults = vec![Fault::Partition(side.clone(), lasts)];
        let datastores: Vec<DatastoreId> = self.spec.datastores.keys().copied().collect();
        for datastore in datastores {
            let inside = self.dice.chance(50);
            let fault = if self.dice.chance(50) { DatastoreFault::Hang } else { DatastoreFault::Error };
            let cut_off = self.spec.hosts.keys().filter(|id| side.contains(id) != inside);
            faults.extend(cut_off.map(|id| Fault::Datastore(Some(*id), datastore, fault, lasts)));
        }
        faults
    }

    /// A machine stands still, and by the time it goes on the network has split.
    fn stalled_split(&mut self, host: HostId) -> Vec<(Duration, Fault)> {
        let (stalls, lasts) = (self.span(500, 3), self.span(5_000, 3));
        let splits = self.dice.duration_between((Duration::ZERO, stalls));
        vec![(Duration::ZERO, Fault::Freeze(host, stalls)), (splits, Fault::Partition(self.part(host), lasts))]
    }

    fn fence(&mut self, kind: Kind, host: HostId) -> Vec<Fault> {
        let (Some(device), Some(other)) = (self.device_of(host), self.device()) else { return Vec::new() };
        if kind == Kind::SwapFences {
            // Whoever plugs cables anew drills anew what cannot say which machine it controls.
            let nameless = |id: &FenceId| self.spec.fences.get(id).is_some_and(|fence| fence.nameless);
            if nameless(&device) || nameless(&other) {
                return Vec::new();
            }
            // Nobody plugs cables to and fro within one order to switch off.
            return vec![Fault::SwapFences(device, other, self.span(30_000, 3))];
        }
        let lasts = self.span(2_000, 6);
        let fault = match self.dice.range(0, 99) {
            0..=29 => FenceFault::Slow(self.span(200, 7)),
            30..=44 => FenceFault::Late(self.span(300, 5)),
            45..=74 => FenceFault::Unreachable,
            75..=97 => FenceFault::WrongPassword,
            _ => FenceFault::Lies,
        };
        vec![Fault::Fence(device, fault, lasts)]
    }

    fn of_people(&mut self, kind: Kind, host: HostId) -> Vec<Fault> {
        let vm = self.vm();
        let one = match kind {
            Kind::FailStarts => Fault::FailStarts(vm, self.dice.range(1, 6) as u32),
            Kind::GuestCrash => Fault::GuestCrash(vm),
            Kind::GuestPoweroff => Fault::GuestPoweroff(vm),
            Kind::HypervisorStart => Fault::HypervisorStart(vm, host),
            Kind::HypervisorStop => Fault::HypervisorStop(vm),
            Kind::HypervisorMove => Fault::HypervisorMove(vm, host),
            Kind::MoveInDoubt => Fault::MoveInDoubt(vm, host),
            Kind::Edit => Fault::Edit(vm),
            Kind::Move => Fault::Request(Request::Move { vm, to: host }),
            Kind::Intend => {
                let want = match self.dice.range(0, 9) {
                    0..=4 => Want::Running,
                    5..=7 => Want::Stopped,
                    _ => Want::Killed,
                };
                Fault::Request(Request::Intend { vm, want })
            }
            Kind::Protect => match self.dice.range(0, 9) {
                0..=5 => match self.definition(vm) {
                    Some(definition) => Fault::Request(Request::Protect(Box::new(definition))),
                    None => return Vec::new(),
                },
                6 | 7 => Fault::Request(Request::Unprotect(vm)),
                _ => return vec![Fault::Request(Request::Unprotect(vm)), Fault::Request(Request::Remove(vm))],
            },
            Kind::Arm => match self.dice.range(0, 111) {
                0..=49 => Fault::Request(Request::Arm),
                50..=75 => Fault::Request(Request::Disarm),
                76..=79 => {
                    let after = Duration::from_secs(self.dice.range(5, 90));
                    return vec![Fault::Request(Request::RearmAfter(Some(after))), Fault::Request(Request::Disarm)];
                }
                80..=89 => Fault::Request(Request::EndQuarantine(host)),
                90..=95 => Fault::Request(Request::SetPolicy(Box::new(self.policy()))),
                // People who say what is not true, now and then: what follows is theirs.
                96 => Fault::Request(Request::ResolveConflict(host)),
                97 => Fault::Request(Request::ConfirmDead(host)),
                98..=101 => Fault::Request(Request::Drill(host)),
                104..=108 => Fault::Request(Request::SwitchOff { host, force: self.dice.chance(70) }),
                109..=111 => Fault::Request(Request::SwitchOn(host)),
                _ => Fault::Request(Request::Recover { dead: vec![VoterId(1), VoterId(2)] }),
            },
            _ => return Vec::new(),
        };
        vec![one]
    }

    fn policy(&mut self) -> Policy {
        let policy = &self.spec.policy;
        Policy {
            brake_percent: self.dice.range(20, 60) as u32,
            fence_unanswered: self.dice.chance(50),
            power_on_after_fence: self.dice.chance(70),
            ..policy.clone()
        }
    }

    fn definition(&self, vm: VmId) -> Option<VmDefinition> {
        self.spec.vms.iter().map(|entry| &entry.definition).find(|definition| definition.id == vm).cloned()
    }

    /// The majority of the first voters lose power for good, and a person recovers what is left.
    fn recover(&mut self) -> Vec<(Duration, Fault)> {
        let mut faults = Vec::new();
        if self.dice.chance(60) {
            let mut voters: Vec<HostId> =
                self.spec.hosts.iter().filter(|(_, host)| host.votes).map(|(id, _)| *id).collect();
            self.dice.shuffle(&mut voters);
            voters.truncate(voters.len() / 2 + 1);
            faults.extend(voters.into_iter().map(|host| (Duration::ZERO, Fault::PowerOff(host))));
        }
        // Nobody gives up voters before the others have long been without a leader.
        faults.push((Duration::from_secs(12), Fault::Recover));
        faults
    }
}
