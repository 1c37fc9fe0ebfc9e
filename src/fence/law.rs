//! What holds for whatever a device answers: see [`crate::laws`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is told by a panic")]

use super::agent::told;
use super::answers::{Collection, System, complained, read};
use super::device::Agent;
use super::metadata;
use super::redfish::RedfishError;
use super::secret::Secret;
use crate::core::remote::FenceResult;
use crate::laws::is_plain;
use reqwest::Url;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// The longest that a person is told of one answer.
const LONGEST: usize = 16 * 1024;

/// Each answer of a BMC in turn, then what a fence agent complains of, and what it says of itself.
pub(crate) fn law(bytes: &[u8]) -> bool {
    let base = Url::parse("https://bmc.example:8443").expect("an address");
    let url = Url::parse("https://bmc.example:8443/redfish/v1/Systems/1").expect("an address");
    complaint(bytes);
    sober(&metadata::parse("fence_x", &String::from_utf8_lossy(bytes)).map(|_| ()));
    system(bytes, &base, &url) | collection(bytes, &base, &url)
}

fn system(bytes: &[u8], base: &Url, url: &Url) -> bool {
    let read = read::<System>(bytes, url);
    sober(&read.as_ref().map(|_| ()));
    let Ok(system) = read else { return false };
    // Nothing but the very word is off: it is a proof of death.
    let power = system.power(url);
    sober(&power);
    if let Ok(said) = serde_json::from_slice::<Value>(bytes) {
        let is_off = matches!(power, Ok(FenceResult::Off));
        assert_eq!(is_off, said.get("PowerState").is_some_and(|power| power == "Off"));
    }
    let identity = system.identity(url);
    sober(&identity);
    if let Ok(FenceResult::Identity(uuid)) = identity {
        assert!(uuid != 0 && uuid != u128::MAX, "a board that was given no UUID is no machine");
    }
    stays(&system.reset(base, url), base);
    true
}

fn collection(bytes: &[u8], base: &Url, url: &Url) -> bool {
    let read = read::<Collection>(bytes, url);
    sober(&read.as_ref().map(|_| ()));
    let Ok(collection) = read else { return false };
    stays(&collection.only(base), base);
    true
}

/// Nobody is sent to another host, with the password.
fn stays(found: &Result<Url, RedfishError>, base: &Url) {
    sober(found);
    if let Ok(url) = found {
        assert_eq!(url.origin(), base.origin());
        assert!(url.username().is_empty() && url.query().is_none() && url.fragment().is_none(), "{url}");
    }
}

/// What a device makes a person read is short and plain.
fn sober<T: Debug, E: ToString>(result: &Result<T, E>) {
    if let Err(error) = result {
        let text = error.to_string();
        assert!(is_plain(&text) && text.len() <= LONGEST, "{text:?}");
    }
}

fn complaint(bytes: &[u8]) {
    let text = complained(bytes);
    assert!(is_plain(&text) && text.len() <= LONGEST, "{text:?}");
    let password = Secret::new("hunter2").expect("a secret");
    let agent = Agent::new("fence_x", BTreeMap::from([("password".to_owned(), password)])).expect("an agent");
    let text = told(&agent, bytes);
    assert!(is_plain(&text) && text.len() <= LONGEST, "{text:?}");
    assert!(!text.contains("hunter2"), "{text:?}");
}
