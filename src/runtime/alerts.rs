//! Alerts to people: a program of theirs is run for each, again and again until it has taken it.

use crate::core::reason::Alert;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// So many alerts wait at most.
const WAITING: usize = 256;
/// A program that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause after a failure; each further one is twice as long.
const RETRY: Duration = Duration::from_secs(1);
/// An alert that failed so often is given up; it stays in the log and the ledger.
const ATTEMPTS: u32 = 8;

/// Where alerts go.
#[derive(Debug, Clone)]
pub(super) struct Alerts {
    queue: Option<mpsc::Sender<String>>,
    host: String,
}

impl Alerts {
    /// Runs this program, with its arguments, for each alert; without one alerts are logged and no more.
    pub(super) fn start(command: Vec<String>, host: String) -> Alerts {
        if command.is_empty() {
            return Alerts { queue: None, host };
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        tokio::spawn(deliver(command, waiting));
        Alerts { queue: Some(queue), host }
    }

    /// Raises an alert.
    pub(super) fn raise(&self, alert: &Alert, text: &str) {
        let Some(queue) = &self.queue else { return };
        let body = serde_json::json!({ "host": self.host, "alert": alert, "text": text }).to_string();
        if queue.try_send(body).is_err() {
            tracing::error!("too many alerts wait for the alert command; this one is in the log only");
        }
    }
}

async fn deliver(command: Vec<String>, mut waiting: mpsc::Receiver<String>) {
    while let Some(body) = waiting.recv().await {
        let mut pause = RETRY;
        for attempt in 1..=ATTEMPTS {
            match run(&command, &body).await {
                Ok(()) => break,
                Err(why) => {
                    tracing::warn!(command = command.first(), attempt, why, "the alert command failed");
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }
}

/// Runs the command once, with the alert as JSON on its standard input.
async fn run(command: &[String], body: &str) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("it is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let work = async {
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read what it is told may still have done its duty.
            let _ = input.write_all(body.as_bytes()).await;
        }
        child.wait().await
    };
    match timeout(PATIENCE, work).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it took longer than {PATIENCE:?}")),
    }
}
