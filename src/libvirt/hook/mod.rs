//! Libvirt's `qemu` hook: a short-lived program that asks the agent whether a VM may come up (rule 11).
//!
//! Libvirt runs it before each process of QEMU, whoever wants that: `prepare begin` comes before a start, a restore and
//! an incoming migration; `migrate begin` comes before that on the target of a migration, `restore begin` before a start
//! from a saved state. It calls nothing of libvirt, which waits for it.
//!
//! Where the agent does not answer, a VM in the list of protected ones is refused, and any other passes. The list lies on
//! disk, so that it also holds between the start of the machine and that of the agent.

mod client;
mod server;

pub use client::{HookCall, Verdict, judge};
pub(super) use server::{HookError, HookServer};

use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where the agent's socket is if nobody says otherwise.
pub const RUN: &str = "/run/holdfast";
/// Where the list of protected VMs is if nobody says otherwise.
pub const STATE: &str = "/var/lib/holdfast";

/// Neither a question nor an answer is longer.
const LONGEST: u64 = 512;

/// How libvirt calls it, behind the name of the program.
pub(super) fn command(run: &Path, state: &Path) -> String {
    format!("libvirt-hook --run {} --state {} \"$@\"", run.display(), state.display())
}

fn socket(run: &Path) -> PathBuf {
    run.join("libvirt-hook.sock")
}

fn list(state: &Path) -> PathBuf {
    state.join("protected-uuids")
}

/// What the hook asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) step: Step,
    pub(super) uuid: Uuid,
}

/// What is about to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A process comes up.
    Prepare,
    /// The next one waits for a live migration.
    Migrate,
    /// The next one goes on from a saved state.
    Restore,
}

impl Question {
    fn line(self) -> String {
        let step = match self.step {
            Step::Prepare => "prepare",
            Step::Migrate => "migrate",
            Step::Restore => "restore",
        };
        format!("{step} {}\n", self.uuid)
    }

    fn parse(line: &str) -> Option<Question> {
        let (step, uuid) = line.strip_suffix('\n')?.split_once(' ')?;
        let step = match step {
            "prepare" => Step::Prepare,
            "migrate" => Step::Migrate,
            "restore" => Step::Restore,
            _ => return None,
        };
        Some(Question { step, uuid: Uuid::try_parse(uuid).ok()? })
    }
}

/// What is answered: it may pass, or why not.
fn answer_line(answer: &Result<(), String>) -> String {
    match answer {
        Ok(()) => "pass\n".to_owned(),
        Err(reason) => format!("refuse {}\n", reason.replace('\n', " ")),
    }
}

fn parse_answer(line: &str) -> Option<Result<(), String>> {
    match line.strip_suffix('\n').filter(|line| !line.contains('\n'))? {
        "pass" => Some(Ok(())),
        line => line.strip_prefix("refuse ").map(|reason| Err(reason.to_owned())),
    }
}

/// Whether bytes are a question or an answer, and mean the same when they are written anew.
#[cfg(any(test, fuzzing))]
pub(super) fn law(bytes: &[u8]) -> bool {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let asked = crate::laws::settles(
        bytes,
        |bytes| Question::parse(&text(bytes)?),
        |question| Ok::<_, ()>(question.line().into_bytes()),
    );
    let answered = crate::laws::settles(
        bytes,
        |bytes| parse_answer(&text(bytes)?),
        |answer| Ok::<_, ()>(answer_line(answer).into_bytes()),
    );
    asked || answered
}
