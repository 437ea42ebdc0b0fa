//! The two ends of the sync: any frames, in any order with time and the stores' answers, into either machine.
//!
//! Seen here: what the machine does for one input is bounded; it never asks its store for two things at once; a gateway
//! gets no more of its rows under way than its bounds, and its numbers are those of its journal; what the cloud unpacks at
//! once, what it lets wait and how many streams it has are bounded whatever comes; rows go to the store only in order;
//! whoever is dropped is told a reason, and after the end nothing happens any more.

use arbitrary::Unstructured;
use engawa_protocol::batch::{self, Form, MAX_PLAIN, MAX_ROWS};
use engawa_protocol::cloud::{self, CONTROL, CloudMachine, MOST_LANES, Marks};
use engawa_protocol::edge::{Bounds, EdgeMachine, Out, Settings, Start, Stream, Want};
use engawa_protocol::frame::{
    self, Ack, Body, Credit, Hello, LENGTH, Lane, Mark, Ping, Refused, Rows, Skip, Welcome,
};
use engawa_protocol::live::Live;
use engawa_protocol::ports::{Gone, Ingested, Origin, Previous, Refusal, Row};
use engawa_protocol::update::{FetchAsk, MOST_PIECE, Question, UpdateAsk};
use std::collections::BTreeMap;
use std::time::Duration;

/// Steps of a script.
const MOST_STEPS: usize = 80;
/// What one input may make a machine do.
const MOST_OUT: usize = 100;
/// Frames that the cloud lets wait on one lane, bytes, beside the last one.
const MOST_WAITING: u64 = 512 << 10;
const LANES: [u8; 3] = [1, 3, 5];

/// Plays a script against one of the ends.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let _ = if script.arbitrary().unwrap_or(false) { edge(&mut script) } else { cloud(&mut script) };
}

fn rows(first: u64, count: u64) -> Vec<Row> {
    let row =
        |seq| Row { seq, at_micros: 5, kind: "reported".into(), body: format!("{{\"n\":{seq}}}").into() };
    (first..first.saturating_add(count)).map(row).collect()
}

fn number(script: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    Ok(match script.int_in_range(0..=5_u8)? {
        0 => u64::MAX,
        1 => script.arbitrary()?,
        _ => script.int_in_range(0..=60)?,
    })
}

fn lane(script: &mut Unstructured<'_>) -> arbitrary::Result<u32> {
    if script.ratio(1, 12)? { script.arbitrary() } else { Ok(u32::from(*script.choose(&LANES)?)) }
}

