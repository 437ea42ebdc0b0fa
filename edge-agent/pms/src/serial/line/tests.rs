//! The line as tables, and two ends against each other over a line that spoils bytes.

use super::*;
use proptest::prelude::*;

fn start() -> Timestamp {
    "2026-07-15T10:15:00Z".parse().unwrap()
}

fn framed(body: &str) -> Vec<u8> {
    [&[STX], body.as_bytes(), &[ETX]].concat()
}

fn on_the_wire(body: &str) -> Vec<u8> {
    let mut bytes = framed(body);
    bytes.push(check_of(&bytes[1..]));
    bytes
}

struct End {
    line: Line,
    now: Timestamp,
    written: Vec<Vec<u8>>,
    records: Vec<String>,
    dropped: u32,
    dead: Option<&'static str>,
}

impl End {
    fn new() -> Self {
        Self { line: Line::new(9600), now: start(), written: vec![], records: vec![], dropped: 0, dead: None }
    }

    fn drain(&mut self) {
        while let Some(act) = self.line.poll() {
            match act {
                Act::Write(bytes) => self.written.push(bytes),
                Act::Record(frame) => {
                    self.records.push(String::from_utf8(frame[1..frame.len() - 1].to_vec()).unwrap());
                }
                Act::Dropped => self.dropped += 1,
                Act::Dead(why) => self.dead = Some(why),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> &mut Self {
        self.line.on_bytes(self.now, bytes);
        self.drain();
        self
    }

    fn send(&mut self, body: &str) -> &mut Self {
        self.line.send(self.now, &framed(body));
        self.drain();
        self
    }

    fn wait_ms(&mut self, ms: i64) -> &mut Self {
        let until = later(self.now, SignedDuration::from_millis(ms));
        while let Some(wake) = self.line.wake_at().filter(|wake| *wake <= until) {
            self.now = wake;
            self.line.on_wake(wake);
            self.drain();
        }
        self.now = until;
        self
    }

    fn written(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.written)
    }
}

#[test]
fn the_check_byte_is_the_specifications() {
    assert_eq!(check_of(b"12345\x03"), b'2');
}

#[test]
fn a_record_is_acknowledged_when_the_line_is_quiet_after_it() {
    let mut end = End::new();
    end.hear(&on_the_wire("LS|DA260715|TI101500|"));
    assert!(end.records.is_empty() && end.written.is_empty());
    end.wait_ms(20);
    assert_eq!(end.written(), [vec![ACK]]);
    assert_eq!(end.records, ["LS|DA260715|TI101500|"]);
}

#[test]
fn the_check_byte_may_look_like_anything() {
    // Bodies whose check byte is STX, ETX, ENQ, ACK, NAK: the last character before `|` makes it so.
    let mut tried = 0;
    for wanted in [STX, ETX, ENQ, ACK, NAK, b'|', 0] {
        let bare = check_of(b"GI|RN101|GN") ^ b'|' ^ ETX ^ wanted;
        // One character, or two that XOR to it.
        let name: Vec<u8> =
            if (0x20..0x7F).contains(&bare) && bare != b'|' { vec![bare] } else { vec![b'a', bare ^ b'a'] };
        if name.iter().any(|byte| !(0x20..0x7F).contains(byte) || *byte == b'|') {
            continue;
        }
        let body = format!("GI|RN101|GN{}|", String::from_utf8(name).unwrap());
        let bytes = on_the_wire(&body);
        assert_eq!(bytes.last(), Some(&wanted));
        let mut end = End::new();
        end.hear(&bytes).wait_ms(20).hear(&on_the_wire("LA|")).wait_ms(20);
        assert_eq!(end.records, [body, "LA|".to_owned()], "check byte {wanted:#04x}");
        tried += 1;
    }
    assert!(tried >= 5, "{tried}");
}

#[test]
fn spoilt_records_are_refused_and_come_again() {
    let mut end = End::new();
    let good = on_the_wire("GI|RN101|G#4711|GNSato|");
    let mut bad = good.clone();
    bad[5] ^= 4;
    end.hear(&bad);
    assert_eq!(end.written(), [] as [Vec<u8>; 0], "it may be longer than it looks");
    end.wait_ms(20);
    assert_eq!(end.written(), [vec![NAK]]);
    end.hear(&good).wait_ms(20);
    assert_eq!((end.written(), end.records.len(), end.line.counters().spoilt), (vec![vec![ACK]], 1, 1));
}

#[test]
fn a_record_cut_by_a_false_etx_is_refused_though_its_check_byte_fits() {
    // The byte behind the false ETX is made to be the check byte of what stands before it.
    let cut = b"GI|RN101|";
    let fits = check_of(cut) ^ ETX;
    let stream = [&[STX][..], cut, &[ETX, fits], b"GNSato|", &[ETX, 0x41]].concat();
    let mut end = End::new();
    end.hear(&stream).wait_ms(100);
    assert_eq!((end.records.len(), end.written()), (0, vec![vec![NAK]]));
}

#[test]
fn enq_is_answered_with_the_last_answer_and_with_nak_at_the_start_and_after_anything_else() {
    let mut end = End::new();
    end.hear(&[ENQ]);
    assert_eq!(end.written(), [vec![NAK]], "nothing has been said yet");
    end.hear(&on_the_wire("LA|")).wait_ms(20).hear(&[ENQ]).hear(&[ENQ]);
    assert_eq!(end.written(), [vec![ACK], vec![ACK], vec![ACK]]);
    assert_eq!(end.records.len(), 1, "an ACK that was lost makes nothing come twice");
    end.hear(b"x").hear(&[ENQ]);
    assert_eq!(end.written(), [] as [Vec<u8>; 0], "what follows noise at once may be noise");
    end.wait_ms(20).hear(&[ENQ]);
    assert_eq!(end.written(), [vec![NAK]]);
    end.hear(&[STX, b'G', b'I']).wait_ms(1000).hear(&[ENQ]);
    assert_eq!(end.written(), [vec![NAK]], "a torn record was not taken");
}

#[test]
fn one_record_at_a_time_sent_again_after_nak_and_dropped_after_four_tries() {
    let mut end = End::new();
    end.send("LD|").send("LA|");
    assert_eq!(end.written(), [on_the_wire("LD|")]);
    end.hear(&[NAK]).hear(&[NAK]).hear(&[NAK]);
    assert_eq!(end.written(), vec![on_the_wire("LD|"); 3]);
    end.hear(&[NAK]);
    assert_eq!((end.dropped, end.written()), (1, vec![on_the_wire("LA|")]));
    end.hear(&[ACK]);
    assert!(!end.line.is_busy());
}

#[test]
fn a_silent_peer_is_asked_three_times_and_the_line_is_given_up() {
    let mut end = End::new();
    end.send("LS|").wait_ms(2900);
    assert_eq!(end.written(), [on_the_wire("LS|")]);
    end.wait_ms(200);
    assert_eq!(end.written(), [vec![ENQ]]);
    end.wait_ms(6000);
    assert_eq!((end.written(), end.dead), (vec![vec![ENQ], vec![ENQ]], None));
    end.wait_ms(3000);
    assert!(end.dead.is_some());
}

#[test]
fn a_lost_ack_is_asked_for_and_the_record_not_sent_again() {
    let mut end = End::new();
    end.send("PS|RN101|P#1|").wait_ms(3100).hear(&[ACK]);
    assert_eq!(end.written(), [on_the_wire("PS|RN101|P#1|"), vec![ENQ]]);
    assert!(!end.line.is_busy());
}

#[test]
fn more_than_can_wait_gives_the_line_up() {
    let mut end = End::new();
    for _ in 0..=MOST_WAITING + 1 {
        end.send("LA|");
    }
    assert!(end.dead.is_some());
}

/// What is done to one byte on its way.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(u8),
    Lose,
    Add(u8),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        (0_u8..8).prop_map(|bit| Spoil::Flip(1 << bit)),
        Just(Spoil::Lose),
        // A byte out of nowhere, also a false answer.
        any::<u8>().prop_map(Spoil::Add),
        prop::sample::select(vec![STX, ETX, ENQ, ACK, NAK]).prop_map(Spoil::Add),
    ]
}

