//! The checkers can fail: each rule of the protocol is broken on purpose, and a seed of the soak must show it.
//!
//! `tests/sabotage.toml` names the first seed that catches each; `scripts/sabotage` finds it. Here the listed seeds are
//! played again, broken and whole.

#![cfg(feature = "sabotage")]
#![allow(clippy::expect_used, reason = "a test ends where what it stands on is missing")]

use holdfast::core::sabotage::{Sabotage, set};
use holdfast::core::timing::Profile;
use holdfast::sim::generate::Shape;
use holdfast::sim::parallel::{in_order, jobs};
use holdfast::sim::play::outcome;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// The soak's own shape.
const SHAPE: Shape = Shape { hosts: 5, vms: 20, profile: Profile::Lan, lasts: Duration::from_secs(600) };
/// So many seeds may be needed to catch a sabotage.
const SEEDS: u64 = 2_000;

/// What the first seed that shows it shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Caught {
    seed: u64,
    invariant: String,
    sees: String,
}

fn list() -> BTreeMap<String, Caught> {
    toml::from_str(include_str!("sabotage.toml")).expect("tests/sabotage.toml is a list; scripts/sabotage writes it")
}

#[test]
fn every_sabotage_is_on_the_list() {
    let caught = list();
    let known: Vec<String> = Sabotage::ALL.iter().map(|sabotage| format!("{sabotage:?}")).collect();
    for name in &known {
        assert!(caught.contains_key(name), "no seed is known that catches {name}; scripts/sabotage {name} seeks one");
    }
    for (name, entry) in &caught {
        assert!(known.contains(name), "there is no sabotage {name}");
        assert!((1..=SEEDS).contains(&entry.seed), "{name} takes {} seeds, {SEEDS} are allowed", entry.seed);
    }
}

#[test]
fn each_is_caught_by_its_seed_and_that_seed_is_clean_without() {
    let caught: Vec<(String, Caught)> = list().into_iter().collect();
    let mut wrong = Vec::new();
    let last = (caught.len() as u64).saturating_sub(1);
    let work = |number| {
        let (name, entry) = caught.get(number as usize)?;
        check(name, entry)
    };
    in_order(
        jobs(None),
        0..=last,
        || true,
        work,
        |_, finding| {
            wrong.extend(finding);
            ControlFlow::Continue(())
        },
    );
    assert!(wrong.is_empty(), "scripts/sabotage brings the list up to date:\n{}", wrong.join("\n"));
}

/// Plays the seed of a sabotage, broken and whole: what is wrong with it, if anything.
fn check(name: &str, entry: &Caught) -> Option<String> {
    let seed = entry.seed;
    let Some(sabotage) = Sabotage::named(name) else { return Some(format!("there is no sabotage {name}")) };
    set(Some(sabotage));
    let broken = outcome(seed, &SHAPE);
    set(None);
    let same = |invariant: &str, detail: &str| invariant == entry.invariant && detail == entry.sees;
    match broken.unexcused().next() {
        None => return Some(format!("{name} is not caught by seed {seed}")),
        Some(found) if !same(found.invariant, &found.detail) => {
            return Some(format!("{name}, seed {seed}: {}: {}", found.invariant, found.detail));
        }
        Some(_) => {}
    }
    let whole = outcome(seed, &SHAPE);
    (!whole.is_clean()).then(|| format!("seed {seed}, which is to catch {name}, fails when nothing is broken"))
}
