//! A broker that misbehaves, packet by packet: the client must come back each time, within bounds, and lose no event.
//!
//! Each case is one bad connection; the next one is a good broker's, which must be told everything.

use super::*;
use crate::mqtt::config::MqttVersion;
use crate::mqtt::feed::feed;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(40);
/// How long the client waits for an answer here.
const PATIENCE: Duration = Duration::from_millis(400);
const EVENTS: u64 = 150;

/// How the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// As it should be.
    Good,
    /// Acknowledges the newest first.
    Backwards,
    /// Acknowledges nothing.
    Unthankful,
    /// Answers subscriptions only after events have come.
    LateSubscriptions,
    /// Answers no subscription at all.
    NoSubscriptions,
    /// Ends the connection in the middle of publications.
    Leaves,
    /// Sends what is no MQTT.
    Garbage,
    /// Acknowledges what was never sent.
    Invents,
    /// Takes everything and answers nothing, not even pings.
    Dead,
    /// Lets nobody in: knows only MQTT 3.1.1.
    Old,
}

#[derive(Default)]
struct Stored(Mutex<BTreeMap<u64, StoredEvent>>);

impl EventStore for Stored {
    fn waiting(&self, after: u64, most: usize) -> Result<Vec<StoredEvent>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.lock().unwrap().range(after + 1..).take(most).map(|(_, event)| event.clone()).collect())
    }

    fn delivered(&self, number: u64) -> BoxFuture<'_, ()> {
        self.0.lock().unwrap().remove(&number);
        Box::pin(async {})
    }
}

/// The broker's end of a connection.
struct Line {
    stream: TcpStream,
    v5: bool,
}

impl Line {
    /// The next packet: its first byte, and what follows the length.
    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The client may have gone.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn acknowledge(&mut self, id: [u8; 2]) {
        self.send(&[0x40, 2, id[0], id[1]]).await;
    }

    async fn subscribed(&mut self, body: &[u8]) {
        let rest = if self.v5 { &body[3..] } else { &body[2..] };
        let (mut filters, mut at) = (0, 0);
        while at + 2 <= rest.len() {
            at += 2 + usize::from(u16::from_be_bytes([rest[at], rest[at + 1]])) + 1;
            filters += 1;
        }
        let mut answer = vec![body[0], body[1]];
        answer.extend(self.v5.then_some(0));
        answer.extend(std::iter::repeat_n(1_u8, filters));
        let mut packet = vec![0x90, u8::try_from(answer.len()).unwrap()];
        packet.extend(answer);
        self.send(&packet).await;
    }
}

/// What a good broker has been told.
#[derive(Default)]
struct Told {
    retained: BTreeMap<String, String>,
    events: BTreeSet<String>,
}

fn hear(told: &Mutex<Told>, retained: bool, topic: String, payload: String) {
    let mut told = told.lock().unwrap();
    if retained {
        told.retained.insert(topic, payload);
    } else {
        told.events.insert(payload);
    }
}

/// One connection; ends when the client hangs up, or when the mood says so.
async fn converse(mut line: Line, mood: Mood, told: &Mutex<Told>) {
    let (_, connect) = line.packet().await.unwrap();
    line.v5 = connect[6] == 5;
    if mood == Mood::Old && line.v5 {
        return line.send(&[0x20, 2, 0, 1]).await;
    }
    line.send(if line.v5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] }).await;
    if mood == Mood::Garbage {
        line.send(&[0xff; 64]).await;
    }
    if mood == Mood::Invents {
        line.acknowledge([0, 77]).await;
    }
    let (mut publications, mut waiting, mut subscriptions) = (0, Vec::new(), Vec::new());
    while let Some((first, body)) = line.packet().await {
        match (first >> 4, mood) {
            (_, Mood::Dead) | (8, Mood::NoSubscriptions) => {}
            (8, Mood::LateSubscriptions) => subscriptions.push(body),
            (8, _) => line.subscribed(&body).await,
            (12, _) => line.send(&[0xd0, 0]).await,
            (3, _) => {
                let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
                let mut rest = &body[2 + length..];
                let id = (first & 0x06 != 0).then(|| [rest[0], rest[1]]);
                rest = &rest[if id.is_some() { 2 } else { 0 }..];
                rest = &rest[usize::from(line.v5)..];
                let payload = String::from_utf8(rest.to_vec()).unwrap();
                if id.is_none() {
                    // The mark of the survey: it comes back to whoever has subscribed.
                    let mut back = vec![0x30, u8::try_from(body.len()).unwrap()];
                    back.extend(&body);
                    line.send(&back).await;
                    continue;
                }
                publications += 1;
                if mood == Mood::Leaves && publications > 20 {
                    return;
                }
                if publications == 20 {
                    for body in std::mem::take(&mut subscriptions) {
                        line.subscribed(&body).await;
                    }
                }
                let Some(id) = id else { continue };
                match mood {
                    Mood::Unthankful => {}
                    Mood::Backwards => {
                        waiting.push(id);
                        if waiting.len() >= 20 {
                            while let Some(id) = waiting.pop() {
                                line.acknowledge(id).await;
                            }
                        }
                    }
                    Mood::Good | Mood::Old | Mood::LateSubscriptions => {
                        hear(told, first & 1 == 1, topic, payload);
                        line.acknowledge(id).await;
                    }
                    _ => line.acknowledge(id).await,
                }
            }
            _ => {}
        }
    }
}

