//! What was read of single VMs and hosts, as rows of a report.

use super::{Piece, Subject, Told};
use crate::core::state::{Tag, Target};
use crate::ledger::{Figures, Grouping};
use std::collections::BTreeMap;

/// The name of the group of VMs of which nobody knows the operating system, and of those without a tag.
const NONE: &str = "-";

/// One VM, host or group of VMs.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// By what the rows are ordered, and each is found again.
    pub key: String,
    /// Its name.
    pub name: String,
    /// How many VMs or hosts it counts together.
    pub members: usize,
    /// What is aimed at for it.
    pub target: Option<Target>,
    /// What was counted.
    pub figures: Figures,
    /// When it was how, if that was asked for and it is a single one.
    pub pieces: Vec<Piece>,
}

impl Told {
    /// The rows, in the order of their keys. A VM with two tags is in two of them.
    pub fn rows(&self, grouping: Grouping) -> Vec<Row> {
        match grouping {
            Grouping::Vm => self.vms.iter().map(|vm| self.single(vm, self.target_of(vm))).collect(),
            Grouping::Host => self.hosts.iter().map(|host| self.single(host, None)).collect(),
            Grouping::Cluster => vec![self.total(Grouping::Cluster)],
            Grouping::GuestOs => self.groups(|vm| vec![vm.system.as_deref().unwrap_or(NONE)]),
            Grouping::Tag => {
                let mut rows = self.groups(|vm| match vm.tags.is_empty() {
                    true => vec![NONE],
                    false => vm.tags.iter().map(Tag::as_str).collect(),
                });
                for row in &mut rows {
                    row.target = row.name.parse().ok().and_then(|tag: Tag| self.targets.get(&tag)).copied();
                }
                rows
            }
        }
    }

    /// All of them together: the hosts where rows are of hosts, else the VMs.
    pub fn total(&self, grouping: Grouping) -> Row {
        let subjects = if grouping == Grouping::Host { &self.hosts } else { &self.vms };
        let mut row = Row { key: "cluster".to_owned(), name: "cluster".to_owned(), ..Row::default() };
        subjects.iter().for_each(|subject| row.count(subject));
        row
    }

    /// What is aimed at for a VM: its own target, else the highest one of its tags.
    fn target_of(&self, vm: &Subject) -> Option<Target> {
        vm.target.or_else(|| vm.tags.iter().filter_map(|tag| self.targets.get(tag)).max().copied())
    }

    fn single(&self, subject: &Subject, target: Option<Target>) -> Row {
        let (figures, pieces) = (subject.figures.clone(), subject.pieces.clone());
        // Zeros make the order of the texts that of the numbers.
        Row { key: format!("{:020}", subject.id), name: subject.name.clone(), members: 1, target, figures, pieces }
    }

    fn groups<'a>(&'a self, names: impl Fn(&'a Subject) -> Vec<&'a str>) -> Vec<Row> {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for vm in &self.vms {
            for name in names(vm) {
                rows.entry(name).or_default().count(vm);
            }
        }
        rows.into_iter().map(|(name, row)| Row { key: name.to_owned(), name: name.to_owned(), ..row }).collect()
    }
}

impl Row {
    fn count(&mut self, subject: &Subject) {
        self.members += 1;
        self.figures.merge(&subject.figures);
    }
}
