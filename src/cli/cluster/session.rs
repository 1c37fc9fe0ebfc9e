//! Asking a cluster: with patience where there is no master, and under one number however often it is asked.

use super::flags::{Flags, Form};
use crate::api::ErrorBody;
use crate::cli::Exit;
use crate::cli::output::{Output, remark};
pub use crate::client::segment;
use crate::client::{Client, ClientError, Note};
use crate::clock::boottime;
use crate::core::time::Instant;
use crate::words::format_duration;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(200);
/// Between two tries to reach a master.
const AGAIN: Duration = Duration::from_millis(500);
/// So many things of a long list are asked for at once: what a host passes on for the master must not be too long.
const PART: usize = 100;
/// The progress turns once in so many milliseconds, for those who wonder whether it lives.
const TURN: Duration = Duration::from_millis(120);

/// A command that ended otherwise than it should.
#[derive(Debug, Error)]
#[error("{text}")]
pub struct Ended {
    /// With which code.
    pub exit: Exit,
    /// Why.
    pub text: String,
}

/// A command that ended so.
pub fn ended(exit: Exit, text: impl Into<String>) -> anyhow::Error {
    Ended { exit, text: text.into() }.into()
}

/// A change that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Has something done.
    Post,
    /// Sets something.
    Put,
    /// Removes something.
    Delete,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Delete => "DELETE",
        }
    }
}

/// Whether something can be asked twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twice {
    /// The second time does nothing that the first has not done.
    Harmless,
    /// Each time makes something new.
    MakesTwo,
    /// It is asked once: a master is not waited for.
    Never,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is done, or seen to.
    Done(Value),
    /// It was so already.
    SoAlready,
    /// Nothing was asked: it was said what would have been.
    Dry,
}

/// How far something is that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// It came about.
    Done(T),
    /// Not yet; this far.
    Going(String),
    /// It will not come about, as this shows.
    Failed(String),
    /// It will not come about before somebody does something.
    Stuck(String),
}

/// A conversation with a cluster.
pub struct Session<'a> {
    /// What the command was told.
    pub flags: &'a Flags,
    client: Client,
    runtime: Runtime,
    until: Instant,
    bar: ProgressBar,
    said: Option<String>,
    /// That there is no master has been said.
    has_said_alone: Cell<bool>,
}

impl<'a> Session<'a> {
    /// Begins it. Nobody is asked yet.
    pub fn begin(flags: &'a Flags) -> anyhow::Result<Session<'a>> {
        if matches!(flags.output, Form::Markdown | Form::Html) {
            return Err(ended(
                Exit::BadUsage,
                "only reports are written as Markdown or HTML\n  hint: -o table, json or csv",
            ));
        }
        Session::for_report(flags)
    }

    /// The same, for what can be written in every form.
    pub fn for_report(flags: &'a Flags) -> anyhow::Result<Session<'a>> {
        let client = flags.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("no runtime can be made")?;
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        Ok(Session {
            flags,
            client,
            runtime,
            until: boottime() + flags.timeout,
            bar,
            said: None,
            has_said_alone: Cell::new(false),
        })
    }

    /// Looks at something, once.
    pub fn look<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let seen = self.once(self.client.get(path)).map_err(|error| self.advised(error))?;
        if let Some(host) = self.client.known_by()
            && !self.has_said_alone.replace(true)
        {
            self.remark(&format!("note: there is no master; this is what {host} knew when there last was one"));
        }
        Ok(seen)
    }

    /// Looks at something that is told as plain text, once.
    pub fn text(&self, path: &str) -> anyhow::Result<String> {
        self.once(self.client.text(path)).map_err(|error| self.advised(error))
    }

    /// Looks at a list that may be long, part by part; `name` says after which one the next part begins.
    pub fn list<T: DeserializeOwned>(&self, path: &str, name: fn(&T) -> Uuid) -> anyhow::Result<Vec<T>> {
        let mut list: Vec<T> = Vec::new();
        loop {
            let after = list.last().map(|last| format!("&after={}", name(last))).unwrap_or_default();
            let part: Vec<T> = self.look(&format!("{path}?limit={PART}{after}"))?;
            let is_last = part.len() < PART;
            list.extend(part);
            if is_last {
                return Ok(list);
            }
        }
    }

    /// Asks what would be, once; changes nothing.
    pub fn suppose<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.once(self.client.post(path, body, &Note::default())).map_err(|error| self.advised(error))
    }

