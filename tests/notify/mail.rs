//! The mail server.

use crate::receiver::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The Python of the distribution, whose package of aiosmtpd it is.
const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/notify/mail.py");

/// A mail server, with what it took.
pub struct MailServer {
    process: Child,
    port: u16,
    words: Vec<String>,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.down();
    }
}

impl MailServer {
    /// Starts one, with these options; or says what is missing.
    pub fn start(words: &[&str]) -> Result<MailServer, String> {
        let there = Command::new(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err("python3-aiosmtpd is not installed: no mail was sent".to_owned());
        }
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let mails = Arc::default();
        let (process, port) = run(&words, 0, &mails);
        Ok(MailServer { process, port, words, mails })
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Goes down.
    pub fn down(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }

    /// Is back, where it was.
    pub fn up(&mut self) {
        (self.process, self.port) = run(&self.words, self.port, &self.mails);
    }

    /// What it took.
    pub fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits until this is so of what it took.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let look = async {
            while !holds(&self.mails()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        assert!(found.is_ok(), "waited in vain for {what}; {} mails came", self.mails().len());
    }
}

fn run(words: &[String], port: u16, mails: &Arc<Mutex<Vec<Value>>>) -> (Child, u16) {
    let mut process = Command::new(PYTHON)
        .arg(SERVER)
        .args(["--port", &port.to_string()])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    let port = lines.next().expect("it says its port").expect("text").parse().expect("a port");
    let mails = Arc::clone(mails);
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            mails.lock().unwrap().push(serde_json::from_str(&line).expect("JSON"));
        }
    });
    (process, port)
}
