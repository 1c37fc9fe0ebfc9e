//! What a fence device is, as a person configures it and as the cluster keeps it.
//!
//! Everything here is checked when it is read: a device that exists can be asked. What it answers is another matter.

use crate::fence::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Longer addresses, names and paths are mistakes.
const LONGEST_TEXT: usize = 512;
/// A chain of a few certificates fits into this many bytes.
const LONGEST_AUTHORITIES: usize = 64 * 1024;
/// No fence agent knows as many options.
const MOST_OPTIONS: usize = 64;

/// A device that switches a host's power.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FenceDevice {
    /// A BMC that speaks Redfish.
    Redfish(Redfish),
    /// Anything that a fence agent of the distribution can work.
    Agent(Agent),
}

/// How a BMC is reached that speaks Redfish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "RawRedfish")]
pub struct Redfish {
    pub(super) address: String,
    pub(super) system: Option<String>,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) verify: Verify,
}

/// How a BMC shows that it is the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verify {
    /// By its very certificate, whatever that says: the usual way, as BMCs sign their own.
    Fingerprint(Fingerprint),
    /// By a certificate for its address that one of these authorities (PEM) has signed.
    Authorities(String),
    /// Not at all: whoever answers at the address learns the password, and is believed.
    Nothing,
}

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

/// A fence agent and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "RawAgent")]
pub struct Agent {
    pub(super) program: String,
    pub(super) options: BTreeMap<String, Secret>,
}

/// Why a fence device cannot be configured so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDevice {
    /// Not the address of a BMC.
    #[error("\"{0}\" is not the address of a BMC: give https://HOST or https://HOST:PORT and nothing behind it")]
    Address(String),
    /// Not a path on the BMC.
    #[error("\"{0}\" is not the path of a system on a BMC: give one like /redfish/v1/Systems/1")]
    System(String),
    /// Not a user that the BMC could be told of.
    #[error("\"{0}\" cannot be the user of a BMC: it is empty, too long, or has a colon or a control character in it")]
    User(String),
    /// Not a fingerprint.
    #[error("\"{0}\" is not the SHA-256 fingerprint of a certificate, which has 64 hexadecimal digits")]
    Fingerprint(String),
    /// No certificates.
    #[error(
        "the certificate authorities of the BMC at {0} are not in PEM: give the text from BEGIN to END CERTIFICATE"
    )]
    Authorities(String),
    /// Nothing can be verified without TLS.
    #[error(
        "{0} is not encrypted, so nothing can be verified there: give an https address, or choose to verify nothing"
    )]
    NotEncrypted(String),
    /// Not a fence agent.
    #[error("\"{0}\" is not a fence agent: give a name like fence_ipmilan, whose program is in /usr/sbin")]
    Program(String),
    /// Not an option that a fence agent may be given.
    #[error("the option \"{key}\" of {program} cannot be set: {why}")]
    Option {
        /// Of which agent.
        program: String,
        /// Which option.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// Too many of them.
    #[error("{0} has more than {MOST_OPTIONS} options: none takes so many")]
    TooManyOptions(String),
}

impl FenceDevice {
    /// What an operator should know about how little the device can be trusted.
    pub fn weakness(&self) -> Option<&'static str> {
        match self {
            FenceDevice::Redfish(device) if device.is_plain() => {
                Some("it is not encrypted: its password and its answers are open to whoever shares the network")
            }
            FenceDevice::Redfish(Redfish { verify: Verify::Nothing, .. }) => Some(
                "its certificate is not verified: whoever answers at its address learns the password, and is believed",
            ),
            FenceDevice::Redfish(_) => None,
            FenceDevice::Agent(_) => {
                Some("it cannot say which machine it controls: only a drill shows that it controls this one")
            }
        }
    }
}

impl fmt::Display for FenceDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FenceDevice::Redfish(device) => write!(f, "the BMC at {}", device.address),
            FenceDevice::Agent(agent) => f.write_str(&agent.program),
        }
    }
}

impl Redfish {
    /// A BMC. Without a system, it must control exactly one.
    pub fn new(
        address: &str,
        system: Option<&str>,
        user: &str,
        password: Secret,
        verify: Verify,
    ) -> Result<Redfish, BadDevice> {
        let given = address;
        let address = given.strip_suffix('/').unwrap_or(given);
        if !is_address(address) {
            return Err(BadDevice::Address(given.to_owned()));
        }
        if let Some(path) = system.filter(|path| !is_local_path(path)) {
            return Err(BadDevice::System(path.to_owned()));
        }
        // Basic authentication ends the user at the first colon.
        if user.is_empty() || user.len() > LONGEST_TEXT || user.chars().any(|c| c == ':' || c.is_control()) {
            return Err(BadDevice::User(user.to_owned()));
        }
        if let Verify::Authorities(pem) = &verify
            && (pem.len() > LONGEST_AUTHORITIES || !pem.contains("-----BEGIN CERTIFICATE-----"))
        {
            return Err(BadDevice::Authorities(address.to_owned()));
        }
        let device = Redfish {
            address: address.to_owned(),
            system: system.map(str::to_owned),
            user: user.to_owned(),
            password,
            verify,
        };
        if device.is_plain() && device.verify != Verify::Nothing {
            return Err(BadDevice::NotEncrypted(device.address));
        }
        Ok(device)
    }

