//! A room's card.

use super::{Look, shape};
use crate::view::{Reading, RoomView};
use engawa_model::Quality;
use engawa_words::Arg;
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
    let state = if room.occupied { ("occupied", "page-occupied") } else { ("vacant", "page-vacant") };
    html! {
        div class="room-head" {
            h3 { span class="unseen" { (look.say("room-room")) " " } bdi { (room.id) } }
            span class="state" { (shape(state.0)) (look.say(state.1)) }
        }
        (climate(room, look))
        @let tags = tags(room, look);
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
                None => span class="nothing" { (look.say("room-no-temperature")) },
            }
            @match (&room.setpoint, room.setpoint_ordered) {
                (Some(held), Some(ordered)) if (held.value - ordered).abs() >= 0.05 => {
                    span class={ "setpoint" (stale(held)) } {
                        (look.words.text(
                            "room-set-ordered",
                            &[
                                ("held", Arg::from(degrees(held.value))),
                                ("degrees", Arg::from(degrees(ordered))),
                            ],
                        ))
                    }
                }
                (Some(held), _) => span class={ "setpoint" (stale(held)) } { (look.with("room-set", "degrees", &degrees(held.value))) },
                (None, Some(ordered)) => span class="setpoint" { (look.with("room-ordered", "degrees", &degrees(ordered))) },
                (None, None) => {}
            }
        }
        @if let Some(reading) = &room.temperature {
            p class="source" {
                (look.say(if reading.quality == Quality::Good { "room-measured" } else { "room-last-known" })) ", "
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
fn tags(room: &RoomView, look: &Look) -> Vec<(&'static str, &'static str, String)> {
    let mut tags = Vec::new();
    let mut tag = |when: bool, kind, icon, text: String| {
        if when {
            tags.push((kind, icon, text));
        }
    };
    tag(room.leak == Some(true), "tag bad", "leak", look.say("room-leak"));
    match room.unwell.as_slice() {
        [] => {}
        [one] => tag(true, "tag bad", "unwell", look.with("room-unwell", "device", one.as_str())),
        more => tag(true, "tag bad", "unwell", look.count("room-unwell-many", more.len())),
    }
    tag(intruder(room), "tag bad", "presence", look.say("room-presence"));
    tag(room.window_open == Some(true), "tag warn", "window", look.say("room-window"));
    tag(room.do_not_disturb(), "tag", "quiet", look.say("room-quiet"));
    tag(room.sign.as_deref() == Some("make-up"), "tag", "make-up", look.say("room-make-up"));
    tag(room.flags.message_light == Some(true), "tag", "message", look.say("room-message"));
    if let Some(status) = &room.status {
        tag(true, "tag", "status", look.say(&format!("status-{status}")));
    }
    tags
}
