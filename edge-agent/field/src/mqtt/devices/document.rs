//! A message, read once for all that listen on its topic: the values at a device's places, and whether it is there.

use super::decode::{self, Said};
use super::memory::Device;
use super::{Listener, MAX_PAYLOAD, Problem};
use engawa_model::{Quality, Value};
use serde_json::Value as Json;

/// A value that stood at one of a device's places.
pub(super) struct Sample {
    /// Which of the profile's points.
    pub(super) point: usize,
    /// The value; `None` where the device says that it has none.
    pub(super) value: Option<Value>,
    /// Good, or bad without a value.
    pub(super) quality: Quality,
}

/// A payload, read once for all that listen.
pub(super) enum Document<'a> {
    Json(Json),
    /// `ON` and `21.5 C` are no JSON; for a point that is the whole payload they are a text.
    Text(&'a str),
    Bytes,
    TooLong(usize),
}

impl<'a> Document<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Self {
        if payload.len() > MAX_PAYLOAD {
            return Self::TooLong(payload.len());
        }
        match (serde_json::from_slice(payload), std::str::from_utf8(payload)) {
            (Ok(json), _) => Self::Json(json),
            (Err(_), Ok(text)) => Self::Text(text.trim()),
            (Err(_), Err(_)) => Self::Bytes,
        }
    }
}

/// What an availability topic says: there or away, or neither. `None` for an empty payload.
pub(super) fn availability(
    device: &Device,
    n: usize,
    document: &Document<'_>,
) -> Option<Result<bool, Problem>> {
    let known = device.profile.availability.get(n)?;
    let word = match document {
        Document::Json(json) => json.pointer(&known.pointer).or(Some(json)).and_then(decode::word),
        Document::Text("") => return None,
        Document::Text(text) => Some((*text).into()),
        Document::Bytes | Document::TooLong(_) => None,
    };
    Some(match word {
        Some(word) if word == known.online => Ok(true),
        Some(word) if word == known.offline => Ok(false),
        _ => Err(Problem::Availability(known.online.clone(), known.offline.clone())),
    })
}

/// What stands at the places of `listener`, and the first thing that is wrong.
pub(super) fn read(
    device: &Device,
    listener: &Listener,
    document: &Document<'_>,
) -> (Vec<Sample>, Option<Problem>) {
    let whole = listener.places.iter().all(|(_, pointer)| pointer.is_empty());
    let text;
    let json = match document {
        Document::Json(json) => json,
        // An empty payload on a topic of JSON is a kept message that was taken away.
        Document::Text("") if !whole => return (vec![], None),
        Document::Text(said) if whole => {
            text = Json::String((*said).to_owned());
            &text
        }
        Document::TooLong(bytes) => return (vec![], Some(Problem::TooLong(*bytes))),
        Document::Text(_) | Document::Bytes => return (vec![], Some(Problem::NotJson)),
    };
    let (mut values, mut problem, mut there) = (Vec::new(), None, false);
    for (n, pointer) in &listener.places {
        let Some(point) = device.profile.points.get(*n) else { continue };
        // Devices send what has changed: a point that is absent, or null before its first sample, is no fault.
        let Some(json) = json.pointer(pointer) else { continue };
        there = true;
        if json.is_null() {
            continue;
        }
        match decode::decode(point, json) {
            Said::Value(value) => {
                values.push(Sample { point: *n, value: Some(value), quality: Quality::Good })
            }
            Said::NoValue => values.push(Sample { point: *n, value: None, quality: Quality::Bad }),
            Said::Other => {
                problem = problem.or_else(|| {
                    Some(Problem::Kind {
                        point: point.name.clone(),
                        pointer: pointer.clone(),
                        expected: decode::in_words(point).1,
                        found: decode::found_in_words(json),
                    })
                });
            }
        }
    }
    // Once it was understood, a message without any point speaks of other things (its own network, a button).
    if !there && listener.status && (!device.understood || !json.is_object()) {
        let pointers: Vec<_> = listener.places.iter().map(|(_, pointer)| pointer.as_str()).take(8).collect();
        problem = Some(Problem::NoPoint(pointers.join(", ")));
    }
    (values, problem)
}
