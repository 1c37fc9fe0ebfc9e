//! Which cloud is meant, and as whom it is spoken to.

use crate::fence::Secret;
use reqwest::Url;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// No bundle of certificates is longer: that of a distribution has a quarter of a megabyte.
const LONGEST_BUNDLE: u64 = 4 << 20;

/// What is wrong with the settings: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}{}", hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
pub struct SettingsError {
    /// The file, or the environment.
    pub place: String,
    /// What is wrong there.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A cloud.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// What it is called where it was found.
    pub name: String,
    /// Where keystone is; it ends with `/v3`.
    pub keystone: Url,
    /// Who asks.
    pub login: Login,
    /// Which of its regions is meant; none: it has one only.
    pub region: Option<String>,
    /// Which of the addresses of each service are used.
    pub interface: Interface,
    /// Whose certificates count.
    pub verify: Verify,
}

/// Who asks, and how it is shown.
#[derive(Debug, Clone)]
pub enum Login {
    /// A user of a project, by a password.
    Password {
        /// The user.
        user: Named,
        /// The password.
        password: Secret,
        /// The project in which he has his roles.
        project: Named,
    },
    /// What a user has made for a program; it has its project in itself.
    Application {
        /// Which one.
        credential: ApplicationCredential,
        /// Its secret.
        secret: Secret,
    },
}

/// Which application credential.
#[derive(Debug, Clone)]
pub enum ApplicationCredential {
    /// The one with this identity.
    Id(String),
    /// That of a user, by its name.
    Name {
        /// Its name.
        name: String,
        /// Whose it is.
        user: Named,
    },
}

/// A user or a project.
#[derive(Debug, Clone)]
pub enum Named {
    /// By its identity.
    Id(String),
    /// By its name, which means something in its domain only.
    Name {
        /// Its name.
        name: String,
        /// Its domain.
        domain: Domain,
    },
}

/// A domain of keystone.
#[derive(Debug, Clone)]
pub enum Domain {
    /// By its identity.
    Id(String),
    /// By its name.
    Name(String),
}

/// Which of the addresses of a service are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// Those for everybody.
    Public,
    /// Those for the cloud itself.
    Internal,
    /// Those for its administrators.
    Admin,
}

impl Interface {
    /// Its name in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Interface::Public => "public",
            Interface::Internal => "internal",
            Interface::Admin => "admin",
        }
    }
}

/// Whose certificates count.
#[derive(Clone, PartialEq, Eq)]
pub enum Verify {
    /// Those of the authorities that this machine trusts.
    System,
    /// Those of these, in PEM, and no other.
    Authorities(Vec<u8>),
    /// Anybody's: whoever can redirect the traffic can read the secret.
    Nothing,
}

impl fmt::Debug for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verify::System => "System",
            Verify::Authorities(_) => "Authorities",
            Verify::Nothing => "Nothing",
        })
    }
}

/// In which form the settings were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In a clouds.yaml.
    File,
    /// In variables of the environment.
    Variables,
}

/// Settings as they were told, under the names that clouds.yaml has for them. What is no text has no value.
pub(super) struct Told {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) form: Form,
    pub(super) values: BTreeMap<String, Option<String>>,
    /// For paths that begin with a tilde.
    pub(super) home: Option<PathBuf>,
}

impl Told {
    /// Understands them.
    pub(super) fn cloud(&self) -> Result<Cloud, SettingsError> {
        Ok(Cloud {
            name: self.name.clone(),
            keystone: self.keystone()?,
            login: self.login()?,
            region: self.get("region_name")?.map(str::to_owned),
            interface: self.interface()?,
            verify: self.verify()?,
        })
    }

