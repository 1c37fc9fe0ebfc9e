//! Reads the commonest facts quickly: of a large cluster's year most are of these kinds, and to find out from the text
//! itself of which kind a fact is takes most of the time of a reading.

use super::What;
use crate::core::ids::{Epoch, HostId, VmId};
use crate::core::message::Exit;
use crate::core::reason::Proof;
use crate::core::state::HolderProof;
use serde::Deserialize;

#[derive(Deserialize)]
struct Placed {
    vm: VmId,
    host: HostId,
    epoch: Epoch,
    proofs: Vec<HolderProof>,
}

#[derive(Deserialize)]
struct Up {
    vm: VmId,
    host: HostId,
    epoch: Epoch,
    again: bool,
}

#[derive(Deserialize)]
struct Gone {
    vm: VmId,
    host: HostId,
    epoch: Epoch,
    ran: bool,
    proof: Option<Proof>,
    exit: Option<Exit>,
    planned: bool,
    ago_milliseconds: u64,
    #[serde(default)]
    unseen: bool,
}

impl What {
    /// What a fact of this kind says. Nothing: it says what this program does not understand.
    pub fn read(kind: &str, body: &str) -> Option<What> {
        let what = match kind {
            "vm-placed" => serde_json::from_str(body).map(|Placed { vm, host, epoch, proofs }| What::VmPlaced {
                vm,
                host,
                epoch,
                proofs,
            }),
            "vm-up" => {
                serde_json::from_str(body).map(|Up { vm, host, epoch, again }| What::VmUp { vm, host, epoch, again })
            }
            "vm-gone" => serde_json::from_str(body).map(|gone: Gone| {
                let Gone { vm, host, epoch, ran, proof, exit, planned, ago_milliseconds, unseen } = gone;
                What::VmGone { vm, host, epoch, ran, proof, exit, planned, ago_milliseconds, unseen }
            }),
            _ => serde_json::from_str(body),
        };
        what.ok()
    }
}
