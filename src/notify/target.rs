//! How a channel is reached, as a person configures it and as the cluster keeps it.
//!
//! Everything here is checked when it is read: a target that exists can be tried. What it answers is another matter.

use crate::fence::Secret;
use lettre::Address;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longer addresses and names are mistakes.
const LONGEST_TEXT: usize = 1024;
/// A chain of a few certificates fits into this many bytes.
const LONGEST_AUTHORITIES: usize = 64 * 1024;
/// More people than this read a list of the mail server's.
const MOST_RECIPIENTS: usize = 32;

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// By a request to somebody's HTTP server.
    Webhook(Webhook),
    /// By mail.
    Smtp(Smtp),
    /// By a program, which the configuration of each voter's host names.
    Command(CommandName),
}

/// A server that takes notifications over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawWebhook")]
pub struct Webhook {
    pub(super) url: String,
    /// With what the notifications are signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Secret>,
    /// The authorities that its certificate may come from, in PEM; none: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authorities: Option<Authorities>,
}

/// A mail server, and who writes to whom by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSmtp")]
pub struct Smtp {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) from: MailAddress,
    pub(super) to: Vec<MailAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<Login>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authorities: Option<Authorities>,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// The connection begins in clear and is encrypted before anything is said: usual on port 587.
    Starttls,
    /// It is encrypted from the first byte: usual on port 465.
    Tls,
    /// It is never encrypted.
    None,
}

/// As whom a mail server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Where a mail goes, or comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailAddress(pub(super) Address);

/// Certificates of authorities, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Authorities(String);

/// A program by the name under which hosts' configurations have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandName(String);

/// Why a channel cannot be reached so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not the address of a server.
    #[error("\"{0}\" is no address of a webhook: give https://HOST/PATH, without a user or password in it")]
    Url(String),
    /// What is not encrypted needs no authority.
    #[error("{0} is not encrypted, so no authority says whose it is: give an https address, or no authority")]
    Plain(String),
    /// Not where a mail server can be.
    #[error("\"{0}\" is not where a mail server is: give HOST:PORT, such as mail.example:587")]
    Server(String),
    /// Not where a mail can go.
    #[error("\"{0}\" is no mail address: give NAME@HOST")]
    Address(String),
    /// Nobody to write to, or too many.
    #[error(
        "a mail goes to between one and {MOST_RECIPIENTS} addresses: for more people let the mail server keep a list"
    )]
    Recipients,
    /// Not a user that a mail server could be told of.
    #[error("the user of a mail server is empty, too long, or has a control character in it")]
    User,
    /// The password would be open to whoever shares the network.
    #[error("a password is told to a mail server only where TLS hides it: take --tls starttls or --tls tls")]
    OpenPassword,
    /// No certificates.
    #[error("the certificate authorities are not in PEM: give the text from BEGIN to END CERTIFICATE")]
    Authorities,
    /// Not the name of a command.
    #[error("\"{0}\" is no name of a command: take one that [commands] of the hosts' configuration has")]
    Command(String),
}

impl Webhook {
    /// A server at this address.
    pub fn new(url: &str, secret: Option<Secret>, authorities: Option<Authorities>) -> Result<Webhook, BadTarget> {
        let bad = || BadTarget::Url(shortened(url));
        let parsed = reqwest::Url::parse(url).map_err(|_| bad())?;
        let open = !parsed.username().is_empty() || parsed.password().is_some();
        let reached = matches!(parsed.scheme(), "https" | "http") && parsed.has_host() && parsed.port() != Some(0);
        if !reached || open || parsed.fragment().is_some() || url.len() > LONGEST_TEXT {
            return Err(bad());
        }
        if parsed.scheme() == "http" && authorities.is_some() {
            return Err(BadTarget::Plain(parsed.to_string()));
        }
        Ok(Webhook { url: parsed.to_string(), secret, authorities })
    }
}

impl Smtp {
    /// A mail server at `HOST:PORT`, and mails from one address to others.
    pub fn new(
        server: &str,
        tls: Tls,
        (from, to): (MailAddress, Vec<MailAddress>),
        login: Option<Login>,
        authorities: Option<Authorities>,
    ) -> Result<Smtp, BadTarget> {
        let bad = || BadTarget::Server(shortened(server));
        let (host, port) = server.rsplit_once(':').ok_or_else(bad)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if host.is_empty() || host.len() > 253 || !(is_address || host.chars().all(sound)) {
            return Err(bad());
        }
        let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(bad)?;
        if to.is_empty() || to.len() > MOST_RECIPIENTS {
            return Err(BadTarget::Recipients);
        }
        if let Some(Login { user, .. }) = &login {
            if user.is_empty() || user.len() > LONGEST_TEXT || user.chars().any(char::is_control) {
                return Err(BadTarget::User);
            }
            if tls == Tls::None {
                return Err(BadTarget::OpenPassword);
            }
        }
        Ok(Smtp { host: host.to_owned(), port, tls, from, to, login, authorities })
    }

    fn server(&self) -> String {
        let Smtp { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl Authorities {
    /// The text.
    pub(super) fn pem(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl CommandName {
    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// What an operator should know about how little what is sent can be trusted.
    pub fn weakness(&self) -> Option<&'static str> {
        match self {
            Target::Webhook(webhook) if webhook.url.starts_with("http:") => {
                Some("it is not encrypted: what is sent is open to whoever shares the network")
            }
            Target::Webhook(Webhook { secret: None, .. }) => {
                Some("it is not signed: whoever finds the address can send there what he likes")
            }
            Target::Smtp(Smtp { tls: Tls::None, .. }) => {
                Some("it is not encrypted: what is sent is open to whoever shares the network")
            }
            _ => None,
        }
    }
}

/// Where it is; never with which secret. Of a webhook only the server: what stands behind it is often a secret itself.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Webhook(webhook) => {
                let url = reqwest::Url::parse(&webhook.url).map_err(|_| fmt::Error)?;
                let signed = if webhook.secret.is_some() { ", signed" } else { "" };
                write!(f, "a webhook at {}{signed}", url.origin().ascii_serialization())
            }
            Target::Smtp(smtp) => {
                let to: Vec<&str> = smtp.to.iter().map(|address| address.0.as_ref()).collect();
                write!(f, "mail to {} by {}", to.join(", "), smtp.server())
            }
            Target::Command(name) => write!(f, "the command {}", name.0),
        }
    }
}

