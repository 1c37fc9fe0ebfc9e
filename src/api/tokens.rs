//! Invitations to join.

use super::actions::{Asked, Looking};
use super::bodies::{Invite, Invited, Token};
use super::errors::Failure;
use super::extract::{Json, Path};
use super::handle::Api;
use super::registry::{authority, register};
use crate::clock;
use crate::core::state::{Invitation, Registration};
use crate::trust::{JoinToken, TokenId};
use axum::extract::State;
use serde_json::{Value, json};

/// No invitation is good for longer.
const LONGEST_INVITATION: u64 = 7 * 24 * 3_600;

/// `GET /v1/tokens`: those that are good still.
pub(super) async fn tokens(State(api): State<Api>, _: Looking) -> Result<Json<Vec<Token>>, Failure> {
    let now = clock::wall_milliseconds();
    let list = api.view(move |viewer, _, _| {
        let all = viewer.state().registry.invitations.iter();
        let good = all.filter(|(_, invitation)| invitation.expires_milliseconds > now);
        good.map(|(id, invitation)| Token {
            id: format!("{id:016x}"),
            expires_milliseconds: invitation.expires_milliseconds,
        })
        .collect()
    });
    list.await.map(Json)
}

/// `DELETE /v1/tokens/{token}`: it ran out long ago, from now on.
pub(super) async fn revoke(
    State(api): State<Api>,
    Path(token): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    let id = token.parse::<TokenId>().map_err(|_| Failure::bad(format!("\"{token}\" names no invitation")))?;
    let id = u128::from(id.number());
    let found = api.state(move |state| state.registry.invitations.get(&id).cloned()).await?;
    let missing = || Failure::missing(format!("there is no invitation {token}: it was used, or never given"));
    let invitation = Invitation { expires_milliseconds: 0, ..found.ok_or_else(missing)? };
    api.ask(asked.ticket, register(Registration::Invite(id, invitation)), asked.said).await?;
    Ok(Json(json!({ "done": true })))
}

/// `POST /v1/tokens`
pub(super) async fn invite(
    State(api): State<Api>,
    asked: Asked,
    Json(body): Json<Invite>,
) -> Result<Json<Invited>, Failure> {
    if body.for_seconds == 0 || body.for_seconds > LONGEST_INVITATION {
        return Err(Failure::bad("an invitation is good for between one second and seven days"));
    }
    let authority = authority(&api).await?;
    let token = JoinToken::generate(&authority.fingerprint());
    let token = token.map_err(|error| Failure::internal(error.to_string()))?;
    let seconds = i64::try_from(body.for_seconds).unwrap_or(i64::MAX);
    let expires_milliseconds = clock::wall_milliseconds().saturating_add(seconds.saturating_mul(1_000));
    let invitation = Invitation { secret: token.secret().digest().into(), expires_milliseconds };
    api.ask(asked.ticket, register(Registration::Invite(u128::from(token.id().number()), invitation)), asked.said)
        .await?;
    Ok(Json(Invited { token: token.to_string(), expires_milliseconds }))
}
