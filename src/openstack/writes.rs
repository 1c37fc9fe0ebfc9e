//! Nova: what it is told to do.

use super::answers::Service;
use super::http::{Ask, CloudError};
use super::nova::Nova;
use super::session::Again;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// What became of an order that is not sent twice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an order may have been refused, or nobody knows what became of it"]
pub enum Outcome {
    /// Nova has taken it. That it is carried out shows the server alone: an evacuation for which there is no room is
    /// taken too.
    Accepted,
    /// It is certain that nothing is done.
    Refused(CloudError),
    /// It may be done or not: only reading tells. Ordering it again may ruin the server.
    Unknown(CloudError),
}

/// A service that was forced down: what disables its host at once. See the third way of Nova in [`super`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedDown {
    service: Service,
    id: Uuid,
}

impl ForcedDown {
    /// The service, as Nova told it after that.
    pub fn service(&self) -> &Service {
        &self.service
    }
}

/// What became of letting a service up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifted {
    /// It counts again as what it is.
    Done(Service),
    /// Its host has finished evacuations: its nova-compute must be restarted first, so that it lets go of what is gone.
    RestartFirst(String),
}

/// What a server's state is set to, by force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// It is taken for running.
    Active,
    /// It is taken for broken.
    Error,
}

/// What changes a service may be sent again: it says what shall be, and not what shall change.
impl Nova {
    /// Says that a nova-compute is down, so that its servers may be evacuated at once. Only for a host that is proven dead.
    pub async fn force_down(&self, service: Uuid) -> Result<ForcedDown, CloudError> {
        let told = self.set_service(service, json!({ "forced_down": true })).await?;
        if !told.forced_down {
            return Err(CloudError::Unfit(format!("Nova was told that {} is down, and does not say so", told.host)));
        }
        Ok(ForcedDown { service: told, id: service })
    }

    /// Lets it count again as what it is.
    pub async fn lift(&self, service: Uuid) -> Result<Lifted, CloudError> {
        match self.set_service(service, json!({ "forced_down": false })).await {
            Ok(service) => Ok(Lifted::Done(service)),
            // There is no other way in which this request could be a bad one.
            Err(CloudError::Refused { status: 400, message, .. }) => Ok(Lifted::RestartFirst(message)),
            Err(error) => Err(error),
        }
    }

    /// Lets no new server come to a dead host.
    pub async fn disable_dead(&self, service: &ForcedDown, reason: &str) -> Result<Service, CloudError> {
        self.disable_living(service.id, reason).await
    }

    /// Lets no new server come to a host that lives. It waits for the nova-compute: for a minute, if that does not answer.
    pub async fn disable_living(&self, service: Uuid, reason: &str) -> Result<Service, CloudError> {
        self.set_service(service, json!({ "status": "disabled", "disabled_reason": reason })).await
    }

    /// Lets new servers come again.
    pub async fn enable(&self, service: Uuid) -> Result<Service, CloudError> {
        self.set_service(service, json!({ "status": "enabled" })).await
    }

    async fn set_service(&self, service: Uuid, body: Value) -> Result<Service, CloudError> {
        #[derive(Deserialize)]
        struct Body {
            service: Service,
        }
        let url = self.url(&["os-services", &service.to_string()], &[]);
        let ask = self.ask_for(Ask::with(Method::PUT, url, body));
        let answer = self.session.ask(&ask, Again::Safe).await?;
        Ok(answer.read::<Body>(&ask)?.service)
    }
}

/// What is done with a server is sent once.
impl Nova {
    /// Has a server of a dead host started on this one, or on one that Nova chooses.
    pub async fn evacuate(&self, server: Uuid, to: Option<&str>) -> Outcome {
        let order = match to {
            Some(host) => json!({ "host": host }),
            None => json!({}),
        };
        self.order(server, json!({ "evacuate": order })).await
    }

    /// Has a running server moved to this host, or to one that Nova chooses.
    pub async fn live_migrate(&self, server: Uuid, to: Option<&str>) -> Outcome {
        self.order(server, json!({ "os-migrateLive": { "host": to, "block_migration": "auto" } })).await
    }

    /// Starts a server.
    pub async fn start(&self, server: Uuid) -> Outcome {
        self.order(server, json!({ "os-start": null })).await
    }

    /// Stops a server.
    pub async fn stop(&self, server: Uuid) -> Outcome {
        self.order(server, json!({ "os-stop": null })).await
    }

    /// Sets what Nova takes a server for, and forgets what it was doing with it.
    pub async fn reset_state(&self, server: Uuid, to: ResetTo) -> Outcome {
        let state = match to {
            ResetTo::Active => "active",
            ResetTo::Error => "error",
        };
        self.order(server, json!({ "os-resetState": { "state": state } })).await
    }

    async fn order(&self, server: Uuid, body: Value) -> Outcome {
        let url = self.url(&["servers", &server.to_string(), "action"], &[]);
        let ask = self.ask_for(Ask::with(Method::POST, url, body));
        match self.session.ask(&ask, Again::Never).await {
            Ok(_) => Outcome::Accepted,
            Err(error) if error.is_certain() => Outcome::Refused(error),
            Err(error) => Outcome::Unknown(error),
        }
    }
}
