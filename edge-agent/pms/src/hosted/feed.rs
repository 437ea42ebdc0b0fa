//! A feed of events over a WebSocket (RFC 6455). It only carries text: what is said and what it means is the adapter's.

use super::Feed;
use super::http::Connector;
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The opening handshake, after the connection.
const OPEN: Duration = Duration::from_secs(10);
/// How often the connection is tried.
const PING: Duration = Duration::from_secs(20);
/// A connection on which nothing comes for this long, though it is pinged, is dead.
const SILENT: Duration = Duration::from_secs(65);
/// The largest message, bytes.
const MOST: usize = 1 << 20;

/// What the feed tells its shell.
#[derive(Debug)]
pub(super) enum Told {
    Open,
    Text(String),
}

/// Listens until the connection ends; gives why. `say` is what goes out on it.
pub(super) async fn listen(
    connector: &Connector,
    feed: Feed,
    told: mpsc::Sender<Told>,
    say: &mut mpsc::Receiver<String>,
) -> String {
    match conversation(connector, feed, told, say).await {
        Ok(()) => "the shell has gone".to_owned(),
        Err(why) => why,
    }
}

async fn conversation(
    connector: &Connector,
    feed: Feed,
    told: mpsc::Sender<Told>,
    say: &mut mpsc::Receiver<String>,
) -> Result<(), String> {
    let mut request = feed.url.as_str().into_client_request().map_err(|_| "its address can't be used")?;
    let (stream, _) = connector.connect(request.uri()).await?;
    for (name, value) in &feed.headers {
        let value = HeaderValue::from_str(value).map_err(|_| format!("the header {name} can't be sent"))?;
        request.headers_mut().insert(*name, value);
    }
    if let Some(protocol) = feed.protocol {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    }
    let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
    let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let opened = tokio::time::timeout(OPEN, opening).await.map_err(|_| "no answer to its opening")?;
    let (socket, _) = opened.map_err(|error| in_words(&error))?;
    let (mut out, mut inward) = socket.split();
    if told.send(Told::Open).await.is_err() {
        return Ok(());
    }
    let mut ping = tokio::time::interval(PING);
    // The first one comes at once: it is not wanted.
    ping.tick().await;
    let mut heard = tokio::time::Instant::now();
    loop {
        let sending = tokio::select! {
            message = inward.next() => {
                heard = tokio::time::Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => {
                        if told.send(Told::Text(text.as_str().to_owned())).await.is_err() {
                            return Ok(());
                        }
                        continue;
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or_else(|| "without a code".to_owned(), |frame| frame.code.to_string());
                        return Err(format!("closed by the other side ({code})"));
                    }
                    // Pings are answered by the library.
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return Err(in_words(&error)),
                    None => return Err("closed by the other side".to_owned()),
                }
            }
            text = say.recv() => match text {
                Some(text) => Message::text(text),
                None => return Ok(()),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENT {
                    return Err("nothing has come for too long".to_owned());
                }
                feed.ping.as_ref().map_or_else(|| Message::Ping(Default::default()), |text| Message::text(text.clone()))
            }
        };
        out.send(sending).await.map_err(|error| in_words(&error))?;
    }
}

/// Without content: an opening that is refused comes with the server's own words.
fn in_words(error: &Error) -> String {
    match error {
        Error::Http(response) => format!("refused with status {}", response.status().as_u16()),
        Error::Io(error) => error.to_string(),
        Error::ConnectionClosed | Error::AlreadyClosed => "closed".to_owned(),
        Error::Capacity(_) => "a message is too large".to_owned(),
        _ => "it does not speak as a WebSocket".to_owned(),
    }
}

#[cfg(test)]
mod tests;
