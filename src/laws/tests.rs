//! The laws hold for what is read, for what is damaged, and for anything at all.

use super::{ALL, check, samples};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The form of the replicated state is not bound to what earlier builds wrote before it is shipped. A seed of it that is
/// not read any more is damaged input like any other, until somebody has it written anew.
const CHANGES: &str = "store";

/// What the fuzzer begins with.
struct Seed {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The seeds of each law.
static SEEDS: LazyLock<BTreeMap<&str, Vec<Seed>>> = LazyLock::new(|| {
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        for (law, name, bytes) in samples::all() {
            let path = folder().join("seeds").join(law).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !fs::read(&path).is_ok_and(|old| check(law, &old)) {
                fs::write(path, bytes).unwrap();
            }
        }
    }
    ALL.into_iter().map(|(law, _)| (law, all_in(&folder().join("seeds").join(law)))).collect()
});

fn all_in(folder: &Path) -> Vec<Seed> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Seed { bytes: fs::read(&path).unwrap(), path }).collect()
}

#[test]
fn every_law_has_its_target_and_no_target_lacks_a_law() {
    let manifest: toml::Table = fs::read_to_string(folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap();
    let named: BTreeSet<&str> = bins.iter().map(|bin| bin["name"].as_str().unwrap()).collect();
    assert_eq!(named, ALL.into_iter().map(|(law, _)| law).collect());
    for law in named {
        let text = fs::read_to_string(folder().join(format!("targets/{law}.rs"))).unwrap();
        assert!(text.contains(&format!("check(\"{law}\", bytes)")), "{law}: {text}");
    }
}

#[test]
fn every_seed_is_read() {
    for (law, seeds) in SEEDS.iter() {
        let mut read = 0;
        for Seed { path, bytes } in seeds {
            let is_read = check(law, bytes);
            read += usize::from(is_read);
            assert!(
                is_read || *law == CHANGES,
                "{law} does not read {}: an upgrade would fail; if this form was never shipped, see samples.rs",
                path.display()
            );
        }
        assert!(read > 0, "{law} has no seed that is read");
    }
}

#[test]
fn what_once_broke_a_law_does_so_no_more() {
    for (law, _) in ALL {
        let folder = folder().join("found").join(law);
        for Seed { path, bytes } in if folder.exists() { all_in(&folder) } else { Vec::new() } {
            println!("{}: {}", path.display(), check(law, &bytes));
        }
    }
}

#[test]
fn what_this_build_writes_is_read() {
    for (law, name, bytes) in samples::all() {
        assert!(check(law, &bytes), "{law} does not read {name}");
    }
}

/// One kind of damage: where, and what.
#[derive(Debug, Clone)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Out(prop::sample::Index, usize),
    In(prop::sample::Index, Vec<u8>),
    Again(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => place().prop_map(Damage::Cut),
        2 => (place(), 1..16_usize).prop_map(|(at, length)| Damage::Out(at, length)),
        2 => (place(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::In(at, bytes)),
        2 => (place(), 1..64_usize).prop_map(|(at, length)| Damage::Again(at, length)),
    ]
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        match damage {
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Out(at, length) => {
                let at = at.index(bytes.len());
                bytes.drain(at..bytes.len().min(at + length));
            }
            Damage::In(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Again(at, length) => {
                let at = at.index(bytes.len());
                let part = bytes[at..bytes.len().min(at + length)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

proptest! {
    // What is found is kept as a seed, not in a file of proptest's own.
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_a_law(law in 0..ALL.len(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check(ALL[law].0, &bytes);
    }

    #[test]
    fn no_text_breaks_a_law(law in 0..ALL.len(), text in "\\PC{0,200}") {
        check(ALL[law].0, text.as_bytes());
    }

    /// Damage in the middle of what is true gets furthest.
    #[test]
    fn no_damage_breaks_a_law(
        law in 0..ALL.len(), seed in any::<prop::sample::Index>(), damages in prop::collection::vec(damage(), 1..6),
    ) {
        let name = ALL[law].0;
        let seeds = &SEEDS[name];
        check(name, &damaged(&seeds[seed.index(seeds.len())].bytes, &damages));
    }
}
