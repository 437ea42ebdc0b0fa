//! A room's card.

use super::{Look, shape};
use crate::view::{Reading, RoomView};
use engawa_model::Quality;
use maud::{Markup, html};

/// Whether a fragment's id is a room's.
pub(super) fn is_room(id: &str) -> bool {
    id.strip_prefix('r').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// The classes of a room's card: the filter and the colours hang on them.
pub(super) fn class(room: &RoomView) -> String {
    let mut class = String::from(if room.occupied { "room occupied" } else { "room vacant" });
    if room.needs_attention() || intruder(room) {
        class.push_str(" look");
    }
    class
}

/// Somebody is seen in a room that the PMS calls vacant. (In an occupied room nobody is watched.)
fn intruder(room: &RoomView) -> bool {
    !room.occupied && room.presence == Some(true)
}

/// The inside of a room's card.
pub(super) fn card(room: &RoomView, look: &Look) -> Markup {
    let state = if room.occupied { ("occupied", "Occupied") } else { ("vacant", "Vacant") };
    html! {
        div class="room-head" {
            h3 { span class="unseen" { "Room " } (room.id) }
            span class="state" { (shape(state.0)) (state.1) }
        }
        (climate(room, look))
        @let tags = tags(room);
        @if !tags.is_empty() {
            ul class="tags" {
                @for (kind, icon, text) in &tags {
                    li class=(kind) { (shape(icon)) (text) }
                }
            }
        }
    }
}

fn climate(room: &RoomView, look: &Look) -> Markup {
    html! {
        p class="climate" {
            @match &room.temperature {
                Some(reading) => span class={ "temperature" (stale(reading)) } { (degrees(reading.value)) },
                None => span class="nothing" { "No temperature" },
            }
            @match (&room.setpoint, room.setpoint_ordered) {
                (Some(held), Some(ordered)) if (held.value - ordered).abs() >= 0.05 => {
                    span class={ "setpoint" (stale(held)) } {
                        "set " (degrees(held.value)) ", ordered " (degrees(ordered))
                    }
                }
                (Some(held), _) => span class={ "setpoint" (stale(held)) } { "set " (degrees(held.value)) },
                (None, Some(ordered)) => span class="setpoint" { "ordered " (degrees(ordered)) },
                (None, None) => {}
            }
        }
        @if let Some(reading) = &room.temperature {
            p class="source" {
                @if reading.quality == Quality::Good { "measured, " } @else { "last known, " }
                (look.time(reading.at)) " · " (reading.device)
            }
        }
    }
}

fn stale(reading: &Reading) -> &'static str {
    if reading.quality == Quality::Good { "" } else { " stale" }
}

fn degrees(celsius: f64) -> String {
    format!("{celsius:.1}\u{a0}°C")
}

/// What is special in a room: class, shape, words. Warnings first.
fn tags(room: &RoomView) -> Vec<(&'static str, &'static str, String)> {
    let mut tags = Vec::new();
    let mut tag = |when: bool, kind, icon, text: &str| {
        if when {
            tags.push((kind, icon, text.to_owned()));
        }
    };
    tag(room.leak == Some(true), "tag bad", "leak", "Water on the floor");
    match room.unwell.as_slice() {
        [] => {}
        [one] => tag(true, "tag bad", "unwell", &format!("{one} unwell")),
        more => tag(true, "tag bad", "unwell", &format!("{} devices unwell", more.len())),
    }
    tag(intruder(room), "tag bad", "presence", "Somebody inside");
    tag(room.window_open == Some(true), "tag warn", "window", "Window open");
    tag(room.do_not_disturb(), "tag", "quiet", "Do not disturb");
    tag(room.sign.as_deref() == Some("make-up"), "tag", "make-up", "Make up room");
    tag(room.flags.message_light == Some(true), "tag", "message", "Message waiting");
    if let Some(status) = &room.status {
        tag(true, "tag", "status", &capitalized(&status.replace('-', ", ")));
    }
    tags
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
