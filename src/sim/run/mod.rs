//! Runs a scenario and says what came of it: what happened, what was decided, and which demands were not met.

pub mod demands;
pub mod difference;
pub mod finals;
pub mod output;
pub mod record;

pub use finals::{FinalStates, FinalVm};

use crate::explain::NameList;
use crate::sim::scenario::Scenario;
use crate::sim::timeline::{Moment, Violation};
use crate::sim::world::Simulation;

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The name of the scenario.
    pub name: String,
    /// The seed of its world.
    pub seed: u64,
    /// The names of its things.
    pub names: NameList,
    /// All that happened.
    pub events: Vec<Moment>,
    /// How everything stood at the end.
    pub finals: FinalStates,
    /// The invariants that were violated.
    pub violations: Vec<Violation>,
    /// The demands that were not met.
    pub failures: Vec<Failure>,
    /// The decisions, one in a line.
    pub record: Vec<String>,
    /// Where the decisions differ from those that are expected; empty if they do not, or none are expected.
    pub differences: Vec<String>,
}

/// A demand that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the scenario in which it stands; none for what every scenario demands.
    pub line: Option<usize>,
    /// What was demanded, and what came instead.
    pub what: String,
}

impl Outcome {
    /// Whether all is as it should be.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.differences.is_empty()
    }

    /// Compares the decisions with those that are expected.
    pub fn compare(&mut self, expected: &str) {
        let expected: Vec<&str> = expected.lines().collect();
        let record: Vec<&str> = self.record.iter().map(String::as_str).collect();
        self.differences = difference::between(&expected, &record);
    }
}

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario) -> Outcome {
    let mut simulation = Simulation::new(scenario.world.clone());
    simulation.record(true);
    for event in &scenario.events {
        simulation.schedule(event.at, event.fault.clone());
    }
    simulation.run_until(scenario.duration);
    let names = scenario.world.names();
    let (events, violations) = (simulation.timeline().to_vec(), simulation.violations().to_vec());
    let finals = FinalStates::of(&simulation, &scenario.world, &events);
    let mut failures = demands::unmet(scenario, &events, &finals, &names);
    failures.extend(unexcused(scenario, &violations));
    let record = record::of(&events, &finals, &names);
    Outcome {
        name: scenario.name.clone(),
        seed: scenario.world.seed,
        names,
        events,
        finals,
        violations,
        failures,
        record,
        differences: Vec::new(),
    }
}

/// Every scenario demands that nothing is violated; where it says so, what the guarantee leaves out is excused.
fn unexcused(scenario: &Scenario, violations: &[Violation]) -> Vec<Failure> {
    let excused = |violation: &&Violation| violation.excused && scenario.expectations.excused;
    let unexcused = violations.iter().filter(|violation| !excused(violation));
    unexcused
        .map(|violation| Failure {
            line: None,
            what: format!("{} must hold, but {}", violation.invariant, violation.detail),
        })
        .collect()
}

#[cfg(test)]
mod tests;
