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
        // A byte out of nowhere; no ACK, which no line can tell from a real one.
        any::<u8>().prop_filter("a false ACK", |byte| *byte != ACK).prop_map(Spoil::Add),
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

/// True where `got` is `sent` with some records left out.
fn is_part_of(got: &[String], sent: &[String]) -> bool {
    let mut rest = sent.iter();
    got.iter().all(|record| rest.any(|sent| sent == record))
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
        prop_assert!(is_part_of(&a.records, &theirs), "{:?} of {:?}", a.records, theirs);
        prop_assert!(is_part_of(&b.records, &ours), "{:?} of {:?}", b.records, ours);
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
