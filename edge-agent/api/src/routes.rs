//! The JSON API. The same routes on both doors; what a door may not do is refused with its reason.
//!
//! The journal is on the socket door only: a history of who was in which room, and when, is personal data
//! even without a name.

use crate::board::Board;
use crate::doors::{Door, MAX_EVENT_STREAMS};
use crate::house::{CommandError, CommandReport, House, HouseError, LogPage};
use crate::{Accepted, Health, HouseView, Problem, diagnose, events, guests, metrics, page};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use engawa_model::{Action, Command, CommandKey, CommandSource, Timestamp};
use engawa_words::{Language, Words};
use serde::Deserialize;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Rows of the journal that are given where nobody says how many.
const LOG_ROWS: usize = 100;
/// Rows of the journal that are given at most.
const MAX_LOG_ROWS: usize = 1000;
/// The longest key of a command, in bytes.
const MAX_KEY: usize = 128;
/// How often a quiet event stream shows that it is alive: proxies cut what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A command as it is asked for: the same form as on the house's MQTT topics.
#[derive(Deserialize)]
struct Asked {
    key: CommandKey,
    #[serde(default)]
    expires: Option<Timestamp>,
    #[serde(flatten)]
    action: Action,
}

/// What the handlers of one door share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) door: Door,
    pub(crate) board: Arc<Board>,
    /// Places for event streams, for both doors together.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) cancel: CancellationToken,
}

impl Desk {
    /// The view that this door may show.
    pub(crate) fn view(&self) -> Arc<HouseView> {
        match self.door {
            Door::Tcp => Arc::clone(&self.board.now().view),
            Door::Socket => self.board.house().view(),
        }
    }

    /// The language of who asks: what the browser wants, else the house's.
    fn language(&self, headers: &HeaderMap) -> Language {
        let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Words::accepted(wanted, self.board.house().language()).language()
    }

    /// The house behind the door.
    pub(crate) fn house(&self) -> &Arc<dyn House> {
        self.board.house()
    }

    /// Refuses what is only for the socket door.
    pub(crate) fn socket_only(&self, what: &'static str) -> Result<(), Problem> {
        match self.door {
            Door::Socket => Ok(()),
            Door::Tcp => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "socket-only",
                format!("{what} only through the agent's Unix socket: use the engawa command on the gateway"),
            )),
        }
    }
}

/// The routes of a door.
pub(crate) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/events", get(stream))
        .route("/engawa.css", get(|| asset("text/css; charset=utf-8", page::STYLE)))
        .route("/engawa.js", get(|| asset("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/engawa.svg", get(|| asset("image/svg+xml", page::ICON)))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .route(
            "/api/traffic",
            get(|State(desk): State<Desk>| async move { Json(desk.board.house().traffic()) }),
        )
        .route("/api/status", get(|State(desk): State<Desk>| async move { Json(desk.view().status()) }))
        .route("/api/rooms", get(guests::rooms))
        .route("/api/guests/erase", axum::routing::post(guests::erase))
        .route(
            "/api/devices",
            get(|State(desk): State<Desk>| async move { Json(&desk.view().devices).into_response() }),
        )
        .route(
            "/api/links",
            get(|State(desk): State<Desk>| async move { Json(&desk.view().links).into_response() }),
        )
        .route(
            "/api/postings",
            get(|State(desk): State<Desk>| async move { Json(&desk.view().postings).into_response() }),
        )
        .route(
            "/api/alerts",
            get(|State(desk): State<Desk>| async move { Json(&desk.view().alerts).into_response() }),
        )
        .route(
            "/api/counters",
            get(|State(desk): State<Desk>| async move { Json(&desk.view().counters).into_response() }),
        )
        .route("/api/log", get(log))
        .route("/api/diagnose", get(diagnose::bundle))
        .route("/api/front-desk", get(guests::front_desk))
        .route("/api/commands", axum::routing::post(command))
        .route("/api/commands/{key}", get(outcome))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no-such-page", "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "this can't be done here; see Allow",
            )
        })
        .with_state(desk)
}

async fn index(State(desk): State<Desk>, headers: HeaderMap) -> impl IntoResponse {
    let (drawn, language) = (desk.board.now(), desk.language(&headers));
    let page = page::page(&drawn.view, drawn.fragments(language), language, Timestamp::now());
    let told = [(header::CONTENT_LANGUAGE, language.tag()), (header::VARY, "accept-language")];
    (told, Html(page.into_string()))
}

