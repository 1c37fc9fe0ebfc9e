//! What switches the power of a host that cannot be reached: the clients of fence devices.
//!
//! They report and judge nothing. A device that cannot be reached is not off; an order that was taken is not carried
//! out; power is what was read back; a machine is known by the UUID that the device read from it.

mod agent;
mod answers;
mod device;
#[cfg(any(test, fuzzing))]
mod law;
mod metadata;
mod redfish;
mod secret;
mod session;
mod tls;

pub use device::{Agent, BadDevice, FenceDevice, Fingerprint, Redfish, Verify};
#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use metadata::{AgentMetadata, AgentOption, BadAgent, describe, installed};
pub use secret::{BadSecret, Secret};
pub use tls::fingerprint;

use crate::core::remote::{FenceOp, FenceResult};
use redfish::RedfishClient;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections to more BMCs are not kept.
const MOST_KEPT: usize = 4096;
/// More fence agents do not run at once: each is an interpreter of its own.
const MOST_AGENTS: usize = 32;

/// What a device answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceAnswer {
    /// As the master judges it.
    pub result: FenceResult,
    /// What went wrong, for a person.
    pub detail: Option<String>,
}

/// The clients of all devices that were asked so far. Cheap to ask again: connections are kept.
pub struct FenceClients {
    agents: PathBuf,
    places: Semaphore,
    redfish: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    clients: BTreeMap<Redfish, (u64, Arc<RedfishClient>)>,
    /// Counts the uses, to know the one that was not used for longest.
    uses: u64,
}

impl Default for FenceClients {
    fn default() -> FenceClients {
        FenceClients::new()
    }
}

impl FenceClients {
    /// Where the distribution puts fence agents.
    pub const AGENTS: &str = "/usr/sbin";

    /// No connection yet; fence agents are where the distribution puts them.
    pub fn new() -> FenceClients {
        FenceClients::with_agents_in(PathBuf::from(FenceClients::AGENTS))
    }

    /// The same, with fence agents from another folder.
    pub fn with_agents_in(folder: PathBuf) -> FenceClients {
        FenceClients { agents: folder, places: Semaphore::new(MOST_AGENTS), redfish: Mutex::default() }
    }

    /// Asks a device, and answers by the deadline. What is given up then is ended, but an order that was under way may
    /// still take effect.
    pub async fn perform(&self, device: &FenceDevice, op: FenceOp, deadline: Duration) -> FenceAnswer {
        match device {
            FenceDevice::Redfish(bmc) => match self.client(bmc) {
                Ok(client) => {
                    let answer = timeout(deadline, client.perform(op)).await;
                    answer.unwrap_or_else(|_| late(device, op, deadline))
                }
                Err(error) => unreachable(format!("{device}: {error}")),
            },
            FenceDevice::Agent(program) => {
                let began = tokio::time::Instant::now();
                match timeout(deadline, self.places.acquire()).await {
                    Ok(place) => {
                        let left = deadline.saturating_sub(began.elapsed());
                        let answer = agent::perform(&self.agents, program, op, left).await;
                        drop(place);
                        answer
                    }
                    Err(_) => unreachable(format!("{device}: {MOST_AGENTS} fence agents run already, and none ended")),
                }
            }
        }
    }

    /// Opens the connection to a device and learns its ways, so that they are there when they are needed.
    pub async fn warm(&self, device: &FenceDevice, deadline: Duration) -> FenceAnswer {
        self.perform(device, FenceOp::Power, deadline).await
    }

    fn client(&self, bmc: &Redfish) -> Result<Arc<RedfishClient>, redfish::RedfishError> {
        let mut kept = self.redfish.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((used, client)) = kept.clients.get_mut(bmc) {
            *used = uses;
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(RedfishClient::new(bmc)?);
        let device = FenceDevice::Redfish(bmc.clone());
        if let Some(weakness) = device.weakness() {
            tracing::warn!("{device}: {weakness}");
        }
        if kept.clients.len() >= MOST_KEPT {
            let oldest = kept.clients.iter().min_by_key(|(_, (used, _))| *used).map(|(bmc, _)| bmc.clone());
            oldest.map(|bmc| kept.clients.remove(&bmc));
        }
        kept.clients.insert(bmc.clone(), (uses, Arc::clone(&client)));
        Ok(client)
    }
}

fn late(device: &FenceDevice, op: FenceOp, deadline: Duration) -> FenceAnswer {
    let after = match op {
        FenceOp::PowerOff | FenceOp::PowerOn => "; the order may yet take effect",
        FenceOp::Identity | FenceOp::Power => "",
    };
    unreachable(format!("{device} did not answer within {deadline:?}{after}"))
}

fn unreachable(detail: String) -> FenceAnswer {
    FenceAnswer { result: FenceResult::Unreachable, detail: Some(detail) }
}
