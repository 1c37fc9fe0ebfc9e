//! A voter that is new, or was away for long, lacks samples: it copies them from the others.
//!
//! Chunks are merged, so that it does not matter in which order they come, or whether they come twice. What is copied is
//! what another voter has; where that lacks something too, there is a gap.

use crate::api::{Api, fetch_pieces};
use crate::core::ids::Address;
use crate::core::state::ClusterState;
use crate::samples::{Delivery, Keeper};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often a voter looks whether it lacks something.
const LOOK: Duration = Duration::from_secs(30);
/// Between two portions, so that the other voter has time for other things.
const PAUSE: Duration = Duration::from_millis(50);
/// The disk takes a portion within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Copies what is lacking, for as long as the node runs.
pub(super) async fn keep_whole(api: Api, keeper: Keeper) {
    loop {
        tokio::time::sleep(LOOK).await;
        let votes = api.handle.glance.borrow().votes;
        let reader = keeper.reader().clone();
        let lacks = tokio::task::spawn_blocking(move || reader.open()?.lacks_since());
        let Ok(Ok(Some(since))) = lacks.await else { continue };
        if votes && copy_from_others(&api, &keeper, since).await {
            keeper.deliver(Delivery::Complete);
        }
    }
}

/// Whether any of them had all of it to give. One that lacks something itself is not known by that, so all are asked.
async fn copy_from_others(api: &Api, keeper: &Keeper, since: u32) -> bool {
    let voters = api.handle.look(|node, _| node.state().map(ClusterState::voter_addresses)).await.flatten();
    let others: Vec<Address> = voters.unwrap_or_default().into_iter().filter(|voter| *voter != api.me).collect();
    let mut is_whole = others.is_empty();
    for voter in others {
        match copy(api, keeper, voter, since).await {
            Ok(()) => is_whole = true,
            Err(why) => tracing::debug!(%voter, why, "samples are not complete yet"),
        }
    }
    is_whole
}

async fn copy(api: &Api, keeper: &Keeper, voter: Address, since: u32) -> Result<(), String> {
    let mut after = None;
    loop {
        let (pieces, next) = fetch_pieces(api, voter, since, after).await?;
        if !pieces.is_empty() {
            let (kept, keeps) = oneshot::channel();
            keeper.deliver(Delivery::Pieces { pieces, kept });
            let kept = tokio::time::timeout(PATIENCE, keeps).await.is_ok_and(|kept| kept == Ok(true));
            if !kept {
                return Err("the disk takes no samples".to_owned());
            }
        }
        match next {
            Some(_) => after = next,
            None => return Ok(()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
