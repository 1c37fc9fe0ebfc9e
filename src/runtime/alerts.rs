//! Alerts that no log can carry: a program of this host is run for each, again and again until it has taken it.

use crate::core::reason::Alert;
use crate::notify::run;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// So many alerts wait at most.
const WAITING: usize = 256;
/// How long and how often it is tried.
const PACE: Pace = Pace { patience: Duration::from_secs(30), retry: Duration::from_secs(1), attempts: 8 };

#[derive(Debug, Clone, Copy)]
struct Pace {
    /// A program that takes longer is ended, with all that it has started.
    patience: Duration,
    /// The first pause after a failure; each further one is twice as long.
    retry: Duration,
    /// An alert that failed so often is given up; it stays in the agent's own log.
    attempts: u32,
}

/// Where such alerts go.
#[derive(Debug, Clone)]
pub(super) struct Alerts {
    queue: Option<mpsc::Sender<String>>,
    host: String,
}

impl Alerts {
    /// Runs this program, with its arguments, for each alert; without one alerts are logged and no more.
    pub(super) fn start(command: Vec<String>, host: String) -> Alerts {
        Alerts::start_at(PACE, command, host)
    }

    fn start_at(pace: Pace, command: Vec<String>, host: String) -> Alerts {
        if command.is_empty() {
            return Alerts { queue: None, host };
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        tokio::spawn(deliver(pace, command, waiting));
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

async fn deliver(pace: Pace, command: Vec<String>, mut waiting: mpsc::Receiver<String>) {
    while let Some(body) = waiting.recv().await {
        let mut pause = pace.retry;
        for attempt in 1..=pace.attempts {
            let ran = run(&command, body.as_bytes(), pace.patience).await.map_err(|unsent| unsent.to_string());
            match ran {
                Ok(()) => break,
                Err(why) if attempt == pace.attempts => {
                    let program = command.first();
                    tracing::error!(program, attempt, why, alert = body, "the alert command failed for the last time");
                }
                Err(why) => {
                    tracing::warn!(program = command.first(), attempt, why, "the alert command failed");
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::HostId;
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(20);
    const QUICK: Pace = Pace { patience: LIMIT, retry: Duration::from_millis(1), attempts: 4 };

    /// Alerts for a shell script, which finds its folder in `$0`.
    fn alerts(pace: Pace, folder: &TempDir, script: &str) -> Alerts {
        let words = ["/bin/sh", "-c", script, folder.path().to_str().expect("text")];
        Alerts::start_at(pace, words.map(str::to_owned).to_vec(), "host-1".to_owned())
    }

    fn raise(alerts: &Alerts, host: u32) {
        alerts.raise(&Alert::Isolated { host: HostId(host) }, &format!("host-{host} is \"alone\""));
    }

    /// The lines of a file, as soon as there are so many.
    async fn lines(path: &Path, count: usize) -> Vec<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(Instant::now() < deadline, "{lines:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn the_program_is_given_the_alert_in_words_and_as_data() {
        let folder = TempDir::new().expect("a folder");
        let alerts = alerts(QUICK, &folder, "cat >> $0/got; echo >> $0/got");
        raise(&alerts, 1);
        raise(&alerts, 2);
        for (number, line) in (1_u32..).zip(lines(&folder.path().join("got"), 2).await) {
            let told: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
            assert_eq!(told["host"], "host-1");
            assert_eq!(told["text"], format!("host-{number} is \"alone\""));
            assert_eq!(told["alert"], serde_json::json!(Alert::Isolated { host: HostId(number) }));
        }
    }

    #[tokio::test]
    async fn one_that_fails_is_run_again_until_it_has_taken_the_alert() {
        let folder = TempDir::new().expect("a folder");
        let script = "echo try >> $0/tries; [ $(wc -l < $0/tries) -ge 3 ] || exit 1; cat >> $0/got; echo >> $0/got";
        raise(&alerts(QUICK, &folder, script), 1);
        assert!(lines(&folder.path().join("got"), 1).await[0].contains("alone"));
        assert_eq!(lines(&folder.path().join("tries"), 3).await.len(), 3);
    }

    #[tokio::test]
    async fn one_that_always_fails_is_given_up_and_holds_up_no_other() {
        let folder = TempDir::new().expect("a folder");
        let alerts = alerts(QUICK, &folder, "read -r alert; echo \"$alert\" >> $0/tries; exit 1");
        raise(&alerts, 1);
        raise(&alerts, 2);
        let tries = lines(&folder.path().join("tries"), 8).await;
        assert!(tries[..4].iter().all(|line| line.contains("host-1 is")), "{tries:?}");
        assert!(tries[4..].iter().all(|line| line.contains("host-2 is")), "{tries:?}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_all_that_it_has_started() {
        let folder = TempDir::new().expect("a folder");
        let pace = Pace { patience: Duration::from_millis(200), attempts: 1, ..QUICK };
        let script = "read -r alert; [ -e $0/first ] && echo done > $0/got && exit; echo > $0/first; \
                      sleep 1000 & echo $! > $0/left; wait";
        let alerts = alerts(pace, &folder, script);
        raise(&alerts, 1);
        raise(&alerts, 2);
        lines(&folder.path().join("got"), 1).await;
        let left: i32 = lines(&folder.path().join("left"), 1).await[0].parse().expect("a number");
        let deadline = Instant::now() + LIMIT;
        // Whoever adopts it may take a while to reap it.
        while fs::read_to_string(format!("/proc/{left}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "what it started still runs");
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_flood_is_cut_off_and_delays_nobody() {
        let folder = TempDir::new().expect("a folder");
        let alerts = alerts(QUICK, &folder, "cat > /dev/null; until [ -e $0/go ]; do sleep 0.01; done; echo >> $0/got");
        let begun = Instant::now();
        for host in 0..10_000 {
            raise(&alerts, host);
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let queue = alerts.queue.clone().expect("there is a program");
        assert_eq!(queue.capacity(), 0, "no more wait than fit");
        fs::write(folder.path().join("go"), "").expect("a file");
        assert!(lines(&folder.path().join("got"), 3).await.len() >= 3);
    }

    #[tokio::test]
    async fn without_a_program_nothing_is_run() {
        let alerts = Alerts::start(Vec::new(), "host-1".to_owned());
        raise(&alerts, 1);
        assert!(alerts.queue.is_none());
    }
}
