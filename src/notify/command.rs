//! Running a program that is told something on its standard input.

use super::Unsent;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// By this exit status a program says that it will never take what it was told: EX_DATAERR of sysexits.h.
const REFUSES: i32 = 65;

/// Runs a program once, with this on its standard input. One that takes too long is ended, with all that it has started.
pub(crate) async fn run(command: &[String], body: &[u8], patience: Duration) -> Result<(), Unsent> {
    let (program, arguments) = command.split_first().ok_or_else(|| Unsent::Down("there is no program".to_owned()))?;
    let down = |what: String| Unsent::Down(format!("{program}: {what}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| down(error.to_string()))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let work = async {
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read what it is told may still have done its duty.
            let _ = input.write_all(body).await;
        }
        child.wait().await
    };
    match timeout(patience, work).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) if status.code() == Some(REFUSES) => Err(Unsent::Refused(format!("{program}: {status}"))),
        Ok(Ok(status)) => Err(down(status.to_string())),
        Ok(Err(error)) => Err(down(error.to_string())),
        Err(_) => {
            if let Some(group) = group {
                // It is not reaped yet, so its number is still its own. What it has started goes with it.
                kill_process_group(group, Signal::KILL).ok();
            }
            Err(down(format!("it took longer than {patience:?}")))
        }
    }
}
