//! A disk of which the power can be cut: what was synced stays, of the rest anything or nothing.
//!
//! Names and contents are synced apart, as POSIX has it: only a sync of the directory keeps a name. Names come and go in
//! the order in which they were given; writes may land in any order, and in part.

use crate::trace::Event;
use crate::workload::Dice;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None of it was written.
    Lost,
    /// All of it was.
    Kept,
    /// Names were, contents were not.
    NamesOnly,
    /// All but the end of the last write.
    LastTorn,
    /// Each write was or was not, or in part.
    Random,
}

impl Fate {
    pub const ALL: [Fate; 6] = [Fate::Lost, Fate::Kept, Fate::NamesOnly, Fate::LastTorn, Fate::Random, Fate::Random];
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Create(String, usize),
    Rename(String, String),
    Unlink(String),
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    pending: Vec<Naming>,
}

impl Disk {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Create { name, file } => {
                assert_eq!(*file, self.files.len(), "files are numbered in order");
                self.files.push(File::default());
                self.pending.push(Naming::Create(name.clone(), *file));
            }
            Event::Rename { from, to } => self.pending.push(Naming::Rename(from.clone(), to.clone())),
            Event::Unlink { name } => self.pending.push(Naming::Unlink(name.clone())),
            Event::Write { file, offset, bytes } => {
                self.files[*file].pending.push(Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Event::Resize { file, length } => self.files[*file].pending.push(Change::Resize(*length)),
            Event::Sync { file } => {
                let file = &mut self.files[*file];
                file.pending.drain(..).for_each(|change| land(&mut file.synced, &change));
            }
            Event::SyncDirectory => {
                self.pending.drain(..).for_each(|naming| name(&mut self.names, &naming));
            }
            Event::Said(_) => {}
        }
    }

    /// Whether everything is synced, so that all fates are one.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.files.iter().all(|file| file.pending.is_empty())
    }

    /// Fills an empty directory with what is left after a power cut.
    pub fn leave(&self, directory: &Path, fate: Fate, dice: &mut Dice) {
        let mut names = self.names.clone();
        let named = match fate {
            Fate::Lost => 0,
            Fate::Kept | Fate::NamesOnly | Fate::LastTorn => self.pending.len(),
            Fate::Random => usize::try_from(dice.below(self.pending.len() as u64 + 1)).expect("small"),
        };
        self.pending[..named].iter().for_each(|naming| name(&mut names, naming));
        for (name, file) in names {
            let bytes = if name.ends_with("-shm") {
                // Nothing of it is ever synced; whatever lies there must not be believed.
                vec![0xa5; 32 * 1024]
            } else {
                self.files[file].left(fate, dice)
            };
            fs::write(directory.join(name), bytes).expect("a file");
        }
    }
}

impl File {
    fn left(&self, fate: Fate, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (number, change) in self.pending.iter().enumerate() {
            let is_last = number + 1 == self.pending.len();
            match fate {
                Fate::Lost | Fate::NamesOnly => {}
                Fate::Kept => land(&mut bytes, change),
                Fate::LastTorn if is_last => land(&mut bytes, &torn(change, dice)),
                Fate::LastTorn => land(&mut bytes, change),
                Fate::Random => match dice.below(4) {
                    0 => land(&mut bytes, &torn(change, dice)),
                    1 => {}
                    _ if dice.below(2) == 0 => land(&mut bytes, change),
                    _ => {}
                },
            }
        }
        bytes
    }
}

/// The beginning of a write, up to the end of some sector of the disk.
fn torn(change: &Change, dice: &mut Dice) -> Change {
    match change {
        Change::Resize(length) => Change::Resize(*length),
        Change::Write { offset, bytes } => {
            let sectors = (offset + bytes.len()).div_ceil(SECTOR) - offset / SECTOR;
            let whole = usize::try_from(dice.below(sectors as u64)).expect("small");
            let end = ((offset / SECTOR + whole) * SECTOR).saturating_sub(*offset).min(bytes.len());
            Change::Write { offset: *offset, bytes: bytes[..end].to_vec() }
        }
    }
}

fn land(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(length) => file.resize(*length, 0),
        Change::Write { bytes, .. } if bytes.is_empty() => {}
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn name(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Create(name, file) => {
            names.insert(name.clone(), *file);
        }
        Naming::Rename(from, to) => {
            let file = names.remove(from).expect("names come and go in order");
            names.insert(to.clone(), file);
        }
        Naming::Unlink(name) => {
            names.remove(name).expect("names come and go in order");
        }
    }
}

/// The model must be able to lose what was not synced, or the test would prove nothing.
#[test]
fn what_is_not_synced_can_be_lost() {
    let create = Event::Create { name: "a".into(), file: 0 };
    let write = |offset: usize, byte| Event::Write { file: 0, offset, bytes: vec![byte; 1024] };
    let left = |disk: &Disk, fate| {
        let folder = tempfile::TempDir::new().expect("a folder");
        disk.leave(folder.path(), fate, &mut Dice::new(1));
        fs::read(folder.path().join("a")).ok()
    };
    let mut disk = Disk::default();
    [create, write(0, 1), Event::Sync { file: 0 }].iter().for_each(|event| disk.apply(event));
    assert_eq!(left(&disk, Fate::Lost), None);
    assert_eq!(left(&disk, Fate::Kept), Some(vec![1; 1024]));
    [Event::SyncDirectory, write(512, 2)].iter().for_each(|event| disk.apply(event));
    assert_eq!(left(&disk, Fate::Lost), Some(vec![1; 1024]));
    assert_eq!(left(&disk, Fate::Kept), Some([vec![1; 512], vec![2; 1024]].concat()));
    let torn = left(&disk, Fate::LastTorn).expect("it is there");
    assert!(torn == vec![1; 1024] || torn == [vec![1; 512], vec![2; 512]].concat());
    disk.apply(&Event::Sync { file: 0 });
    assert!(disk.is_settled());
}
