//! Programs by the names under which the cluster knows them.

use super::read::{LIST_LIMIT, NAME_HINT, is_name};
use crate::reader::{Found, Problem, Reader};
use std::collections::BTreeMap;
use std::path::Path;

/// Each stands under a name of its own.
pub(super) fn read(mut reader: Reader<'_>) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    let mut commands = BTreeMap::new();
    for (key, found) in reader.all() {
        if !is_name(&key) {
            return Err(found.problem(format!("\"{}\" is no name of a command", key.escape_debug())).hint(NAME_HINT));
        }
        if commands.len() >= LIST_LIMIT {
            return Err(found.problem(format!("there are more than {LIST_LIMIT} commands")));
        }
        commands.insert(key, command(&found)?);
    }
    Ok(commands)
}

/// A program by its full path, with its arguments.
pub(super) fn command(found: &Found<'_>) -> Result<Vec<String>, Problem> {
    let words: Vec<String> =
        found.one_or_more()?.iter().map(|word| word.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    match words.first() {
        Some(program) if Path::new(program).is_absolute() => Ok(words),
        _ => Err(found.problem(format!("`{}` must begin with the full path of a program", found.key()))),
    }
}
