//! What goes over the wire from the node to the broker: a relay between them that reads along (MQTT 3.1.1, chapter 3).
//!
//! Why: a subscriber does not see flags of CONNECT, subscriptions, or whether DISCONNECT was sent.

use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// One thing the node did, or a mark that the test put between.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    Connect { level: u8, clean: bool, will: Option<Publish> },
    Subscribe { filters: Vec<(String, u8)> },
    Publish(Publish),
    Disconnect,
    Closed,
    Mark(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
}

impl Publish {
    pub fn kind(&self) -> &str {
        self.topic.split('/').nth(2).unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct Wire {
    pub port: u16,
    sent: Arc<watch::Sender<Vec<Sent>>>,
}

impl Wire {
    /// A relay to the broker at `broker`; it ends with the test's runtime.
    pub async fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire =
            Self { port: listener.local_addr().unwrap().port(), sent: Arc::new(watch::Sender::default()) };
        let sent = Arc::clone(&wire.sent);
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                tokio::spawn(relay(node, broker, Arc::clone(&sent)));
            }
        });
        wire
    }

    pub fn mark(&self, mark: &'static str) {
        self.sent.send_modify(|sent| sent.push(Sent::Mark(mark)));
    }

    pub fn all(&self) -> Vec<Sent> {
        self.sent.borrow().clone()
    }

    pub async fn wait(&self, what: &str, wanted: impl Fn(&[Sent]) -> bool) {
        let mut sent = self.sent.subscribe();
        let found = timeout(Duration::from_secs(30), sent.wait_for(|sent| wanted(sent))).await;
        assert!(
            found.is_ok(),
            "{what} was not sent; sent: {:#?}",
            self.all().iter().map(short).collect::<Vec<_>>()
        );
    }

    /// Waits for `count` messages of `kind` after `mark`.
    pub async fn told(&self, kind: &'static str, count: usize, mark: &'static str) {
        let wanted = |sent: &[Sent]| {
            let after = sent.iter().rposition(|sent| *sent == Sent::Mark(mark)).unwrap_or(0);
            let told =
                sent[after..].iter().filter(|sent| matches!(sent, Sent::Publish(it) if it.kind() == kind));
            told.count() >= count
        };
        self.wait(&format!("{count} {kind} after {mark}"), wanted).await;
    }
}

pub fn short(sent: &Sent) -> String {
    match sent {
        Sent::Publish(it) => it.topic.clone(),
        Sent::Connect { .. } => "CONNECT".to_owned(),
        other => format!("{other:?}"),
    }
}

async fn relay(node: TcpStream, broker: u16, sent: Arc<watch::Sender<Vec<Sent>>>) {
    let broker = TcpStream::connect(("127.0.0.1", broker)).await.unwrap();
    let (mut from_node, mut to_node) = node.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_broker, &mut to_node).await;
    });
    while let Some((first, body)) = packet(&mut from_node).await {
        if let Some(read) = read(first, &body) {
            sent.send_modify(|sent| sent.push(read));
        }
        let mut whole = vec![first];
        let mut left = body.len();
        loop {
            let digit = u8::try_from(left % 128).unwrap();
            left /= 128;
            whole.push(if left > 0 { digit | 128 } else { digit });
            if left == 0 {
                break;
            }
        }
        whole.extend(&body);
        if to_broker.write_all(&whole).await.is_err() {
            break;
        }
    }
    sent.send_modify(|sent| sent.push(Sent::Closed));
    drop(to_broker);
    back.abort();
}

async fn packet(from: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = from.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let digit = from.read_u8().await.ok()?;
        length |= usize::from(digit & 127) << shift;
        shift += 7;
        if digit & 128 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = u16::from_be_bytes([self.byte(), self.byte()]);
        self.take(length.into())
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn read(first: u8, body: &[u8]) -> Option<Sent> {
    let mut fields = Fields(body);
    match first >> 4 {
        1 => {
            assert_eq!(fields.text(), "MQTT");
            let (level, flags) = (fields.byte(), fields.byte());
            fields.take(2);
            let _client = fields.text();
            let will = (flags & 4 != 0).then(|| Publish {
                topic: fields.text(),
                payload: fields.bytes().to_vec(),
                qos: (flags >> 3) & 3,
                retain: flags & 32 != 0,
            });
            Some(Sent::Connect { level, clean: flags & 2 != 0, will })
        }
        3 => {
            let (topic, qos) = (fields.text(), (first >> 1) & 3);
            if qos > 0 {
                fields.take(2);
            }
            Some(Sent::Publish(Publish { topic, payload: fields.0.to_vec(), qos, retain: first & 1 != 0 }))
        }
        8 => {
            fields.take(2);
            let mut filters = Vec::new();
            while !fields.0.is_empty() {
                filters.push((fields.text(), fields.byte()));
            }
            Some(Sent::Subscribe { filters })
        }
        14 => Some(Sent::Disconnect),
        _ => None,
    }
}