    fn keystone(&self) -> Result<Url, SettingsError> {
        let text = self.must("auth_url")?;
        let bad = |what: &str| self.problem(format!("{} {what}", self.called("auth_url")));
        let mut url = Url::parse(text).map_err(|error| bad(&format!("is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(bad("must be an address alone, without a user, a password or a question"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        match path.rsplit('/').next().unwrap_or_default() {
            "v3" => url.set_path(&path),
            "v2.0" => return Err(bad("is that of keystone's version 2, which is gone: let it end with /v3")),
            _ => url.set_path(&format!("{path}/v3")),
        }
        Ok(url)
    }

    fn login(&self) -> Result<Login, SettingsError> {
        let has_credential =
            self.get("application_credential_id")?.is_some() || self.get("application_credential_name")?.is_some();
        match self.get("auth_type")? {
            Some("v3applicationcredential") => self.application(),
            Some("password" | "v3password") => self.password(),
            None if has_credential => self.application(),
            None => self.password(),
            Some(other) => {
                let what = format!("{} is {other}, which is not spoken here", self.called("auth_type"));
                Err(self.problem(what).hint("use v3applicationcredential or password"))
            }
        }
    }

    fn application(&self) -> Result<Login, SettingsError> {
        let secret = self.secret("application_credential_secret")?;
        let credential = match self.get("application_credential_id")? {
            Some(id) => ApplicationCredential::Id(id.to_owned()),
            None => ApplicationCredential::Name {
                name: self.must("application_credential_name")?.to_owned(),
                user: self.user()?,
            },
        };
        Ok(Login::Application { credential, secret })
    }

    fn password(&self) -> Result<Login, SettingsError> {
        let user = self.user()?;
        let password = self.secret("password")?;
        let project = self.named(["project_id", "tenant_id"], ["project_name", "tenant_name"], "project_domain")?;
        Ok(Login::Password { user, password, project })
    }

    fn user(&self) -> Result<Named, SettingsError> {
        self.named(["user_id", "user_id"], ["username", "user_name"], "user_domain")
    }

    /// Something by its identity or its name, each of which has an older word too.
    fn named(&self, ids: [&str; 2], names: [&str; 2], domain: &str) -> Result<Named, SettingsError> {
        if let Some(id) = self.either(ids)? {
            return Ok(Named::Id(id.to_owned()));
        }
        let Some(name) = self.either(names)? else { return Err(self.missing(names[0])) };
        let (id, title) = (format!("{domain}_id"), format!("{domain}_name"));
        let domain = match (self.get(&id)?.or(self.get("default_domain_id")?), self.get(&title)?) {
            (_, Some(name)) => Domain::Name(name.to_owned()),
            (Some(id), None) => Domain::Id(id.to_owned()),
            (None, None) => match self.get("default_domain_name")? {
                Some(name) => Domain::Name(name.to_owned()),
                None => return Err(self.missing(&title).hint("most clouds have one domain only, called Default")),
            },
        };
        Ok(Named::Name { name: name.to_owned(), domain })
    }

    fn interface(&self) -> Result<Interface, SettingsError> {
        let key = if self.get("interface")?.is_some() { "interface" } else { "endpoint_type" };
        let Some(text) = self.get(key)? else { return Ok(Interface::Public) };
        // Older tools write publicURL.
        match text.strip_suffix("URL").unwrap_or(text) {
            "public" => Ok(Interface::Public),
            "internal" => Ok(Interface::Internal),
            "admin" => Ok(Interface::Admin),
            _ => Err(self.problem(format!("{} cannot be {text}", self.called(key))).hint("public, internal or admin")),
        }
    }

    fn verify(&self) -> Result<Verify, SettingsError> {
        if self.flag("verify")? == Some(false) || self.flag("insecure")? == Some(true) {
            return Ok(Verify::Nothing);
        }
        let Some(text) = self.get("cacert")? else { return Ok(Verify::System) };
        let path = match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        let bad = |what: String| self.problem(format!("{} is {}, which {what}", self.called("cacert"), path.display()));
        let pem = crate::files::read(&path, LONGEST_BUNDLE).map_err(|error| bad(format!("cannot be read: {error}")))?;
        let known = reqwest::Certificate::from_pem_bundle(&pem);
        match known {
            Ok(known) if !known.is_empty() => Ok(Verify::Authorities(pem)),
            _ => Err(bad("has no certificate in PEM".to_owned())),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, SettingsError> {
        let Some(text) = self.get(key)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Some(true)),
            "false" | "no" | "off" | "0" => Ok(Some(false)),
            _ => Err(self.problem(format!("{} must be true or false", self.called(key)))),
        }
    }

    fn secret(&self, key: &str) -> Result<Secret, SettingsError> {
        let text = self.must(key)?;
        Secret::new(text).map_err(|error| self.problem(format!("{}: {error}", self.called(key))))
    }

    fn either(&self, keys: [&str; 2]) -> Result<Option<&str>, SettingsError> {
        Ok(self.get(keys[0])?.or(self.get(keys[1])?))
    }

    fn must(&self, key: &str) -> Result<&str, SettingsError> {
        self.get(key)?.ok_or_else(|| self.missing(key))
    }

    /// What was told, if it was; an empty text is none, as with every tool that reads these.
    fn get(&self, key: &str) -> Result<Option<&str>, SettingsError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(None) => {
                let problem = self.problem(format!("{} must be a text", self.called(key)));
                Err(problem.hint("if it looks like a number, put it in quotes"))
            }
        }
    }

    fn missing(&self, key: &str) -> SettingsError {
        self.problem(format!("{} is missing", self.called(key)))
    }

    /// As whoever wrote it knows it.
    fn called(&self, key: &str) -> String {
        let outer = ["region_name", "interface", "endpoint_type", "cacert", "verify", "insecure", "auth_type"];
        match self.form {
            Form::Variables => format!("OS_{}", key.to_ascii_uppercase()),
            Form::File if outer.contains(&key) => format!("`{key}`"),
            Form::File => format!("`auth.{key}`"),
        }
    }

    fn problem(&self, what: String) -> SettingsError {
        SettingsError { place: self.place.clone(), what, hint: None }
    }
}

impl SettingsError {
    pub(super) fn hint(mut self, hint: &str) -> SettingsError {
        self.hint = Some(hint.to_owned());
        self
    }
}