    /// Looks at something before changing it: with patience while there is no master.
    pub fn find<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        self.patiently(Twice::Harmless, |session| session.once(session.client.get(path)))
    }

    /// Has something changed, or says only what would be asked.
    pub fn change(&mut self, verb: Verb, path: &str, body: &Value, output: &mut Output) -> anyhow::Result<Answer> {
        if self.flags.dry_run {
            self.say_dry(verb, path, body, output)?;
            return Ok(Answer::Dry);
        }
        match self.ask(verb, path, body, Twice::Harmless) {
            Ok(value) => Ok(Answer::Done(value)),
            Err(error) if is(&error, "nothing-to-do") => Ok(Answer::SoAlready),
            Err(error) => Err(error),
        }
    }

    /// Says what would be asked.
    pub fn say_dry(&self, verb: Verb, path: &str, body: &Value, output: &mut Output) -> anyhow::Result<()> {
        let method = verb.name();
        if self.flags.output == Form::Json {
            return output.line(&json!({ "dry_run": true, "method": method, "path": path, "body": body }).to_string());
        }
        let body = if verb == Verb::Delete { String::new() } else { format!(" {body}") };
        output.line(&format!("would ask {}: {method} {path}{body}", self.client.place()))
    }

    /// Has something changed. It is asked again under the same number where the answer was lost.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        verb: Verb,
        path: &str,
        body: &Value,
        twice: Twice,
    ) -> anyhow::Result<T> {
        // The highest two bits of a request's number belong to the cluster.
        let id = uuid::Uuid::new_v4().as_u64_pair().1 & ((1 << 62) - 1);
        let note = Note { id: Some(id), reason: self.flags.reason.clone() };
        self.patiently(twice, |session| match verb {
            Verb::Post => session.once(session.client.post(path, body, &note)),
            Verb::Put => session.once(session.client.put(path, body, &note)),
            Verb::Delete => session.once(async {
                let value = session.client.delete(path, &note).await?;
                let place = session.client.place().to_owned();
                serde_json::from_value(value).map_err(|error| ClientError::Nonsense { place, why: error.to_string() })
            }),
        })
    }

    /// Asks before something that cannot be taken back.
    pub fn confirm(&mut self, question: &str) -> anyhow::Result<()> {
        if self.flags.yes || self.flags.dry_run {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(ended(
                Exit::BadUsage,
                format!("{question}\n  hint: nobody can be asked here: add --yes to do it"),
            ));
        }
        let mut errors = std::io::stderr();
        write!(errors, "{question} [y/N] ").and_then(|()| errors.flush()).context("the question cannot be shown")?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => {
                // The time in which a person thought is not waited for the cluster.
                self.until = boottime() + self.flags.timeout;
                Ok(())
            }
            _ => Err(ended(Exit::Failed, "nothing was done")),
        }
    }

    /// Waits until something has come about. Whatever goes wrong meanwhile may pass.
    pub fn wait<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Session<'a>) -> anyhow::Result<Progress<T>>,
    ) -> anyhow::Result<T> {
        self.bar.enable_steady_tick(TURN);
        let waited = loop {
            let last = match look(self) {
                Ok(Progress::Done(value)) => break Ok(value),
                Ok(Progress::Failed(why)) => break Err(ended(Exit::Failed, format!("{what}: {why}"))),
                Ok(Progress::Stuck(why)) => {
                    break Err(ended(Exit::TimedOut, format!("{what} is seen to, but waits: {why}")));
                }
                Ok(Progress::Going(state)) => state,
                Err(error) if may_pass(&error) => error.to_string(),
                Err(error) => break Err(error),
            };
            if boottime() >= self.until {
                let text = format!(
                    "{what}: not within {}; it may still happen. Last: {last}",
                    format_duration(self.flags.timeout)
                );
                break Err(ended(Exit::TimedOut, text));
            }
            self.bar.set_message(format!("{what}: {last}"));
            self.pause(LOOK);
        };
        self.bar.finish_and_clear();
        waited
    }

    /// Whether somebody sees how far it is.
    pub fn is_watched(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Says something beside the answer.
    pub fn remark(&self, text: &str) {
        self.bar.suspend(|| remark(text));
    }

    /// Lets a moment pass.
    pub fn pause(&self, moment: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(moment).await });
    }

    fn once<T>(&self, asked: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let patience = self.flags.timeout.max(Duration::from_secs(1));
        let answered = self.runtime.block_on(async { tokio::time::timeout(patience, asked).await });
        answered.unwrap_or_else(|_| {
            let (place, why) = (self.client.place().to_owned(), format!("nothing came within {patience:?}"));
            Err(ClientError::Lost { place, why })
        })
    }

    fn patiently<T>(
        &mut self,
        twice: Twice,
        mut ask: impl FnMut(&Session<'a>) -> Result<T, ClientError>,
    ) -> anyhow::Result<T> {
        let mut was_lost = false;
        loop {
            let error = match ask(self) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // A host that was asked and fell silent is another matter than one that was never there.
            let passes = was_lost && matches!(error, ClientError::Unreachable { .. }) || is_passing(&error, twice);
            if !passes || self.flags.no_wait || boottime() >= self.until {
                return Err(self.advised(error));
            }
            was_lost |= matches!(error, ClientError::Lost { .. });
            let text = error.to_string();
            if self.said.as_ref() != Some(&text) {
                self.remark(&format!("{text}\n  it is asked again for {}", format_duration(self.flags.timeout)));
                self.said = Some(text);
            }
            self.pause(AGAIN);
        }
    }

    /// The same error, with what can be done on this side.
    fn advised(&self, error: ClientError) -> anyhow::Error {
        let hint = match &error {
            ClientError::Unreachable { place, .. } if place.starts_with('/') => {
                "is `holdfast agent` running here, and are you root? Otherwise name another host with --server"
            }
            ClientError::Unreachable { .. } => "name another host of the cluster with --server: any of them will do",
            _ => return error.into(),
        };
        let text = error.to_string();
        anyhow::Error::new(error).context(format!("{text}\n  hint: {hint}"))
    }
}