/// Plays two ends over a line on which the bytes at the given places are spoilt, until nothing moves any more.
fn play(bodies: &[Vec<String>; 2], spoilt: &[(usize, Spoil)]) -> [End; 2] {
    let mut ends = [End::new(), End::new()];
    for (end, bodies) in ends.iter_mut().zip(bodies) {
        for body in bodies {
            end.send(body);
        }
    }
    let mut passed = 0;
    for _ in 0..20_000 {
        let mut moved = false;
        for from in 0..2 {
            for bytes in ends[from].written() {
                moved = true;
                let mut arrives = vec![];
                for byte in bytes {
                    match spoilt.iter().find(|(at, _)| *at == passed).map(|(_, spoil)| spoil) {
                        None => arrives.push(byte),
                        Some(Spoil::Flip(bits)) => arrives.push(byte ^ bits),
                        Some(Spoil::Lose) => {}
                        Some(Spoil::Add(more)) => arrives.extend([byte, *more]),
                    }
                    passed += 1;
                }
                ends[1 - from].hear(&arrives);
            }
        }
        if !moved {
            let Some(wake) = ends.iter().filter_map(|end| end.line.wake_at()).min() else { break };
            for end in &mut ends {
                end.now = end.now.max(wake);
                end.line.on_wake(end.now);
                end.drain();
            }
        }
    }
    ends
}

