//! A fence agent of the distribution: a program that reads its options from standard input.
//!
//! It runs without a shell, in a process group of its own, and is killed with that group when its time is up. Its
//! options are never on its command line, where every user of the machine could read the password.
//!
//! An agent cannot say which machine it controls: none has an action for that, and what it is configured to control is
//! no reading. So it is [`FenceResult::Nameless`], and only a drill can show that it is the right one.

use crate::core::remote::{FenceOp, FenceResult};
use crate::fence::FenceAnswer;
use crate::fence::device::Agent;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// As much of an agent's words is kept; the rest is read and dropped, so that it does not stop at a full pipe.
const LONGEST_OUTPUT: usize = 64 * 1024;
/// As much of the end of what it complained of is told.
const LONGEST_COMPLAINT: usize = 400;

/// Does one thing with a device, and ends the agent when the time is up.
pub(super) async fn perform(folder: &Path, agent: &Agent, op: FenceOp, deadline: Duration) -> FenceAnswer {
    let action = match op {
        FenceOp::Identity => return FenceAnswer { result: FenceResult::Nameless, detail: None },
        FenceOp::Power => "status",
        FenceOp::PowerOff => "off",
        FenceOp::PowerOn => "on",
    };
    let path = folder.join(&agent.program);
    let mut complaint = Vec::new();
    let run = async {
        let mut running = start(&path).await?;
        running.converse(&input(agent, action), &mut Vec::new(), &mut complaint).await
    };
    let outcome = timeout(deadline, run).await;
    let complaint = told(agent, &complaint);
    match outcome {
        Ok(Ok(status)) => judge(agent, op, status, &complaint),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("{} does not exist on this host: install the package fence-agents", path.display());
            unreachable(agent, &text)
        }
        Ok(Err(error)) => unreachable(agent, &format!("it could not be run: {error}{complaint}")),
        Err(_) => {
            let after = match op {
                FenceOp::PowerOff | FenceOp::PowerOn => "; its order may yet take effect",
                FenceOp::Identity | FenceOp::Power => "",
            };
            unreachable(agent, &format!("it did not end within {deadline:?} and was killed{after}{complaint}"))
        }
    }
}

/// What an agent prints when it is asked to describe itself; or why it does not.
pub(super) async fn metadata(folder: &Path, agent: &Agent, deadline: Duration) -> Result<String, String> {
    let path = folder.join(&agent.program);
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let run = async {
        let mut running = start(&path).await?;
        running.converse("action=metadata\n", &mut output, &mut complaint).await
    };
    match timeout(deadline, run).await {
        Ok(Ok(_)) => Ok(String::from_utf8_lossy(&output).into_owned()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err("it does not exist on this host: install the package fence-agents on every voter".to_owned())
        }
        Ok(Err(error)) => Err(format!("it could not be run: {error}{}", told(agent, &complaint))),
        Err(_) => Err(format!("it did not end within {deadline:?}{}", told(agent, &complaint))),
    }
}

/// What an agent's exit means: success or "on", "off", or an error.
fn judge(agent: &Agent, op: FenceOp, status: ExitStatus, complaint: &str) -> FenceAnswer {
    let result = match (op, status.code()) {
        (FenceOp::Power, Some(0)) => FenceResult::On,
        (FenceOp::Power, Some(2)) => FenceResult::Off,
        (FenceOp::PowerOff | FenceOp::PowerOn, Some(0)) => FenceResult::Taken,
        _ => return unreachable(agent, &format!("it ended with {status}{complaint}")),
    };
    FenceAnswer { result, detail: None }
}

fn unreachable(agent: &Agent, what: &str) -> FenceAnswer {
    FenceAnswer { result: FenceResult::Unreachable, detail: Some(format!("{}: {what}", agent.program)) }
}

fn input(agent: &Agent, action: &str) -> String {
    let mut text = format!("action={action}\n");
    for (key, value) in &agent.options {
        text.push_str(&format!("{key}={}\n", value.expose()));
    }
    text
}

/// The end of what the agent complained of, without the secrets that it may have repeated, and without what would move a
/// terminal's cursor.
pub(super) fn told(agent: &Agent, complaint: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(complaint).into_owned();
    for (key, value) in &agent.options {
        if ["pass", "token", "key", "community"].iter().any(|secret| key.contains(secret)) {
            text = text.replace(value.expose(), "(secret)");
        }
    }
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let said = words.join(" ");
    let length = said.chars().count();
    let end: String = said.chars().skip(length.saturating_sub(LONGEST_COMPLAINT)).collect();
    if end.is_empty() { end } else { format!(": {end}") }
}

/// An agent that runs. Dropped before it has ended, its whole group is killed, and it is reaped later.
struct Running {
    child: Option<Child>,
    group: Option<Pid>,
}

async fn start(path: &Path) -> io::Result<Running> {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A program on storage that hangs must hang no thread that other work waits for.
    let child = tokio::task::spawn_blocking(move || command.spawn().map(Running::new)).await;
    child.map_err(io::Error::other)?
}

impl Running {
    fn new(child: Child) -> Running {
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Running { child: Some(child), group }
    }

    /// Tells the agent what to do, listens, and waits for its end.
    async fn converse(&mut self, input: &str, output: &mut Vec<u8>, complaint: &mut Vec<u8>) -> io::Result<ExitStatus> {
        let Some(child) = self.child.as_mut() else { return Err(io::Error::other("it has ended already")) };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let tell = async {
            if let Some(mut stdin) = stdin {
                // An agent that ends without reading all says by its exit what was wrong.
                stdin.write_all(input.as_bytes()).await.ok();
            }
        };
        tokio::join!(tell, listen(stdout, output), listen(stderr, complaint));
        let status = child.wait().await?;
        // Reaped: its number may belong to another by now, so nothing is killed any more.
        self.child = None;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not reaped yet, so the number of the group still is this agent's. An error means that nobody is left in it.
        if let (Some(mut child), Some(group)) = (self.child.take(), self.group) {
            kill_process_group(group, Signal::KILL).ok();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { child.wait().await });
            }
        }
    }
}

async fn listen(source: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut source) = source else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        let room = LONGEST_OUTPUT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or(&[]));
    }
}
