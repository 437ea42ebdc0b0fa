//! The link's conversation, as tables: virtual seconds and inputs, then what must have been sent and told.

mod bounds;
mod front_desk;

use super::*;
use engawa_model::{Currency, Money, RoomId};

struct Talk {
    link: Link,
    now: Timestamp,
    sent: Vec<String>,
    facts: Vec<Fact>,
    closed: bool,
}

impl Talk {
    fn new() -> Self {
        let now = "2026-07-15T10:15:00Z".parse().unwrap();
        let link = Link::new(PmsConfig::new("pms:5010"), TimeZone::UTC);
        let mut talk = Self { link, now, sent: vec![], facts: vec![], closed: false };
        talk.link.on_connected(now);
        talk.drain();
        talk
    }

    fn alive() -> Self {
        let mut talk = Self::new();
        talk.pms("LS|DA260715|TI101500|").pms("LA|DA260715|TI101501|");
        talk.sent.clear();
        talk.facts.clear();
        talk
    }

    fn drain(&mut self) {
        while let Some(out) = self.link.poll() {
            match out {
                Out::Send(bytes) => {
                    self.sent.push(String::from_utf8(bytes[1..bytes.len() - 1].to_vec()).unwrap())
                }
                Out::Observe(fact) => self.facts.push(fact),
                Out::Close => self.closed = true,
            }
        }
    }

    fn pms(&mut self, record: &str) -> &mut Self {
        self.link.on_bytes(self.now, format!("\x02{record}\x03").as_bytes());
        self.drain();
        self
    }

    fn wait(&mut self, seconds: u32) -> &mut Self {
        let until = after(self.now, seconds);
        while let Some(wake) = self.link.wake_at().filter(|wake| *wake <= until) {
            self.now = wake;
            self.link.on_wake(wake);
            self.drain();
        }
        self.now = until;
        self
    }

    fn post(&mut self, number: u32) -> &mut Self {
        let intent = Intent::SendPosting {
            number: PostingNumber(number),
            room: RoomId::from("101"),
            stay: None,
            amount: Money { minor: 1050, currency: Currency::new("EUR").unwrap() },
            text: "Laundry".into(),
            outlet: Some("LAUNDRY".into()),
            detail: PostingDetail::Plain,
        };
        self.link.on_intent(self.now, &intent);
        self.drain();
        self
    }

    fn ids(&self) -> Vec<&str> {
        self.sent.iter().map(|record| &record[..2]).collect()
    }
}

#[test]
fn the_start_describes_what_is_used_and_ends_with_la() {
    let mut talk = Talk::new();
    talk.pms("LS|DA260715|TI101500|");
    assert_eq!(talk.ids(), ["LD", "LR", "LR", "LR", "LR", "LR", "LR", "LR", "LR", "LR", "LR", "LR", "LA"]);
    assert!(talk.sent[1].starts_with("LR|RIGI|FL"));
    assert!(!talk.facts.contains(&up("alive")));
    talk.pms("LA|DA260715|TI101505|");
    assert_eq!(talk.facts.last(), Some(&up("alive")));
}

#[test]
fn a_silent_pms_is_spoken_to_after_three_seconds_and_given_up_in_the_end() {
    let mut talk = Talk::new();
    talk.wait(2);
    assert_eq!(talk.ids(), [] as [&str; 0]);
    talk.wait(1);
    assert_eq!(talk.ids(), ["LS"]);
    talk.wait(60);
    assert!(talk.closed);
}

#[test]
fn an_idle_link_is_checked_and_a_dead_one_closed() {
    let mut talk = Talk::alive();
    talk.wait(300);
    assert_eq!(talk.ids(), ["LS"]);
    talk.pms("LA|").wait(299);
    assert_eq!(talk.ids(), ["LS"], "at most every five minutes");
    talk.wait(1).wait(30);
    assert!(talk.closed);
    assert_eq!(talk.facts.last(), Some(&down("no answer to the idle check")));
}

