//! The command line's way to the agent: HTTP over its Unix socket.
//!
//! One connection a question: the command line asks little, and a kept connection would have to be minded.

use crate::Problem;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// How long a question may take: longer than the agent gives itself, so that its own reason arrives.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer that is read, in bytes: 200 rooms with all their points take about 1 MB.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// A question that got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("is engawa running? nobody answers at {}", socket.display())]
    NotRunning {
        /// Where it was looked for.
        socket: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The socket belongs to the agent's user.
    #[error("{} is the agent's own: run this as root or as the agent's user", socket.display())]
    NotAllowed {
        /// Which socket.
        socket: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or what answers is not HTTP.
    #[error("the talk with engawa at {} broke: ask again", socket.display())]
    Broken {
        /// Which socket.
        socket: PathBuf,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("engawa at {} did not answer within {} s: see its log", socket.display(), PATIENCE.as_secs())]
    TooSlow {
        /// Which socket.
        socket: PathBuf,
    },
    /// The agent said no, with its reason.
    #[error("engawa says: {0}")]
    Refused(Problem),
    /// An answer that is neither what was asked for nor a problem.
    #[error(
        "engawa's answer ({status}) is not understood; do engawa and this command have the same version?"
    )]
    NotUnderstood {
        /// Its status.
        status: StatusCode,
        /// The parser's reason, where there was something to parse.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The question itself can't be put: a path that is no path, a body that can't be JSON.
    #[error("this can't be asked of engawa")]
    Unaskable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Asks the agent behind a Unix socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the agent at `socket`. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where the agent is looked for.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for `path`, such as `/api/status` or `/api/log?after=7`. Put foreign text (a command's key)
    /// into a path with [`Client::segment`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Sends `body` to `path` as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Unaskable(Box::new(error)))?;
        self.ask(Method::POST, path, body.into()).await
    }

    /// `text` as one segment of a path: all but unreserved characters (RFC 3986, section 2.3) are
    /// percent-encoded.
    pub fn segment(text: &str) -> String {
        use std::fmt::Write as _;
        let mut out = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                out.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let unaskable = |error: hyper::http::Error| ClientError::Unaskable(Box::new(error));
        let uri = Uri::try_from(path).map_err(|error| unaskable(error.into()))?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            // HTTP/1.1 wants a host; a socket file has none.
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(unaskable)?;
        let (status, answer) = tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .map_err(|_| ClientError::TooSlow { socket: self.socket.clone() })??;
        understand(status, &answer)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::NotAllowed { socket, source },
                _ => ClientError::NotRunning { socket, source },
            }
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            self.read(response).await
        };
        // The connection does the reading and writing; its own errors reach the answer as well. It must
        // not end the exchange when it ends first.
        let connection = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = answer => answer,
            () = connection => Err(self.broken(io::Error::from(io::ErrorKind::ConnectionAborted))),
        }
    }

    async fn read(
        &self,
        response: Response<hyper::body::Incoming>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                self.broken(format!("the answer has more than {MAX_ANSWER} bytes"))
            } else {
                self.broken(error)
            }
        })?;
        Ok((status, body.to_bytes()))
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), source: source.into() }
    }
}

fn understand<T: DeserializeOwned>(status: StatusCode, answer: &[u8]) -> Result<T, ClientError> {
    if status.is_success() {
        return serde_json::from_slice(answer)
            .map_err(|source| ClientError::NotUnderstood { status, source: Some(source) });
    }
    match serde_json::from_slice::<Problem>(answer) {
        Ok(problem) => Err(ClientError::Refused(problem)),
        Err(_) => Err(ClientError::NotUnderstood { status, source: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::Client;

    #[test]
    fn segments_hold_any_text() {
        assert_eq!(Client::segment("desk-7.1_a~"), "desk-7.1_a~");
        assert_eq!(Client::segment("a/b?c d%ä"), "a%2Fb%3Fc%20d%25%C3%A4");
    }
}
