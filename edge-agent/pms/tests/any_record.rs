//! Any record of the dictionary with any texts: read and written again it is the same, and a link that hears it does
//! not stumble, whatever it is in the middle of.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use engawa_pms::codec::dictionary::{FieldKind, RECORDS, RecordKind, field_kind, pairs};
use engawa_pms::codec::{Record, faults};
use engawa_pms::link::{Link, Out};
use engawa_pms::{Charset, PmsConfig};
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn value(field: &'static str) -> BoxedStrategy<String> {
    let good = match field_kind(field) {
        FieldKind::Date => "2[0-9](0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])",
        FieldKind::Time => "([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]",
        FieldKind::Number => "[1-9][0-9]{0,8}",
        FieldKind::Text => "[A-Za-zäöüéß山田ポ怖億四 .,;:'&-]{0,30}",
    };
    prop_oneof![4 => good.prop_map(|text: String| text), 1 => "[ -{}-~]{0,40}".prop_map(|text: String| text)]
        .boxed()
}

fn record() -> impl Strategy<Value = (&'static RecordKind, Record)> {
    (0..RECORDS.len()).prop_flat_map(|n| {
        let kind = &RECORDS[n];
        let fields: Vec<&'static str> = pairs(kind.mandatory).chain(pairs(kind.optional)).collect();
        let fields = if fields.is_empty() { vec!["DA"] } else { fields };
        let one =
            proptest::sample::select(fields).prop_flat_map(|id| value(id).prop_map(move |value| (id, value)));
        proptest::collection::vec(one, 0..12).prop_map(move |fields| {
            let record =
                fields.into_iter().fold(Record::new(kind.id), |record, (id, value)| record.with(id, value));
            (kind, record)
        })
    })
}

fn link() -> Link {
    let mut config = PmsConfig::new("pms:5010");
    config.encoders.insert("1".to_owned());
    let mut link = Link::new(config, TimeZone::UTC);
    let now = "2026-07-15T10:15:00Z".parse().unwrap();
    link.on_connected(now);
    link.on_bytes(now, b"\x02LS|\x03\x02LA|\x03");
    while link.poll().is_some() {}
    link
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_well_formed_comes_out_as_it_came_in((_, record) in record()) {
        let frame = record.encode(Charset::Utf8);
        let body = &frame[1..frame.len() - 1];
        let read = Record::decode(body, Charset::Utf8).unwrap();
        prop_assert_eq!(read.id(), record.id());
        prop_assert_eq!(read.fields().count(), record.fields().count());
        let odd = faults(body, Charset::Utf8);
        prop_assert!(!odd.iter().any(|fault| fault.changes_bytes), "{:?}", odd);
        prop_assert_eq!(read.encode(Charset::Utf8), frame);
    }

    #[test]
    fn what_comes_out_otherwise_is_said_to_be_odd(body in proptest::collection::vec(prop_oneof![
        Just(b'|'), Just(b' '), Just(b'\n'), 0x20_u8..0x7F, any::<u8>()
    ], 0..60), id in "(GI|XT|PS|gi|G)") {
        let body: Vec<u8> = id.bytes().chain(body).filter(|byte| !matches!(byte, 2 | 3)).collect();
        for charset in [Charset::Utf8, Charset::Cp932, Charset::Cp850, Charset::Windows1252, Charset::Gbk] {
            let again = Record::decode(&body, charset).map(|record| record.encode(charset));
            let same = again.is_some_and(|frame| frame[1..frame.len() - 1] == body);
            let said = faults(&body, charset).iter().any(|fault| fault.changes_bytes);
            prop_assert_eq!(same, !said, "{:?} {:?}: {:?}", charset, String::from_utf8_lossy(&body), faults(&body, charset));
        }
    }

    #[test]
    fn a_link_stumbles_over_no_record(records in proptest::collection::vec(record(), 1..4)) {
        let mut link = link();
        let now = "2026-07-15T10:15:01Z".parse().unwrap();
        for (kind, record) in records {
            let alive = link.is_alive();
            link.on_bytes(now, &record.encode(Charset::Utf8));
            let mut outs = 0;
            while let Some(out) = link.poll() {
                outs += 1;
                if let Out::Send(frame) = out {
                    let body = &frame[1..frame.len() - 1];
                    prop_assert!(Record::decode(body, Charset::Utf8).is_some());
                }
            }
            // Nothing is dropped without a word, but for what only says that the other side lives.
            prop_assert!(outs > 0 || matches!(kind.id, "LA" | "LE") || !alive, "{}", kind.id);
            prop_assert!(outs <= 40, "{}: {} things to do", kind.id, outs);
        }
    }
}
