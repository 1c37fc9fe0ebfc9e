//! `holdfast simulate sabotage`: for each rule of the protocol, the first seed whose checkers notice that it is broken.
//! Only in builds made for that.

use super::output::Output;
use super::seeds::{Seeds, ShapeArgs};
use super::{Exit, Sabotage};
use crate::core::sabotage::{self, Sabotage as Rule};
use crate::sim::generate::Shape;
use crate::sim::parallel::{in_order, jobs};
use crate::sim::play::outcome;
use crate::sim::timeline::Violation;
use anyhow::Context;
use clap::Args;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Written at the top of the list.
const HEADER: &str = "\
# Each rule that can be broken on purpose, with the first seed of the soak whose checkers notice, and what they see.
# The seed's world is clean when nothing is broken. `scripts/sabotage` finds and writes these lines.

";

#[derive(Debug, Args)]
pub struct SabotageArgs {
    /// Which rules; by default, all
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Among which seeds
    #[arg(long, value_name = "RANGE", default_value = "1..5000")]
    seeds: Seeds,
    #[command(flatten)]
    shape: ShapeArgs,
    /// The list that is brought up to date
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// How many worlds are played at once; by default, one on each core
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
}

/// Which rules were noticed to be broken, and how.
#[derive(Debug, Default)]
struct List(BTreeMap<String, toml::Value>);

/// Seeks the first seed for each rule.
pub fn sabotage(args: &SabotageArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let shape = args.shape.shape();
    let all = || Ok(Rule::ALL.to_vec());
    let named = || args.names.iter().map(|name| Sabotage::named(name)).collect::<anyhow::Result<Vec<Rule>>>();
    let rules = if args.names.is_empty() { all() } else { named() }?;
    let mut list = List::read(args.list.as_deref())?;
    // Whether a seed is clean when nothing is broken, for those that were asked about.
    let clean = Mutex::new(BTreeMap::new());
    let mut caught = 0;
    for rule in &rules {
        let name = format!("{rule:?}");
        match search(*rule, args, &shape, &clean) {
            Some((seed, violation)) => {
                caught += 1;
                let Violation { invariant, detail, .. } = &violation;
                output.line(&format!("{name:<26} seed {seed:>5}  {invariant}: {detail}"))?;
                list.catch(name, seed, &violation);
            }
            None => {
                output.line(&format!("{name:<26} NOT CAUGHT"))?;
                list.0.remove(&name);
            }
        }
        output.flush()?;
    }
    output.line(&format!("{caught} of {} caught", rules.len()))?;
    if let Some(path) = &args.list {
        fs::write(path, list.text()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(if caught == rules.len() { Exit::Good } else { Exit::Violation })
}

/// The first seed that is clean, and is not once the rule is broken.
fn search(
    rule: Rule,
    args: &SabotageArgs,
    shape: &Shape,
    clean: &Mutex<BTreeMap<u64, bool>>,
) -> Option<(u64, Violation)> {
    let work = |seed| {
        sabotage::set(Some(rule));
        let broken = outcome(seed, shape);
        sabotage::set(None);
        let found = broken.unexcused().next().cloned()?;
        let known = clean.lock().unwrap_or_else(PoisonError::into_inner).get(&seed).copied();
        let is_clean = known.unwrap_or_else(|| {
            let is_clean = outcome(seed, shape).is_clean();
            clean.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, is_clean);
            is_clean
        });
        is_clean.then_some(found)
    };
    let mut first = None;
    in_order(
        jobs(args.jobs),
        args.seeds.first..=args.seeds.last,
        || true,
        work,
        |seed, found| match found {
            Some(violation) => {
                first = Some((seed, violation));
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        },
    );
    first
}

impl List {
    /// The list as it is in the file; empty if there is none yet.
    fn read(path: Option<&Path>) -> anyhow::Result<List> {
        let Some(path) = path else { return Ok(List::default()) };
        let text = match crate::files::read_text(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(List::default()),
            text => text.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        let table: toml::Table = text.parse().with_context(|| format!("{} is no list", path.display()))?;
        Ok(List(table.into_iter().collect()))
    }

    fn catch(&mut self, name: String, seed: u64, violation: &Violation) {
        let mut entry = toml::Table::new();
        entry.insert("seed".to_owned(), toml::Value::Integer(i64::try_from(seed).unwrap_or(i64::MAX)));
        entry.insert("invariant".to_owned(), violation.invariant.into());
        entry.insert("sees".to_owned(), violation.detail.clone().into());
        self.0.insert(name, entry.into());
    }

    /// In the order of the protocol's rules, one to a line.
    fn text(&self) -> String {
        let names = Rule::ALL.iter().map(|rule| format!("{rule:?}"));
        let lines: String = names.filter_map(|name| Some(format!("{name} = {}\n", self.0.get(&name)?))).collect();
        format!("{HEADER}{lines}")
    }
}