/// Why what was got is not what was sent with some records left out; nothing where it is.
fn wrong(got: &[String], sent: &[String]) -> Option<String> {
    let mut rest = sent.iter();
    let part = got.iter().all(|record| rest.any(|sent| sent == record));
    (!part).then(|| format!("{got:?} of {sent:?}"))
}

fn named(texts: [&str; 3]) -> Vec<String> {
    texts.iter().enumerate().map(|(n, text)| format!("GI|RN{n}|G#C{n}|GN{text}|")).collect()
}

#[test]
fn two_errors_that_once_made_a_record_come_twice() {
    let ours = named(["A0 } A}", "}a} A 0AaAA}a    0 0a}", "A 0}aA}a}A"]);
    let theirs = named([" a  ", "A0aa} A0 A", "C\\%"]);
    for spoilt in
        [[(32, Spoil::Flip(1)), (190, Spoil::Add(7))], [(26, Spoil::Flip(1)), (157, Spoil::Flip(64))]]
    {
        let [a, b] = play(&[ours.clone(), theirs.clone()], &spoilt);
        assert_eq!((a.records, b.records), (theirs.clone(), ours.clone()), "{spoilt:?}");
    }
}

#[test]
fn any_one_error_at_any_place_makes_nothing_wrong_nor_double_and_without_a_false_answer_nothing_is_lost() {
    let ours = named(["Sato", "Weber", "O'Neill"]);
    let theirs = named(["Kim", "", "Ng"]);
    let flips = (0..8).map(|bit| Spoil::Flip(1 << bit));
    let adds = [0, STX, ETX, ENQ, ACK, NAK, 7, b'A', b'|', 0x7F, 0xFF].map(Spoil::Add);
    for spoil in flips.chain([Spoil::Lose]).chain(adds) {
        for at in 0..160 {
            let [a, b] = play(&[ours.clone(), theirs.clone()], &[(at, spoil.clone())]);
            for (got, sent) in [(&a.records, &theirs), (&b.records, &ours)] {
                assert_eq!(wrong(got, sent), None, "{spoil:?} at {at}");
                // STX with one bit more is ACK; an ENQ out of nowhere has an answer, which may be an ACK.
                if !matches!(spoil, Spoil::Flip(4) | Spoil::Add(ACK | ENQ)) {
                    assert_eq!(got, sent, "{spoil:?} at {at}");
                }
            }
        }
    }
}

/// A record whose check byte is `wanted`.
fn checked_by(wanted: u8) -> Vec<u8> {
    let bare = check_of(b"GI|RN101|GN") ^ b'|' ^ ETX ^ wanted;
    let name = [b'a', bare ^ b'a'];
    let body = [&b"GI|RN101|GN"[..], &name, b"|"].concat();
    let bytes = [&[STX], body.as_slice(), &[ETX, wanted]].concat();
    assert_eq!(check_of(&body) ^ ETX, wanted);
    bytes
}

#[test]
fn the_rest_of_a_spoilt_record_is_no_answer_whatever_it_looks_like() {
    for looks in [ENQ, ACK, NAK] {
        let good = checked_by(looks);
        let mut end = End::new();
        end.send("PS|RN101|P#1|").written();
        // A byte more behind ETX: the check byte comes where an answer would.
        let (body, check) = good.split_at(good.len() - 1);
        end.hear(&[body, &[7], check].concat());
        assert_eq!((end.written(), end.line.is_busy()), (vec![], true), "{looks:#04x}");
        end.wait_ms(20);
        assert_eq!((end.written(), end.line.is_busy()), (vec![vec![NAK]], true), "one NAK, {looks:#04x}");
        // STX is lost: all of it is noise.
        end.hear(&good[1..]).wait_ms(20);
        assert_eq!((end.written(), end.line.is_busy()), (vec![], true), "{looks:#04x}");
        end.hear(&good).wait_ms(20).hear(&[ACK]);
        assert_eq!((end.written(), end.line.is_busy(), end.records.len()), (vec![vec![ACK]], false, 1));
    }
}

