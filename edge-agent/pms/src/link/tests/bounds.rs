//! The link's deadlines, a second before and at them; its bounds; and what is left alone while it is not free.

use super::*;

fn key(text: &str) -> CommandKey {
    text.into()
}

fn key_answer() -> Intent {
    Intent::AnswerKey {
        answer: engawa_model::KeyAnswer {
            kind: engawa_model::KeyKind::New,
            coder: "1".into(),
            workstation: None,
            stay: None,
            room: None,
            status: "OK".into(),
            text: None,
            card: None,
        },
    }
}

fn want(talk: &mut Talk, intent: &Intent) {
    talk.link.on_intent(talk.now, intent);
    talk.drain();
}

/// Wakes the link `seconds` from now, whether it wanted it or not.
fn wake(talk: &mut Talk, seconds: u32) {
    let at = after(talk.now, seconds);
    talk.link.on_wake(at);
    talk.drain();
}

#[test]
fn nothing_is_done_before_its_time() {
    // A wake comes at whatever is due first, and others' times are not up then.
    let mut talk = Talk::new();
    wake(&mut talk, 2);
    assert_eq!(talk.ids(), [] as [&str; 0], "the PMS has three seconds to speak first");
    talk.wait(3);
    assert_eq!(talk.ids(), ["LS"]);
    wake(&mut talk, 59);
    assert!(!talk.closed);
    wake(&mut talk, 60);
    assert!(talk.closed);
    assert_eq!(talk.facts.last(), Some(&down("the PMS says nothing")));

    let mut talk = Talk::new();
    talk.pms("LS|");
    wake(&mut talk, 59);
    assert!(!talk.closed);
    wake(&mut talk, 60);
    assert!(talk.closed);
    assert_eq!(talk.facts.last(), Some(&down("the PMS did not answer our descriptions with LA")));

    // Our own good-bye: half a second, on a serial line a whole one. The PMS's: until it begins again, at most a minute.
    for (serial, ms) in [(false, 500), (true, 1000)] {
        let mut talk = Talk::alive();
        talk.link.config.serial = serial.then(|| crate::serial::SerialConfig::new("/dev/ttyS0"));
        talk.link.end(talk.now);
        for (late, closed) in [(ms - 1, false), (ms, true)] {
            talk.link.on_wake(talk.now + SignedDuration::from_millis(late));
            talk.drain();
            assert_eq!(talk.closed, closed, "{late} ms");
        }
        assert_eq!(talk.facts.last(), Some(&down("the link was ended")));
    }
    let mut talk = Talk::alive();
    talk.pms("LE|");
    wake(&mut talk, 59);
    assert!(!talk.closed);
    wake(&mut talk, 60);
    assert!(talk.closed);

    let mut talk = Talk::alive();
    wake(&mut talk, 299);
    assert_eq!(talk.ids(), [] as [&str; 0]);
    wake(&mut talk, 300);
    assert_eq!(talk.ids(), ["LS"]);
    wake(&mut talk, 329);
    assert!(!talk.closed);
    wake(&mut talk, 330);
    assert!(talk.closed);

    let mut talk = Talk::alive();
    talk.pms("DS|");
    wake(&mut talk, 299);
    assert!(!talk.closed);
    wake(&mut talk, 300);
    assert_eq!(talk.facts.last(), Some(&down("the list stalled")));
    let mut talk = Talk::alive();
    talk.pms("DS|");
    for _ in 0..4 {
        talk.wait(200).pms("GI|RN101|G#1|SF|");
    }
    wake(&mut talk, 99);
    assert!(!talk.closed);
    wake(&mut talk, 100);
    assert_eq!(talk.facts.last(), Some(&down("the list has no end")));

    let mut talk = Talk::alive();
    talk.post(1);
    wake(&mut talk, 29);
    assert!(talk.facts.is_empty());
    wake(&mut talk, 30);
    assert_eq!(talk.facts, [Fact::PostingUnanswered { number: PostingNumber(1) }]);
}

#[test]
fn it_wants_to_be_woken_at_what_is_due_first() {
    let at = |talk: &Talk, seconds| Some(after(talk.now, seconds));
    let mut talk = Talk::new();
    assert_eq!(talk.link.wake_at(), at(&talk, 3));
    talk.pms("LS|");
    assert_eq!(talk.link.wake_at(), at(&talk, 60));
    talk.pms("LA|");
    assert_eq!(talk.link.wake_at(), at(&talk, 300));
    talk.post(1);
    assert_eq!(talk.link.wake_at(), at(&talk, 30));
    talk.pms("PA|P#2|ASOK|");
    assert_eq!(talk.link.wake_at(), at(&talk, 30), "another's answer");
    talk.pms("PA|P#1|ASOK|");
    assert_eq!(talk.link.wake_at(), at(&talk, 300));
    talk.pms("DS|").wait(290).pms("GI|RN101|G#1|SF|").wait(290).pms("GI|RN101|G#1|SF|").wait(290);
    talk.pms("GI|RN101|G#1|SF|");
    assert_eq!(talk.link.wake_at(), at(&talk, 30), "the list's end comes before it stalls");
    talk.link.on_closed("gone");
    assert_eq!((talk.link.wake_at(), talk.link.is_alive()), (None, false));
}

#[test]
fn alive_is_what_data_flows_on() {
    let mut talk = Talk::new();
    assert!(!talk.link.is_alive());
    talk.pms("LS|");
    assert!(!talk.link.is_alive());
    talk.pms("LA|");
    assert!(talk.link.is_alive());
    talk.pms("LE|");
    assert!(!talk.link.is_alive());
}

