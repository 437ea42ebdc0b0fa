//! Requests and answers as data, and what can be wrong with them.

use engawa_model::Timestamp;
use serde::de::DeserializeOwned;
use std::fmt;

/// A token or password: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Marks `text` as secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request that carries it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A request over HTTP. Its `Debug` shows the operation alone: headers and bodies carry tokens and names.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What it does, for people: `reservations/getAll`.
    pub operation: &'static str,
    /// `GET`, `POST`, `PUT`, `PATCH`.
    pub method: &'static str,
    /// Absolute.
    pub url: String,
    /// Beside those that HTTP itself wants.
    pub headers: Vec<(&'static str, String)>,
    /// Kind and content.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// It must not be done twice: it has a connection of its own, and a lost answer is a doubt.
    pub once: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.operation)
    }
}

impl Request {
    /// GET `url`.
    pub fn get(operation: &'static str, url: impl Into<String>) -> Self {
        Self { operation, method: "GET", url: url.into(), headers: Vec::new(), body: None, once: false }
    }

    /// `method` with JSON.
    pub fn json(
        operation: &'static str,
        method: &'static str,
        url: impl Into<String>,
        body: &serde_json::Value,
    ) -> Self {
        let body = Some(("application/json", body.to_string().into_bytes()));
        Self { operation, method, url: url.into(), headers: Vec::new(), body, once: false }
    }

    /// POST of a form.
    pub fn form(operation: &'static str, url: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let body = Some(("application/x-www-form-urlencoded", text.into_bytes()));
        Self { operation, method: "POST", url: url.into(), headers: Vec::new(), body, once: false }
    }

    /// The same, with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same, not to be done twice.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// `base` with a query.
pub(super) fn with_query(base: &str, fields: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{base}?{query}")
}

/// One segment of a path, with what has a meaning there escaped.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The Basic credentials of a client (RFC 7617).
pub(super) fn basic(id: &str, secret: &Secret) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(format!("{id}:{}", secret.reveal()).as_bytes()))
}

/// An answer over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Retry-After in seconds, where it came.
    pub retry_after_s: Option<u32>,
    /// The system's own clock (Date).
    pub date: Option<Timestamp>,
    /// The content.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}

impl Answer {
    /// True for 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Refuses what is no success.
    ///
    /// # Errors
    /// Another status.
    pub fn check(&self, operation: &'static str) -> Result<(), Fault> {
        if self.is_success() { Ok(()) } else { Err(Fault::Refused { operation, status: self.status }) }
    }

    /// The content of a success.
    ///
    /// # Errors
    /// Another status, or JSON that is not as the system describes it; the error names the place, never what was there.
    pub fn read<T: DeserializeOwned>(&self, operation: &'static str) -> Result<T, Fault> {
        self.check(operation)?;
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            let (line, column) = (inner.line(), inner.column());
            Fault::Malformed { operation, path, line, column, expected: expected(&inner) }
        })
    }
}

/// What serde expected, without what it found: that may be a guest's name.
fn expected(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "the content ends too early".to_owned();
    }
    if error.is_syntax() {
        return "this is no JSON".to_owned();
    }
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if text.starts_with("missing field `") {
        return text.to_owned();
    }
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "a value of another form was expected".to_owned(),
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request certainly did not reach the system.
    #[error("{0}")]
    NotSent(String),
    /// It may have reached it.
    #[error("{0}")]
    Cut(String),
}

/// What is wrong with an answer, or with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A status that says no.
    #[error("{operation} was refused with status {status}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The status.
        status: u16,
    },
    /// Content that can't be read.
    #[error("the answer to {operation} can't be read at {path} (line {line}, column {column}): {expected}")]
    Malformed {
        /// What was asked.
        operation: &'static str,
        /// Where in the document.
        path: String,
        /// Its line.
        line: usize,
        /// Its column.
        column: usize,
        /// What was expected there.
        expected: String,
    },
    /// The system is not the one that the house is configured for.
    #[error("{0}")]
    Mismatch(String),
    /// An answer that contradicts itself.
    #[error("the answers to {operation} make no sense: {why}")]
    Senseless {
        /// What was asked.
        operation: &'static str,
        /// What does not fit.
        why: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Shape {
        stays: Vec<Stay>,
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Stay {
        id: String,
        nights: Option<u32>,
    }

    fn read(body: &str) -> String {
        let answer = Answer { status: 200, retry_after_s: None, date: None, body: body.as_bytes().to_vec() };
        answer.read::<Shape>("stays").map_or_else(|fault| fault.to_string(), |shape| format!("{shape:?}"))
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_place_and_never_by_its_content() {
        for (body, want) in [
            (r#"{"stays":[{"id":"a"},{"id":7}]}"#, "at stays[1].id (line 1, column 28): expected a string"),
            (r#"{"stays":[{"id":"a","nights":"Okonkwo, expected"}]}"#, "expected u32"),
            (r#"{"stays":[{"nights":1}]}"#, "missing field `id`"),
            (r#"{"stays":[{"id":"Okonkwo"#, "the content ends too early"),
            (r#"<html>Okonkwo</html>"#, "this is no JSON"),
        ] {
            let said = read(body);
            assert!(said.contains(want), "{said}");
            assert!(!said.contains("Okonkwo"), "{said}");
        }
        assert!(read(r#"{"stays":[{"id":"a","colour":{"x":[1]}}],"more":1}"#).starts_with("Shape"));
    }

    #[test]
    fn secrets_bodies_and_headers_are_not_printed() {
        let request = Request::form("token", "https://x/", &[("client_secret", "s3cret")])
            .with("authorization", basic("me", &Secret::new("s3cret")));
        assert_eq!(format!("{request:?} {:?}", Secret::new("s3cret")), "POST token [secret]");
        assert_eq!(segment("A 1/ü"), "A%201%2F%C3%BC");
    }
}
