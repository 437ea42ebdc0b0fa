//! Guests' names, and the erasure of guests: for the socket door, with a name and a reason.

use crate::doors::Door;
use crate::routes::{Desk, house_problem};
use crate::{FrontDeskView, Problem, RoomView};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use engawa_model::{Erasure, StayId};
use serde::{Deserialize, Serialize};

/// The longest name or reason, characters.
const LONGEST: usize = 200;

/// Who asks for personal data, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asker {
    /// Who.
    #[serde(rename = "as")]
    pub who: String,
    /// Why.
    pub reason: String,
}

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// The signed tombstones, one for each record; none where nothing was held.
    pub tombstones: Vec<Erasure>,
    /// False while somebody who reads keeps the keys' file from being emptied; the gateway tries again by itself.
    pub complete: bool,
}

/// The erasure that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// The PMS's reservation number.
    pub reservation: StayId,
    /// Who.
    #[serde(rename = "as")]
    pub who: String,
    /// Why.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    #[serde(rename = "as")]
    who: Option<String>,
    reason: Option<String>,
}

/// `GET /api/rooms`: on the socket door with names, where `as` and `reason` are given.
pub(crate) async fn rooms(
    State(desk): State<Desk>,
    query: Result<Query<Names>, QueryRejection>,
) -> Result<Json<Vec<RoomView>>, Problem> {
    let Query(names) = query.map_err(|rejection| {
        let detail = format!("{}; use as= and reason= together", rejection.body_text());
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail)
    })?;
    match (desk.door, names.who, names.reason) {
        (Door::Tcp, None, None) => Ok(Json(desk.view().rooms.clone())),
        (Door::Socket, None, None) => Ok(Json(desk.view().rooms_without_names())),
        (_, who, reason) => {
            desk.socket_only("guests' names are shown")?;
            let asker = asker(who.unwrap_or_default(), reason.unwrap_or_default())?;
            let view = desk.house().named_view(asker).await.map_err(|error| house_problem(&error))?;
            Ok(Json(view.rooms.clone()))
        }
    }
}

/// `GET /api/front-desk`: messages, bills and found guests, where `as` and `reason` are given; without them the keys that
/// are wanted, which whoever drives an encoder asks for.
pub(crate) async fn front_desk(
    State(desk): State<Desk>,
    query: Result<Query<Names>, QueryRejection>,
) -> Result<Json<FrontDeskView>, Problem> {
    desk.socket_only("the front desk is read")?;
    let Query(names) = query.map_err(|rejection| {
        let detail = format!("{}; use as= and reason= together", rejection.body_text());
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail)
    })?;
    match (names.who, names.reason) {
        (None, None) => Ok(Json(FrontDeskView {
            keys_wanted: desk.house().front_desk().keys_wanted,
            ..FrontDeskView::default()
        })),
        (who, reason) => {
            let asker = asker(who.unwrap_or_default(), reason.unwrap_or_default())?;
            let view = desk.house().named_front_desk(asker).await.map_err(|error| house_problem(&error))?;
            Ok(Json(view))
        }
    }
}

/// `POST /api/guests/erase`.
pub(crate) async fn erase(
    State(desk): State<Desk>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Erased>, Problem> {
    desk.socket_only("guests are erased")?;
    let body =
        body.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "bad-body", "the request's body broke off"))?;
    let Erase { reservation, who, reason } = serde_json::from_slice(&body).map_err(|error| {
        let detail =
            format!("this is not {{\"reservation\":\"4711\",\"as\":\"who\",\"reason\":\"why\"}}: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-erasure", detail)
    })?;
    let asker = asker(who, reason)?;
    let erased = desk.house().erase(asker, reservation).await.map_err(|error| house_problem(&error))?;
    Ok(Json(erased))
}

fn asker(who: String, reason: String) -> Result<Asker, Problem> {
    for (what, text) in [("as", &who), ("reason", &reason)] {
        if text.trim().is_empty() || text.chars().count() > LONGEST || text.chars().any(char::is_control) {
            let detail = format!(
                "personal data is given out with a name and a reason only: `{what}` has 1 to {LONGEST} characters"
            );
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unsaid", detail));
        }
    }
    Ok(Asker { who, reason })
}
