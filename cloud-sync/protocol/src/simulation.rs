//! Both ends over a line that loses, cuts and restarts, with seeded chance: the cloud has exactly the edge's rows.

use crate::batch;
use crate::cloud;
use crate::edge::{Bounds, EdgeSession};
use crate::frame::{self, Body};
use crate::ports::Row;
use std::collections::{BTreeMap, VecDeque};

/// xorshift64*: enough chance for a test, and no dependency.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The cloud's durable state.
#[derive(Default)]
struct Store {
    rows: BTreeMap<u8, Vec<Row>>,
}

impl Store {
    fn mark(&self, lane: u8) -> u64 {
        self.rows.get(&lane).and_then(|rows| rows.last()).map_or(0, |row| row.seq)
    }

    fn ingest(&mut self, lane: u8, rows: Vec<Row>) -> Body {
        for row in rows {
            let mark = self.mark(lane);
            if row.seq > mark + 1 {
                return Body::Gap(frame::Ack { mark });
            }
            if row.seq == mark + 1 {
                self.rows.entry(lane).or_default().push(row);
            }
        }
        Body::Ack(frame::Ack { mark: self.mark(lane) })
    }
}

fn row(lane: u8, seq: u64) -> Row {
    Row { seq, at_micros: i64::try_from(seq).unwrap(), kind: format!("lane{lane}"), body: vec![b'x'; 40] }
}

fn take(journal: &BTreeMap<u8, u64>, lane: u8, after: u64, most: usize) -> Vec<Row> {
    (after + 1..=journal[&lane]).take(most).map(|seq| row(lane, seq)).collect()
}

fn play(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut journal: BTreeMap<u8, u64> = [(1, 0), (3, 0), (5, 0)].into();
    let mut store = Store::default();
    let bounds = Bounds {
        bulk_in_flight: 400,
        urgent_in_flight: 800,
        batch_bytes: 200,
        batch_rows: 5,
        first_bulk_lane: 5,
    };
    let mut ends_at_rest = false;
    for connection in 0..200 {
        let writing = connection < 100;
        let heads: Vec<(u8, u64)> = journal.iter().map(|(lane, head)| (*lane, *head)).collect();
        let mut session = EdgeSession::new(bounds, &heads);
        let marks: Vec<(u8, u64)> = journal.keys().map(|lane| (*lane, store.mark(*lane))).collect();
        let hello = frame::encode(Body::Hello(session.hello(7, 0, "test")));
        let greeting = cloud::greeting(frame::decode(&hello[frame::LENGTH..]).unwrap()).unwrap();
        assert_eq!(greeting.heads, heads, "SEED={seed}");
        let Body::Welcome(welcome) = cloud::welcome(&marks) else { unreachable!("a welcome") };
        session.welcomed(&welcome).unwrap();
        // Frames under way, by lane; a stream keeps its order, and what is under way dies with the connection.
        let mut up: BTreeMap<u8, VecDeque<Vec<u8>>> = BTreeMap::new();
        let mut down: BTreeMap<u8, VecDeque<Body>> = BTreeMap::new();
        for _ in 0..chance.below(120) {
            match chance.below(4) {
                0 if writing => {
                    let lane = [1, 3, 5][usize::try_from(chance.below(3)).unwrap()];
                    let head = journal.get_mut(&lane).unwrap();
                    *head += chance.below(4);
                    session.written(lane, *head);
                }
                1 => {
                    if let Some(want) = session.next() {
                        let rows = take(&journal, want.lane, want.after, want.max_rows);
                        let (last, bytes) = (rows.last().unwrap().seq, rows.len() * 40);
                        let frame = frame::encode(Body::Rows(batch::pack(rows).unwrap()));
                        up.entry(want.lane).or_default().push_back(frame);
                        session.sent(want.lane, last, bytes);
                    }
                }
                2 => {
                    let lane = [1, 3, 5][usize::try_from(chance.below(3)).unwrap()];
                    if let Some(frame) = up.entry(lane).or_default().pop_front() {
                        // A store that has forgotten its last rows (restored) makes a gap; rarely.
                        if chance.one_in(60) {
                            store.rows.entry(lane).or_default().pop();
                        }
                        let body = frame::decode(&frame[frame::LENGTH..]).unwrap().unwrap();
                        let answer = store.ingest(lane, cloud::rows(lane, body).unwrap());
                        down.entry(lane).or_default().push_back(answer);
                    }
                }
                _ => {
                    let lane = [1, 3, 5][usize::try_from(chance.below(3)).unwrap()];
                    match down.entry(lane).or_default().pop_front() {
                        Some(Body::Ack(ack)) => drop(session.acknowledged(lane, ack.mark).unwrap()),
                        Some(Body::Gap(ack)) => drop(session.gap(lane, ack.mark).unwrap()),
                        _ => {}
                    }
                }
            }
        }
        let complete = journal.iter().all(|(lane, head)| store.mark(*lane) == *head);
        if !writing && complete {
            ends_at_rest = true;
            break;
        }
    }
    assert!(ends_at_rest, "SEED={seed}: the cloud never caught up");
    for (lane, head) in journal {
        let want: Vec<Row> = (1..=head).map(|seq| row(lane, seq)).collect();
        assert_eq!(store.rows.remove(&lane).unwrap_or_default(), want, "SEED={seed}: lane {lane}");
    }
}

#[test]
fn the_cloud_has_exactly_the_edges_rows() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return play(seed);
    }
    (1..=40).for_each(play);
}
