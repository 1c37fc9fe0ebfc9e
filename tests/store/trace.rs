//! What a process did to the files of a directory, as `strace` saw it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The calls that change files, name them, or map them into memory.
pub const CALLS: &str = "trace=open,openat,creat,close,dup,dup2,dup3,lseek,write,writev,pwrite64,pwritev,pwritev2,fsync,\
    fdatasync,sync_file_range,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,\
    symlinkat,mkdir,mkdirat,copy_file_range,sendfile,splice,mmap";

/// Something that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A name for a new, empty file.
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        name: String,
    },
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize {
        file: usize,
        length: usize,
    },
    Sync {
        file: usize,
    },
    SyncDirectory,
    /// The process said something.
    Said(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Descriptor {
    File {
        file: usize,
        offset: usize,
    },
    Directory,
    /// Something that is not in the directory.
    Elsewhere,
}

/// Reads one process after another; they see the same directory.
pub struct Reader {
    directory: PathBuf,
    names: BTreeMap<String, usize>,
    files: usize,
    descriptors: BTreeMap<i64, Descriptor>,
    /// Files elsewhere that are read, and how far: the kernel copies from them without showing what.
    sources: BTreeMap<i64, (String, usize)>,
    events: Vec<Event>,
}

impl Reader {
    pub fn new(directory: &Path) -> Reader {
        Reader {
            directory: directory.to_owned(),
            names: BTreeMap::new(),
            files: 0,
            descriptors: BTreeMap::new(),
            sources: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Reads the trace of a process that has ended.
    pub fn read(&mut self, trace: &str) -> Vec<Event> {
        self.descriptors.clear();
        let mut unfinished: BTreeMap<&str, String> = BTreeMap::new();
        for line in trace.lines() {
            let (thread, line) = line.split_once(' ').expect("a thread and a call");
            let line = line.trim_start();
            if line.starts_with("+++") || line.starts_with("---") {
                continue;
            }
            if let Some(begun) = line.strip_suffix(" <unfinished ...>") {
                unfinished.insert(thread, begun.to_owned());
                continue;
            }
            let whole = match line.strip_prefix("<... ") {
                Some(rest) => {
                    let (_, rest) = rest.split_once(" resumed>").expect("the rest of a call");
                    unfinished.remove(thread).expect("its beginning") + rest
                }
                None => line.to_owned(),
            };
            self.call(&whole);
        }
        std::mem::take(&mut self.events)
    }

    fn call(&mut self, line: &str) {
        let (name, rest) = line.split_once('(').expect("a call");
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {line:.200}"));
        // A call in which the process ended.
        let Some(result) = result.split(' ').next().and_then(number) else { return };
        let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
        if result < 0 {
            return;
        }
        match (name, arguments.as_slice()) {
            ("openat", [_, path, flags, ..]) => self.open(&text(path), flags, result),
            ("close", [descriptor]) => {
                self.descriptors.remove(&number(descriptor).expect("a number"));
            }
            ("lseek", [descriptor, ..]) => self.seek(descriptor, result),
            ("write", ["1", bytes, _]) => self.said(&decoded(bytes)),
            ("write", [descriptor, bytes, _]) => self.write(descriptor, None, decoded(bytes), result),
            ("pwrite64", [descriptor, bytes, _, offset]) => {
                self.write(descriptor, number(offset), decoded(bytes), result);
            }
            ("fsync" | "fdatasync", [descriptor]) => match self.descriptor(descriptor) {
                Descriptor::File { file, .. } => self.events.push(Event::Sync { file }),
                Descriptor::Directory => self.events.push(Event::SyncDirectory),
                Descriptor::Elsewhere => {}
            },
            ("ftruncate", [descriptor, length]) => {
                if let Descriptor::File { file, .. } = self.descriptor(descriptor) {
                    self.events.push(Event::Resize { file, length: length.parse().expect("a length") });
                }
            }
            ("copy_file_range", [from, "NULL", to, "NULL", ..]) => self.copy(from, to, result),
            ("rename", [from, to]) => self.rename(&text(from), &text(to)),
            ("unlink", [path]) => self.unlink(&text(path)),
            ("unlinkat", [_, path, _]) => self.unlink(&text(path)),
            ("mmap", [_, _, protection, flags, descriptor, _]) => self.map(protection, flags, descriptor),
            _ => self.expect_elsewhere(line, &arguments),
        }
    }

    fn name(&self, path: &str) -> Option<String> {
        let name = Path::new(path).strip_prefix(&self.directory).ok()?;
        name.to_str().map(str::to_owned)
    }

    fn descriptor(&self, text: &str) -> Descriptor {
        let number = number(text).expect("a number");
        self.descriptors.get(&number).copied().unwrap_or(Descriptor::Elsewhere)
    }

    fn open(&mut self, path: &str, flags: &str, descriptor: i64) {
        let opened = match self.name(path) {
            None => {
                self.sources.insert(descriptor, (path.to_owned(), 0));
                Descriptor::Elsewhere
            }
            Some(name) if name.is_empty() => Descriptor::Directory,
            Some(name) => {
                let file = self.names.get(&name).copied().unwrap_or_else(|| {
                    self.files += 1;
                    let file = self.files - 1;
                    self.names.insert(name.clone(), file);
                    self.events.push(Event::Create { name, file });
                    file
                });
                if flags.contains("O_TRUNC") {
                    self.events.push(Event::Resize { file, length: 0 });
                }
                assert!(!flags.contains("O_APPEND"), "the place of such a write is not known");
                Descriptor::File { file, offset: 0 }
            }
        };
        self.descriptors.insert(descriptor, opened);
    }

    fn seek(&mut self, descriptor: &str, to: i64) {
        let number = number(descriptor).expect("a number");
        if let Some(Descriptor::File { offset, .. }) = self.descriptors.get_mut(&number) {
            *offset = usize::try_from(to).expect("a place");
        }
    }

    fn write(&mut self, descriptor: &str, at: Option<i64>, mut bytes: Vec<u8>, written: i64) {
        let Descriptor::File { file, offset } = self.descriptor(descriptor) else { return };
        bytes.truncate(usize::try_from(written).expect("a length"));
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        let offset = match at {
            Some(at) => usize::try_from(at).expect("a place"),
            None => {
                self.seek(descriptor, i64::try_from(end).expect("a place"));
                offset
            }
        };
        self.events.push(Event::Write { file, offset, bytes });
    }

    /// A copy of a file that is still there as it was.
    fn copy(&mut self, from: &str, to: &str, copied: i64) {
        let (path, offset) = self.sources.get_mut(&number(from).expect("a number")).expect("it was opened");
        let end = *offset + usize::try_from(copied).expect("a length");
        let bytes = std::fs::read(path).expect("a file")[*offset..end].to_vec();
        *offset = end;
        self.write(to, None, bytes, copied);
    }

    fn said(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let said = text.lines().filter_map(|line| line.strip_prefix('@'));
        self.events.extend(said.map(|line| Event::Said(line.to_owned())));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (self.name(from).expect("a name"), self.name(to).expect("a name"));
        let file = self.names.remove(&from).expect("it is there");
        self.names.insert(to.clone(), file);
        self.events.push(Event::Rename { from, to });
    }

    fn unlink(&mut self, path: &str) {
        if let Some(name) = self.name(path) {
            self.names.remove(&name).expect("it is there");
            self.events.push(Event::Unlink { name });
        }
    }

    /// What is written through memory is not seen here, so it must be nothing that has to last.
    fn map(&self, protection: &str, flags: &str, descriptor: &str) {
        if let Descriptor::File { file, .. } = self.descriptor(descriptor)
            && flags.contains("MAP_SHARED")
            && protection.contains("PROT_WRITE")
        {
            let name = self.names.iter().find(|(_, id)| **id == file).map(|(name, _)| name.as_str());
            assert!(name.is_some_and(|name| name.ends_with("-shm")), "{name:?} is written through memory");
        }
    }

    /// A call that this reader does not know must not have to do with the directory.
    fn expect_elsewhere(&self, line: &str, arguments: &[&str]) {
        let knows = |argument: &&str| match argument.strip_prefix('"') {
            Some(_) => String::from_utf8(decoded(argument)).is_ok_and(|path| self.name(&path).is_some()),
            // A length can look like a descriptor: then this is asked for once too often, and not once too little.
            None => number(argument).is_some_and(|id| {
                matches!(self.descriptors.get(&id), Some(Descriptor::File { .. } | Descriptor::Directory))
            }),
        };
        assert!(!arguments.iter().any(knows), "a call that is not understood: {line:.200}");
    }
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn text(argument: &str) -> String {
    String::from_utf8(decoded(argument)).expect("a name is text")
}

/// The bytes of a string that is written as `"\x2f\x74"`.
fn decoded(argument: &str) -> Vec<u8> {
    let digits = argument.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let digits = digits.unwrap_or_else(|| panic!("no whole string: {argument:.200}")).as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16).expect("a digit");
    let byte = |code: &[u8]| u8::try_from(value(code[2]) * 16 + value(code[3])).expect("a byte");
    digits.chunks(4).map(byte).collect()
}
