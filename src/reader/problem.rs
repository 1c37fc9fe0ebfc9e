//! What is wrong with a scenario, and where.

use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A scenario that cannot be run.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{}:{line}: {what}{}", file.display(), hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
pub struct Problem {
    /// In which file.
    pub file: PathBuf,
    /// In which of its lines, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// The same problem, with advice.
    pub fn hint(self, hint: impl Into<String>) -> Problem {
        Problem { hint: Some(hint.into()), ..self }
    }

    /// The same problem, with advice if there is any.
    pub fn maybe_hint(self, hint: Option<String>) -> Problem {
        Problem { hint: hint.or(self.hint), ..self }
    }
}

/// A scenario's file, for messages about it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// All of it.
    pub text: &'a str,
}

impl Source<'_> {
    /// The line in which a byte lies, counted from 1.
    pub fn line(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().get(..byte).unwrap_or(self.text.as_bytes());
        before.iter().filter(|letter| **letter == b'\n').count() + 1
    }

    /// A problem with what lies there.
    pub fn problem(&self, span: Range<usize>, what: impl Into<String>) -> Problem {
        Problem { file: self.path.to_owned(), line: self.line(span.start), what: what.into(), hint: None }
    }
}