    fn is_plain(&self) -> bool {
        self.address.starts_with("http://")
    }
}

/// Whether this is a scheme and a host with or without a port. A name and password in it, or a path behind it, are not
/// what they seem to be to whoever reads the address.
fn is_address(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let host_ends = if authority.starts_with('[') { authority.find(']').map_or(0, |end| end + 1) } else { 0 };
    let (host, port) = match authority[host_ends..].split_once(':') {
        Some((rest, port)) => (&authority[..host_ends + rest.len()], Some(port)),
        None => (authority, None),
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    !host.is_empty() && text.len() <= LONGEST_TEXT && authority.chars().all(allowed) && good_port
}

/// Whether this is an absolute path that no reader of addresses could take for another host.
pub(super) fn is_local_path(text: &str) -> bool {
    let graphic = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '?' | '#');
    text.starts_with('/') && !text.starts_with("//") && text.len() <= LONGEST_TEXT && text.chars().all(graphic)
}

impl Agent {
    /// A fence agent by its name, or by its path in `/usr/sbin`, and the options that it reads.
    pub fn new(program: &str, options: BTreeMap<String, Secret>) -> Result<Agent, BadDevice> {
        let name = program.strip_prefix("/usr/sbin/").unwrap_or(program);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with("fence_") || name.len() > 64 || !name.chars().all(allowed) {
            return Err(BadDevice::Program(program.to_owned()));
        }
        if options.len() > MOST_OPTIONS {
            return Err(BadDevice::TooManyOptions(name.to_owned()));
        }
        for (key, value) in &options {
            if let Some(why) = wrong_option(key, value) {
                return Err(BadDevice::Option { program: name.to_owned(), key: key.clone(), why });
            }
        }
        Ok(Agent { program: name.to_owned(), options })
    }
}

impl Agent {
    /// Its name.
    pub fn program(&self) -> &str {
        &self.program
    }
}

fn wrong_option(key: &str, value: &Secret) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let runs_programs = key.ends_with("_script") || key.ends_with("_path") || key == "ssh_options";
    let checks = [
        (key.is_empty() || key.len() > 64 || !key.chars().all(allowed), "no agent has an option of such a name"),
        (matches!(key, "action" | "option"), "the action is chosen anew for each call"),
        // An agent runs as root. Who may name a device must not thereby name what root runs, or where it writes.
        (runs_programs, "it names a program that would run as root"),
        (key == "missing_as_off", "an outlet that the device does not know would be taken for one that is off"),
        (key.starts_with("debug"), "it names a file that root would write, with the password in it"),
        (
            value.expose().contains(['\n', '\r']),
            "its value has a line break in it, behind which another option would begin",
        ),
    ];
    checks.into_iter().find_map(|(wrong, why)| wrong.then_some(why))
}

impl Fingerprint {
    /// The fingerprint with this value.
    pub fn new(digest: [u8; 32]) -> Fingerprint {
        Fingerprint(digest)
    }

    /// Its value.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// As people copy it: with or without colons, in either case.
impl TryFrom<String> for Fingerprint {
    type Error = BadDevice;
    fn try_from(text: String) -> Result<Fingerprint, BadDevice> {
        let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let written = text.chars().filter(|c| *c != ':').count();
        if digits.len() != 64 || written != 64 {
            return Err(BadDevice::Fingerprint(text.chars().take(LONGEST_TEXT).collect()));
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |value, digit| (value << 4) | u8::try_from(*digit).unwrap_or(0));
        }
        Ok(Fingerprint(digest))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRedfish {
    address: String,
    system: Option<String>,
    user: String,
    password: Secret,
    verify: Verify,
}

impl TryFrom<RawRedfish> for Redfish {
    type Error = BadDevice;
    fn try_from(raw: RawRedfish) -> Result<Redfish, BadDevice> {
        Redfish::new(&raw.address, raw.system.as_deref(), &raw.user, raw.password, raw.verify)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    program: String,
    options: BTreeMap<String, Secret>,
}

impl TryFrom<RawAgent> for Agent {
    type Error = BadDevice;
    fn try_from(raw: RawAgent) -> Result<Agent, BadDevice> {
        Agent::new(&raw.program, raw.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text).unwrap()
    }

    fn redfish(address: &str) -> Result<Redfish, BadDevice> {
        let verify =
            if address.starts_with("http:") { Verify::Nothing } else { Verify::Fingerprint(Fingerprint([7; 32])) };
        Redfish::new(address, None, "admin", secret("hunter2"), verify)
    }

