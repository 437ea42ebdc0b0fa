//! Errors on the wire: problem details as in RFC 9457.
//!
//! Never: a guest's name, a file's path, or the text of an inner error. Those go to the log.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The media type of RFC 9457, section 6.1.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A refused request, and why.
///
/// `type` is left out, which means `about:blank` (RFC 9457, section 4.2.1): the status tells the kind, and
/// `code` is the stable word for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The status's own phrase.
    pub title: Cow<'static, str>,
    /// The HTTP status code.
    pub status: u16,
    /// A stable word for programs, such as `no-such-command`.
    pub code: Cow<'static, str>,
    /// What went wrong and what to do, for people.
    pub detail: Cow<'static, str>,
    /// More than one reason, where there are (extension member).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Problem {
    /// A problem with this status, word and explanation.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into(),
            reasons: Vec::new(),
        }
    }

    /// The same problem with its reasons.
    pub(crate) fn with_reasons(self, reasons: Vec<String>) -> Self {
        Self { reasons, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.detail, self.status, self.code)?;
        for reason in &self.reasons {
            write!(f, "; {reason}")?;
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Serializing strings and a number can't fail; an empty body is still a right answer.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