async fn asset(media_type: &'static str, body: &'static str) -> impl IntoResponse {
    // Asked for again with each page, so that page, style and script are always of one version.
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body)
}

async fn stream(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Problem> {
    let language = desk.language(&headers);
    let place = desk.places.try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-streams",
            format!("{MAX_EVENT_STREAMS} pages are open already; this one is not live"),
        )
    })?;
    let events = events::stream(desk.board, language, place, desk.cancel);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

async fn healthz(State(desk): State<Desk>) -> Result<Json<Health>, Problem> {
    let health = desk.board.house().health();
    if health.ok {
        Ok(Json(health))
    } else {
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "the house does not do its work");
        Err(problem.with_reasons(health.reasons))
    }
}

async fn metrics(State(desk): State<Desk>) -> impl IntoResponse {
    let text = metrics::text(&desk.view(), &desk.board.house().traffic());
    ([(header::CONTENT_TYPE, HeaderValue::from_static(metrics::MEDIA_TYPE))], text)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

async fn log(
    State(desk): State<Desk>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<LogPage>, Problem> {
    desk.socket_only("the journal is read")?;
    let Query(query) = query.map_err(|rejection| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-query",
            format!("{}; use after= and limit=", rejection.body_text()),
        )
    })?;
    let limit = query.limit.unwrap_or(LOG_ROWS);
    if !(1..=MAX_LOG_ROWS).contains(&limit) {
        let detail = format!("limit must be 1 to {MAX_LOG_ROWS}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail));
    }
    let rows = desk.board.house().log(query.after, limit).await.map_err(|error| house_problem(&error))?;
    let next = rows.last().map_or(query.after, |row| row.position);
    Ok(Json(LogPage { rows, next }))
}

async fn command(
    State(desk): State<Desk>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    desk.socket_only("commands are taken")?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a command has at most {} bytes", crate::MAX_BODY);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "bad-body", "the request's body broke off"),
    })?;
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
        // The parser's words name the field and place; they quote at most a key or a word of the vocabulary.
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-command",
            format!("this is not a command such as {{\"key\":\"k-1\",\"do\":\"resync\"}}: {error}"),
        )
    })?;
    check_key(&asked.key)?;
    // Whoever speaks through this door is local: rules and audit rely on it.
    let Asked { key, expires, action } = asked;
    let command = Command { key, source: CommandSource::Local, expires, action };
    let accepted = desk.board.house().command(command).await.map_err(|error| command_problem(&error))?;
    Ok((if accepted.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(accepted)))
}

async fn outcome(
    State(desk): State<Desk>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Json<CommandReport>, Problem> {
    let bad_key = |_| Problem::new(StatusCode::BAD_REQUEST, "bad-key", "the key is not UTF-8");
    let Path(key) = key.map_err(bad_key)?;
    let key = CommandKey::new(key);
    check_key(&key)?;
    let report = desk.board.house().outcome(key).await.map_err(|error| house_problem(&error))?;
    report.map(Json).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no-such-command", "no command with this key is known (any more)")
    })
}

fn check_key(key: &CommandKey) -> Result<(), Problem> {
    let text = key.as_str();
    if text.is_empty() || text.len() > MAX_KEY || text.chars().any(char::is_control) {
        let detail = format!("a key has 1 to {MAX_KEY} bytes and no control characters");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-key", detail));
    }
    Ok(())
}

fn command_problem(error: &CommandError) -> Problem {
    let (status, code) = match error {
        CommandError::Refused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        CommandError::KeyReused => (StatusCode::CONFLICT, "key-reused"),
        CommandError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        CommandError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        CommandError::Failed(source) => {
            log_failure("command", source.as_ref());
            (StatusCode::INTERNAL_SERVER_ERROR, "failed")
        }
    };
    Problem::new(status, code, error.to_string())
}

pub(crate) fn house_problem(error: &HouseError) -> Problem {
    let (status, code) = match error {
        HouseError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        HouseError::Failed(source) => {
            log_failure("question", source.as_ref());
            (StatusCode::INTERNAL_SERVER_ERROR, "failed")
        }
    };
    Problem::new(status, code, error.to_string())
}

fn log_failure(what: &str, source: &(dyn Error + Send + Sync + 'static)) {
    tracing::error!(error = source as &dyn Error, what, "the house failed to answer the local API");
}