fn shortened(text: &str) -> String {
    text.escape_debug().to_string().chars().take(LONGEST_TEXT).collect()
}

impl TryFrom<String> for MailAddress {
    type Error = BadTarget;
    fn try_from(text: String) -> Result<MailAddress, BadTarget> {
        let address = text.parse::<Address>().ok().filter(|_| text.len() <= LONGEST_TEXT);
        address.map(MailAddress).ok_or_else(|| BadTarget::Address(shortened(&text)))
    }
}

impl From<MailAddress> for String {
    fn from(address: MailAddress) -> String {
        address.0.to_string()
    }
}

impl TryFrom<String> for Authorities {
    type Error = BadTarget;
    fn try_from(pem: String) -> Result<Authorities, BadTarget> {
        let sound = pem.len() <= LONGEST_AUTHORITIES && pem.contains("-----BEGIN CERTIFICATE-----");
        if sound { Ok(Authorities(pem)) } else { Err(BadTarget::Authorities) }
    }
}

impl From<Authorities> for String {
    fn from(authorities: Authorities) -> String {
        authorities.0
    }
}

impl TryFrom<String> for CommandName {
    type Error = BadTarget;
    fn try_from(name: String) -> Result<CommandName, BadTarget> {
        let sound = crate::config::is_name(&name);
        if sound { Ok(CommandName(name)) } else { Err(BadTarget::Command(shortened(&name))) }
    }
}

impl From<CommandName> for String {
    fn from(name: CommandName) -> String {
        name.0
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    url: String,
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    authorities: Option<Authorities>,
}

impl TryFrom<RawWebhook> for Webhook {
    type Error = BadTarget;
    fn try_from(raw: RawWebhook) -> Result<Webhook, BadTarget> {
        Webhook::new(&raw.url, raw.secret, raw.authorities)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSmtp {
    host: String,
    port: u16,
    tls: Tls,
    from: MailAddress,
    to: Vec<MailAddress>,
    #[serde(default)]
    login: Option<Login>,
    #[serde(default)]
    authorities: Option<Authorities>,
}

impl TryFrom<RawSmtp> for Smtp {
    type Error = BadTarget;
    fn try_from(raw: RawSmtp) -> Result<Smtp, BadTarget> {
        let server = format!("[{}]:{}", raw.host, raw.port);
        Smtp::new(&server, raw.tls, (raw.from, raw.to), raw.login, raw.authorities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str) -> Result<Webhook, BadTarget> {
        Webhook::new(url, None, None)
    }

    fn mail(server: &str, tls: Tls, login: bool) -> Result<Smtp, BadTarget> {
        let address = |text: &str| MailAddress::try_from(text.to_owned()).unwrap();
        let login = login.then(|| Login { user: "u".to_owned(), password: Secret::new("hunter2").unwrap() });
        Smtp::new(server, tls, (address("a@example.org"), vec![address("b@example.org")]), login, None)
    }

    #[test]
    fn an_address_is_one_that_can_be_asked() {
        for good in ["https://hooks.example/services/x?y=1", "http://127.0.0.1:8080/", "https://[2001:db8::1]/"] {
            assert!(webhook(good).is_ok(), "{good}");
        }
        for bad in ["hooks.example", "ftp://a/", "https://u:p@a/", "https://a:0/", "https://a/#b", "https://", ""] {
            assert_eq!(webhook(bad), Err(BadTarget::Url(bad.to_owned())));
        }
        let pem = Authorities::try_from("-----BEGIN CERTIFICATE-----".to_owned()).ok();
        assert!(matches!(Webhook::new("http://a/", None, pem), Err(BadTarget::Plain(_))));
    }

    #[test]
    fn a_mail_server_has_a_host_and_a_port_and_is_told_no_password_in_clear() {
        for good in ["mail.example:25", "127.0.0.1:2525", "[2001:db8::1]:465"] {
            assert_eq!(mail(good, Tls::Starttls, true).map(|smtp| smtp.server()), Ok(good.to_owned()));
        }
        for bad in ["mail.example", "mail.example:0", ":25", "mail example:25", "mail.example:65536"] {
            assert_eq!(mail(bad, Tls::None, false), Err(BadTarget::Server(bad.to_owned())));
        }
        assert_eq!(mail("a:25", Tls::None, true), Err(BadTarget::OpenPassword));
    }

    #[test]
    fn it_reads_as_it_was_written_and_shows_no_secret() {
        let secret = Secret::new("hunter2").unwrap();
        let url = "https://hooks.example/services/T0/secret";
        let targets = [
            Target::Webhook(Webhook::new(url, Some(secret), None).unwrap()),
            Target::Smtp(mail("[::1]:465", Tls::Tls, true).unwrap()),
            Target::Command(CommandName::try_from("page".to_owned()).unwrap()),
        ];
        for target in targets {
            let written = serde_json::to_string(&target).unwrap();
            assert_eq!(serde_json::from_str::<Target>(&written).unwrap(), target, "{written}");
            let shown = format!("{target} {target:?}");
            assert!(!shown.contains("hunter2") && !target.to_string().contains("secret"), "{shown}");
        }
    }
}
