//! Records as they come, in words, and what is wrong with them.

use super::*;
use proptest::prelude::*;

#[test]
fn records_in_words() {
    for (text, says) in [
        ("GI|RN101|G#4711|GNSato|", "check-in: reservation 4711 comes to room 101"),
        ("GI|RN101|G#4711|SF|", "in the list: reservation 4711 is in room 101"),
        ("GO|RN101|GSN|SF|", "in the list: room 101 is vacant"),
        ("GC|RN102|GSN|G#4712|RO101|GSY|", "reservation 4712 moves from room 101 to room 102"),
        ("PS|RN101|PTC|TA1450|P#7|DA260715|TI101500|", "a charge of 1450 minor units to room 101, number 7"),
        ("PA|RN101|ASNP|P#7|", "charge 7 is not booked: the guest has a no-post flag"),
        ("RE|RN101|RS3|DNN|", "room 101: room status clean, vacant, telephone quiet no"),
        (
            "WA|RN101|DA260716|TI063017|ASNR|",
            "how a wake-up call went: room 101 on 2026-07-16 at 06:30:17: no response",
        ),
        ("LR|RIGI|FLRNG#|", "asks for GI (check-in)"),
        ("GO|RN101|G#4711|", "check-out: reservation 4711 leaves room 101"),
        ("GO|RN101|G#4711|SF|", "in the list: check-out: reservation 4711 leaves room 101"),
        ("XD|RN101|G#1|MI2|", "a message was deleted or read: room 101"),
        ("WR|RN101|DA260716|TI235959|", "a wake-up call is wanted: room 101 on 2026-07-16 at 23:59:59"),
        ("WR|RN101|DA260716|TI000000|", "a wake-up call is wanted: room 101 on 2026-07-16 at 00:00:00"),
        ("DE|DA260715|TI101500|", "the list of the house is complete"),
    ] {
        let explained = explain(text, None);
        assert_eq!((explained.says.as_str(), &explained.faults), (says, &vec![]), "{text}");
    }
}

#[test]
fn what_is_wrong_and_where() {
    for (text, at, what) in [
        ("DE|DA001005|TI1252001|", 15, "TI is `1252001`, 7 characters; expected a time as HHMMSS"),
        ("2781|PTC|TA1480|", 1, "no record's id: expected two capitals before the first `|`, not `2781`"),
        ("LRGI|FLRN|", 3, "a `|` is missing behind `LR`; the record's id stands alone before the first `|`"),
        ("gi|RN504|", 1, "`gi` is no record; did it mean `GI`? Ids are capitals"),
        ("ZZ|RN2781|", 1, "FIAS 2.20 has no record `ZZ`; it is counted and left alone"),
        ("GI|RN1|G#2|GNGuest", 18, "no `|` at the end: every record ends with one, so this may be cut"),
        ("GI|RN1||G#2|", 8, "nothing between two `|`"),
        ("GI|RN1|X|G#2|", 8, "`X` is too short to name a field: ids have two characters"),
        ("GI|G#2|GNGuest|", 15, "room (RN) is missing"),
        (
            "LD|DA151022TI101500| V#1.00|IFMB|V#1|",
            6,
            "DA is `151022TI101500`; expected a date as YYMMDD; a `|` is missing before TI",
        ),
        ("PS|RN1|PTC|TA14.50|DA260715|TI101500|", 14, "TA is `14.50`; expected digits without a separator"),
        ("GI|RN1|RN2|G#1|", 8, "RN stands there twice; the first one counts"),
        ("GI|RN1|G#1|QQ1|", 12, "FIAS 2.20 has no field `QQ`; it is left alone"),
        ("GI|RN1|G#\u{1}|", 10, "the control character 0x01; a record has none but line ends"),
        ("", 1, "nothing stands between STX and ETX"),
    ] {
        let faults = explain(text, None).faults;
        assert!(faults.contains(&Fault { at, what: what.to_owned() }), "{text}: {faults:#?}");
    }
    let wrong_way = explain("GI|RN1|G#2|", Some(Direction::ToPms)).faults;
    assert_eq!(wrong_way, [Fault { at: 1, what: "only the PMS sends GI".to_owned() }]);
    let wrong_way = explain("DR|DA260715|TI101500|", Some(Direction::FromPms)).faults;
    assert_eq!(wrong_way, [Fault { at: 1, what: "only the gateway sends DR".to_owned() }]);
    assert_eq!(explain("DR|DA260715|TI101500|", Some(Direction::ToPms)).faults, []);
    // An empty field says that nobody knows; SF says all by being there.
    let meanings: Vec<_> =
        explain("GI|RN1|G#1|GN|SF|", None).fields.into_iter().map(|field| field.means).collect();
    assert_eq!(meanings, [None, None, Some("not known".to_owned()), None]);
}