#[test]
fn nothing_is_sent_while_the_link_is_not_free() {
    let status = Intent::SendRoomStatus { key: key("s"), room: "101".into(), status: "make-up".into() };
    let told = Intent::TellWakeUp {
        id: engawa_model::WakeId(1),
        room: "101".into(),
        at: "2026-07-16T06:30:00".parse().unwrap(),
        time: None,
        word: engawa_model::WakeWord::Answered,
    };
    let all = [(status, "RE"), (Intent::RequestResync, "DR"), (told, "WA")];
    let before = || {
        let mut talk = Talk::new();
        talk.facts.clear();
        talk
    };
    let within = || {
        let mut talk = Talk::alive();
        talk.pms("DS|");
        talk.facts.clear();
        talk
    };
    for (intent, id) in &all {
        for mut talk in [before(), within()] {
            want(&mut talk, intent);
            assert_eq!((talk.ids(), &talk.facts), (vec![], &vec![]), "{id}");
            talk.post(1);
            assert_eq!(talk.facts, [Fact::PostingNotSent { number: PostingNumber(1) }]);
        }
        let mut talk = Talk::alive();
        want(&mut talk, intent);
        assert_eq!((talk.ids(), talk.facts.len()), (vec![*id], 1), "{id}");
    }
    // A question is refused, with a reason; news wait with the model.
    for mut talk in [before(), within()] {
        talk.link.config.uses.extend([Use::Bill, Use::Messages]);
        want(
            &mut talk,
            &Intent::AskPms {
                key: key("b"),
                request: PmsRequest::Bill { room: "101".into(), stay: "1".into() },
            },
        );
        let Some(Fact::Pms { said: PmsFact::NotSent { key: of, reason } }) = talk.facts.pop() else {
            panic!("{:?}", talk.facts)
        };
        assert_eq!((of.as_str(), reason.as_str()), ("b", "the PMS link was not free: ask again"));
        let read = PmsRequest::MessageRead { room: "101".into(), stay: "1".into(), message: "2".into() };
        want(&mut talk, &Intent::AskPms { key: key("m"), request: read });
        assert_eq!((talk.ids(), &talk.facts), (vec![], &vec![]));
    }
}

#[test]
fn answers_to_keys_wait_for_the_end_of_a_list_and_no_more_than_may() {
    let mut talk = Talk::alive();
    talk.pms("DS|");
    talk.facts.clear();
    for _ in 0..MOST_HELD {
        want(&mut talk, &key_answer());
    }
    assert_eq!((talk.ids(), &talk.facts), (vec![], &vec![]));
    want(&mut talk, &key_answer());
    assert_eq!(talk.facts, [Fact::PmsRefused { why: "key-answer-too-late".into() }]);
    talk.pms("DE|");
    assert_eq!(talk.ids(), vec!["KA"; MOST_HELD]);
    talk.facts.clear();
    talk.pms("DE|");
    assert_eq!(talk.facts, [Fact::PmsRefused { why: "list-end-without-begin".into() }]);
    assert_eq!(talk.ids().len(), MOST_HELD, "what was held has gone out once");
    want(&mut talk, &key_answer());
    assert_eq!(talk.ids().len(), MOST_HELD + 1, "without a list it goes at once");
}

#[test]
fn every_description_of_a_connection_has_a_proof_of_its_own() {
    let site = AuthKey::parse("GVDpVnl6qYlTQXQJZxXdbw==").unwrap();
    let mut talk = Talk::new();
    talk.link.prove_with(site.clone(), [7; 16]);
    talk.pms("LS|DA260715|TI101500|").pms("LA|").pms("LS|DA260715|TI101900|");
    let proofs: Vec<_> = talk.sent.iter().filter(|record| record.starts_with("LD|")).collect();
    let [first, second] = proofs[..] else { panic!("{proofs:?}") };
    for (record, count, stamp) in [(first, 1, "260715101500"), (second, 2, "260715101900")] {
        let proof = format!("|RT1|CG{}|", site.proof([7; 16], count, stamp));
        assert!(record.ends_with(&proof), "{record}: {proof}");
    }
    // Without a key there is none.
    let mut talk = Talk::new();
    talk.pms("LS|DA260715|TI101500|");
    assert!(!talk.sent[0].contains("|CG") && !talk.sent[0].contains("|RT"), "{}", talk.sent[0]);
}

#[test]
fn pauses_are_marsaglias_numbers_in_steps_that_double() {
    // xorshift64 with 13, 7, 17 (Marsaglia, 2003) from 1: 1082269761, 1152992998833853505, 11177516664432764457, ...
    let pauses = |mut backoff: Backoff, count| -> Vec<i128> {
        (0..count).map(|_| backoff.pause().as_millis()).collect()
    };
    let first = |step: u64, random: u64| i128::from(step / 2 + random % (step / 2 + 1));
    let numbers = [1_082_269_761, 1_152_992_998_833_853_505, 11_177_516_664_432_764_457];
    let want: Vec<_> =
        [250, 500, 1000].into_iter().zip(numbers).map(|(step, random)| first(step, random)).collect();
    assert_eq!(pauses(Backoff::new(30, 0), 3), want);
    assert_eq!(pauses(Backoff::new(30, 1), 3), want, "an even seed is the odd one beside it");
    assert_eq!(
        pauses(Backoff::new(30, 7), 10),
        [230, 300, 893, 1173, 3393, 6980, 11052, 18128, 27354, 19098]
    );
    assert_eq!(pauses(Backoff::new(1, 7), 6), [230, 300, 893, 684, 876, 573], "never longer than a second");
    let mut backoff = Backoff::new(30, 7);
    for _ in 0..6 {
        backoff.pause();
    }
    backoff.reset();
    assert!((125..=250).contains(&backoff.pause().as_millis()), "from the shortest again");
}