    #[test]
    fn an_address_is_a_host_and_nothing_else() {
        for good in ["https://bmc-1.example", "https://10.0.0.1:8443/", "https://[fe80::1]:443", "http://bmc:80"] {
            assert!(redfish(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            "bmc",
            "ftp://bmc",
            "https://",
            "https://:443",
            "https://bmc:0",
            "https://bmc:70000",
            "https://bmc:",
            "https://user:word@bmc",
            "https://bmc/redfish",
            "https://bmc?x",
            "https://bmc#x",
            "https://b mc",
            "https://b\\mc",
        ];
        for address in bad {
            assert_eq!(redfish(address), Err(BadDevice::Address(address.to_owned())), "{address}");
        }
    }

    #[test]
    fn what_is_not_encrypted_verifies_nothing() {
        let verify = Verify::Fingerprint(Fingerprint([7; 32]));
        let refused = Redfish::new("http://bmc", None, "admin", secret("x"), verify);
        assert!(matches!(refused, Err(BadDevice::NotEncrypted(_))));
        assert!(FenceDevice::Redfish(redfish("http://bmc").unwrap()).weakness().is_some());
        assert!(FenceDevice::Redfish(redfish("https://bmc").unwrap()).weakness().is_none());
    }

    #[test]
    fn a_path_leads_to_no_other_host() {
        for bad in ["", "redfish/v1", "//evil/x", "/\\evil", "/a b", "/a\tb", "/a?b", "/a#b", "https://evil/"] {
            assert!(!is_local_path(bad), "{bad}");
        }
        assert!(is_local_path("/redfish/v1/Systems/System.Embedded.1"));
    }

    #[test]
    fn only_fence_agents_are_programs() {
        for good in ["fence_ipmilan", "/usr/sbin/fence_apc"] {
            assert!(Agent::new(good, BTreeMap::new()).is_ok());
        }
        for bad in ["", "sh", "/bin/fence_x", "fence_x/../sh", "/usr/sbin/../sbin/fence_x", "fence_x y", "fence_X;"] {
            assert!(matches!(Agent::new(bad, BTreeMap::new()), Err(BadDevice::Program(_))), "{bad}");
        }
    }

    #[test]
    fn options_cannot_smuggle() {
        for (key, value) in [
            ("action", "off"),
            ("ip", "a\naction=on"),
            ("passwd_script", "/tmp/x"),
            ("ipmitool_path", "/tmp/x"),
            ("ssh_options", "-o ProxyCommand=x"),
            ("debug_file", "/etc/passwd"),
            ("a=b", "c"),
            ("", "c"),
        ] {
            let options = BTreeMap::from([(key.to_owned(), secret(value))]);
            assert!(matches!(Agent::new("fence_x", options), Err(BadDevice::Option { .. })), "{key}");
        }
    }

    #[test]
    fn a_device_survives_being_written_down_and_shows_no_secret() {
        let options = BTreeMap::from([("password".to_owned(), secret("hunter2"))]);
        let agent = FenceDevice::Agent(Agent::new("fence_ipmilan", options).unwrap());
        for device in [FenceDevice::Redfish(redfish("https://bmc").unwrap()), agent] {
            let text = serde_json::to_string(&device).unwrap();
            assert_eq!(serde_json::from_str::<FenceDevice>(&text).unwrap(), device);
            let bytes = postcard::to_stdvec(&device).unwrap();
            assert_eq!(postcard::from_bytes::<FenceDevice>(&bytes).unwrap(), device);
            assert!(!format!("{device:?} {device}").contains("hunter2"));
        }
    }

    #[test]
    fn what_is_read_is_checked() {
        let bad = [
            r#"{"Redfish":{"address":"https://bmc/x","user":"a","password":"b","verify":"Nothing"}}"#,
            r#"{"Redfish":{"address":"https://bmc","user":"a:b","password":"b","verify":"Nothing"}}"#,
            r#"{"Redfish":{"address":"https://bmc","user":"a","password":"","verify":"Nothing"}}"#,
            r#"{"Redfish":{"address":"https://bmc","user":"a","password":"b","verify":{"Fingerprint":"12"}}}"#,
            r#"{"Redfish":{"address":"https://bmc","user":"a","password":"b","verify":{"Authorities":"x"}}}"#,
            r#"{"Redfish":{"address":"https://bmc","user":"a","password":"b","verify":"Nothing","port":1}}"#,
            r#"{"Agent":{"program":"sh","options":{}}}"#,
        ];
        for text in bad {
            assert!(serde_json::from_str::<FenceDevice>(text).is_err(), "{text}");
        }
        let good = bad[0].replace("bmc/x", "bmc");
        assert!(serde_json::from_str::<FenceDevice>(&good).is_ok());
    }

    #[test]
    fn a_fingerprint_is_read_as_people_copy_it() {
        let plain = "0f".repeat(32);
        let colons = vec!["0F"; 32].join(":");
        assert_eq!(Fingerprint::try_from(colons).unwrap(), Fingerprint([15; 32]));
        assert_eq!(String::from(Fingerprint::try_from(plain.clone()).unwrap()), plain);
        for bad in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &format!("{plain} ")] {
            assert!(Fingerprint::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
