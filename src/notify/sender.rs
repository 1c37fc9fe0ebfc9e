//! Sending one notification to one channel, once.

use super::smtp::SmtpClient;
use super::webhook::WebhookClient;
use super::{Notification, Target, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A receiver that takes longer is tried again.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of what a receiver complains, so much is kept.
const COMPLAINT: usize = 300;

/// Why a notification was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// The channel does not work now: it is tried again without end.
    #[error("{0}")]
    Down(String),
    /// The channel works, and does not take this one.
    #[error("it was refused: {0}")]
    Refused(String),
}

/// Sends to one channel.
pub struct Sender {
    way: Way,
    patience: Duration,
}

enum Way {
    Webhook(WebhookClient),
    Smtp(SmtpClient),
    Command(Vec<String>),
    /// There is none, for this reason.
    None(String),
}

/// What a host has for its channels.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// How it is called.
    pub host: String,
    /// Its programs, by name.
    pub commands: Arc<BTreeMap<String, Vec<String>>>,
}

impl Sender {
    /// Makes ready to send; what cannot be used is told at each attempt. It reads the system's certificates, so it may
    /// take a moment: not on an async thread.
    pub fn new(target: &Target, local: &Local) -> Sender {
        Sender::with_patience(target, local, PATIENCE)
    }

    /// The same, where a receiver is given so long.
    pub fn with_patience(target: &Target, local: &Local, patience: Duration) -> Sender {
        let way = match target {
            Target::Webhook(webhook) => WebhookClient::new(webhook, patience).map_or_else(Way::None, Way::Webhook),
            Target::Smtp(smtp) => SmtpClient::new(smtp, &local.host, patience).map_or_else(Way::None, Way::Smtp),
            Target::Command(name) => match local.commands.get(name.as_str()) {
                Some(words) => Way::Command(words.clone()),
                None => {
                    Way::None(format!("[commands] of the configuration of {} has no {}", local.host, name.as_str()))
                }
            },
        };
        Sender { way, patience }
    }

    /// Sends it; `attempt` is 1 if nobody can have sent it before.
    pub async fn send(&self, told: &Notification, attempt: u64) -> Result<(), Unsent> {
        let sent = match &self.way {
            Way::Webhook(client) => client.send(told, attempt).await,
            Way::Smtp(client) => client.send(told, attempt).await,
            Way::Command(words) => run(words, &told.body(), self.patience).await,
            Way::None(why) => Err(Unsent::Down(why.clone())),
        };
        sent.map_err(|unsent| match unsent {
            Unsent::Down(why) => Unsent::Down(plain(&why)),
            Unsent::Refused(why) => Unsent::Refused(plain(&why)),
        })
    }
}

/// What somebody else says, in one short line.
fn plain(text: &str) -> String {
    one_line(text).chars().take(COMPLAINT).collect()
}

/// What somebody else says, in one line.
pub(super) fn one_line(text: &str) -> String {
    let parts = text.split(|c: char| c.is_control() || c.is_whitespace());
    let words: Vec<&str> = parts.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// An error with all that it comes from.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