#[test]
fn nothing_is_believed_behind_a_spoilt_record_until_the_line_is_quiet_and_stx_alone_behind_noise() {
    let mut bad = on_the_wire("GI|RN101|G#1|");
    bad[5] ^= 1;
    let good = on_the_wire("GI|RN102|G#2|");
    let mut end = End::new();
    end.hear(&[&bad[..], &good].concat()).wait_ms(19);
    assert_eq!((end.written(), end.records.len()), (vec![], 0));
    end.wait_ms(1);
    assert_eq!(
        (end.written(), end.records.len()),
        (vec![vec![NAK]], 0),
        "one NAK for what is one stretch of bytes"
    );
    end.hear(&[b"x", &good[..]].concat()).wait_ms(20);
    assert_eq!(
        (end.written(), end.records.len()),
        (vec![vec![ACK]], 1),
        "some adapters begin with a wrong byte"
    );
}

#[test]
fn the_end_of_a_record_is_no_record() {
    // STX out of nowhere, and an end whose check byte fits.
    // (What stands before it XORs to nothing.)
    let mut begin = b"GI|RN101|G#".to_vec();
    begin.push(check_of(&begin));
    assert_eq!(check_of(&begin), 0);
    let spoilt = [&[STX], begin.as_slice(), &[STX], b"DN|", &[ETX, check_of(b"DN|") ^ ETX]].concat();
    let mut end = End::new();
    end.hear(&spoilt).wait_ms(20);
    assert_eq!((end.written(), end.records.len()), (vec![vec![NAK]], 0));
    // Whoever stopped in the middle may begin anew, but not sooner than the line was quiet.
    for (ms, taken) in [(19, 0), (20, 1), (900, 1)] {
        let mut end = End::new();
        end.hear(&[STX, b'G', b'I']).wait_ms(ms).hear(&on_the_wire("LA|")).wait_ms(20);
        assert_eq!((end.records.len(), end.line.counters().spoilt), (taken, 1), "{ms} ms");
    }
}

/// How often `record` is taken where it comes again `ms` after its ACK, and `between` has come meanwhile.
fn taken(between: &[u8], ms: i64) -> (usize, u64) {
    let mut end = End::new();
    end.hear(&on_the_wire("KR|RN101|KC1|")).wait_ms(20).hear(between).wait_ms(ms);
    end.hear(&on_the_wire("KR|RN101|KC1|")).wait_ms(20);
    let acks = end.written().into_iter().filter(|bytes| *bytes == [ACK]).count();
    assert!(acks >= 2, "each is acknowledged");
    (end.records.len(), end.line.counters().doubles)
}

#[test]
fn a_record_that_comes_again_is_taken_once_while_its_ack_is_in_doubt_and_is_a_new_one_otherwise() {
    for (between, ms, want) in [
        // Sooner than an ACK can have been heard and answered: repeated for a NAK that nobody has sent.
        (&b""[..], 0, (1, 1)),
        (b"", 20, (1, 1)),
        (b"", 21, (2, 0)),
        (b"", 600_000, (2, 0)),
        // The ACK was asked for, or noise may have stood for it.
        (&[ENQ], 21, (1, 1)),
        (&[ENQ], 12_000, (1, 1)),
        (&[ENQ], 12_001, (2, 0)),
        (b"x", 3_000, (1, 1)),
        // A record that was spoilt or torn: its own, or the same again.
        (&[STX, b'K', ETX, 0], 3_000, (1, 1)),
        (&[STX, b'K'], 3_000, (1, 1)),
        // An answer to nothing puts nothing in doubt.
        (&[ACK], 3_000, (2, 0)),
        (&[NAK], 3_000, (2, 0)),
    ] {
        assert_eq!(taken(between, ms), want, "{between:?}, {ms} ms");
    }
    // Another record between: it has gone on.
    assert_eq!(taken(&on_the_wire("LA|"), 21), (3, 0));
    // Our own ENQ, of which one bit makes NAK.
    let mut end = End::new();
    end.send("LS|").wait_ms(2_000).hear(&on_the_wire("LA|")).wait_ms(2_000);
    assert_eq!(end.line.counters().enquiries, 1);
    end.hear(&on_the_wire("LA|")).wait_ms(20);
    assert_eq!((end.records.len(), end.line.counters().doubles), (1, 1));
    // The doubt ends with the repeat.
    end.wait_ms(21).hear(&[ACK]).hear(&on_the_wire("LA|")).wait_ms(20);
    assert_eq!(end.records.len(), 2);
}

