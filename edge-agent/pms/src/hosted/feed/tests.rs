//! How a feed ends, in words that hold nothing of what came.

use super::super::http::Trust;
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[test]
fn errors_are_told_without_content() {
    let refused = Response::builder().status(403).body(Some(b"Okonkwo".to_vec())).unwrap();
    let broken = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "broken pipe");
    for (error, want) in [
        (Error::Http(refused.into()), "refused with status 403"),
        (Error::Io(broken), "broken pipe"),
        (Error::ConnectionClosed, "closed"),
        (Error::AlreadyClosed, "closed"),
        (Error::Capacity(CapacityError::MessageTooLong { size: 2, max_size: 1 }), "a message is too large"),
        (Error::Protocol(ProtocolError::WrongHttpMethod), "it does not speak as a WebSocket"),
    ] {
        assert_eq!(in_words(&error), want);
    }
}

fn feed(place: std::net::SocketAddr) -> Feed {
    Feed {
        url: format!("ws://{place}/x"),
        headers: vec![("cookie", "a=b".to_owned())],
        protocol: None,
        pause_s: 0,
        ping: None,
    }
}

async fn ended(feed: Feed, told: mpsc::Sender<Told>) -> String {
    let trust = Trust { ca_file: None, insecure_loopback: true };
    let connector = Connector::new(&trust).unwrap();
    let (_say, mut said) = mpsc::channel(1);
    let ending = listen(&connector, feed, told, &mut said);
    tokio::time::timeout(Duration::from_secs(20), ending).await.expect("the feed ends")
}

#[tokio::test]
async fn a_feed_that_is_refused_or_closed_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 2048]).await.unwrap();
        stream.write_all(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        // Until now nothing was said: the first ping is due later.
        socket.send(Message::text("x".repeat(1 << 16))).await.unwrap();
        let frame = CloseFrame { code: CloseCode::Policy, reason: "Okonkwo".into() };
        socket.close(Some(frame)).await.unwrap();
        let first = socket.next().await;
        assert!(!matches!(first, Some(Ok(Message::Ping(_) | Message::Text(_)))), "{first:?}");
    });
    let (tell, mut told) = mpsc::channel(8);
    assert_eq!(ended(feed(place), tell.clone()).await, "refused with status 503");
    assert!(told.try_recv().is_err(), "it was never open");
    assert_eq!(ended(feed(place), tell.clone()).await, "closed by the other side (1008)");
    assert!(matches!(told.try_recv(), Ok(Told::Open)));
    assert!(matches!(told.try_recv(), Ok(Told::Text(text)) if text.len() == 1 << 16));
    server.await.unwrap();
    let mut wrong = feed(place);
    wrong.url = "no address".to_owned();
    assert_eq!(ended(wrong, tell.clone()).await, "its address can't be used");
    // The listener has gone.
    let why = ended(feed(place), tell).await;
    assert!(why.starts_with(&format!("no connection to {place}: ")), "{why}");
}

#[tokio::test]
async fn a_feed_ends_when_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(8);
    drop(told);
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = tokio_tungstenite::accept_async(stream).await.unwrap();
    };
    let (why, ()) = tokio::join!(ended(feed(place), tell), server);
    assert_eq!(why, "the shell has gone");
}
