//! The PMS's bytes.
//!
//! Seen here: frames do not depend on the pieces in which they come, and a second reading finds the same ones; no body is longer than its bound; a record that was
//! read, written and read is the same, and one that comes out otherwise than it came in is said to be odd; and a link that hears any bytes, in any order with time, sends whole frames only
//! and tells nothing of guests before both sides have greeted.

use arbitrary::Unstructured;
use engawa_model::{Fact, Timestamp};
use engawa_pms::codec::dictionary::{RECORDS, pairs};
use engawa_pms::codec::{FrameEvent, Framer, MAX_RECORD_BYTES, Record, faults};
use engawa_pms::link::{Link, Out};
use engawa_pms::{Charset, PmsConfig};
use jiff::tz::TimeZone;

const CHARSETS: [Charset; 8] = [
    Charset::Utf8,
    Charset::Cp850,
    Charset::Cp932,
    Charset::EucJp,
    Charset::Gbk,
    Charset::Big5,
    Charset::Windows1251,
    Charset::Windows1252,
];
/// Steps of a script.
const MOST_STEPS: usize = 60;

/// Plays bytes as a stream, and as a script of a link.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let _ = play(&mut script);
}

fn frames(pieces: &[&[u8]]) -> Vec<FrameEvent> {
    let (mut framer, mut found) = (Framer::new(), Vec::new());
    for piece in pieces {
        framer.push(piece, |event| found.push(event));
    }
    found
}

/// The frames of a whole stream, read in another way: from each STX to what ends it.
fn read_again(stream: &[u8]) -> Vec<FrameEvent> {
    let mut found = Vec::new();
    let mut begins =
        stream.iter().enumerate().filter(|(_, byte)| **byte == 2).map(|(at, _)| at + 1).peekable();
    while let Some(begin) = begins.next() {
        let body = &stream[begin..begins.peek().map_or(stream.len(), |next| next - 1)];
        match body.iter().position(|byte| *byte == 3) {
            Some(end) if end <= MAX_RECORD_BYTES => found.push(FrameEvent::Body(body[..end].to_vec())),
            // Not closed before the next one begins, or too long; at the end of the stream it may still be closed.
            None if body.len() <= MAX_RECORD_BYTES && begins.peek().is_none() => {}
            _ => found.push(FrameEvent::Torn),
        }
    }
    found
}

/// A record of the house's own: whatever its texts hold, it is one frame with as many fields.
fn own(charset: Charset, texts: &[String]) {
    let mut record = Record::new("PS");
    for text in texts {
        record = record.with("CT", text.as_str());
    }
    let back = whole(&record.encode(charset), charset);
    assert_eq!(back.fields().count(), texts.len(), "{texts:?}");
}

fn play(script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let charset = *script.choose(&CHARSETS)?;
    if script.ratio(1, 8)? {
        own(charset, &[script.arbitrary()?, script.arbitrary()?, script.arbitrary()?]);
        return Ok(());
    }
    if script.arbitrary()? {
        let cut = usize::from(script.arbitrary::<u8>()?);
        stream(charset, script.bytes(script.len())?, cut);
        return Ok(());
    }
    link(script, charset)
}

fn stream(charset: Charset, bytes: &[u8], cut: usize) {
    let (before, after) = bytes.split_at(cut.min(bytes.len()));
    let found = frames(&[bytes]);
    assert_eq!(found, read_again(bytes), "two readings");
    assert_eq!(found, frames(&[before, after]), "pieces make a difference");
    for event in found {
        let FrameEvent::Body(body) = event else { continue };
        assert!(body.len() <= MAX_RECORD_BYTES && !body.contains(&2) && !body.contains(&3));
        let odd = faults(&body, charset).iter().any(|fault| fault.changes_bytes);
        let Some(record) = Record::decode(&body, charset) else {
            assert!(odd, "a record that can't be read is not said to be odd");
            continue;
        };
        let same = record.encode(charset)[1..].strip_suffix(&[3]) == Some(&body[..]);
        assert_eq!(same, !odd, "{charset:?}: {body:?}");
        assert_eq!(record.id().len(), 2);
        // The first writing puts blanks where the protocol has no escape; after that it stays.
        let written = whole(&record.encode(charset), charset);
        let again = whole(&written.encode(charset), charset);
        assert_eq!(written.id(), record.id());
        assert_eq!(again, written, "{charset:?}");
    }
}