#[test]
fn what_no_record_is_is_refused_though_its_check_byte_fits() {
    for (body, sound) in [
        (&b"GI|RN101"[..], false),
        (b"", false),
        (b"GI|RN\x01|", false),
        (b"GI|RN\x7F|", false),
        (b"GI|RN\x1F|", false),
        (b"GI|RN |", true),
        (b"XL|MTa\tb\nc\x0Cd\re|", true),
        (b"GI|GN\x80\xFF~|", true),
    ] {
        let mut end = End::new();
        let mut bytes = [&[STX], body, &[ETX]].concat();
        bytes.push(check_of(&bytes[1..]));
        end.line.on_bytes(end.now, &bytes);
        end.now = later(end.now, SignedDuration::from_millis(20));
        end.line.on_wake(end.now);
        let acts: Vec<_> = std::iter::from_fn(|| end.line.poll()).collect();
        let taken = matches!(&acts[..], [Act::Write(ack), Act::Record(_)] if *ack == [ACK]);
        assert_eq!((taken, end.line.counters().spoilt), (sound, u64::from(!sound)), "{body:?}: {acts:?}");
    }
}

#[test]
fn the_longest_record_is_taken_and_a_longer_one_refused_at_its_end() {
    for (longer, taken) in [(0, 1), (1, 0), (500, 0)] {
        let mut end = End::new();
        let body = format!("{}|", "x".repeat(MAX_RECORD_BYTES - 1 + longer));
        end.hear(&on_the_wire(&body)).wait_ms(20).hear(&on_the_wire("LA|")).wait_ms(20);
        assert_eq!(end.records.len(), taken + 1, "{longer} more");
        assert_eq!(end.line.counters().spoilt, 1 - taken as u64);
    }
}

#[test]
fn what_has_happened_is_counted() {
    let mut end = End::new();
    assert_eq!(end.line.counters(), Counters::default());
    // Torn, noise (each byte), answers to nothing, ENQ, two refusals of ours.
    end.hear(&[STX, b'G']).wait_ms(1_000).hear(&[STX, b'G', ETX]).wait_ms(1_000).hear(b"ab").wait_ms(20);
    assert_eq!((end.line.counters().spoilt, end.line.counters().noise), (2, 2));
    end.hear(&[STX, b'G']).wait_ms(20).hear(&[STX, b'G']).wait_ms(1_000).hear(&[ACK, NAK]);
    assert_eq!((end.line.counters().spoilt, end.line.counters().noise), (4, 4));
    end.send("LA|").hear(&[NAK, NAK]).wait_ms(10_000);
    let counters = end.line.counters();
    assert_eq!((counters.repeated, counters.enquiries, counters.spoilt, counters.doubles), (2, 3, 4, 0));
    // Cut: the byte behind it is noise, too.
    let mut end = End::new();
    end.hear(&[&on_the_wire("LA|")[..], b"x"].concat()).wait_ms(20);
    assert_eq!((end.line.counters().spoilt, end.line.counters().noise), (1, 1));
}

#[test]
fn nothing_is_waited_for_on_a_line_that_rests() {
    let mut end = End::new();
    assert_eq!(end.line.wake_at(), None);
    end.hear(&[ENQ]);
    assert_eq!(end.line.wake_at(), None, "ENQ is answered and over");
    end.hear(&on_the_wire("LA|")).wait_ms(20).hear(&[ACK]);
    assert_eq!((end.line.wake_at(), end.line.is_busy()), (None, false));
    // An answer to nothing leaves the last answer as it was.
    end.written();
    end.hear(&[ACK]).hear(&[NAK]).hear(&[ENQ]);
    assert_eq!(end.written(), [vec![ACK]]);
}