#[test]
fn an_la_is_never_answered() {
    let mut talk = Talk::alive();
    talk.pms("LA|").pms("LA|").pms("LA|");
    assert_eq!(talk.ids(), [] as [&str; 0]);
}

#[test]
fn le_is_answered_and_a_later_ls_begins_again() {
    let mut talk = Talk::alive();
    talk.pms("LE|DA260715|TI1016001|");
    assert_eq!(talk.ids(), ["LE"]);
    talk.pms("LS|").pms("LA|");
    assert_eq!(talk.facts.last(), Some(&up("alive")));
}

#[test]
fn one_posting_at_a_time_and_none_within_a_list() {
    let mut talk = Talk::alive();
    talk.post(1).post(2);
    assert_eq!(talk.ids(), ["PS"]);
    assert_eq!(talk.sent[0], "PS|RN101|PTC|TA1050|P#1|CTLaundry|SOLAUNDRY|DA260715|TI101500|");
    assert_eq!(talk.facts, [Fact::PostingNotSent { number: PostingNumber(2) }]);
    talk.pms("PA|RN101|ASOK|P#1|").pms("DS|").post(3);
    assert_eq!(talk.facts.last(), Some(&Fact::PostingNotSent { number: PostingNumber(3) }));
    assert_eq!(talk.ids(), ["PS"]);
}

#[test]
fn a_posting_without_an_answer_is_told_after_the_time_out() {
    let mut talk = Talk::alive();
    talk.post(1).wait(29);
    assert!(talk.facts.is_empty());
    talk.wait(1);
    assert_eq!(talk.facts, [Fact::PostingUnanswered { number: PostingNumber(1) }]);
}

#[test]
fn the_languages_and_dates_of_the_pms_become_ours() {
    let mut talk = Talk::alive();
    talk.pms("GI|RN0101|G#1|GLSP|GA260714|GD20260718|GSN|");
    let Fact::GuestSeen { room, guest, .. } = &talk.facts[0] else { panic!("{:?}", talk.facts) };
    assert_eq!(room.as_str(), "0101", "leading zeros are significant");
    assert_eq!(guest.language.as_deref(), Some("es"));
    assert_eq!((guest.arrival, guest.departure), (Some(engawa_model::Date::constant(2026, 7, 14)), None));
}

#[test]
fn data_before_the_link_is_alive_is_left_alone() {
    let mut talk = Talk::new();
    talk.pms("GI|RN101|G#1|");
    assert_eq!(talk.facts.last(), Some(&Fact::PmsRefused { why: "before-alive".into() }));
}

#[test]
fn a_stop_waits_for_le_and_for_nothing_else() {
    let mut talk = Talk::alive();
    assert!(talk.link.end(talk.now));
    talk.drain();
    talk.pms("LE|");
    assert_eq!(
        (talk.ids(), talk.closed),
        (vec!["LE"], true),
        "the PMS has answered: nothing is left to wait for"
    );

    let mut talk = Talk::alive();
    talk.link.end(talk.now);
    talk.drain();
    talk.facts.clear();
    talk.pms("LS|").pms("DS|").pms("GI|RN101|G#1|").pms("DE|");
    assert!(
        matches!(talk.facts.as_slice(), [Fact::GuestSeen { .. }]),
        "what was on its way is taken, and nothing begins: {:?}",
        talk.facts
    );
    talk.wait(1);
    assert_eq!(
        (talk.ids(), talk.closed),
        (vec!["LE"], true),
        "a PMS that goes on talking does not hold us up"
    );
}

#[test]
fn a_list_that_stalls_ends_with_the_connection() {
    let mut talk = Talk::alive();
    talk.pms("DS|").wait(299).pms("GI|RN101|G#1|SF|").wait(299);
    assert!(!talk.closed);
    talk.wait(1);
    assert!(talk.closed);
    assert_eq!(talk.facts.last(), Some(&down("the list stalled")));
    assert_eq!(talk.ids(), [] as [&str; 0], "nothing is sent within a list, not even a check");
}