/// The client against a broker that is in `mood` on the first connection and good on all later ones.
async fn recovers(mood: Mood, version: MqttVersion) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(Told::default()));
    let hears = Arc::clone(&told);
    let broker = tokio::spawn(async move {
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let lasting = mood == Mood::Old || n == 0;
            converse(Line { stream, v5: false }, if lasting { mood } else { Mood::Good }, &hears).await;
        }
    });

    let events = Arc::new(Stored::default());
    for number in 1..=EVENTS {
        let event =
            StoredEvent { number, topic: "engawa/h/cmd/k/result".to_owned(), payload: format!("e{number}") };
        events.0.lock().unwrap().insert(number, event);
    }
    let (desk, mut news) = mpsc::channel(64);
    let (_writes, outgoing) = mpsc::channel(1);
    let (publisher, publications) = feed(16);
    let topics = HouseTopics::new(&"h".into());
    let state = Publication::state(topics.business(), "today");
    let mut target = Target::new("127.0.0.1".to_owned(), port, "c".to_owned(), version);
    target.filters = vec!["z/t".to_owned()];
    (target.patience, target.keep_alive) = (PATIENCE, Duration::from_secs(5));
    if mood == Mood::Dead {
        // What is found out by pings is not to be found out by anything else.
        target.patience = DEADLINE;
    }
    let connection = Connection {
        target,
        topics,
        snapshot: Arc::new(move || vec![state.clone()]),
        feed: publications,
        outgoing,
        desk,
        counters: Arc::default(),
        outbox: Outbox::default(),
        events: Arc::clone(&events) as Arc<dyn EventStore>,
        home: None,
        cursor: 0,
        more: false,
        done: Vec::new(),
    };
    let cancel = CancellationToken::new();
    let client = tokio::spawn(connection.run(cancel.clone()));
    let complete = async {
        loop {
            {
                let told = told.lock().unwrap();
                let whole = told.retained.get("engawa/h/status").is_some_and(|status| status == ONLINE)
                    && told.retained.contains_key("engawa/h/business");
                if whole && events.0.lock().unwrap().is_empty() {
                    break;
                }
            }
            // The client tells the news; those that nobody takes would hold it up.
            let _ = timeout(Duration::from_millis(20), news.recv()).await;
        }
    };
    let left = timeout(DEADLINE, complete).await;
    assert!(left.is_ok(), "{mood:?} {version:?}: {} events left", events.0.lock().unwrap().len());
    let (heard, all) = (told.lock().unwrap().events.len() as u64, mood == Mood::Good || mood == Mood::Old);
    assert!(!all || heard == EVENTS, "{mood:?} {version:?}: {heard} heard");
    drop(publisher);
    cancel.cancel();
    client.abort();
    broker.abort();
}

const BOTH: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V311];

#[tokio::test]
async fn a_good_broker_is_told_everything_once() {
    for version in BOTH {
        recovers(Mood::Good, version).await;
    }
}

#[tokio::test]
async fn a_broker_that_ends_or_spoils_a_connection_is_connected_to_again() {
    for version in BOTH {
        for mood in [Mood::Leaves, Mood::Garbage, Mood::Invents] {
            recovers(mood, version).await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_leaves_something_without_an_answer_is_given_up() {
    for version in BOTH {
        for mood in [Mood::Unthankful, Mood::NoSubscriptions, Mood::Backwards, Mood::LateSubscriptions] {
            recovers(mood, version).await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_answers_no_pings_is_given_up() {
    for version in BOTH {
        recovers(Mood::Dead, version).await;
    }
}

#[tokio::test]
async fn a_broker_that_knows_only_mqtt_3_1_1_is_spoken_to_in_that() {
    recovers(Mood::Old, MqttVersion::Auto).await;
}
