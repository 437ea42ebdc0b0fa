//! `[wake_up]`: where something rings, and how often.

use super::{Config, check::at};
use engawa_diag::{Doc, Path, Report, nearest};
use engawa_model::{RoomId, WakeRooms, WakeSpec};
use serde::Deserialize;

/// A guest who has not answered for an hour needs somebody at the door, not another ring.
const LONGEST_S: u32 = 3600;

/// The section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WakeConfig {
    /// The rooms with a device that rings: their numbers, or `["*"]` for all.
    pub(crate) rooms: Vec<String>,
    /// How often it rings before staff are asked to go.
    pub(crate) rings: u8,
    /// The time from one ring to the next, seconds.
    pub(crate) every_s: u32,
}

impl Default for WakeConfig {
    fn default() -> Self {
        let WakeSpec { rings, every_s, .. } = WakeSpec::default();
        Self { rooms: Vec::new(), rings, every_s }
    }
}

impl WakeConfig {
    /// What the model wants to know.
    pub(crate) fn spec(&self) -> WakeSpec {
        let rooms = match self.rooms.as_slice() {
            [] => WakeRooms::None,
            [all] if all == "*" => WakeRooms::All,
            these => WakeRooms::These(these.iter().cloned().map(RoomId::new).collect()),
        };
        WakeSpec { rooms, rings: self.rings, every_s: self.every_s }
    }
}

/// What is wrong with it, and with the language of the house.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let wake = &config.wake_up;
    if !(1..=10).contains(&wake.rings) {
        report.push(doc.fault(&at("wake_up", "rings"), "this is no call").label("expected 1 to 10"));
    }
    if !(30..=LONGEST_S).contains(&wake.every_s) || u32::from(wake.rings) * wake.every_s > LONGEST_S {
        report.push(
            doc.fault(
                &at("wake_up", "every_s"),
                format!("{} s from ring to ring can't be meant", wake.every_s),
            )
            .label("expected 30 or more, and all rings within an hour")
            .help("a guest who does not answer for so long needs somebody at the door"),
        );
    }
    let rooms = Path::root().key("wake_up").key("rooms");
    let all = wake.rooms == ["*"];
    for (n, room) in wake.rooms.iter().enumerate().filter(|_| !all) {
        if !config.property.rooms.contains(room) {
            let fault = doc.fault(&rooms.index(n), format!("there is no room `{room}`"));
            let near = nearest(room, config.property.rooms.iter().map(String::as_str));
            report.push(match near {
                Some(near) => fault.help(format!("did you mean \"{near}\"? For all rooms: rooms = [\"*\"]")),
                None => fault.help("for all rooms: rooms = [\"*\"]"),
            });
        }
    }
    let language = &config.property.language;
    if engawa_words::Language::of_tag(language).is_none() {
        let known: Vec<_> = engawa_words::Language::ALL.iter().map(|language| language.tag()).collect();
        report.push(
            doc.fault(&at("property", "language"), format!("the house has no texts in `{language}`"))
                .label(format!("expected a BCP 47 tag of one of {}", known.join(", "))),
        );
    }
}
