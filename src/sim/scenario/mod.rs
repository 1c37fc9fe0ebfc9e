//! Scenarios: a world, what befalls it, and what must come of it, written by a person in TOML.
//!
//! A file becomes a [`Scenario`] once and is then valid: every name stands for something, every time can be awaited.
//! The format is described in `tests/scenarios/README.md`.

pub mod cluster;
pub mod event;
pub mod expect;
pub mod hosts;
pub mod vms;

pub use crate::reader::Problem;
pub use event::Event;
pub use expect::{Expectation, Expectations};

use crate::reader::Source;
use crate::reader::{Found, Reader};
use crate::sim::spec::WorldSpec;
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// What a world is watched for after its last event, if the file does not say how long it lasts.
const AFTERMATH: Duration = Duration::from_secs(60);

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The name of its folder.
    pub name: String,
    /// The world.
    pub world: WorldSpec,
    /// How long it is watched.
    pub duration: Duration,
    /// What befalls it, in order.
    pub events: Vec<Event>,
    /// What must come of it.
    pub expectations: Expectations,
}

impl Scenario {
    /// Reads a scenario from the text of its file.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Scenario, Problem> {
        let source = Source { path, text };
        let table = DeTable::parse(text).map_err(|error| {
            let message = error.message().replace('\n', ", ");
            source.problem(error.span().unwrap_or(0..0), format!("this is no TOML: {message}"))
        })?;
        let mut file = Reader::new(source, "a scenario", 0..0, table.get_ref());
        let world = cluster::read(&mut file)?;
        let events = event::read_all(&mut file, &world)?;
        let expectations = expect::read_all(&mut file, &world.names(), &events)?;
        let last = events.last().map_or(Duration::ZERO, |event| event.at);
        let demanded = expectations.each.iter().map(|each| each.window.latest()).max().unwrap_or_default();
        let duration = file.maybe("duration", |found| match found.duration()? {
            duration if duration < last.max(demanded) => Err(beyond_the_end(found)),
            duration => Ok(duration),
        })?;
        let duration = duration.unwrap_or((last + AFTERMATH).max(demanded));
        file.finish()?;
        Ok(Scenario { name: name.to_owned(), world, duration, events, expectations })
    }
}

fn beyond_the_end(found: &Found<'_>) -> Problem {
    found.problem("an event or an expectation lies beyond `duration`").hint("let it last longer, or leave it out")
}

impl expect::Window {
    /// The last moment that it names.
    fn latest(&self) -> Duration {
        self.by.max(self.at).unwrap_or_default().max(self.not_before)
    }
}

#[cfg(test)]
mod tests;