/// The record of exactly one frame.
fn whole(frame: &[u8], charset: Charset) -> Record {
    let found = frames(&[frame]);
    let [FrameEvent::Body(body)] = &found[..] else { panic!("not one frame: {found:?}") };
    Record::decode(body, charset).expect("a record of our own")
}

/// A record of any kind with its own fields and any texts.
fn any_record(script: &mut Unstructured<'_>, charset: Charset) -> arbitrary::Result<Vec<u8>> {
    let kind = script.choose(RECORDS)?;
    let fields: Vec<&str> = pairs(kind.mandatory).chain(pairs(kind.optional)).collect();
    let mut record = Record::new(kind.id);
    for _ in 0..script.int_in_range(0..=6_u8)? {
        if !fields.is_empty() {
            record = record.with(script.choose(&fields)?, script.arbitrary::<String>()?);
        }
    }
    Ok(record.encode(charset))
}

fn link(script: &mut Unstructured<'_>, charset: Charset) -> arbitrary::Result<()> {
    let mut link = Link::new(PmsConfig { charset, ..PmsConfig::new("10.0.0.5:5010") }, TimeZone::UTC);
    let mut now = Timestamp::from_second(1_700_000_000).expect("a time");
    for _ in 0..MOST_STEPS {
        if script.is_empty() {
            break;
        }
        let (was_alive, mut input, mut woken, mut one_record) = (link.is_alive(), 0, false, false);
        match script.int_in_range(0..=6_u8)? {
            0 => link.on_connected(now),
            1 => link.on_closed("the line"),
            2 => {
                now = link.wake_at().unwrap_or(now).max(now);
                link.on_wake(now);
                woken = true;
            }
            3 => {
                let count = script.int_in_range(1..=60_usize)?.min(script.len());
                let bytes = script.bytes(count)?;
                input = bytes.len();
                link.on_bytes(now, bytes);
            }
            _ => {
                let records: [&[u8]; 10] = [
                    b"\x02LS|DA261124|TI120000|\x03",
                    b"\x02LA|\x03",
                    b"\x02LE|\x03",
                    b"\x02DS|\x03",
                    b"\x02DE|\x03",
                    b"\x02GI|RN101|G#7|GSN|GNx|\x03",
                    b"\x02GO|RN101|G#7|GSN|\x03",
                    b"\x02GC|RN102|RO101|G#7|GSY|\x03",
                    b"\x02PA|ASOK|P#1|\x03",
                    b"\x02RE|RN101|RS3|\x03",
                ];
                let any = any_record(script, charset)?;
                let bytes = if script.arbitrary()? { any.as_slice() } else { *script.choose(&records)? };
                (input, one_record) = (bytes.len(), true);
                link.on_bytes(now, bytes);
            }
        }
        let mut count = 0;
        while let Some(out) = link.poll() {
            count += 1;
            match out {
                Out::Send(frame) => drop(whole(&frame, charset)),
                Out::Observe(Fact::GuestSeen { .. } | Fact::GuestGone { .. }) => {
                    assert!(input > 0, "a guest out of nothing");
                    assert!(was_alive || !one_record, "a guest before the greeting");
                }
                Out::Observe(_) | Out::Close => {}
            }
        }
        assert!(count <= 40 + input * 40, "{count} things to do for {input} bytes");
        let due = link.wake_at();
        assert!(!woken || due.is_none_or(|due| due > now), "woken at {now}, it wants to be woken at {due:?}");
    }
    Ok(())
}
