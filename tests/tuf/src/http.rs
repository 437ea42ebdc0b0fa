//! Files of a web server, by plain HTTP/1.1: what they are is judged by TUF.

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;

/// The longest that a file may take, against a server that never ends (slow retrieval).
const LONGEST: Duration = Duration::from_secs(60);

/// A URL that files' names are put behind.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    authority: String,
    path: String,
}

impl FromStr for Base {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().with_context(|| format!("`{text}` is no URL"))?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!("`{text}`: expected a URL such as http://127.0.0.1:8000/metadata");
        };
        Ok(Self { authority: authority.to_string(), path: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl Base {
    /// Reads the file that is called `name` in the URL piece by piece, as long as `take` gives true. False: there is none.
    pub(crate) async fn get(
        &self,
        name: &str,
        take: impl FnMut(&[u8]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        tokio::time::timeout(LONGEST, self.read(name, take))
            .await
            .with_context(|| format!("{name} took longer than {LONGEST:?}"))?
            .with_context(|| format!("reading {name} from http://{}{}", self.authority, self.path))
    }

    async fn read(
        &self,
        name: &str,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get(format!("{}/{}", self.path, name))
            .header("host", &self.authority)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(false),
            other => bail!("the server says {other}"),
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame?.into_data()
                && !take(&piece)?
            {
                break;
            }
        }
        connection.abort();
        Ok(true)
    }
}

/// `text` with everything but letters, digits, `-_.~` and `also` as `%` and hex.
pub(crate) fn quoted(text: &str, also: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
