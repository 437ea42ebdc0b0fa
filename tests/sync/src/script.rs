//! What happens in a history.

use crate::random::Random;

/// The lanes of the journal here: two urgent ones and a bulky one.
pub(crate) const LANES: [u8; 3] = [2, 3, 5];
/// Steps of a history.
const STEPS: u64 = 160;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The house writes rows: durable at once, or with the next settling.
    Write {
        /// The lane.
        lane: u8,
        /// How many.
        rows: u8,
        /// Whether a power cut could take them.
        soon: bool,
    },
    /// What was written is forced to the disk.
    Settle,
    /// The cloud has a command for the gateway.
    Command,
    /// The edge does so many things that it has to do; its disk answers in this order.
    EdgeWorks(u8),
    /// So does the cloud; each transaction is begun, and committed by a later step.
    CloudWorks(u8),
    /// The cloud commits what its transactions have.
    Commit,
    /// Bytes move on the line: on one stream, in one direction, so many; streams overtake each other by it.
    Move {
        /// From the gateway to the cloud.
        up: bool,
        /// Which of the streams, by chance.
        stream: u8,
        /// How many bytes.
        bytes: u16,
    },
    /// The line is good for so many rounds, in which both ends do what they have to do.
    Flow(u8),
    /// The connection breaks, wherever in a frame it is.
    Cut,
    /// Time passes, seconds.
    Sleep(u32),
    /// The gateway's process ends.
    EdgeKilled,
    /// The gateway's power is cut: what was not forced to the disk is gone.
    EdgePowerCut,
    /// The cloud's process ends: what was not committed is gone.
    CloudKilled,
    /// The gateway's disk is copied.
    EdgeBackup,
    /// The copy is put back; the gateway notices, and begins a new epoch.
    EdgeRestored,
    /// The cloud's database is copied.
    CloudBackup,
    /// The copy is put back.
    CloudRestored,
    /// Rows that the cloud has had for a day are deleted.
    Prune,
    /// Measured values that were not handed out become fewer rows.
    Thin,
    /// The gateway's disk is copied onto a second box, which has its identity with it.
    Cloned,
    /// The other box has the line.
    Other,
    /// Somebody looks: switches the box that is not on the line off, and lifts the fence.
    Unfence,
    /// The cloud's database is busy for the next transactions.
    Busy(u8),
    /// The cloud's database fails for the next transactions.
    Failing(u8),
}

/// The history of `seed`.
pub fn history(seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    // Histories differ in what is frequent in them: disasters hide small faults, and the other way round.
    let mode = Mode {
        rough: 2 + random.below(24),
        // Nobody can tell copies apart while the cloud itself is put back, or the copies' disks are.
        disasters: *random.pick(&[
            Disasters::None,
            Disasters::Restores,
            Disasters::Restores,
            Disasters::Clones,
        ]),
        prunes: random.one_in(2),
        thins: random.one_in(2),
    };
    let steps = STEPS / 4 + random.below(STEPS);
    let mut all = Vec::new();
    for _ in 0..steps {
        let step = step(&mut random, mode);
        all.push(step);
        if step == Step::EdgeRestored && mode.thins {
            // The line is back only after a while, in which what was carried over is thinned like anything else.
            all.extend([Step::Write { lane: 5, rows: 12, soon: false }, Step::Thin]);
        }
    }
    all
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Disasters {
    None,
    Restores,
    Clones,
}

#[derive(Clone, Copy)]
struct Mode {
    rough: u64,
    disasters: Disasters,
    prunes: bool,
    thins: bool,
}

fn step(random: &mut Random, mode: Mode) -> Step {
    let small = |random: &mut Random, bound| u8::try_from(random.below(bound)).unwrap_or(0);
    if random.one_in(mode.rough) {
        let kinds = if mode.disasters == Disasters::None { 6 } else { 10 };
        return match random.below(kinds) {
            6 if mode.disasters == Disasters::Clones => Step::Cloned,
            7 | 8 if mode.disasters == Disasters::Clones => Step::Other,
            9 if mode.disasters == Disasters::Clones => Step::Unfence,
            0 => Step::Cut,
            1 => Step::EdgeKilled,
            2 => Step::EdgePowerCut,
            3 => Step::CloudKilled,
            4 => Step::Busy(1 + small(random, 3)),
            5 => Step::Failing(1 + small(random, 3)),
            6 => Step::EdgeBackup,
            7 => Step::CloudBackup,
            8 => Step::EdgeRestored,
            _ => Step::CloudRestored,
        };
    }
    match random.below(24) {
        0..=2 => {
            Step::Write { lane: *random.pick(&LANES), rows: 1 + small(random, 12), soon: random.one_in(2) }
        }
        3 => Step::Settle,
        4 => Step::Command,
        5..=8 => Step::EdgeWorks(1 + small(random, 20)),
        9..=12 => Step::CloudWorks(1 + small(random, 20)),
        13..=14 => Step::Commit,
        15 if mode.prunes => Step::Prune,
        17..=18 if mode.thins => Step::Thin,
        16 => Step::Sleep(match random.below(12) {
            0 => 365 * 86_400,
            1 => 120,
            _ => u32::try_from(random.below(20)).unwrap_or(0),
        }),
        22..=23 => Step::Flow(1 + small(random, 8)),
        _ => Step::Move {
            up: random.one_in(2),
            stream: small(random, 4),
            bytes: u16::try_from(if random.one_in(3) { random.below(40) } else { 2_000 }).unwrap_or(0),
        },
    }
}
