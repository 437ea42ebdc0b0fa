//! Conversations with the PMS.

use super::*;
use crate::plan::What;
use jiff::civil;

fn now() -> DateTime {
    civil::date(2026, 7, 15).at(14, 35, 0, 0)
}

fn guest(stay: &str, no_post: bool) -> Guest {
    Guest { stay: stay.into(), name: "Köhler", first_name: "J", title: "Herr", language: "GE", no_post }
}

fn record(text: &str) -> Record {
    let mut parts = text.trim_end_matches('|').split('|');
    let record = Record::new(parts.next().unwrap());
    parts.fold(record, |record, part| record.with(&part[..2], &part[2..]))
}

/// What is sent, as text.
fn sent(outs: &[Out]) -> Vec<String> {
    let text = |out: &Out| match out {
        Out::Send(record) => {
            let fields = record.fields.iter().map(|(id, value)| format!("|{id}{value}"));
            Some(fields.fold(record.id.clone(), |text, field| text + &field))
        }
        _ => None,
    };
    outs.iter().filter_map(text).collect()
}

fn logged(outs: &[Out]) -> Vec<&Happened> {
    outs.iter().filter_map(|out| if let Out::Log(happened) = out { Some(happened) } else { None }).collect()
}

fn pms() -> Pms {
    let mut pms = Pms::new(["101", "102"].map(str::to_owned), "EUR");
    assert_eq!(sent(&pms.connected(now())), ["LS|DA260715|TI143500"]);
    for text in [
        "LD|DA260715|TI143500|V#1|IFEM|",
        "LR|RIGI|FLRNG#GSGNSF|",
        "LR|RIGC|FLRNG#GSRO|",
        "LR|RIGO|FLRNG#GSSF|",
        "LR|RIPA|FLASRNP#|",
        "LR|RINS|FLDATI|",
    ] {
        assert_eq!(pms.received(now(), &record(text)), []);
    }
    let outs = pms.received(now(), &record("LA|"));
    assert_eq!(sent(&outs), ["LA|DA260715|TI143500"]);
    assert!(pms.alive() && outs.contains(&Out::Alive));
    pms
}

fn check_in(pms: &mut Pms, stay: &str, room: &str) -> Vec<Out> {
    pms.play(now(), &What::CheckIn { guest: guest(stay, stay == "9"), room: room.to_owned() })
}

#[test]
fn guests_come_share_move_and_go() {
    let mut pms = pms();
    assert_eq!(sent(&check_in(&mut pms, "1", "101")), ["GI|RN101|GSN|G#1|GNKöhler"]);
    let outs = check_in(&mut pms, "2", "101");
    assert_eq!(sent(&outs), ["GI|RN101|GSY|G#2|GNKöhler"]);
    assert!(matches!(outs[0], Out::Log(Happened::CheckedIn { .. })), "logged before it is sent");
    let what = What::Move { stay: "2".into(), from: "101".into(), to: "102".into() };
    assert_eq!(sent(&pms.play(now(), &what)), ["GC|RN102|GSN|G#2|RO101|GSY"]);
    let what = What::CheckOut { stay: "1".into(), room: "101".into() };
    assert_eq!(sent(&pms.play(now(), &what)), ["GO|RN101|G#1|GSN"]);
    assert_eq!(pms.play(now(), &what), [], "nobody leaves twice");
    let listed = pms.received(now(), &record("DR|"));
    let want =
        ["DS|DA260715|TI143500", "GO|RN101|GSN|SF", "GI|RN102|GSN|G#2|GNKöhler|SF", "DE|DA260715|TI143500"];
    assert_eq!(sent(&listed), want);
}

#[test]
fn only_what_was_asked_for_is_sent() {
    let mut pms = pms();
    assert_eq!(sent(&pms.play(now(), &What::Audit { begins: true })), ["NS|DA260715|TI143500"]);
    let outs = pms.play(now(), &What::Audit { begins: false });
    assert_eq!((sent(&outs).len(), logged(&outs).len()), (0, 1), "NE was not asked for");
}

