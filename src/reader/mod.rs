//! Reading a table of TOML key by key, so that every complaint names its line and every unknown key is noticed.
//!
//! A [`Reader`] remembers which keys it was asked for. What remains when it is [finished](Reader::finish) is unknown
//! by construction: no list of valid keys is kept anywhere that could fall behind.

mod problem;

pub use problem::{Problem, Source};

use crate::words::{listed, nearest, parse_duration, parse_memory};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table that is being read.
#[derive(Debug)]
pub struct Reader<'a> {
    source: Source<'a>,
    what: String,
    span: Range<usize>,
    table: &'a DeTable<'a>,
    asked: BTreeSet<&'static str>,
}

/// A value that was found, with its place.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    source: Source<'a>,
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Reader<'a> {
    /// Begins to read a table; `what` names it in complaints.
    pub fn new(source: Source<'a>, what: impl Into<String>, span: Range<usize>, table: &'a DeTable<'a>) -> Reader<'a> {
        Reader { source, what: what.into(), span, table, asked: BTreeSet::new() }
    }

    /// Names the table by something that was read from it.
    pub fn call(&mut self, what: impl Into<String>) {
        self.what = what.into();
    }

    /// What the table is called in complaints.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The line in which the table begins.
    pub fn line(&self) -> usize {
        self.source.line(self.span.start)
    }

    /// A problem with the table as a whole.
    pub fn problem(&self, what: impl Into<String>) -> Problem {
        self.source.problem(self.span.clone(), what)
    }

    /// The value of a key, if there is one.
    pub fn get(&mut self, key: &'static str) -> Option<Found<'a>> {
        self.asked.insert(key);
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Found { source: self.source, key: key.to_owned(), value })
    }

    /// The value of a key that may be missing.
    pub fn maybe<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Found<'a>) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        self.get(key).map(|found| read(&found)).transpose()
    }

    /// The value of a key that must be there.
    pub fn must<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Found<'a>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.maybe(key, read)?.ok_or_else(|| self.missing(key))
    }

    /// A key is missing; there may be one that was meant to be it.
    fn missing(&self, key: &'static str) -> Problem {
        let meant = |word: &str| !self.asked.contains(word) && nearest(word, [key]).is_some();
        let wrong = self.table.keys().find(|word| meant(word.get_ref()));
        let problem = self.problem(format!("{} needs `{key}`", self.what));
        problem.maybe_hint(wrong.map(|wrong| {
            let line = self.source.line(wrong.span().start);
            format!("line {line} has `{}`: did you mean `{key}`?", wrong.get_ref())
        }))
    }

    /// The tables of an array of tables; none if the key is missing.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Reader<'a>>, Problem> {
        let Some(found) = self.get(key) else {
            return Ok(Vec::new());
        };
        let entries = found.list().map_err(|problem| problem.hint(format!("begin each with [[{key}]]")))?;
        entries.iter().map(|entry| entry.table(format!("[[{key}]]"))).collect()
    }

    /// All keys with their values, for tables whose keys are not ours to know.
    pub fn all(&mut self) -> Vec<(String, Found<'a>)> {
        let entries = self.table.iter().map(|(name, value)| {
            let key = name.get_ref().to_string();
            (key.clone(), Found { source: self.source, key, value })
        });
        entries.collect()
    }

    /// Complains about the first key that nothing asked for.
    pub fn finish(self) -> Result<(), Problem> {
        let unknown = self.table.keys().filter(|key| !self.asked.contains(key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let name = key.get_ref().as_ref();
        let problem = self.source.problem(key.span(), format!("{} has no key `{name}`", self.what));
        Err(problem.hint(choice(name, self.asked.iter().copied())))
    }
}

/// Which word may have been meant, and which there are.
pub fn choice<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let all = match known.len() {
        0 => "there is none".to_owned(),
        _ => format!("there is {}", listed(&known, "and")),
    };
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"? {all}"),
        None => all,
    }
}

impl<'a> Found<'a> {
    /// The key that it stands behind.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A problem with this value.
    pub fn problem(&self, what: impl Into<String>) -> Problem {
        self.source.problem(self.value.span(), what)
    }

