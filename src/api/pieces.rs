//! Samples as they are kept, for voters that lack some.

use super::actions::Looking;
use super::bodies::PiecesAfter;
use super::errors::Failure;
use super::extract::{Json, Query};
use super::forward::fetch;
use super::handle::Api;
use super::load::look;
use crate::core::ids::Address;
use crate::samples::{Level, Measure, Piece, Subject};
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Some chunks, and where there are more.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PiecesView {
    pieces: Vec<PieceView>,
    /// The place after which there may be more.
    next: Option<i64>,
}

/// A chunk.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PieceView {
    subject: Subject,
    measure: Measure,
    level: Level,
    number: u32,
    /// In base64.
    data: String,
}

impl From<Piece> for PieceView {
    fn from(piece: Piece) -> PieceView {
        let Piece { subject, measure, level, number, data } = piece;
        PieceView { subject, measure, level, number, data: STANDARD.encode(data) }
    }
}

impl PieceView {
    fn read(self) -> Result<Piece, String> {
        let PieceView { subject, measure, level, number, data } = self;
        let data = STANDARD.decode(data).map_err(|error| error.to_string())?;
        Ok(Piece { subject, measure, level, number, data })
    }
}

/// `GET /v1/samples`
pub(super) async fn pieces(
    State(api): State<Api>,
    _: Looking,
    Query(asked): Query<PiecesAfter>,
) -> Result<Json<PiecesView>, Failure> {
    let (pieces, next) = look(&api, move |look| look.pieces(asked.since, asked.after)).await?;
    Ok(Json(PiecesView { pieces: pieces.into_iter().map(PieceView::from).collect(), next }))
}

/// What another voter has since this hour, after this place; and the place after which it may have more.
pub(crate) async fn fetch_pieces(
    api: &Api,
    from: Address,
    since: u32,
    after: Option<i64>,
) -> Result<(Vec<Piece>, Option<i64>), String> {
    let after = after.map(|place| format!("&after={place}")).unwrap_or_default();
    let view: PiecesView = fetch(api, from, &format!("/v1/samples?since={since}{after}")).await?;
    let pieces: Result<Vec<Piece>, String> = view.pieces.into_iter().map(PieceView::read).collect();
    Ok((pieces?, view.next))
}