/// Whether the cluster refused with this word.
pub fn is(error: &anyhow::Error, code: &str) -> bool {
    error.downcast_ref::<ClientError>().and_then(ClientError::code) == Some(code)
}

fn is_passing(error: &ClientError, twice: Twice) -> bool {
    match error {
        _ if twice == Twice::Never => false,
        ClientError::Refused { body: ErrorBody { code, .. }, .. } => {
            code == "no-master" || code == "unanswered" && twice == Twice::Harmless
        }
        ClientError::Lost { .. } => twice == Twice::Harmless,
        _ => false,
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ClientError>() {
        Some(error) => matches!(error, ClientError::Unreachable { .. }) || is_passing(error, Twice::Harmless),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let refused = |code: &str| ClientError::Refused {
            body: ErrorBody { code: code.to_owned(), error: String::new(), hint: None },
            status: 500,
        };
        assert!(is_passing(&refused("no-master"), Twice::MakesTwo));
        assert!(is_passing(&refused("unanswered"), Twice::Harmless));
        assert!(!is_passing(&refused("unanswered"), Twice::MakesTwo));
        assert!(!is_passing(&refused("held"), Twice::Harmless));
        let unreachable = ClientError::Unreachable { place: String::new(), why: String::new() };
        assert!(!is_passing(&unreachable, Twice::Harmless));
        assert!(may_pass(&unreachable.into()) && !may_pass(&refused("held").into()));
    }
}
