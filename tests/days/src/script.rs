//! Days as lists of steps. A step names guests and rooms by number, taken modulo what there is, so that a day from which
//! steps were removed is still a day.

use engawa_stage::seeds::Random;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A guest checks in (GI); into a room that may have guests already.
    Arrive {
        /// Into which room.
        room: u8,
    },
    /// The same, and the PMS sends the change (GC) before the check-in (GI).
    ArriveEarly {
        /// Into which room.
        room: u8,
    },
    /// A guest's departure is moved (GC).
    Change {
        /// Whose.
        guest: u8,
    },
    /// A guest moves: GC with both rooms, GO and GI, GI and GO, or GC with the new room alone.
    Move {
        /// Who.
        guest: u8,
        /// Where to.
        room: u8,
        /// How it is told.
        style: u8,
    },
    /// A guest checks out, or the check-in is cancelled (GO).
    Depart {
        /// Who.
        guest: u8,
    },
    /// A room is emptied (GO without G#).
    Vacate {
        /// Which.
        room: u8,
    },
    /// A guest who had left is checked in again with the same reservation.
    Reinstate {
        /// Who.
        guest: u8,
    },
    /// Something of a room's equipment (RE).
    Equipment {
        /// Which room.
        room: u8,
    },
    /// The record said last comes again.
    Repeat {
        /// How often.
        times: u8,
    },
    /// The two records said last come in the other order, where they are of different guests.
    Swap,
    /// Records reach the gateway, cut into pieces.
    Deliver {
        /// How many.
        records: u8,
        /// How long the pieces are, bytes.
        piece: u8,
        /// True where what they change is not yet on the disk.
        held: bool,
    },
    /// Staff ask for the list of the house.
    Ask,
    /// The PMS sends its list unasked.
    List,
    /// The connection breaks within a record.
    Break {
        /// How many records that waited are lost.
        lose: u8,
        /// How many bytes of the next one still came.
        torn: u8,
        /// True where the PMS says its last record again when the link is up.
        again: bool,
    },
    /// The PMS restarts on the same connection.
    Restart {
        /// True where it forgets what it had to say.
        forget: bool,
    },
    /// The gateway's process is killed: what is not on the disk is gone.
    Kill,
    /// The gateway connects.
    Connect,
    /// Night audit; it ends in the evening or after midnight.
    Audit {
        /// True for the evening.
        evening: bool,
    },
    /// Time passes.
    Wait {
        /// How much.
        minutes: u8,
    },
    /// The gateway gets all that waits, and a list; then both must agree.
    Agree,
}

/// The day of `seed`.
pub fn day(seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    // Short days find faults that are easy to read, long ones those that need a history.
    let length = [8, 20, 40, 80][random.index(4)];
    let mut steps: Vec<Step> = (0..length).map(|_| step(&mut random)).collect();
    steps.push(Step::Agree);
    steps
}

fn step(random: &mut Random) -> Step {
    let byte = |random: &mut Random| u8::try_from(random.between(0, 256)).unwrap_or(0);
    let (room, guest) = (byte(random), byte(random));
    match random.between(0, 100) {
        0..=13 => Step::Arrive { room },
        14..=15 => Step::ArriveEarly { room },
        16..=20 => Step::Change { guest },
        21..=29 => Step::Move { guest, room, style: byte(random) },
        30..=38 => Step::Depart { guest },
        39..=40 => Step::Vacate { room },
        41..=42 => Step::Reinstate { guest },
        43..=44 => Step::Equipment { room },
        45..=49 => Step::Repeat { times: 1 + byte(random) % 3 },
        50..=52 => Step::Swap,
        53..=74 => Step::Deliver {
            records: 1 + byte(random) % 8,
            piece: 1 + byte(random) % 60,
            held: byte(random).is_multiple_of(4),
        },
        75..=77 => Step::Ask,
        78..=79 => Step::List,
        80..=83 => Step::Break {
            lose: [0, 0, 1, 3][random.index(4)],
            torn: byte(random) % 30,
            again: byte(random).is_multiple_of(3),
        },
        84..=85 => Step::Restart { forget: byte(random).is_multiple_of(3) },
        86..=88 => Step::Kill,
        89..=93 => Step::Connect,
        94..=95 => Step::Audit { evening: byte(random).is_multiple_of(2) },
        96..=98 => Step::Wait { minutes: [1, 4, 7, 70][random.index(4)] },
        _ => Step::Agree,
    }
}
