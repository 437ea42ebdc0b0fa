//! OPERA's business events: GraphQL over a WebSocket (OHIP Streaming API; protocol `graphql-transport-ws`).
//!
//! One consumer for each application key and chain. An event carries its offset; from the last one that was kept the
//! stream is told again, for about a day. Delivered at least once, and every event here is a hint only: nothing follows
//! from it but a look at the list.

use super::super::{Answer, Fault, Heard, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) const PROTOCOL: &str = "graphql-transport-ws";
const ID: &str = "engawa";
/// Modules of OPERA whose events say something of who is in which room.
const MODULES: [&str; 3] = ["RESERVATION", "HOUSEKEEPING", "ROOM"];

/// The conversation on one connection.
pub(super) struct Stream {
    chain: String,
    hotel: String,
    /// From where the events of this connection are asked for.
    from: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    payload: Option<Value>,
}

#[derive(Deserialize)]
struct Next {
    data: Option<Data>,
    errors: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    new_event: Option<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    metadata: Option<Metadata>,
    module_name: Option<String>,
    hotel_id: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    offset: Option<Value>,
}

/// Where the stream is: the key goes hashed (SHA-256, hexadecimal).
pub(super) fn url(gateway: &str, key: &str) -> String {
    let base = gateway.trim_end_matches('/').replacen("http", "ws", 1);
    let hash =
        data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref());
    format!("{base}/subscriptions?key={hash}")
}

/// What keeps the connection.
pub(super) fn ping() -> String {
    json!({ "type": "ping" }).to_string()
}

impl Stream {
    pub(super) fn new(chain: &str, hotel: &str) -> Self {
        Self { chain: chain.to_owned(), hotel: hotel.to_owned(), from: None }
    }

    pub(super) fn opened(&mut self, key: &str, token: &Secret, mark: Option<&str>) -> Vec<String> {
        self.from = mark.map(str::to_owned);
        let payload = json!({ "Authorization": format!("Bearer {}", token.reveal()), "x-app-key": key });
        vec![json!({ "type": "connection_init", "payload": payload }).to_string()]
    }

    fn subscribe(&self) -> String {
        let mut input = json!({ "chainCode": self.chain });
        if let Some(offset) = &self.from {
            input["offset"] = json!(offset);
        }
        let query = "subscription($input: NewEventInput!) { newEvent(input: $input) { metadata { offset uniqueEventId } \
                     moduleName eventName primaryKey hotelId } }";
        let payload = json!({ "query": query, "variables": { "input": input }, "extensions": {}, "operationName": null });
        json!({ "id": ID, "type": "subscribe", "payload": payload }).to_string()
    }

    pub(super) fn heard(&mut self, text: &str) -> Result<Heard, Fault> {
        let read = |text: &str| Answer {
            status: 200,
            retry_after_s: None,
            date: None,
            body: text.as_bytes().to_vec(),
        };
        let message: Message = read(text).read("subscriptions")?;
        Ok(match message.kind.as_str() {
            "connection_ack" => Heard { say: vec![self.subscribe()], ..Heard::default() },
            "ping" => Heard { say: vec![json!({ "type": "pong" }).to_string()], ..Heard::default() },
            "next" => {
                let payload = message.payload.unwrap_or_default().to_string();
                let next: Next = read(&payload).read("subscriptions")?;
                let mut heard = Heard::default();
                if next.errors.is_some() {
                    heard.ended = Some("the stream tells an error".to_owned());
                }
                let Some(event) = next.data.and_then(|data| data.new_event) else { return Ok(heard) };
                heard.mark = event.metadata.and_then(|metadata| metadata.offset).map(|offset| match offset {
                    Value::String(text) => text,
                    other => other.to_string(),
                });
                let here = event.hotel_id.is_none_or(|hotel| hotel == self.hotel);
                // An event of a module that we do not know may be about a room, too.
                let about = event.module_name.is_none_or(|module| {
                    MODULES.iter().any(|known| module.to_ascii_uppercase().contains(known))
                });
                heard.changed = here && about;
                heard
            }
            // The server refuses the subscription or has ended it; an old offset is one reason: the list tells instead.
            "error" | "complete" => {
                self.from = None;
                let ended = Some("the stream was ended".to_owned());
                Heard { changed: true, mark: Some(String::new()), ended, ..Heard::default() }
            }
            _ => Heard::default(),
        })
    }
}