/// The faults of a record, without their places.
fn said(text: &str) -> Vec<String> {
    explain(text, None).faults.into_iter().map(|fault| fault.what).collect()
}

#[test]
fn what_is_a_fault_and_what_just_is_none() {
    for (text, fault) in [
        ("WR|RN1|DA260716|TI240000|", Some("TI is `240000`")),
        ("WR|RN1|DA260716|TI236000|", Some("TI is `236000`")),
        ("WR|RN1|DA260716|TI235960|", Some("TI is `235960`")),
        ("WR|RN1|DA260716|TI2359|", Some("TI is `2359`, 4 characters")),
        ("PS|RN1|PTC|TA123456789|P#12345678|DA260715|TI101500|", None),
        (
            "PS|RN1|PTC|TA1|P#123456789|DA260715|TI101500|",
            Some("P# is `123456789`; expected at most 8 digits"),
        ),
        (
            "PS|RN1|PTC|TA1|P#1234567890|DA260715|TI101500|",
            Some("P# is `1234567890`; expected at most 8 digits"),
        ),
        ("PA|RN1|ASXX|P#7|", Some("AS is `XX`, which FIAS 2.20 does not have")),
        ("LR|RIPA|FLAS|ASXX|", None),
        ("GI|RN1|G#1|A1x|", None),
        ("GI|RN1|G#1| Vx|", Some("FIAS 2.20 has no field ` V`; it is left alone; a blank stands before it")),
        ("GI|RN1|G#1|QQx|", Some("FIAS 2.20 has no field `QQ`; it is left alone")),
        ("GI|RN1|G#1|éQx|", Some("FIAS 2.20 has no field `éQ`; it is left alone")),
        ("PS|RN1|PTM|MA1|M#1|MA2|M#2|P#1|DA260715|TI101500|", None),
        (
            "PS|RN1|RN1|PTM|MA1|M#1|P#1|DA260715|TI101500|",
            Some("RN stands there twice; the first one counts"),
        ),
    ] {
        let said = said(text);
        let want: Vec<&str> = fault.into_iter().collect();
        assert_eq!(said.len(), want.len(), "{text}: {said:?}");
        for (said, want) in said.iter().zip(want) {
            assert!(
                said.starts_with(want) && said.contains("blank") == want.contains("blank"),
                "{text}: {said}"
            );
        }
    }
}

#[test]
fn fields_that_come_in_tens_have_their_names() {
    for (id, name) in [
        ("A0", Some("free text of the PMS (may be personal)")),
        ("A9", Some("free text of the PMS (may be personal)")),
        ("D1", Some("discount")),
        ("S9", Some("subtotal")),
        ("T1", Some("tax")),
        ("$2", Some("key data")),
        ("B1", None),
        ("AA", None),
        ("Aé", None),
        ("1A", None),
        ("A", None),
        ("A10", None),
    ] {
        assert_eq!(of_a_series(id), name, "{id}");
    }
}

#[test]
fn the_tables_name_everything_once() {
    let ids = |ids: Vec<&'static str>| {
        let count = ids.len();
        assert_eq!(ids.into_iter().collect::<std::collections::BTreeSet<_>>().len(), count);
    };
    ids(RECORDS.iter().map(|record| record.id).collect());
    ids(FIELDS.iter().map(|field| field.id).collect());
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,80}", bars in "[A-Z#|0-9]{0,60}") {
        for text in [text, bars] {
            let explained = explain(&text, Some(Direction::FromPms));
            let length = text.chars().count().max(1);
            prop_assert!(explained.faults.iter().all(|fault| (1..=length).contains(&fault.at)), "{:?}", explained);
        }
    }
}