#[test]
fn a_list_without_end_ends_with_the_connection() {
    let mut talk = Talk::alive();
    talk.pms("DS|");
    for minute in 1..15 {
        talk.wait(60).pms("GI|RN101|G#1|SF|");
        assert!(!talk.closed, "after {minute} minutes");
    }
    talk.wait(60);
    assert!(talk.closed);
}

#[test]
fn a_wake_up_call_from_the_pms_and_its_one_answer() {
    let mut talk = Talk::alive();
    talk.pms("WR|RN101|DA260716|TI063000|");
    let Some(Fact::WakeUpAsked { room, at: Some(at), time }) = talk.facts.last().cloned() else {
        panic!("{:?}", talk.facts)
    };
    assert!(talk.sent.is_empty(), "WR is not answered");
    let tell = Intent::TellWakeUp {
        id: engawa_model::WakeId(1),
        room,
        at,
        time,
        word: engawa_model::WakeWord::Unanswered,
    };
    // Nothing is sent within a list; the house tells again after it.
    talk.pms("DS|DA260716|TI064400|");
    talk.link.on_intent(talk.now, &tell);
    talk.drain();
    assert!(talk.sent.is_empty() && !talk.facts.iter().any(|fact| matches!(fact, Fact::WakeUpTold { .. })));
    talk.pms("DE|DA260716|TI064500|");
    talk.link.on_intent(talk.now, &tell);
    talk.drain();
    assert_eq!(talk.sent, ["WA|RN101|DA260716|TI063000|ASNR|"]);
    assert!(matches!(talk.facts.last(), Some(Fact::WakeUpTold { .. })));
}

#[test]
fn questions_are_bounded_and_end_with_the_link() {
    let mut talk = Talk::alive();
    talk.link.config.uses.insert(Use::Bill);
    let ask = |talk: &mut Talk, n: usize| {
        let request = PmsRequest::Bill { room: "101".into(), stay: n.to_string().as_str().into() };
        let key = format!("b{n}").as_str().into();
        talk.link.on_intent(talk.now, &Intent::AskPms { key, request });
        talk.drain();
    };
    for n in 0..=MOST_ASKED {
        ask(&mut talk, n);
    }
    assert_eq!(talk.ids(), vec!["XR"; MOST_ASKED]);
    let Some(Fact::Pms { said: PmsFact::NotSent { key, reason } }) = talk.facts.last() else {
        panic!("{:?}", talk.facts)
    };
    assert_eq!((key.as_str(), reason.contains("16 questions wait")), ("b16", true));

    // An answer to one of them, whichever comes first, is that one's.
    talk.pms("XB|RN101|G#3|BA100|");
    let answered = PmsFact::Answered { key: "b3".into(), status: "OK".into(), text: None };
    assert_eq!(talk.facts.last(), Some(&Fact::Pms { said: answered }));
    talk.pms("LS|").pms("LA|");
    talk.facts.clear();
    talk.pms("XB|RN101|G#4|BA100|");
    assert_eq!(talk.facts.last(), Some(&Fact::PmsRefused { why: "answer-not-asked".into() }));
}

#[test]
fn a_key_answer_that_nobody_waits_for_is_counted() {
    let mut talk = Talk::new();
    let answer = engawa_model::KeyAnswer {
        kind: engawa_model::KeyKind::New,
        coder: "1".into(),
        workstation: None,
        stay: None,
        room: None,
        status: "OK".into(),
        text: None,
        card: None,
    };
    talk.link.on_intent(talk.now, &Intent::AnswerKey { answer });
    talk.drain();
    assert_eq!(talk.facts.last(), Some(&Fact::PmsRefused { why: "key-answer-too-late".into() }));
    assert!(talk.sent.is_empty());
}
