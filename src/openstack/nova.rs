//! Nova: what it knows.

use super::answers::{Hypervisor, Migration, Server, Service};
use super::http::{Ask, CloudError, nonsense};
use super::microversion::Microversion;
use super::pages;
use super::session::{Again, Session};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use uuid::Uuid;

const API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");
/// Servers in one part of a list. Nova may have a lower limit of its own.
const PAGE: &str = "500";

/// The Nova of one region.
#[derive(Debug, Clone)]
pub struct Nova {
    pub(super) session: Arc<Session>,
    /// Where its interface is, without a slash at the end.
    base: Url,
    region: String,
    version: Microversion,
    offered: (Microversion, Microversion),
    headers: HeaderMap,
}

impl Nova {
    /// Finds it, and agrees with it on a version.
    pub async fn find(session: Arc<Session>) -> Result<Nova, CloudError> {
        let (endpoint, region) = session.endpoint("compute").await?;
        let (base, root) = addresses(&endpoint);
        let ask = Ask::get(root);
        let answer = session.ask(&ask, Again::Safe).await?;
        #[derive(Deserialize)]
        struct Body {
            version: Offer,
        }
        #[derive(Deserialize)]
        struct Offer {
            version: Microversion,
            min_version: Microversion,
        }
        let Body { version: offer } = answer.read(&ask)?;
        let (lowest, highest) = (offer.min_version, offer.version);
        let version = Microversion::between(lowest, highest).ok_or_else(|| {
            let (first, last) = (Microversion::LOWEST, Microversion::HIGHEST);
            let what = format!("Nova at {base} speaks {lowest} to {highest}, and Holdfast {first} to {last}");
            CloudError::Unfit(format!("{what}\n  hint: a Nova of Pike (2017) or later is needed"))
        })?;
        let spoken =
            HeaderValue::from_str(&format!("compute {version}")).map_err(|error| nonsense(&ask, error.to_string()))?;
        let headers = HeaderMap::from_iter([(API_VERSION, spoken)]);
        Ok(Nova { session, base, region, version, offered: (lowest, highest), headers })
    }

    /// In which region it is.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// The version that is spoken with it.
    pub fn version(&self) -> Microversion {
        self.version
    }

    /// The lowest and the highest version that it speaks.
    pub fn offered(&self) -> (Microversion, Microversion) {
        self.offered
    }

    /// All nova-computes.
    pub async fn services(&self) -> Result<Vec<Service>, CloudError> {
        self.list(self.url(&["os-services"], &[("binary", "nova-compute")]), "services").await
    }

    /// All hypervisors, of all nova-computes.
    pub async fn hypervisors(&self) -> Result<Vec<Hypervisor>, CloudError> {
        self.list(self.url(&["os-hypervisors", "detail"], &[]), "hypervisors").await
    }

    /// The servers of all projects on this service host, or on all.
    pub async fn servers(&self, host: Option<&str>) -> Result<Vec<Server>, CloudError> {
        let mut asked = vec![("all_tenants", "1"), ("limit", PAGE)];
        asked.extend(host.map(|host| ("host", host)));
        self.list(self.url(&["servers", "detail"], &asked), "servers").await
    }

    /// One server; none: there is no such server, or not any more.
    pub async fn server(&self, server: Uuid) -> Result<Option<Server>, CloudError> {
        #[derive(Deserialize)]
        struct Body {
            server: Server,
        }
        let ask = self.ask_for(Ask::get(self.url(&["servers", &server.to_string()], &[])));
        match self.session.ask(&ask, Again::Safe).await {
            Ok(answer) => Ok(Some(answer.read::<Body>(&ask)?.server)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The evacuations and migrations of a server, those that are past too.
    pub async fn migrations(&self, server: Uuid) -> Result<Vec<Migration>, CloudError> {
        let url = self.url(&["os-migrations"], &[("instance_uuid", &server.to_string())]);
        self.list(url, "migrations").await
    }

    async fn list<T: DeserializeOwned>(&self, url: Url, name: &str) -> Result<Vec<T>, CloudError> {
        pages::all(&self.session, &self.headers, url, name).await
    }

    /// The same, in the version that is spoken.
    pub(super) fn ask_for(&self, mut ask: Ask) -> Ask {
        ask.headers.extend(self.headers.clone());
        ask
    }

    pub(super) fn url(&self, path: &[&str], asked: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path);
        }
        if !asked.is_empty() {
            url.query_pairs_mut().extend_pairs(asked);
        }
        url
    }
}

/// Where the interface is, and where it says which versions it speaks. A catalogue may have the address of the older
/// interface, with the project at its end, or without any version.
fn addresses(endpoint: &Url) -> (Url, Url) {
    let parts: Vec<&str> = endpoint.path().split('/').filter(|part| !part.is_empty()).collect();
    let at = parts.iter().position(|part| matches!(*part, "v2" | "v2.1"));
    let (before, after) = match at {
        Some(at) => (&parts[..at], &parts[at + 1..]),
        None => (&parts[..], &[][..]),
    };
    let root: String = before.iter().chain(&["v2.1"]).map(|part| format!("/{part}")).collect();
    let rest: String = after.iter().map(|part| format!("/{part}")).collect();
    let with = |path: &str| {
        let mut url = endpoint.clone();
        url.set_path(path);
        url
    };
    (with(&format!("{root}{rest}")), with(&format!("{root}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_has_addresses_of_several_forms() {
        let samples = [
            ("http://x:8774/v2.1", "http://x:8774/v2.1", "http://x:8774/v2.1/"),
            ("http://x:8774/v2.1/", "http://x:8774/v2.1", "http://x:8774/v2.1/"),
            ("https://x/compute/v2.1/17", "https://x/compute/v2.1/17", "https://x/compute/v2.1/"),
            ("https://x/compute/v2/17", "https://x/compute/v2.1/17", "https://x/compute/v2.1/"),
            ("https://x/compute", "https://x/compute/v2.1", "https://x/compute/v2.1/"),
            ("http://x:8774", "http://x:8774/v2.1", "http://x:8774/v2.1/"),
        ];
        for (endpoint, base, root) in samples {
            let (found, found_root) = addresses(&Url::parse(endpoint).unwrap());
            assert_eq!((found.as_str(), found_root.as_str()), (base, root), "{endpoint}");
        }
    }
}