fn marks(script: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Mark>> {
    let count = script.int_in_range(0..=4_u8)?;
    (0..count).map(|_| Ok(Mark { lane: lane(script)?, seq: number(script)? })).collect()
}

fn batch(script: &mut Unstructured<'_>) -> arbitrary::Result<Rows> {
    if script.ratio(1, 6)? {
        // Bytes that nobody has packed, and lengths that are not theirs.
        let count = script.int_in_range(0..=40_usize)?.min(script.len());
        let zstd = script.bytes(count)?.to_vec().into();
        let plain_length = *script.choose(&[0, 9, 1 << 20, u32::MAX])?;
        return Ok(Rows { zstd, plain_length, dictionary: script.arbitrary()?, crc32c: script.arbitrary()? });
    }
    let form =
        *script.choose(&[Form::Plain, Form::Columns { dictionary: 0 }, Form::Columns { dictionary: 1 }])?;
    let first = script.int_in_range(1..=60)?;
    let mut packed = batch::pack(&rows(first, script.int_in_range(0..=12)?), form).expect("a small batch");
    if script.ratio(1, 12)? {
        // A bomb: a megabyte of nothing, under its true or a false length.
        packed.zstd = batch::pack(&[Row { body: vec![0; MAX_PLAIN - 64], ..rows(first, 1).remove(0) }], form)
            .expect("a megabyte")
            .zstd;
    }
    if script.ratio(1, 12)? {
        packed.plain_length = script.arbitrary()?;
    }
    Ok(packed)
}

fn any_body(script: &mut Unstructured<'_>) -> arbitrary::Result<Option<Body>> {
    Ok(Some(match script.int_in_range(0..=16_u8)? {
        0 => Body::Hello(Hello {
            versions: vec![script.int_in_range(1..=3)?, 1],
            epoch: 7,
            heads: marks(script)?,
            inbox: number(script)?,
            release: String::new(),
            dictionaries: vec![script.int_in_range(0..=2)?],
            previous: script.arbitrary()?,
        }),
        1 => Body::Welcome(Welcome {
            version: script.int_in_range(0..=3)?,
            marks: marks(script)?,
            credit: number(script)?,
            dictionary: script.int_in_range(0..=2)?,
            previous: marks(script)?,
            live: script.arbitrary()?,
            updates: script.arbitrary()?,
        }),
        2 => Body::Refused(Refused {
            reason: "no".into(),
            retry_after_s: script.arbitrary()?,
            why: script.arbitrary()?,
        }),
        3 => Body::Lane(Lane { lane: lane(script)? }),
        4 | 5 => Body::Rows(batch(script)?),
        6 => Body::Ack(Ack { mark: number(script)? }),
        7 => Body::Live(Live { dropped: script.arbitrary()?, ..Live::default() }),
        8 => Body::Gap(Ack { mark: number(script)? }),
        9 => Body::Commands(batch(script)?),
        10 => Body::CommandsAck(Ack { mark: number(script)? }),
        11 => Body::Credit(Credit { limit: number(script)?, retry_after_ms: script.arbitrary()? }),
        12 => Body::Ping(Ping { number: script.arbitrary()? }),
        13 => Body::Skip(Skip { from: number(script)?, to: number(script)?, reason: "gone".into() }),
        14 => Body::UpdateAsk(UpdateAsk { number: number(script)?, ..UpdateAsk::default() }),
        15 => Body::FetchAsk(FetchAsk {
            name: "metadata/1.root.json".into(),
            offset: number(script)?,
            most: script.arbitrary()?,
        }),
        _ => {
            // Bytes as they come from a line.
            let count = script.int_in_range(0..=60_usize)?.min(script.len());
            return Ok(frame::decode(script.bytes(count)?).unwrap_or(None));
        }
    }))
}

/// A frame as it comes over a line, if it is one.
fn over_the_line(body: Body) -> Body {
    let bytes = frame::encode(body);
    let (head, rest) = bytes.split_first_chunk::<LENGTH>().expect("a length");
    assert_eq!(frame::length(*head).expect("a length that is allowed"), rest.len());
    frame::decode(rest).expect("a frame of our own").expect("one that is known")
}

fn later(script: &mut Unstructured<'_>, now: Duration) -> arbitrary::Result<Duration> {
    let ms = *script.choose(&[0, 1, 700, 16_000, 61_000, 31_536_000_000])?;
    Ok(now + Duration::from_millis(ms))
}

fn edge(script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut now = Duration::from_secs(1);
    let mut heads: BTreeMap<u8, u64> = BTreeMap::new();
    for lane in LANES {
        heads.insert(lane, script.int_in_range(0..=60)?);
    }
    let same = script.int_in_range(0..=60)?;
    let origin =
        |lane: u8| Origin { lane, first: u64::from(lane == 1) + 1, acked: 10, head: 10 + heads[&lane], same };
    let previous = Previous { epoch: 6, lanes: LANES.map(origin).to_vec() };
    let start = Start {
        epoch: 7,
        heads: heads.iter().map(|(lane, head)| (*lane, *head)).collect(),
        inbox: 0,
        release: String::new(),
        previous: script.arbitrary::<bool>()?.then_some(previous),
    };
    let bounds = Bounds { batch_rows: 8, ..Bounds::default() };
    let mut machine = EdgeMachine::new(Settings { bounds, ..Settings::default() }, start, now);
    let (mut reading, mut gone, mut accepting, mut over) = (None::<Want>, None, false, false);
    // The last row of each lane that was ever sent.
    let mut reached: BTreeMap<u8, u64> = BTreeMap::new();
    for _ in 0..MOST_STEPS {
        if script.is_empty() {
            break;
        }
        match script.int_in_range(0..=8_u8)? {
            0 => {
                now = later(script, now)?;
                machine.on_wake(now);
            }
            1 => {
                let lane = *script.choose(&LANES)?;
                let head = heads.get_mut(&lane).expect("a lane");
                *head += script.int_in_range(0..=30)?;
                machine.on_written(lane, *head);
            }
            2 => {
                if let Some(want) = reading.take() {
                    let first = want.after + 1 + u64::from(script.ratio(1, 8)?);
                    let left = heads[&want.lane].saturating_sub(first - 1);
                    machine.on_rows(now, want, &rows(first, left.min(want.max_rows as u64)));
                }
            }
            3 => {
                if let Some((lane, from, to)) = gone.take() {
                    let told = script.arbitrary()?;
                    let why = script.arbitrary::<bool>()?.then(|| Gone { reason: "gone".to_owned(), told });
                    machine.on_gone(now, lane, (from, to), 7, why);
                }
            }
            4 if accepting => {
                accepting = false;
                machine.on_accepted(number(script)?);
            }
            _ => {
                let Some(body) = any_body(script)? else { continue };
                let stream = if script.arbitrary()? {
                    Stream::Control
                } else {
                    Stream::Lane(u8::try_from(lane(script)?).unwrap_or(9))
                };
                machine.on_frame(now, stream, over_the_line(body));
            }
        }
        let mut count = 0;
        while let Some(out) = machine.poll(now) {
            count += 1;
            assert!(count <= MOST_OUT, "{count} things to do for one input");
            assert!(!over, "something to do after the end: {out:?}");
            match out {
                Out::Read(want) => {
                    assert!(reading.is_none() && gone.is_none(), "two reads");
                    assert!(want.after < heads[&want.lane], "a read beyond the end");
                    reading = Some(want);
                }
                Out::Gone { lane, from, to, .. } => {
                    assert!(reading.is_none() && gone.is_none(), "two reads");
                    assert!((1..=to).contains(&from) && to <= heads[&lane]);
                    gone = Some((lane, from, to));
                }
                Out::Accept(commands) => {
                    assert!(!accepting && commands.len() <= MAX_ROWS);
                    accepting = true;
                }
                Out::Acknowledged { lane, mark } => {
                    assert!(mark <= heads[&lane], "the journal is told of rows that it does not have");
                }
                Out::Send { stream: Stream::Lane(lane), body: Body::Rows(packed) } => {
                    let last = batch::unpack(&packed).expect("our own rows").last().expect("some").seq;
                    reached.insert(lane, last.max(reached.get(&lane).copied().unwrap_or(0)));
                }
                Out::End(end) => {
                    assert!(!end.to_string().is_empty());
                    over = true;
                }
                Out::Open(_) | Out::Send { .. } | Out::Welcomed { .. } | Out::Rebind => {}
            }
        }
        assert!(reached.iter().all(|(lane, last)| *last <= heads[lane]), "rows that are not there");
        assert!(!over || machine.wake_at(now).is_none());
    }
    Ok(())
}

fn cloud(script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut now = Duration::from_secs(1);
    let mut machine =
        CloudMachine::new(cloud::Settings { live: true, updates: true, ..cloud::Settings::default() }, now);
    let (mut asking, mut looking, mut over, mut streams) = (false, false, false, 1_u32);
    // Streams from which the next frame may be taken; what waits on each; what the store works at.
    let mut leave: BTreeMap<u32, bool> = BTreeMap::new();
    let mut waits: BTreeMap<u32, u64> = BTreeMap::new();
    let mut working: BTreeMap<u32, u64> = BTreeMap::new();
    // The question about updates that waits for its answer.
    let mut asked: Option<u32> = None;
    for step in 0..MOST_STEPS {
        if script.is_empty() {
            break;
        }
        match script.int_in_range(0..=9_u8)? {
            0 => {
                now = later(script, now)?;
                machine.on_wake(now);
            }
            1 => {
                machine.on_open(streams);
                streams += 1;
            }
            2 if asking => {
                asking = false;
                let mark = |mark: &Mark| (u8::try_from(mark.lane).unwrap_or(1), mark.seq);
                let known: Vec<(u8, u64)> = marks(script)?.iter().map(mark).collect();
                let refused = script.ratio(1, 10)?;
                let answer = Marks { present: known.clone(), previous: known };
                machine.on_welcome(now, if refused { Err(Refusal::Unavailable) } else { Ok(answer) });
            }
            3 | 4 => {
                let Some((stream, _)) = working.pop_first() else { continue };
                waits.insert(stream, 0);
                let mark = number(script)?;
                machine.on_ingested(
                    now,
                    stream,
                    match script.int_in_range(0..=6_u8)? {
                        0 => None,
                        1 => Some(Ingested::Gap(mark)),
                        2 => Some(Ingested::Busy {
                            mark,
                            pause: Duration::from_secs(script.arbitrary::<u32>()?.into()),
                        }),
                        _ => Some(Ingested::Upto(mark)),
                    },
                );
            }
            5 if looking => {
                looking = false;
                let found = rows(script.int_in_range(1..=60)?, script.int_in_range(0..=64)?);
                machine.on_commands(now, script.arbitrary::<bool>()?.then_some(found.as_slice()));
            }
            6 => machine.on_commands_changed(now),
            7 if asked.is_some() => {
                let Some(stream) = asked.take() else { continue };
                waits.insert(stream, 0);
                machine.on_answered(stream);
            }
            _ => {
                // The beginning of a session is likely, else everything ends at once.
                let first = step < 2 && script.ratio(7, 8)?;
                let stream = if first { CONTROL } else { script.int_in_range(0..=4)? };
                if leave.remove(&stream) != Some(true) {
                    continue;
                }
                let body = if first {
                    let heads = LANES.map(|lane| Mark { lane: lane.into(), seq: 60 }).to_vec();
                    let versions = vec![script.int_in_range(1..=2)?, 1];
                    Some(Body::Hello(Hello { versions, heads, dictionaries: vec![1], ..Hello::default() }))
                } else {
                    any_body(script)?
                };
                let Some(body) = body else { continue };
                let body = over_the_line(body);
                let waiting = waits.entry(stream).or_default();
                assert!(*waiting <= MOST_WAITING, "{waiting} bytes wait, and more may come");
                *waiting += frame::size(&body);
                machine.on_frame(now, stream, body);
            }
        }
        let mut count = 0;
        while let Some(out) = machine.poll() {
            count += 1;
            assert!(count <= MOST_OUT, "{count} things to do for one input");
            assert!(!over, "something to do after the end: {out:?}");
            match out {
                cloud::Out::Receive(stream) => assert!(leave.insert(stream, true).is_none(), "twice"),
                cloud::Out::Hello(greeting) => {
                    assert!(!asking && greeting.heads.len() <= MOST_LANES);
                    asking = true;
                }
                cloud::Out::Ingest { stream, rows, .. } => {
                    assert!(rows.len() <= MAX_ROWS);
                    let plain: usize = rows.iter().map(|row| row.body.len()).sum();
                    assert!(plain <= 2 * MAX_PLAIN, "{plain} bytes at once");
                    assert!(rows.windows(2).all(|pair| pair[1].seq - pair[0].seq == 1));
                    assert!(working.insert(stream, 0).is_none(), "two batches of a lane at once");
                }
                cloud::Out::Skip { stream, skip, .. } => {
                    assert!((1..=skip.to).contains(&skip.from) && i64::try_from(skip.to).is_ok());
                    assert!(working.insert(stream, 0).is_none(), "two batches of a lane at once");
                }
                cloud::Out::Question { stream, question } => {
                    assert!(asked.replace(stream).is_none(), "two questions at once");
                    if let Question::Fetch(ask) = question {
                        assert!(ask.most <= MOST_PIECE && ask.name.len() <= 512);
                    }
                }
                cloud::Out::Commands { .. } => {
                    assert!(!looking, "two looks");
                    looking = true;
                }
                cloud::Out::End(end) => {
                    assert!(!end.to_string().is_empty());
                    over = true;
                }
                cloud::Out::Send { .. } | cloud::Out::CommandsAcknowledged(_) | cloud::Out::Live(_) => {}
            }
        }
        assert!(leave.len() <= MOST_LANES + 3, "{} streams", leave.len());
        assert!(!over || machine.wake_at().is_none());
    }
    Ok(())
}
