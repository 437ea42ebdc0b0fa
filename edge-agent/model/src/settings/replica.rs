//! What either end does with a setting: writes it, or takes in what the other end knows.

use super::clock::Clock;
use super::field::{Field, SettingValue, Writer};
use super::register::{Conflict, Node, Register, Unsound, Write, named};
use crate::Timestamp;
use crate::settings::Stamp;
use serde::{Deserialize, Serialize};

/// Why a write is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The field is the other end's.
    #[error("{name} is set {by}", by = if *writer == Node::Edge {
        "at the gateway only: `engawa settings set` there"
    } else {
        "in the cloud only: `engawa-cloud settings set` there"
    })]
    NotOurs {
        /// The setting.
        name: &'static str,
        /// Who may.
        writer: Node,
    },
    /// The field can't have the value.
    #[error("{0}")]
    Value(String),
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A write came to be known at this end.
    Written {
        /// Whose.
        node: Node,
        /// What.
        write: Write,
    },
    /// Both ends had written without knowing of each other.
    Conflict {
        /// Both, and which of them stands.
        conflict: Conflict,
    },
    /// The other end's clock is too far ahead of this one's: it is not followed.
    ClockAhead {
        /// By so many milliseconds.
        by_ms: i64,
        /// The stamp.
        stamp: Stamp,
    },
    /// The other end wrote what is not its own: nothing of it is taken.
    NotItsOwn {
        /// Which end wrote.
        node: Node,
    },
}

/// What became of knowledge that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// What is known now.
    pub register: Register,
    /// What is new, for the log.
    pub notes: Vec<Note>,
    /// True where the other end does not know all of it.
    pub tell: bool,
}

fn may(field: &Field, node: Node) -> Result<(), WriteError> {
    let (name, other) = (field.name, node.other());
    match (field.writer, node) {
        (Writer::Both(_), _) | (Writer::Edge, Node::Edge) | (Writer::Cloud, Node::Cloud) => Ok(()),
        _ => Err(WriteError::NotOurs { name, writer: other }),
    }
}

/// Writes `value` at the end `me`: whatever was known is replaced by it.
///
/// # Errors
/// The field is not this end's, or can't have the value.
pub fn write(
    field: &Field,
    me: Node,
    own: &Register,
    value: Option<SettingValue>,
    by: &str,
    clock: &mut Clock,
    now: Timestamp,
) -> Result<Register, WriteError> {
    may(field, me)?;
    if let Some(value) = &value {
        field.check(value).map_err(WriteError::Value)?;
    }
    let at = clock.tick(now, own.newest());
    let write = Write { at, version: own.next_version(), by: named(by), value };
    let mut register = own.clone();
    register.put(me, at, Some(write));
    register.put(me.other(), own.seen_of(me.other()), None);
    Ok(register)
}