#[test]
fn how_long_the_line_waits_hangs_on_its_speed() {
    // 1,200 baud: a character takes 9.166 ms, four of them longer than any adapter holds back.
    for (baud, quiet_us) in [(1_200, 36_664), (9_600, 20_000), (38_400, 20_000)] {
        let mut end = End { line: Line::new(baud), ..End::new() };
        end.hear(&on_the_wire("LA|"));
        assert_eq!(end.line.wake_at(), Some(later(start(), SignedDuration::from_micros(quiet_us))), "{baud}");
    }
    // The record's own time, and three seconds for the answer; then ENQ each three seconds.
    let mut end = End::new();
    end.send("LA|");
    let (character, bytes) = (1_145, 6);
    let due = later(start(), SignedDuration::from_micros(3_000_000 + character * bytes));
    assert_eq!(end.line.wake_at(), Some(due));
    end.line.on_wake(later(due, SignedDuration::from_micros(-1)));
    assert_eq!(end.line.poll(), None);
    end.line.on_wake(due);
    assert_eq!(
        (end.line.poll(), end.line.wake_at()),
        (Some(Act::Write(vec![ENQ])), Some(later(due, ANSWER)))
    );
    // Nothing that waits for a byte is ended before its time.
    let mut end = End::new();
    end.hear(&[STX, b'L']);
    assert_eq!(end.line.wake_at(), Some(later(start(), TORN)));
    end.line.on_wake(later(start(), SignedDuration::from_millis(999)));
    assert_eq!(end.line.counters().spoilt, 0);
    end.hear(&on_the_wire("LA|")[2..]).wait_ms(20);
    assert_eq!(end.records, ["LA|"]);
}

#[test]
fn what_waits_goes_out_in_its_order_and_enquiries_begin_anew_with_each_try() {
    let mut end = End::new();
    end.send("LD|").send("LA|").wait_ms(6_100);
    assert_eq!(end.written(), [on_the_wire("LD|"), vec![ENQ], vec![ENQ]]);
    end.hear(&[NAK]);
    assert_eq!(end.written(), [on_the_wire("LD|")]);
    end.wait_ms(9_100);
    assert_eq!((end.written(), end.dead), (vec![vec![ENQ]; 3], None));
    end.hear(&[ACK]);
    assert_eq!(end.written(), [on_the_wire("LA|")]);
    // Given up: what waited is gone with it.
    end.send("LE|").wait_ms(12_100);
    assert!(end.dead.is_some() && !end.line.is_busy());
    end.written();
    end.hear(&[ACK]);
    assert_eq!(end.written(), [] as [Vec<u8>; 0]);
}

#[test]
fn as_many_wait_as_may() {
    let mut end = End::new();
    for _ in 0..=MOST_WAITING {
        end.send("LA|");
    }
    assert_eq!(end.dead, None, "one is under way, the others wait");
    end.send("LA|");
    assert_eq!(end.dead, Some("more records wait than the serial line can take"));
}

fn bodies() -> impl Strategy<Value = Vec<String>> {
    // Numbered, so that one that comes twice is seen.
    proptest::collection::vec("[ -{}~]{0,24}", 1..6).prop_map(|texts| {
        texts.iter().enumerate().map(|(n, text)| format!("GI|RN{n}|G#C{n}|GN{text}|")).collect()
    })
}

proptest! {
    #[test]
    fn a_quiet_line_carries_everything_once(ours in bodies(), theirs in bodies()) {
        let [a, b] = play(&[ours.clone(), theirs.clone()], &[]);
        prop_assert_eq!((a.records, b.records), (theirs, ours));
    }

    #[test]
    fn a_spoilt_line_never_makes_a_wrong_or_a_double_record(
        ours in bodies(),
        theirs in bodies(),
        // Far enough from each other that each record is hit once at most: what an eight-bit check can promise.
        spoilt in proptest::collection::vec((0_usize..60, spoil()), 0..5),
    ) {
        let mut at = 0;
        let spoilt: Vec<_> = spoilt.into_iter().map(|(gap, spoil)| { at += 100 + gap; (at - 100, spoil) }).collect();
        let [a, b] = play(&[ours.clone(), theirs.clone()], &spoilt);
        prop_assert_eq!(wrong(&a.records, &theirs), None);
        prop_assert_eq!(wrong(&b.records, &ours), None);
    }

    #[test]
    fn any_bytes_are_survived(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let mut end = End::new();
        for piece in &pieces {
            end.hear(piece).wait_ms(7);
        }
        end.wait_ms(5000);
    }
}
