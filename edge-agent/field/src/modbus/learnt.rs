//! What a device has refused, and what follows for the requests to it.
//!
//! Terms: a *refused* range is one that the device answers with an exception even where it is asked for alone; a *cut*
//! is an address at which a request must begin, because what lies before and behind it was refused in one.
//!
//! Why it is kept: bisection costs a slow bus many seconds, and would after each start. It is kept as a note of the
//! device in the house's own store; a note is good for one layout of registers, so that a changed profile forgets.
//!
//! Bounds: [`MOST`] entries; past it nothing more is learnt, and the device goes on refusing as it did.

use crate::profile::modbus::ModbusMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Ranges and cuts together: a device with more of them has the wrong profile.
const MOST: usize = 256;

const DIGEST: crc::Crc<u64> = crc::Crc::<u64>::new(&crc::CRC_64_XZ);

/// What was learnt of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Learnt {
    /// (function, first, last).
    refused: BTreeSet<(u8, u16, u16)>,
    /// (function, address).
    cuts: BTreeSet<(u8, u16)>,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Of the layout that it is good for.
    map: String,
    #[serde(default)]
    refused: BTreeSet<(u8, u16, u16)>,
    #[serde(default)]
    cuts: BTreeSet<(u8, u16)>,
}

impl Learnt {
    /// What a note says of a device with this map; nothing where it was written for another, or can't be read.
    pub(crate) fn read(note: &str, map: &ModbusMap) -> Self {
        match serde_json::from_str::<Note>(note) {
            Ok(note) if note.map == digest(map) && note.refused.len() + note.cuts.len() <= MOST => {
                Self { refused: note.refused, cuts: note.cuts }
            }
            _ => Self::default(),
        }
    }

    /// The note for a device with this map; `None` where nothing is to be remembered.
    pub(crate) fn note(&self, map: &ModbusMap) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let note = Note { map: digest(map), refused: self.refused.clone(), cuts: self.cuts.clone() };
        // Numbers and hexadecimal text always have a JSON form.
        serde_json::to_string(&note).ok()
    }

    fn is_full(&self) -> bool {
        self.refused.len() + self.cuts.len() >= MOST
    }

    /// A request must begin at `address`. False where no more can be learnt.
    pub(crate) fn cut(&mut self, function: u8, address: u16) -> bool {
        if self.is_full() {
            return false;
        }
        self.cuts.insert((function, address))
    }

    /// `count` from `first` on are refused alone. The cuts that led there have found what they were for; those that are
    /// still needed are found again. False where no more can be learnt.
    pub(crate) fn refuse(&mut self, function: u8, first: u16, count: u16) -> bool {
        self.cuts.retain(|(of, _)| *of != function);
        if self.is_full() {
            return false;
        }
        self.refused.insert((function, first, first.saturating_add(count.saturating_sub(1))))
    }

    /// `count` from `first` on were answered: they are no longer refused. True where they were.
    pub(crate) fn answered(&mut self, function: u8, first: u16, count: u16) -> bool {
        let Some(range) = self.refused(function, first, count) else { return false };
        self.refused.remove(&(function, range.0, range.1))
    }

    /// The refused range that has one of `count` addresses from `first` on.
    pub(crate) fn refused(&self, function: u8, first: u16, count: u16) -> Option<(u16, u16)> {
        let last = first.saturating_add(count.saturating_sub(1));
        let found =
            self.refused.iter().find(|(of, from, to)| *of == function && *from <= last && *to >= first);
        found.map(|(_, from, to)| (*from, *to))
    }

    /// True where a cut or a refused range lies behind `first` and not behind `next`.
    pub(crate) fn cut_within(&self, function: u8, first: u16, next: u16) -> bool {
        if next <= first {
            return false;
        }
        self.cuts.range((function, first + 1)..=(function, next)).next().is_some()
            || self.refused.iter().any(|(of, from, _)| *of == function && (first + 1..next).contains(from))
    }
}

/// Tells layouts apart: what is read, where, and in what portions. Scales and names may change without forgetting.
fn digest(map: &ModbusMap) -> String {
    let mut layout = format!("{} {} {}", map.max_registers, map.max_bits, map.max_gap);
    for point in &map.points {
        // Writing to a String does not fail.
        let _ = write!(layout, ";{} {} {}", point.function, point.address, point.length);
    }
    for (table, first, last) in map.blocks.iter().chain(&map.unreadable) {
        let _ = write!(layout, ";{} {first} {last}", table.read_function());
    }
    format!("{:016x}", DIGEST.checksum(layout.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{self, Resolved};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn map(text: &str) -> Arc<ModbusMap> {
        let Ok(Resolved::Modbus(map)) = profile::load("", text).unwrap().resolve(&BTreeMap::new()) else {
            panic!()
        };
        map
    }

    #[test]
    fn a_note_is_good_for_one_layout() {
        let (_, text) = profile::builtin()[0];
        let original = map(text);
        let mut learnt = Learnt::default();
        assert_eq!(learnt.note(&original), None);
        assert!(learnt.cut(3, 40) && learnt.refuse(4, 12, 2));
        assert!(learnt.cut(4, 20));
        let note = learnt.note(&original).unwrap();
        assert_eq!(Learnt::read(&note, &original), learnt);
        let mut other = ModbusMap::clone(&original);
        other.points[0].address += 1;
        assert_eq!(Learnt::read(&note, &other), Learnt::default(), "a changed profile forgets");
        let mut scaled = ModbusMap::clone(&original);
        scaled.points[0].offset = scaled.points[0].scale;
        assert_eq!(Learnt::read(&note, &scaled), learnt, "a new scale changes nothing on the wire");
        for broken in ["", "{}", "[1", "{\"map\":1}"] {
            assert_eq!(Learnt::read(broken, &original), Learnt::default());
        }
    }

    #[test]
    fn it_ends_at_its_bound() {
        let mut learnt = Learnt::default();
        let most = u16::try_from(MOST).unwrap();
        assert!((0..most).all(|address| learnt.cut(3, address)));
        assert!(!learnt.cut(3, most) && !learnt.cut(4, 0));
        assert!(learnt.refuse(3, 7, 1), "what was found ends the search that filled it");
        assert!(!learnt.cut_within(3, 0, 6) && learnt.cut_within(3, 6, 9));
    }

    #[test]
    fn what_answers_again_is_no_longer_refused() {
        let mut learnt = Learnt::default();
        learnt.refuse(3, 10, 2);
        assert_eq!(learnt.refused(3, 11, 1), Some((10, 11)));
        assert!(!learnt.answered(4, 10, 2) && !learnt.answered(3, 12, 1));
        assert!(learnt.answered(3, 10, 2));
        assert_eq!(learnt.refused(3, 0, 100), None);
    }
}
