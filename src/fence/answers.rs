//! What a BMC answers, read at the border into what can be judged.

use crate::core::remote::FenceResult;
use crate::fence::device;
use crate::fence::redfish::{RedfishError, SYSTEMS};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use uuid::Uuid;

/// What a BMC says of an error is cut there.
const LONGEST_COMPLAINT: usize = 300;

#[derive(Deserialize)]
pub(super) struct Collection {
    #[serde(rename = "Members")]
    members: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "@odata.id")]
    id: String,
}

#[derive(Deserialize)]
pub(super) struct System {
    #[serde(rename = "UUID")]
    pub(super) uuid: Option<String>,
    #[serde(rename = "PowerState")]
    pub(super) power: Option<String>,
    #[serde(rename = "Actions")]
    pub(super) actions: Option<Actions>,
}

#[derive(Deserialize)]
pub(super) struct Actions {
    #[serde(rename = "#ComputerSystem.Reset")]
    pub(super) reset: Option<Reset>,
}

#[derive(Deserialize)]
pub(super) struct Reset {
    pub(super) target: Option<String>,
    #[serde(rename = "ResetType@Redfish.AllowableValues", default)]
    pub(super) kinds: Option<Vec<String>>,
    #[serde(rename = "@Redfish.ActionInfo", default)]
    pub(super) info: Option<String>,
}

/// What an action can be told, where the system does not say so itself.
#[derive(Deserialize)]
pub(super) struct ActionInfo {
    #[serde(rename = "Parameters", default)]
    pub(super) parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
pub(super) struct Parameter {
    #[serde(rename = "Name")]
    pub(super) name: Option<String>,
    #[serde(rename = "AllowableValues")]
    pub(super) values: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Complaint {
    error: ComplaintText,
}

#[derive(Deserialize)]
struct ComplaintText {
    message: Option<String>,
}

impl Collection {
    /// The one system that there is.
    pub(super) fn only(&self, base: &Url) -> Result<Url, RedfishError> {
        match self.members.as_slice() {
            [] => Err(RedfishError::NoSystem),
            [one] => local(base, &one.id, SYSTEMS),
            several => {
                let names: Vec<String> = several.iter().take(8).map(|link| printable(&link.id)).collect();
                Err(RedfishError::SeveralSystems(names.join(", ")))
            }
        }
    }
}

impl System {
    pub(super) fn identity(&self, url: &Url) -> Result<FenceResult, RedfishError> {
        let none = || RedfishError::NoUuid(url.path().to_owned());
        let text = self.uuid.as_ref().ok_or_else(none)?;
        let uuid = Uuid::parse_str(text.trim()).map_err(|error| garbage(url, &error))?;
        // What a board reports that was never given one.
        if uuid.is_nil() || uuid.is_max() { Err(none()) } else { Ok(FenceResult::Identity(uuid.as_u128())) }
    }

    pub(super) fn power(&self, url: &Url) -> Result<FenceResult, RedfishError> {
        match self.power.as_deref() {
            Some("Off") => Ok(FenceResult::Off),
            // Until it is off, something may still run in it.
            Some("On" | "PoweringOff" | "PoweringOn" | "Paused") => Ok(FenceResult::On),
            other => {
                let reported = other.map_or_else(|| "unknown".to_owned(), printable);
                Err(RedfishError::NoPower { path: url.path().to_owned(), reported })
            }
        }
    }

    /// Where its power is switched.
    pub(super) fn reset(&self, base: &Url, url: &Url) -> Result<Url, RedfishError> {
        match self.actions.as_ref().and_then(|actions| actions.reset.as_ref()?.target.as_deref()) {
            Some(target) => local(base, target, url.path()),
            None => {
                let path = format!("{}/Actions/ComputerSystem.Reset", url.path().trim_end_matches('/'));
                local(base, &path, url.path())
            }
        }
    }
}

/// A path that a BMC named in its answer to another, on this BMC and no other host.
pub(super) fn local(base: &Url, path: &str, named_by: &str) -> Result<Url, RedfishError> {
    let url = device::is_local_path(path).then(|| base.join(path).ok()).flatten();
    url.filter(|url| url.origin() == base.origin()).ok_or_else(|| RedfishError::Garbage {
        path: named_by.to_owned(),
        problem: format!("it names \"{}\", which is no path of its own", printable(path)),
    })
}

/// Reads the body of an answer. It must be an object: a list would be read too, each value by its place, and by its
/// place nothing is off.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], url: &Url) -> Result<T, RedfishError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(RedfishError::Garbage { path: url.path().to_owned(), problem: "it is no JSON object".to_owned() });
    }
    serde_json::from_slice(body).map_err(|error| garbage(url, &error))
}

pub(super) fn complained(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Complaint>(body).ok().and_then(|complaint| complaint.error.message);
    said.map_or_else(String::new, |message| format!(": {}", printable(&message)))
}

fn garbage(url: &Url, problem: &dyn Error) -> RedfishError {
    RedfishError::Garbage { path: url.path().to_owned(), problem: printable(&problem.to_string()) }
}

/// Text from outside, as a person may see it.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_COMPLAINT).collect()
}
