//! A vendor's server: HTTP/1.1 on loopback, plain or with TLS, that can fail in every way that matters.

use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// This status, nothing is done; with Retry-After.
    Status(u16, Option<u32>),
    /// The connection ends, nothing is done.
    CutBefore,
    /// It is done, and the answer ends after so many bytes.
    CutAfter(usize),
    /// It is done, and no answer ever comes.
    Silence,
    /// 200 with this.
    Body(String),
}

/// What the vendor has, and how it answers.
pub(crate) trait Hotel: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> (u16, Value);
}

pub(crate) struct State<H> {
    pub(crate) hotel: H,
    pub(crate) asked: Vec<Asked>,
    /// The next trouble of requests whose path holds this.
    pub(crate) trouble: VecDeque<(&'static str, Trouble)>,
}

pub(crate) struct Vendor<H> {
    pub(crate) url: String,
    pub(crate) state: Arc<Mutex<State<H>>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl<H: Hotel> Vendor<H> {
    pub(crate) async fn start(hotel: H) -> Self {
        Self::with(hotel, None).await
    }

    pub(crate) async fn with(hotel: H, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { hotel, asked: Vec::new(), trouble: VecDeque::new() }));
        let shared = Arc::clone(&state);
        let url = if tls.is_some() {
            format!("https://localhost:{}", place.port())
        } else {
            format!("http://{place}")
        };
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, state, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    pub(crate) fn trouble(&self, path: &'static str, trouble: Trouble) {
        self.state.lock().unwrap().trouble.push_back((path, trouble));
    }

    pub(crate) fn hotel<T>(&self, work: impl FnOnce(&mut H) -> T) -> T {
        work(&mut self.state.lock().unwrap().hotel)
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| asked.path.contains(path)).count()
    }
}

async fn serve<H: Hotel>(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State<H>>) {
    let mut buffer = Vec::new();
    while let Some(asked) = next(&mut stream, &mut buffer).await {
        let (trouble, status, body) = {
            let mut state = state.lock().unwrap();
            state.asked.push(asked.clone());
            let at = state.trouble.iter().position(|(path, _)| asked.path.contains(path));
            let trouble = at.and_then(|at| state.trouble.remove(at)).map(|(_, trouble)| trouble);
            let (status, body) = match &trouble {
                Some(Trouble::Status(status, _)) => (*status, Value::Null),
                Some(Trouble::CutBefore) => return,
                Some(Trouble::Body(_)) => (200, Value::Null),
                _ => state.hotel.answer(&asked),
            };
            (trouble, status, body)
        };
        let body = match (&trouble, status) {
            (Some(Trouble::Body(text)), _) => text.clone(),
            (_, 204) => String::new(),
            _ => body.to_string(),
        };
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n");
        if let Some(Trouble::Status(_, Some(seconds))) = trouble {
            head.push_str(&format!("retry-after: {seconds}\r\n"));
        }
        if status != 204 {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let answer = format!("{head}\r\n{body}").into_bytes();
        match trouble {
            Some(Trouble::Silence) => {
                std::future::pending::<()>().await;
            }
            Some(Trouble::CutAfter(count)) => {
                let _ = stream.write_all(&answer[..count.min(answer.len())]).await;
                let _ = stream.shutdown().await;
                return;
            }
            _ => {
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn next(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = |buffer: &[u8]| buffer.windows(4).position(|four| four == b"\r\n\r\n");
    let mut chunk = [0_u8; 4096];
    while end(buffer).is_none() {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        buffer.extend_from_slice(&chunk[..count]);
    }
    let head_end = end(buffer)? + 4;
    let head = String::from_utf8(buffer[..head_end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < head_end + length {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        buffer.extend_from_slice(&chunk[..count]);
    }
    let body = String::from_utf8(buffer[head_end..head_end + length].to_vec()).ok()?;
    buffer.drain(..head_end + length);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Some(Asked { method, path: path.to_owned(), query, headers, body })
}

/// One address for a server and its stream: what asks for `/subscriptions` goes to `events`, all else to `url`.
pub(crate) async fn front(url: &str, events: std::net::SocketAddr) -> String {
    let rest = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let rest = rest.clone();
            tokio::spawn(async move {
                let mut first = [0_u8; 18];
                let mut count = 0;
                while count < first.len() {
                    match stream.peek(&mut first).await {
                        Ok(more) if more > 0 => count = more,
                        _ => return,
                    }
                }
                let to = if first.starts_with(b"GET /subscriptions") { events.to_string() } else { rest };
                let mut other = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
            });
        }
    });
    place
}