/// Takes in what the other end knows.
///
/// # Errors
/// It can't be a register: nothing is taken.
pub fn receive(
    field: &Field,
    me: Node,
    own: &Register,
    incoming: &Register,
    clock: &mut Clock,
    now: Timestamp,
) -> Result<Taken, Unsound> {
    incoming.check()?;
    let mut notes = Vec::new();
    let mut theirs = incoming.clone();
    let foreign = [Node::Edge, Node::Cloud].into_iter().find(|node| may(field, *node).is_err());
    let mut meddled = false;
    if let Some(foreign) = foreign {
        // What is not theirs does not exist, nor does anything that it replaced.
        let writer = foreign.other();
        meddled = theirs.seen_of(foreign) != Stamp::NEVER;
        theirs.put(foreign, Stamp::NEVER, None);
        if theirs.of(writer).is_none() {
            theirs.put(writer, Stamp::NEVER, None);
        }
        theirs.conflicts.clear();
        if meddled {
            notes.push(Note::NotItsOwn { node: foreign });
        }
    }
    let mut register = own.join(&theirs);
    for node in [Node::Edge, Node::Cloud] {
        if register.seen_of(node) > own.seen_of(node) {
            if node != me
                && let Err(ahead) = clock.follow(register.seen_of(node), now)
            {
                notes.push(Note::ClockAhead { by_ms: ahead.by_ms, stamp: register.seen_of(node) });
            }
            if let Some(write) = register.of(node) {
                notes.push(Note::Written { node, write: write.clone() });
            }
        }
    }
    for conflict in &register.conflicts {
        if own.conflicts.iter().all(|known| known.key() != conflict.key()) {
            notes.push(Note::Conflict { conflict: conflict.clone() });
        }
    }
    let mut met = false;
    if let Some(conflict) = register.side_by_side(field).filter(|_| foreign.is_none())
        && register.record(conflict.clone())
    {
        met = true;
        notes.push(Note::Conflict { conflict });
    }
    let knows_less =
        (&theirs.edge, &theirs.cloud, theirs.seen) != (&register.edge, &register.cloud, register.seen);
    // An end that meddles would meddle with the answer, too.
    let tell = !meddled && (knows_less || met);
    Ok(Taken { register, notes, tell })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::field;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn number(number: f64) -> Option<SettingValue> {
        Some(SettingValue::Number(number))
    }

    struct End {
        me: Node,
        clock: Clock,
        register: Register,
    }

    impl End {
        fn new(me: Node) -> Self {
            Self { me, clock: Clock::default(), register: Register::default() }
        }

        fn write(&mut self, name: &str, value: f64, second: i64) {
            let field = field(name).unwrap();
            let value = number(value);
            self.register =
                write(field, self.me, &self.register, value, "ann", &mut self.clock, at(second)).unwrap();
        }

        fn hear(&mut self, name: &str, incoming: &Register, second: i64) -> Taken {
            let field = field(name).unwrap();
            let taken =
                receive(field, self.me, &self.register, incoming, &mut self.clock, at(second)).unwrap();
            self.register = taken.register.clone();
            taken
        }

        fn value(&self, name: &str) -> Option<f64> {
            self.register.value(field(name).unwrap()).and_then(SettingValue::number)
        }
    }

    #[test]
    fn both_wrote_while_the_line_was_cut() {
        let name = "climate.comfort-c";
        let (mut edge, mut cloud) = (End::new(Node::Edge), End::new(Node::Cloud));
        edge.write(name, 20.0, 0);
        cloud.hear(name, &edge.register, 1);
        edge.write(name, 21.0, 10);
        cloud.write(name, 23.0, 20);
        let there = cloud.hear(name, &edge.register, 30);
        let Some(Note::Conflict { conflict }) = there.notes.last() else { panic!("{there:?}") };
        assert_eq!((conflict.edge.value.clone(), conflict.cloud.value.clone()), (number(21.0), number(23.0)));
        assert_eq!((conflict.kept, conflict.edge.version, conflict.cloud.version), (Node::Cloud, 2, 2));
        assert!(there.tell);
        let here = edge.hear(name, &cloud.register, 30);
        assert!(here.notes.iter().any(|note| matches!(note, Note::Conflict { .. })));
        assert!(!here.tell, "the cloud knows all of it");
        assert_eq!((edge.value(name), cloud.value(name)), (Some(23.0), Some(23.0)));
        assert_eq!(edge.register, cloud.register);
        let again = edge.hear(name, &cloud.register, 31);
        assert_eq!((again.notes.len(), again.tell), (0, false), "twice is once");
        // Who writes next has seen both: no conflict any more, whatever the clocks say.
        edge.write(name, 19.0, -500);
        cloud.hear(name, &edge.register, 40);
        assert_eq!((cloud.value(name), cloud.register.cloud.is_none()), (Some(19.0), true));
    }

    #[test]
    fn a_conflict_that_was_written_over_before_the_other_end_heard_of_it_reaches_its_log() {
        let name = "climate.comfort-c";
        let (mut edge, mut cloud) = (End::new(Node::Edge), End::new(Node::Cloud));
        edge.write(name, 21.0, 0);
        cloud.write(name, 23.0, 1);
        cloud.hear(name, &edge.register, 2);
        cloud.write(name, 22.0, 3);
        let heard = edge.hear(name, &cloud.register, 4);
        assert!(heard.notes.iter().any(|note| matches!(note, Note::Conflict { .. })), "{heard:?}");
        assert_eq!(edge.value(name), Some(22.0));
    }

    #[test]
    fn a_field_of_one_writer_is_refused_to_the_other_and_never_conflicts() {
        for (name, writer) in
            [("privacy.share-preferences", Node::Edge), ("feature.pre-arrival", Node::Cloud)]
        {
            let field = field(name).unwrap();
            let on = || Some(SettingValue::Switch(true));
            let mut clock = Clock::default();
            let own = write(field, writer, &Register::default(), on(), "ann", &mut clock, at(0)).unwrap();
            let refused = write(field, writer.other(), &own, on(), "bob", &mut clock, at(1)).unwrap_err();
            let told = refused.to_string();
            assert!(told.contains(name) && told.contains("only"), "{told}");
            // An end that does it all the same changes nothing, and is answered nothing.
            let mut meddled = own.clone();
            let stamp = own.newest().next();
            let theirs =
                Write { at: stamp, version: 2, by: "bob".into(), value: Some(SettingValue::Switch(false)) };
            meddled.put(writer.other(), stamp, Some(theirs));
            meddled.put(writer, own.newest(), None);
            let taken = receive(field, writer, &own, &meddled, &mut clock, at(2)).unwrap();
            assert_eq!(taken.register, own);
            assert_eq!(taken.notes, [Note::NotItsOwn { node: writer.other() }]);
            assert!(!taken.tell);
        }
    }

    #[test]
    fn a_clock_a_year_ahead_is_recorded_and_what_replaces_its_write_stands() {
        let name = "climate.comfort-c";
        let year = 365 * 86_400;
        let (mut edge, mut cloud) = (End::new(Node::Edge), End::new(Node::Cloud));
        edge.write(name, 21.0, year);
        let heard = cloud.hear(name, &edge.register, 0);
        assert!(heard.notes.iter().any(|note| matches!(note, Note::ClockAhead { by_ms, .. }
            if *by_ms == year * 1000)));
        assert_eq!(cloud.clock.last(), Stamp::NEVER);
        cloud.write(name, 22.0, 1);
        edge.hear(name, &cloud.register, 2);
        assert_eq!((edge.value(name), cloud.value(name)), (Some(22.0), Some(22.0)));
    }

    #[test]
    fn what_can_be_no_register_is_not_taken() {
        let field = field("climate.comfort-c").unwrap();
        let mut bad = Register::default();
        bad.seen.edge.ms = i64::MAX;
        let taken = receive(field, Node::Cloud, &Register::default(), &bad, &mut Clock::default(), at(0));
        assert!(taken.unwrap_err().to_string().contains("no clock"));
        let refused = write(field, Node::Edge, &bad, number(50.0), "", &mut Clock::default(), at(0));
        assert!(refused.unwrap_err().to_string().contains("from 5 to 35"));
    }
}
