//! The rows of each tab, in their order, and the recoveries that are under way.

use super::picture::Picture;
use super::{Sort, Tab, Top};
use crate::api::{EventView, HostNow, HostView, VmNow, VmView};
use crate::report::Mood;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::time::Duration;

/// A VM that is on its way back, or in danger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recovery {
    pub(super) vm: String,
    /// Which stage it is in.
    pub(super) stage: &'static str,
    /// What is waited for, in words.
    pub(super) waits: String,
    /// For how long its host has been silent, if that is why.
    pub(super) silent: Option<Duration>,
}

/// How well a host or VM in this state is.
pub(super) fn mood(state: &str) -> Mood {
    match state {
        "alive" | "running" => Mood::Good,
        "joining" | "starting" | "moving" | "stopping" | "suspect" | "unknown" => Mood::Unsure,
        "stopped" | "unprotected" | "absent" => Mood::Plain,
        _ => Mood::Bad,
    }
}

/// What is worse comes first.
fn gravity(state: &str) -> u8 {
    match mood(state) {
        Mood::Bad => 0,
        Mood::Unsure => 1,
        Mood::Good => 2,
        Mood::Plain => 3,
    }
}

/// The VMs that are being brought back or moved, and those whose host nobody hears. Where they were before tells since when.
pub(super) fn recoveries(picture: &Picture, before: Option<&Picture>) -> Vec<Recovery> {
    let left: BTreeMap<&str, &str> = before
        .iter()
        .flat_map(|before| &before.vms)
        .filter_map(|vm| Some((vm.name.as_str(), vm.host.as_deref()?)))
        .collect();
    let hosts: BTreeMap<&str, &HostView> = picture.hosts.iter().map(|host| (host.name.as_str(), host)).collect();
    let recovery = |vm: &VmView| {
        let host = vm.host.as_deref().and_then(|name| hosts.get(name).copied());
        let is_silent = host.is_some_and(falls_silent);
        let stage = match (vm.state.as_str(), vm.waits_for.as_str()) {
            (_, "proof") => "prove",
            (_, "no-room" | "locked" | "retry" | "gave-up" | "not-armed" | "recovering" | "left-alone") => "queue",
            ("starting", _) => "start",
            ("moving", _) => "move",
            ("waiting", _) => "queue",
            ("running", _) if is_silent => "detect",
            _ => return None,
        };
        let was_on = left.get(vm.name.as_str()).and_then(|name| hosts.get(name).copied());
        let silent = host.into_iter().chain(was_on).find(|host| falls_silent(host));
        let silent = silent.and_then(|host| host.silent_milliseconds).map(Duration::from_millis);
        let waits = match (stage, &vm.waits) {
            ("detect", _) => format!("{} is silent", vm.host.as_deref().unwrap_or_default()),
            (_, Some(waits)) => waits.clone(),
            (_, None) => vm.host.clone().unwrap_or_default(),
        };
        Some(Recovery { vm: vm.name.clone(), stage, waits, silent })
    };
    picture.vms.iter().filter(|vm| vm.protected).filter_map(recovery).collect()
}

/// Whether a host is not heard any more.
fn falls_silent(host: &HostView) -> bool {
    matches!(host.state.as_str(), "suspect" | "isolated" | "judged" | "dead")
}

impl Top {
    /// How many rows the tab has.
    pub(super) fn count(&self) -> usize {
        match self.tab {
            Tab::Hosts => self.hosts().len(),
            Tab::Vms => self.vms().len(),
            Tab::Recoveries => self.shown_recoveries().len(),
            Tab::Events => self.events().len(),
        }
    }

    /// The hosts that are shown, with what they use.
    pub(super) fn hosts(&self) -> Vec<(&HostView, Option<&HostNow>)> {
        let Some(picture) = &self.picture else { return Vec::new() };
        let load = picture.host_load();
        let hosts = picture.hosts.iter().map(|host| (host, load.get(host.name.as_str()).copied()));
        let mut rows: Vec<_> = hosts.filter(|(host, _)| self.passes(&[&host.name, &host.state])).collect();
        rows.sort_by(|(left, left_load), (right, right_load)| {
            let cpu =
                |load: &Option<&HostNow>| Reverse(load.and_then(|load| share(load.busy_millicores?, load.millicores)));
            let memory =
                |load: &Option<&HostNow>| Reverse(load.and_then(|load| share(load.used_mib?, load.memory_mib)));
            let order = match self.sort {
                Sort::State => gravity(&left.state).cmp(&gravity(&right.state)),
                Sort::Name => Ordering::Equal,
                Sort::Host => right.vms.len().cmp(&left.vms.len()),
                Sort::Cpu => cpu(left_load).cmp(&cpu(right_load)),
                Sort::Memory => memory(left_load).cmp(&memory(right_load)),
            };
            self.turned(order.then_with(|| left.name.cmp(&right.name)))
        });
        rows
    }

    /// The VMs that are shown, with what they use.
    pub(super) fn vms(&self) -> Vec<(&VmView, Option<&VmNow>)> {
        let Some(picture) = &self.picture else { return Vec::new() };
        let load = picture.vm_load();
        let vms = picture.vms.iter().map(|vm| (vm, load.get(vm.name.as_str()).copied()));
        let passes = |vm: &VmView| self.passes(&[&vm.name, &vm.state, vm.host.as_deref().unwrap_or_default()]);
        let mut rows: Vec<_> = vms.filter(|(vm, _)| passes(vm)).collect();
        rows.sort_by(|(left, left_load), (right, right_load)| {
            let cpu = |load: &Option<&VmNow>| Reverse(load.and_then(|load| load.busy_millicores));
            let memory = |load: &Option<&VmNow>| Reverse(load.map(|load| load.used_mib));
            let order = match self.sort {
                Sort::State => gravity(&left.state).cmp(&gravity(&right.state)),
                Sort::Name => Ordering::Equal,
                Sort::Host => left.host.cmp(&right.host),
                Sort::Cpu => cpu(left_load).cmp(&cpu(right_load)),
                Sort::Memory => memory(left_load).cmp(&memory(right_load)),
            };
            self.turned(order.then_with(|| left.name.cmp(&right.name)))
        });
        rows
    }

    /// The recoveries that are shown, the longest first.
    pub(super) fn shown_recoveries(&self) -> Vec<&Recovery> {
        let passes = |recovery: &&Recovery| self.passes(&[&recovery.vm, recovery.stage, &recovery.waits]);
        let mut rows: Vec<&Recovery> = self.recoveries.iter().filter(passes).collect();
        let since = |recovery: &Recovery| self.since.get(&recovery.vm).map(|(begin, _)| *begin);
        rows.sort_by(|left, right| self.turned(since(left).cmp(&since(right)).then_with(|| left.vm.cmp(&right.vm))));
        rows
    }

    /// The events that are shown, the newest first.
    pub(super) fn events(&self) -> Vec<&EventView> {
        let Some(picture) = &self.picture else { return Vec::new() };
        let mut rows: Vec<&EventView> =
            picture.events.iter().rev().filter(|event| self.passes(&[&event.text])).collect();
        if self.reversed {
            rows.reverse();
        }
        rows
    }

    /// Whether one of these holds what is looked for, in whatever case.
    fn passes(&self, texts: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    fn turned(&self, order: Ordering) -> Ordering {
        if self.reversed { order.reverse() } else { order }
    }
}

/// A part of a whole in thousandths.
pub(super) fn share(part: u64, whole: u64) -> Option<u64> {
    part.saturating_mul(1_000).checked_div(whole)
}
