//! A made-up year of a large cluster, as its ledger has it.
//!
//! Something befalls a VM about twice a month: most are moved alive, some are stopped and started by a person, some crash,
//! and a host in two dies once with all that runs on it.

use super::{HOSTS, VMS};
use crate::core::command::Want;
use crate::core::ids::{BootId, ClusterGeneration, Epoch, FenceId, HostId, LogIndex, VmId};
use crate::core::message::Exit;
use crate::core::reason::{JudgeCause, Proof};
use crate::core::state::HolderProof;
use crate::ledger::{Entry, Key, What};
use crate::sim::dice::Dice;

/// The 1st of January of 2025.
pub(super) const BEGIN: i64 = 1_735_689_600_000;
/// A year, in milliseconds.
pub(super) const YEAR: i64 = 365 * 24 * 3_600_000;
/// So much befalls a VM in a year.
const EVENTS_OF_ONE: u32 = 24;
const EVENTS: u32 = VMS * EVENTS_OF_ONE;
/// So many hosts die in it.
const DEATHS: u32 = HOSTS / 2;

/// The past, fact by fact.
pub(super) struct Past {
    dice: Dice,
    /// Where each VM runs.
    on: Vec<u32>,
    at: i64,
    index: u64,
    told: Vec<Entry>,
}

impl Past {
    /// Hands all facts out, in portions.
    pub(super) fn tell(mut give: impl FnMut(Vec<Entry>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let on = (0..VMS).map(|vm| vm % HOSTS).collect();
        let mut past = Past { dice: Dice::new(3), on, at: BEGIN, index: 0, told: Vec::new() };
        past.begin();
        let between = YEAR / i64::from(EVENTS + 1);
        for event in 0..EVENTS {
            past.at = past.at.max(BEGIN + between * i64::from(event + 1));
            match past.dice.range(0, u64::from(EVENTS)) < u64::from(DEATHS) {
                true => past.host_dies(),
                false => past.one(),
            }
            if past.told.len() >= 500 {
                give(std::mem::take(&mut past.told))?;
            }
        }
        give(past.told)
    }

    fn begin(&mut self) {
        self.tell_of(What::MasterBegan { host: HostId(0), blind_milliseconds: 0 });
        for number in 0..HOSTS {
            self.tell_of(What::HostJoined { host: HostId(number), name: format!("host-{number}") });
            self.tell_of(What::HostUp { host: HostId(number), boot: BootId(1), rebooted: None });
        }
        for number in 0..VMS {
            let (vm, name, want) = (VmId(number), format!("vm-{number}"), Want::Running);
            self.tell_of(What::VmProtected { vm, name, want });
            self.starts(number);
        }
    }

    fn one(&mut self) {
        let vm = self.dice.range(0, VMS.into()) as u32;
        match self.dice.range(0, 10) {
            0..=6 => self.moves(vm),
            7 | 8 => {
                self.tell_of(What::VmWanted { vm: VmId(vm), want: Want::Stopped });
                self.ends(vm, Exit::Ordered);
                self.at += 30_000;
                self.tell_of(What::VmWanted { vm: VmId(vm), want: Want::Running });
                self.starts(vm);
            }
            _ => {
                self.ends(vm, Exit::Crashed);
                self.starts(vm);
            }
        }
    }

    fn moves(&mut self, vm: u32) {
        let from = self.place(vm);
        let further = 1 + self.dice.range(0, u64::from(HOSTS - 1)) as u32;
        self.set_place(vm, (from + further) % HOSTS);
        self.starts(vm);
        self.gone(vm, from, Proof::Released { refuses: self.epoch() }, Some(Exit::Moved));
    }

    fn ends(&mut self, vm: u32, exit: Exit) {
        let from = self.place(vm);
        self.gone(vm, from, Proof::Released { refuses: self.epoch() }, Some(exit));
    }

    fn host_dies(&mut self) {
        let dead = self.dice.range(0, HOSTS.into()) as u32;
        let host = HostId(dead);
        self.tell_of(What::HostJudged { host, cause: JudgeCause::Silent, silent_milliseconds: 1_600, planned: false });
        self.at += 700;
        let proof = Proof::Fenced { device: FenceId(dead) };
        let lost: Vec<u32> = (0..).zip(&self.on).filter(|(_, on)| **on == dead).map(|(vm, _)| vm).collect();
        for vm in &lost {
            self.gone(*vm, dead, proof, None);
        }
        self.tell_of(What::HostProven { host, proof });
        for vm in lost {
            self.set_place(vm, (dead + 1 + vm % (HOSTS - 1)) % HOSTS);
            self.starts(vm);
        }
        self.at += 120_000;
        self.tell_of(What::HostUp { host, boot: BootId(self.index), rebooted: None });
    }

    fn starts(&mut self, vm: u32) {
        let (host, epoch) = (HostId(self.place(vm)), self.epoch());
        let proof = Proof::Released { refuses: epoch };
        let proofs = vec![HolderProof { host, boot: BootId(1), epoch, proof }];
        self.tell_of(What::VmPlaced { vm: VmId(vm), host, epoch, proofs });
        self.at += 400;
        self.tell_of(What::VmUp { vm: VmId(vm), host, epoch, again: false });
    }

    fn gone(&mut self, vm: u32, from: u32, proof: Proof, exit: Option<Exit>) {
        self.tell_of(What::VmGone {
            vm: VmId(vm),
            host: HostId(from),
            epoch: self.epoch(),
            ran: true,
            proof: Some(proof),
            exit,
            planned: matches!(exit, Some(Exit::Moved | Exit::Ordered)),
            ago_milliseconds: if exit.is_some() { 250 } else { 0 },
            unseen: false,
        });
    }

    fn epoch(&self) -> Epoch {
        Epoch { generation: ClusterGeneration(0), number: self.index }
    }

    fn place(&self, vm: u32) -> u32 {
        self.on.get(vm as usize).copied().unwrap_or_default()
    }

    fn set_place(&mut self, vm: u32, host: u32) {
        if let Some(place) = self.on.get_mut(vm as usize) {
            *place = host;
        }
    }

    fn tell_of(&mut self, what: What) {
        self.index += 1;
        let key = Key { generation: ClusterGeneration(0).0, index: LogIndex(self.index), part: 0 };
        self.told.push(Entry { key, at_milliseconds: self.at, said: None, what });
    }
}
