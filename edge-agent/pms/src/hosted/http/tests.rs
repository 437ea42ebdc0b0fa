//! Connections: which are used again, which are not made at all.

use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every request with the number of its connection; `/close` ends it.
async fn server() -> (String, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let number = {
                let mut count = counted.lock().unwrap();
                *count += 1;
                *count
            };
            tokio::spawn(async move {
                let mut text = Vec::new();
                let mut chunk = [0; 1024];
                while let Ok(more @ 1..) = stream.read(&mut chunk).await {
                    text.extend_from_slice(&chunk[..more]);
                    if text.ends_with(b"\r\n\r\n") {
                        let closes = text.starts_with(b"GET /close");
                        let body = number.to_string();
                        let head = if closes { "connection: close\r\n" } else { "" };
                        let answer =
                            format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n{body}", body.len());
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        if closes {
                            return;
                        }
                        text.clear();
                    }
                }
            });
        }
    });
    (place, count)
}

fn http() -> Http {
    let trust = Trust { ca_file: None, insecure_loopback: true };
    Http::new(Connector::new(&trust).unwrap(), Duration::from_secs(20))
}

async fn ask(http: &mut Http, request: Request) -> String {
    String::from_utf8(http.ask(request).await.unwrap().body).unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_but_not_for_what_must_not_be_done_twice() {
    let (place, count) = server().await;
    let get = |path: &str| Request::get("x", format!("{place}{path}"));
    let mut http = http();
    assert_eq!(ask(&mut http, get("/")).await, "1");
    assert_eq!(ask(&mut http, get("/more?x=1")).await, "1");
    assert_eq!(ask(&mut http, get("/").once()).await, "2", "a connection of its own");
    assert_eq!(ask(&mut http, get("/")).await, "2");
    assert_eq!(ask(&mut http, get("/close")).await, "2");
    assert_eq!(ask(&mut http, get("/")).await, "3", "what the server has closed is not used");
    assert_eq!(*count.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_connection_is_not_used_for_another_place_or_after_it_was_idle() {
    let ((one, _), (other, count)) = (server().await, server().await);
    let mut http = http();
    assert_eq!(ask(&mut http, Request::get("x", format!("{one}/"))).await, "1");
    assert_eq!(ask(&mut http, Request::get("x", format!("{other}/"))).await, "1");
    assert_eq!(*count.lock().unwrap(), 1, "the other server was asked");
    let get = || Request::get("x", format!("{other}/"));
    // Nearly too long, and too long.
    for (idle, connection) in [(Duration::from_secs(1), "1"), (IDLE, "2")] {
        let kept = http.kept.as_mut().unwrap();
        kept.used = kept.used.checked_sub(idle).unwrap();
        assert_eq!(ask(&mut http, get()).await, connection);
    }
}

#[tokio::test]
async fn without_tls_only_this_machine_is_asked_and_only_in_tests() {
    let (place, count) = server().await;
    let port = place.rsplit_once(':').unwrap().1;
    for (insecure, url, why) in [
        (false, format!("{place}/"), format!("127.0.0.1:{port} would be asked without TLS")),
        (true, format!("http://localhost:{port}/"), format!("localhost:{port} would be asked without TLS")),
        (true, format!("ws://localhost:{port}/"), format!("localhost:{port} would be asked without TLS")),
        (true, "/only/a/path".to_owned(), "the address names no host".to_owned()),
    ] {
        let mut http = http();
        http.connector.insecure_loopback = insecure;
        assert_eq!(http.ask(Request::get("x", url).once()).await, Err(Failure::NotSent(why)));
    }
    assert_eq!(*count.lock().unwrap(), 0);
}

#[tokio::test]
async fn nobody_there_is_not_sent_and_an_answer_that_breaks_off_is_cut() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failed = http().ask(Request::get("x", format!("http://{free}/"))).await;
    let Err(Failure::NotSent(why)) = failed else { panic!("{failed:?}") };
    assert!(why.starts_with(&format!("no connection to {free}: ")), "{why}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nxy"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for part in ["orders had no answer: connection closed before message completed", "its content broke off"]
    {
        let failed = http().ask(Request::get("orders", format!("http://{place}/"))).await;
        let Err(Failure::Cut(why)) = failed else { panic!("{failed:?}") };
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);
    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner(#[source] std::fmt::Error);
    assert_eq!(chain(&Outer(Inner(std::fmt::Error))), format!("outer: inner: {}", std::fmt::Error));
    assert_eq!(chain(&std::fmt::Error), std::fmt::Error.to_string());
}

#[test]
fn authorities_that_cannot_be_read_are_named_by_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let why = || {
        let trust = Trust { ca_file: Some(path.clone()), insecure_loopback: true };
        Connector::new(&trust).err().map(|error| error.to_string())
    };
    assert!(why().unwrap().contains("ca.pem can't be read: "), "absent");
    std::fs::write(&path, "no certificate\n").unwrap();
    assert!(why().unwrap().ends_with("it holds no certificate"));
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&path, own.pem()).unwrap();
    assert_eq!(why(), None);
}
