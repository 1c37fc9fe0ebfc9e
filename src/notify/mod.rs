//! Notifications: people and programs are told of what stands in the ledger, none is lost, and none comes twice without
//! saying so.
//!
//! A *channel* is a webhook, a mail server or a command, with the least severity that it is told. The master's
//! `notifier` reads its own ledger behind the place up to which each channel was told, sends one notification after the
//! other, in the order of the ledger, and has the log know after each answer. A new master goes on from there.
//!
//! ```text
//!   ledger ──▶ [who is told what] ──▶ send ──▶ answered ──▶ log: "told up to here"
//!                                      ▲          │
//!                                      └── again ─┘  later and later, at last once a minute, for as long as it takes
//! ```
//!
//! # What a receiver may count on
//!
//! - Each notification has an id, the place of its fact in the ledger, that is the same for ever. A master that dies
//!   between a receiver's answer and the log's word of it leaves that one notification to its successor, which sends it
//!   again, with the very same bytes. So a receiver that must not act twice drops an id that it has had.
//! - `Holdfast-Attempt: 1` says that nobody has sent this one before. A greater number says that it may have come before.
//! - Notifications come in order. A receiver that is down gets all of them once it is back. One that is behind by more
//!   than 1,000 gets those of severity `info` in one for each run of up to 500, of the kind `summary`.
//! - One that refuses a notification, for half a minute, is not sent that one again; the ledger says so, and other
//!   channels are told. A webhook refuses by an answer of 3xx or 4xx (but 408, 425 and 429), a mail server by 5xx, a
//!   command by the exit status 65. Whatever else is no success is tried again without end.
//!
//! # The form
//!
//! A webhook is sent this by `POST`, and a command has it on its standard input. Keys may be added; those that are there
//! stay what they are as long as `version` is 1. `vm`, `host`, `by` and `reason` may be missing.
//!
//! ```json
//! { "version": 1, "id": "6f3c1a52-2f70-4a8b-8d6e-0c9b1c5f7a01.0.1234.0",
//!   "cluster": { "name": "lab", "uuid": "6f3c1a52-2f70-4a8b-8d6e-0c9b1c5f7a01" },
//!   "at": "2026-11-30T15:26:17.123Z", "severity": "warning", "kind": "host-judged",
//!   "text": "node-2 judged after 1s 500ms of silence: it was silent", "host": "node-2",
//!   "fact": { "kind": "host-judged", "...": "as `GET /v1/ledger` has it" } }
//! ```
//!
//! # The signature
//!
//! A webhook with a secret is signed anew at each attempt: `Holdfast-Signature: t=SECONDS,v1=HEX` has the HMAC-SHA256,
//! under the secret, of the seconds since 1970, a point, and the body as it came. In Python:
//!
//! ```python
//! parts = dict(part.split("=", 1) for part in headers["Holdfast-Signature"].split(","))
//! signed = parts["t"].encode() + b"." + body
//! right = hmac.new(secret, signed, hashlib.sha256).hexdigest()
//! assert hmac.compare_digest(right, parts["v1"])
//! assert abs(time.time() - int(parts["t"])) < 300
//! ```

mod backlog;
mod command;
mod notification;
mod notifier;
mod sender;
mod smtp;
mod target;
mod webhook;
mod worker;

pub use notification::{ClusterName, Notification};
pub use notifier::{Progress, Progresses, notify};
pub use sender::{Local, Sender, Unsent};
pub use target::{Authorities, BadTarget, CommandName, Login, MailAddress, Smtp, Target, Tls, Webhook};

pub(crate) use command::run;
pub(crate) use notifier::sender;
