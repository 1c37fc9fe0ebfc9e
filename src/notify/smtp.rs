//! A mail server.

use super::sender::{chain, one_line};
use super::{Notification, Smtp, Tls, Unsent};
use crate::core::state::Severity;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor, transport::smtp::client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// A subject is read at a glance, on a telephone.
const SUBJECT: usize = 120;

/// Speaks to one of them.
pub(super) struct SmtpClient {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    smtp: Smtp,
    patience: Duration,
}

impl SmtpClient {
    /// Mails by this server, which is told that this host is there.
    pub(super) fn new(smtp: &Smtp, host: &str, patience: Duration) -> Result<SmtpClient, String> {
        crate::trust::use_ring();
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .timeout(Some(patience))
            .tls(match smtp.tls {
                Tls::None => client::Tls::None,
                Tls::Starttls => client::Tls::Required(parameters(smtp)?),
                Tls::Tls => client::Tls::Wrapper(parameters(smtp)?),
            });
        if host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
            transport = transport.hello_name(ClientId::Domain(host.to_owned()));
        }
        if let Some(login) = &smtp.login {
            let credentials = Credentials::new(login.user.clone(), login.password.expose().to_owned());
            transport = transport.credentials(credentials).authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        Ok(SmtpClient { transport: transport.build(), smtp: smtp.clone(), patience })
    }

    pub(super) async fn send(&self, told: &Notification, attempt: u64) -> Result<(), Unsent> {
        let mail = self.mail(told, attempt).map_err(|error| Unsent::Refused(chain(&error)))?;
        // The server's own limit is for each of its answers; this one is for all of them.
        match timeout(self.patience, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(Unsent::Refused(chain(&error))),
            Ok(Err(error)) => Err(Unsent::Down(chain(&error))),
            Err(_) => Err(Unsent::Down(format!("it took longer than {:?}", self.patience))),
        }
    }

    fn mail(&self, told: &Notification, attempt: u64) -> Result<Message, lettre::error::Error> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(told.at_milliseconds).unwrap_or(0));
        let mut mail = Message::builder()
            .from(Mailbox::new(Some("Holdfast".to_owned()), self.smtp.from.0.clone()))
            .date(at)
            .message_id(Some(format!("<{}@holdfast>", told.id)))
            .subject(subject(told))
            .header(ContentType::TEXT_PLAIN);
        for address in &self.smtp.to {
            mail = mail.to(Mailbox::new(None, address.0.clone()));
        }
        let mail = raw(mail, "Auto-Submitted", "auto-generated");
        let mail = raw(mail, "Holdfast-Id", &told.id);
        raw(mail, "Holdfast-Attempt", &attempt.to_string()).body(text(told))
    }
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters, String> {
    let mut parameters = TlsParameters::builder(smtp.host.clone());
    if let Some(authorities) = &smtp.authorities {
        parameters = parameters.certificate_store(CertificateStore::None);
        for certificate in CertificateDer::pem_slice_iter(authorities.pem()) {
            let certificate = certificate.map_err(|error| format!("its authorities are not sound PEM: {error}"))?;
            let known = Certificate::from_der(certificate.to_vec());
            parameters = parameters.add_root_certificate(known.map_err(|error| chain(&error))?);
        }
    }
    parameters.build().map_err(|error| format!("TLS cannot be set up for it: {}", chain(&error)))
}

fn raw(mail: MessageBuilder, name: &'static str, value: &str) -> MessageBuilder {
    mail.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn subject(told: &Notification) -> String {
    let whole = format!("[holdfast {}] {}: {}", told.cluster.name, severity(told.severity), told.text);
    let whole = one_line(&whole);
    match whole.char_indices().nth(SUBJECT) {
        Some((end, _)) => format!("{}...", &whole[..end]),
        None => whole,
    }
}

/// What people read.
fn text(told: &Notification) -> String {
    let mut text = format!("{}\n\n", told.text);
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9} {}\n", one_line(value)));
    line("when", &told.at);
    line("severity", severity(told.severity));
    for (name, value) in [("VM", &told.vm), ("host", &told.host), ("by", &told.by), ("reason", &told.reason)] {
        if let Some(value) = value {
            line(name, value);
        }
    }
    line("cluster", &told.cluster.name);
    line("id", &told.id);
    text.push_str("\n`holdfast events` shows what came before and after it.\n");
    text
}
