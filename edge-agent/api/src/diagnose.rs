//! A diagnostics bundle, for whoever sits at the gateway.

use crate::Problem;
use crate::routes::{Desk, house_problem};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use engawa_model::MOST_ASKER;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    by: Option<String>,
}

/// `GET /api/diagnose`: on the socket door alone, since it tells how the house is built.
pub(crate) async fn bundle(
    State(desk): State<Desk>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<serde_json::Value>, Problem> {
    desk.socket_only("a diagnostics bundle is gathered")?;
    let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail);
    let Query(asked) = query.map_err(|rejection| bad(format!("{}; use by=", rejection.body_text())))?;
    let long =
        |by: &String| by.is_empty() || by.chars().count() > MOST_ASKER || by.chars().any(char::is_control);
    if asked.by.as_ref().is_some_and(long) {
        return Err(bad(format!("by has 1 to {MOST_ASKER} characters and no control characters")));
    }
    desk.house().diagnose(asked.by).await.map(Json).map_err(|error| house_problem(&error))
}
