//! The hook's own side: what libvirt runs.

use super::{LONGEST, Question, Step, list, parse_answer, socket};
use crate::libvirt::calls::REFUSED;
use crate::libvirt::definition::uuid_of;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// A protected VM's start is decided by the master, which answers within three seconds or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// For any other VM an agent that hangs must not be in the way.
const PATIENCE_FOR_OTHERS: Duration = Duration::from_secs(1);
/// No definition is longer.
const LONGEST_XML: u64 = 4 * 1_024 * 1_024;

/// How libvirt has called the hook.
#[derive(Debug, Clone)]
pub struct HookCall {
    /// What the domain is called.
    pub name: String,
    /// What is about to happen.
    pub operation: String,
    /// Which part of it.
    pub step: String,
    /// Where the agent's socket is.
    pub run: PathBuf,
    /// Where the list of protected VMs is.
    pub state: PathBuf,
}

/// Whether libvirt may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Pass,
    /// It may not, and libvirt shows this to whoever wanted it.
    Refuse(String),
}

/// Decides on one call, given what libvirt writes to the hook.
pub fn judge(call: &HookCall, definition: impl Read) -> Verdict {
    let step = match (call.operation.as_str(), call.step.as_str()) {
        ("prepare", "begin") => Step::Prepare,
        ("migrate", "begin") => Step::Migrate,
        ("restore", "begin") => Step::Restore,
        _ => return Verdict::Pass,
    };
    match ask(call, step, definition) {
        Ok(()) => Verdict::Pass,
        Err(reason) => Verdict::Refuse(format!("{REFUSED} to let {} come up: {reason}", call.name)),
    }
}

fn ask(call: &HookCall, step: Step, definition: impl Read) -> Result<(), String> {
    let list = List::read(&call.state)
        .map_err(|error| format!("the list of protected VMs in {} cannot be read: {error}", call.state.display()))?;
    let mut xml = String::new();
    let read = definition.take(LONGEST_XML).read_to_string(&mut xml);
    let Some(uuid) = read.ok().and_then(|_| uuid_of(&xml)) else {
        return if list.0.is_empty() { Ok(()) } else { Err("libvirt did not say which VM it is".to_owned()) };
    };
    let is_protected = list.0.contains(&uuid);
    let patience = if is_protected { PATIENCE } else { PATIENCE_FOR_OTHERS };
    match answer(&socket(&call.run), Question { step, uuid }, patience) {
        Ok(answer) => answer,
        Err(_) if !is_protected => Ok(()),
        Err(error) => Err(format!(
            "it is protected, and the agent on this host does not answer ({error}); start it: systemctl start holdfast"
        )),
    }
}

/// Asks the agent.
fn answer(socket: &Path, question: Question, patience: Duration) -> io::Result<Result<(), String>> {
    // Both ends are on this host: to connect never waits, unless the agent has too many questions already.
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(question.line().as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    parse_answer(&line).ok_or_else(|| io::Error::other("it closed the connection"))
}

/// The protected VMs, as the agent last wrote them down.
struct List(Vec<Uuid>);

impl List {
    fn read(state: &Path) -> io::Result<List> {
        match fs::read_to_string(list(state)) {
            Ok(text) => Ok(List(text.lines().filter_map(|line| line.trim().parse().ok()).collect())),
            // Nothing was ever protected here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(List(Vec::new())),
            Err(error) => Err(error),
        }
    }
}