    /// The problem that it is of another type.
    fn not(&self, wanted: &str) -> Problem {
        let kind = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("`{}` must be {wanted}, not {kind}", self.key))
    }

    /// It as a text.
    pub fn text(&self) -> Result<&'a str, Problem> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text.as_ref()),
            _ => Err(self.not("a text")),
        }
    }

    /// It as a whole number.
    pub fn integer(&self) -> Result<i64, Problem> {
        match self.value.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map_err(|_| self.problem(format!("`{}` is too large a number", self.key))),
            _ => Err(self.not("a whole number")),
        }
    }

    /// It as a whole number that fits into `T`.
    pub fn number<T: TryFrom<i64>>(&self) -> Result<T, Problem> {
        let integer = self.integer()?;
        T::try_from(integer).map_err(|_| self.problem(format!("`{}` cannot be {integer}", self.key)))
    }

    /// It as a share in percent.
    pub fn percent(&self) -> Result<u32, Problem> {
        let percent: u32 = self.number()?;
        if percent > 100 {
            return Err(self.problem(format!("`{}` is a share in percent: at most 100, not {percent}", self.key)));
        }
        Ok(percent)
    }

    /// It as a number of processor cores, in thousandths.
    pub fn cores(&self) -> Result<u64, Problem> {
        let cores: f64 = match self.value.get_ref() {
            DeValue::Integer(integer) => integer.as_str().parse().unwrap_or(f64::NAN),
            DeValue::Float(float) => float.as_str().parse().unwrap_or(f64::NAN),
            _ => return Err(self.not("a number of cores")),
        };
        if !(0.0..=1_000_000.0).contains(&cores) {
            return Err(self.problem(format!("`{}` is no number of cores", self.key)));
        }
        // In range by the check above, so the conversion is exact to the thousandth.
        Ok((cores * 1_000.0).round() as u64)
    }

    /// It as yes or no.
    pub fn boolean(&self) -> Result<bool, Problem> {
        match self.value.get_ref() {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => Err(self.not("true or false")),
        }
    }

    /// It as a duration.
    pub fn duration(&self) -> Result<Duration, Problem> {
        let wanted = "a duration such as \"12s\", in quotes and with its unit";
        let text = self.text().map_err(|_| self.not(wanted))?;
        parse_duration(text).map_err(|error| self.problem(format!("`{}`: {error}", self.key)))
    }

    /// It as a range of durations: one, or the least and the most.
    pub fn duration_range(&self) -> Result<(Duration, Duration), Problem> {
        if !matches!(self.value.get_ref(), DeValue::Array(_)) {
            let only = self.duration()?;
            return Ok((only, only));
        }
        match self.list()?.as_slice() {
            [least, most] => match (least.duration()?, most.duration()?) {
                (least, most) if least <= most => Ok((least, most)),
                _ => Err(self.problem(format!("`{}`: the least is more than the most", self.key))),
            },
            _ => Err(self.problem(format!("`{}` must be one duration, or the least and the most", self.key))),
        }
    }

    /// It as a size of memory, in MiB.
    pub fn memory(&self) -> Result<u64, Problem> {
        let text = self.text().map_err(|_| self.not("a size of memory such as \"64GiB\""))?;
        parse_memory(text).map_err(|error| self.problem(format!("`{}`: {error}", self.key)))
    }

    /// It as a list.
    pub fn list(&self) -> Result<Vec<Found<'a>>, Problem> {
        match self.value.get_ref() {
            DeValue::Array(array) => Ok(array.iter().map(|value| self.part(value)).collect()),
            _ => Err(self.not("a list")),
        }
    }

    /// It as a list, or as the only entry of one.
    pub fn one_or_more(&self) -> Result<Vec<Found<'a>>, Problem> {
        match self.value.get_ref() {
            DeValue::Array(_) => self.list(),
            _ => Ok(vec![self.clone()]),
        }
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(_))
    }

    /// It as a table.
    pub fn table(&self, what: impl Into<String>) -> Result<Reader<'a>, Problem> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(Reader::new(self.source, what, self.value.span(), table)),
            _ => Err(self.not("a table")),
        }
    }

    /// It as one of a set of words.
    pub fn word<T: Clone>(&self, words: &[(&str, T)]) -> Result<T, Problem> {
        let text = self.text()?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(meaning.clone()),
            None => {
                let problem = self.problem(format!("`{}` cannot be \"{text}\"", self.key));
                Err(problem.hint(choice(text, words.iter().map(|(word, _)| *word))))
            }
        }
    }

    /// It as one of a set of names that stand for something of the kind `what`.
    pub fn named<'n, T: Copy + 'n>(
        &self,
        what: &str,
        names: impl IntoIterator<Item = (&'n T, &'n String)>,
    ) -> Result<T, Problem> {
        let text = self.text()?;
        let names: Vec<(&T, &String)> = names.into_iter().collect();
        match names.iter().find(|(_, name)| name.as_str() == text) {
            Some((id, _)) => Ok(**id),
            None => {
                let problem = self.problem(format!("there is no {what} \"{text}\""));
                Err(problem.hint(choice(text, names.iter().map(|(_, name)| name.as_str()))))
            }
        }
    }

    /// It as a value of TOML without its place.
    pub fn plain(&self) -> Result<toml::Value, Problem> {
        let value = match self.value.get_ref() {
            DeValue::String(text) => toml::Value::String(text.to_string()),
            DeValue::Integer(_) => toml::Value::Integer(self.integer()?),
            DeValue::Float(float) => toml::Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(boolean) => toml::Value::Boolean(*boolean),
            DeValue::Datetime(datetime) => toml::Value::Datetime(*datetime),
            DeValue::Array(_) => {
                toml::Value::Array(self.list()?.iter().map(Found::plain).collect::<Result<Vec<_>, _>>()?)
            }
            DeValue::Table(_) => {
                let mut table = toml::Table::new();
                for (key, value) in self.table("")?.all() {
                    table.insert(key, value.plain()?);
                }
                toml::Value::Table(table)
            }
        };
        Ok(value)
    }

    fn part(&self, value: &'a Spanned<DeValue<'a>>) -> Found<'a> {
        Found { source: self.source, key: self.key.clone(), value }
    }
}
