//! Connections that others dial.

use crate::transport::dial::say_end;
use crate::transport::greet::{self, GreetError};
use crate::transport::peer::Live;
use crate::transport::quic;
use crate::transport::read::read_connection;
use crate::transport::shared::{self, Shared};
use crate::wire::{Fingerprint, Goodbye};
use quinn::{Endpoint, Incoming};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Takes connections until the endpoint is closed.
pub(super) async fn accept(shared: Arc<Shared>, endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(place) = shared.handshakes.clone().try_acquire_owned() else {
            // Who means it tries again in a moment.
            incoming.ignore();
            continue;
        };
        // Under load a sender must first show that it is where it says.
        if shared.handshakes.available_permits() < shared::HANDSHAKES / 2 && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        shared.runtime.spawn(serve(shared.clone(), incoming, place));
    }
}

async fn serve(shared: Arc<Shared>, incoming: Incoming, place: OwnedSemaphorePermit) {
    let remote = incoming.remote_address();
    let end = match welcome(&shared, incoming).await {
        Ok((owner, live)) => {
            drop(place);
            let Some((peer, registration)) = shared.accepted(&owner, live.clone()) else {
                quic::close(&live.connection, Goodbye::NotAMember);
                return;
            };
            let end = read_connection(&shared, &peer, &live).await;
            drop(registration);
            say_end(&shared, &live.connection, &end)
        }
        Err(error) => {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            error.to_string()
        }
    };
    // Anyone who reaches the port can cause this line.
    tracing::debug!(%remote, reason = end, "an accepted connection has ended");
}

async fn welcome(shared: &Arc<Shared>, incoming: Incoming) -> Result<(Fingerprint, Arc<Live>), GreetError> {
    let connecting = incoming.accept()?;
    let connection = timeout(shared.patience.dial, connecting).await.map_err(|_| GreetError::Late)??;
    let owner = greet::shown(&connection);
    let roster = shared.roster.borrow().clone();
    let Some(member) = owner.as_ref().and_then(|owner| roster.owner(owner)) else {
        quic::close(&connection, Goodbye::NotAMember);
        return Err(GreetError::Refused(Goodbye::NotAMember));
    };
    let agreed = greet::answer(&connection, &shared.hello(), member.address, shared.patience.hello).await?;
    let live = Live {
        number: shared.next_connection(),
        connection,
        version: agreed.version,
        session: agreed.hello.session,
        roster: agreed.hello.roster,
        heard: AtomicBool::new(true),
    };
    Ok((member.fingerprint, Arc::new(live)))
}
