//! Whom a certificate names, and as what.

use crate::trust::TrustError;
use rcgen::{DistinguishedName, DnType};
use std::fmt;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

/// The longest common name that X.509 allows.
const NAME_LIMIT: usize = 64;
const ORGANIZATION: &str = "Holdfast";

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The links between hosts.
    Host,
    /// The server of the operator's API.
    Api,
    /// A person who looks.
    Viewer,
    /// A person who acts.
    Operator,
}

impl Role {
    const ALL: [Role; 4] = [Role::Host, Role::Api, Role::Viewer, Role::Operator];

    fn as_str(self) -> &'static str {
        match self {
            Role::Host => "host",
            Role::Api => "api",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name of the host or person.
    pub name: String,
    /// As what.
    pub role: Role,
}

impl Principal {
    /// A name and a role. The name is 1 to 64 bytes of plain text.
    pub fn new(name: &str, role: Role) -> Result<Principal, TrustError> {
        match name.is_empty() || name.len() > NAME_LIMIT || name.chars().any(char::is_control) {
            true => Err(TrustError::Name(name.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect())),
            false => Ok(Principal { name: name.to_owned(), role }),
        }
    }

    /// Whom this certificate names. It says nothing about who signed it: TLS, or [`super::Identity`], saw to that.
    pub fn of(der: &[u8]) -> Result<Principal, TrustError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| TrustError::NoCertificate)?;
        let subject = certificate.subject();
        let name = only(subject.iter_common_name()).ok_or(TrustError::NoRole)?;
        let unit = only(subject.iter_organizational_unit()).ok_or(TrustError::NoRole)?;
        let role = Role::ALL.into_iter().find(|role| role.as_str() == unit).ok_or(TrustError::NoRole)?;
        match only(subject.iter_organization()) {
            Some(ORGANIZATION) => Principal::new(name, role),
            _ => Err(TrustError::NoRole),
        }
    }

    pub(super) fn distinguished_name(&self) -> DistinguishedName {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, ORGANIZATION);
        subject.push(DnType::OrganizationalUnitName, self.role.as_str());
        subject.push(DnType::CommonName, self.name.as_str());
        subject
    }
}

/// Two names would let each reader take the one that it likes.
fn only<'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<&'a str> {
    let value = values.next()?.as_str().ok()?;
    values.next().is_none().then_some(value)
}