#[test]
fn a_posting_is_booked_once_and_answered_the_same() {
    let mut pms = pms();
    check_in(&mut pms, "1", "101");
    let post = record("PS|RN101|G#1|PTC|TA1250|P#7|CTBar 1|");
    let first = pms.received(now(), &post);
    assert_eq!(sent(&first), ["PA|ASOK|RN101|P#7"]);
    assert!(first.contains(&Out::Settled("Bar 1".into())));
    let again = pms.received(now(), &post);
    assert_eq!((sent(&again), logged(&again)), (sent(&first), vec![]));
    let other = pms.received(now(), &record("PS|RN101|G#1|PTC|TA9999|P#7|CTBar 2|"));
    assert_eq!((sent(&other), logged(&other)), (vec!["PA|ASUR|RN101|P#7".to_owned()], vec![]));
}

#[test]
fn refusals_say_why() {
    let mut pms = pms();
    check_in(&mut pms, "1", "101");
    check_in(&mut pms, "9", "102");
    for (number, (post, status)) in (1..).zip([
        ("RN103|G#1|PTC|TA100", "NG"),
        ("RN102|G#1|PTC|TA100", "NG"),
        ("RN102|G#9|PTC|TA100", "NP"),
        ("RN101|G#1|PTC|TA-100", "UR"),
        ("RN101|G#1|PTM|TA100", "UR"),
        ("RN101|PTC|TA100", "OK"),
    ]) {
        let outs = pms.received(now(), &record(&format!("PS|{post}|P#{number}|CT{number}|")));
        assert!(sent(&outs)[0].starts_with(&format!("PA|AS{status}|")), "{post}: {outs:?}");
        assert_eq!(logged(&outs).len(), 1);
    }
    for post in ["RN101|TA1|P#0|", "RN101|TA1|", "RN101|TAx|P#5|", "RN101|TA1|P#999999999|"] {
        let outs = pms.received(now(), &record(&format!("PS|PTC|{post}")));
        assert!(sent(&outs)[0].starts_with("PA|ASUR|") && logged(&outs).is_empty(), "{post}: {outs:?}");
    }
}

#[test]
fn during_night_audit_the_same_number_is_put_off_and_booked_later() {
    let mut pms = pms();
    check_in(&mut pms, "1", "101");
    let post = record("PS|RN101|G#1|PTC|TA100|P#1|CTBar 1|");
    pms.play(now(), &What::Audit { begins: true });
    let outs = pms.received(now(), &post);
    assert_eq!((sent(&outs), logged(&outs)), (vec!["PA|ASNA|RN101|P#1".to_owned()], vec![]));
    pms.play(now(), &What::Audit { begins: false });
    assert_eq!(sent(&pms.received(now(), &post)), ["PA|ASOK|RN101|P#1"]);
}

#[test]
fn the_link_comes_up_and_goes_down_as_specified() {
    let mut pms = Pms::new(["101".to_owned()], "EUR");
    pms.connected(now());
    assert_eq!(pms.received(now(), &record("DR|")), [], "no data before the link is alive");
    assert_eq!(pms.received(now(), &record("LA|")), [], "nothing was described");
    assert_eq!(sent(&pms.received(now(), &record("LS|"))), ["LS|DA260715|TI143500"]);
    pms.received(now(), &record("LR|RIGI|FLRNG#GS|"));
    pms.received(now(), &record("LA|"));
    assert!(pms.alive());
    assert_eq!(sent(&pms.received(now(), &record("LS|"))), ["LA|DA260715|TI143500"]);
    assert_eq!(pms.received(now(), &record("LA|")), [], "an LA is not answered");
    let outs = pms.received(now(), &record("LE|"));
    assert_eq!((sent(&outs), outs.last()), (vec!["LE|DA260715|TI143500".to_owned()], Some(&Out::Close)));
    assert!(!pms.alive() && !pms.closed());
}
