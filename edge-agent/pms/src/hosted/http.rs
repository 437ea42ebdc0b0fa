//! The HTTP shell: one request, one answer, with TLS by rustls. It knows nothing of any system.
//!
//! Why no client library: hyper is in the agent already, and what a request that must not be done twice needs (a
//! connection of its own, and to know whether it may have left) is what libraries hide.
//!
//! Never: a redirect followed (it would carry a token elsewhere); plain HTTP, but with this machine where a test says so.

use super::request::{Answer, Failure, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimeParser;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// How long a connection may take, with TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer that is read, bytes: a page of 500 reservations has a quarter of it.
const MOST_BYTES: usize = 8 << 20;
/// A connection that was idle for longer is not used again: its server may have closed it.
const IDLE: Duration = Duration::from_secs(10);

/// Whom we trust to be the hosted system.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The authorities, PEM; those of the machine where absent.
    pub ca_file: Option<PathBuf>,
    /// Plain HTTP with this machine is allowed.
    pub insecure_loopback: bool,
}

/// Why there can be no connections at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The authorities can't be read.
    #[error("the certificates of authorities in {} can't be read: {reason}", path.display())]
    Authorities {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The machine has none.
    #[error(
        "this machine has no certificates of authorities: install ca-certificates, or set ca_file in [hosted]"
    )]
    NoAuthorities,
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// A stream to the system: plain, or with TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tls: TlsConnector,
    insecure_loopback: bool,
}

type Sender = SendRequest<Full<Bytes>>;

struct Kept {
    place: String,
    sender: Sender,
    driver: Pin<Box<Connection<TokioIo<Stream>, Full<Bytes>>>>,
    used: Instant,
}

/// Asks; keeps one connection for what comes soon after.
pub(super) struct Http {
    connector: Connector,
    answer: Duration,
    kept: Option<Kept>,
}

impl Connector {
    /// Reads the authorities. Blocks on the disk.
    pub(super) fn new(trust: &Trust) -> Result<Self, HttpError> {
        let mut roots = RootCertStore::empty();
        match &trust.ca_file {
            Some(path) => {
                let wrong = |reason: String| HttpError::Authorities { path: path.clone(), reason };
                for certificate in certificates(path).map_err(wrong)? {
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("it holds no certificate".to_owned()));
                }
            }
            None if trust.insecure_loopback => {}
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(HttpError::NoAuthorities);
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(HttpError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), insecure_loopback: trust.insecure_loopback })
    }

    /// A connection to the host of `url`, and what its `Host` header is.
    pub(super) async fn connect(&self, url: &hyper::Uri) -> Result<(Stream, String), String> {
        let host = url.host().ok_or("the address names no host")?;
        let place = url.authority().map_or_else(|| host.to_owned(), ToString::to_string);
        let secure = matches!(url.scheme_str(), Some("https" | "wss"));
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let allowed = secure || (self.insecure_loopback && host == "127.0.0.1");
        if !allowed {
            return Err(format!("{place} would be asked without TLS"));
        }
        let connected = tokio::time::timeout(CONNECT, async {
            let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            if !secure {
                return Ok(Either::Left(stream));
            }
            let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
            Ok::<_, String>(Either::Right(Box::new(stream)))
        });
        match connected.await {
            Ok(Ok(stream)) => Ok((stream, place)),
            Ok(Err(why)) => Err(format!("no connection to {place}: {why}")),
            Err(_) => Err(format!("no connection to {place} within {} s", CONNECT.as_secs())),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

impl Http {
    pub(super) fn new(connector: Connector, answer: Duration) -> Self {
        Self { connector, answer, kept: None }
    }

    /// Asks. What is not to be done twice has a connection of its own.
    pub(super) async fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        let not_sent = |why: String| Failure::NotSent(why);
        let url: hyper::Uri =
            request.url.parse().map_err(|error| not_sent(format!("its address can't be used: {error}")))?;
        let target = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let place = url.authority().map(ToString::to_string).unwrap_or_default();
        let kept = self.kept.take().filter(|kept| {
            let fresh = kept.place == place && IDLE.checked_sub(kept.used.elapsed()).is_some();
            fresh && kept.sender.is_ready() && !request.once
        });
        let mut kept = match kept {
            Some(kept) => kept,
            None => {
                let (stream, place) = self.connector.connect(&url).await.map_err(not_sent)?;
                let (sender, driver) = http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| not_sent(format!("no connection to {place}: {error}")))?;
                Kept { place, sender, driver: Box::pin(driver), used: Instant::now() }
            }
        };
        let operation = request.operation;
        let request = whole(&request, &target, &kept.place)
            .map_err(|error| not_sent(format!("{operation} can't be asked: {error}")))?;
        let exchange = tokio::time::timeout(self.answer, exchange(&mut kept, request)).await;
        let (answer, open) = match exchange {
            Ok(Ok(answered)) => answered,
            Ok(Err(why)) => return Err(Failure::Cut(format!("{operation} had no answer: {why}"))),
            Err(_) => {
                let within = self.answer.as_secs();
                return Err(Failure::Cut(format!("{operation} had no answer within {within} s")));
            }
        };
        if open {
            kept.used = Instant::now();
            self.kept = Some(kept);
        }
        Ok(answer)
    }
}

fn whole(
    request: &Request,
    target: &str,
    place: &str,
) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
    let (kind, body) = request.body.clone().unzip();
    let mut builder = hyper::Request::builder()
        .method(request.method)
        .uri(target)
        .header("host", place)
        .header("accept", "application/json")
        .header("user-agent", concat!("Engawa/", env!("CARGO_PKG_VERSION")));
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    for (name, value) in &request.headers {
        builder = builder.header(*name, value.as_str());
    }
    builder.body(Full::new(Bytes::from(body.unwrap_or_default())))
}

/// One request on a connection, which is driven meanwhile. The flag: it can be used again.
async fn exchange(kept: &mut Kept, request: hyper::Request<Full<Bytes>>) -> Result<(Answer, bool), String> {
    let Kept { sender, driver, .. } = kept;
    let asked = async {
        let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after_s = retry_after.and_then(|text| text.trim().parse().ok());
        let date = response.headers().get("date").and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok());
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|error| format!("its content broke off: {error}"))?.to_bytes().to_vec();
        Ok::<_, String>(Answer { status, retry_after_s, date, body })
    };
    tokio::pin!(asked);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut asked => return answer.map(|answer| (answer, open)),
            _ = driver.as_mut(), if open => open = false,
        }
    }
}

/// An error with its causes; hyper's own words say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
