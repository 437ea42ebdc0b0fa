use super::*;
use proptest::prelude::*;

const COLUMNS: Form = Form::Columns { dictionary: 1 };

fn row(seq: u64) -> Row {
    Row { seq, at_micros: -5, kind: "moved".into(), body: br#"{"kind":"moved"}"#.to_vec() }
}

fn frame(plain: &[u8], crc32c: Option<u32>) -> Rows {
    Rows {
        zstd: zstd::bulk::compress(plain, 3).unwrap().into(),
        plain_length: u32::try_from(plain.len()).unwrap(),
        dictionary: 0,
        crc32c,
    }
}

#[test]
fn rows_come_back_as_they_went() {
    let mut rows: Vec<Row> = (4..40).map(row).collect();
    rows[7].kind = "of_the_future".into();
    rows[9].body = vec![0xff; 300];
    rows[11].at_micros = i64::MAX;
    rows[12].at_micros = i64::MIN;
    for form in [Form::Plain, Form::Columns { dictionary: 0 }, COLUMNS] {
        for rows in [&rows[..], &rows[..3], &rows[..1], &[]] {
            assert_eq!(unpack(&pack(rows, form).unwrap()).unwrap(), rows, "{form:?}");
        }
    }
    let packed = pack(&rows[..7], Form::Plain).unwrap();
    assert!(packed.zstd.len() * 2 < packed.plain_length as usize);
    assert_eq!((packed.dictionary, packed.crc32c), (0, None), "a peer of release 0.1 knows neither");
}

#[test]
fn the_form_follows_from_what_was_agreed() {
    assert_eq!(Form::of(1, 1), Form::Plain);
    assert_eq!(Form::of(2, 1), COLUMNS);
    assert_eq!(Form::of(3, 0), Form::Columns { dictionary: 0 });
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let zeros = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    for plain_length in [10, 1 << 20, u32::MAX] {
        let bomb = Rows { zstd: zeros.clone().into(), plain_length, dictionary: 0, crc32c: None };
        assert!(unpack(&bomb).is_err());
    }
}

#[test]
fn bounds_are_kept_and_reached() {
    let most: Vec<Row> = (1..=MAX_ROWS as u64).map(row).collect();
    let over: Vec<Row> = (1..=MAX_ROWS as u64 + 1).map(row).collect();
    for form in [Form::Plain, COLUMNS] {
        assert_eq!(unpack(&pack(&most, form).unwrap()).unwrap().len(), MAX_ROWS);
        assert!(matches!(pack(&over, form), Err(BatchError::TooMany(_))));
        let kind = |length| vec![Row { kind: "k".repeat(length), ..row(1) }];
        assert_eq!(unpack(&pack(&kind(MAX_KIND), form).unwrap()).unwrap(), kind(MAX_KIND));
        assert!(matches!(pack(&kind(MAX_KIND + 1), form), Err(BatchError::Kind(_))));
        let body = |length| vec![Row { body: vec![7; length], ..row(1) }];
        assert_eq!(unpack(&pack(&body(MAX_PLAIN - 64), form).unwrap()).unwrap(), body(MAX_PLAIN - 64));
        assert!(matches!(pack(&body(MAX_PLAIN), form), Err(BatchError::TooLarge(_))));
    }
    // As a peer might send them that keeps to nothing.
    let plain = plain::encode(&over);
    assert!(matches!(unpack(&frame(&plain, None)), Err(BatchError::TooMany(_))));
    let columns = columns::encode(&over).unwrap();
    let crc = Some(CRC32C.checksum(&columns));
    assert!(matches!(unpack(&frame(&columns, crc)), Err(BatchError::TooMany(_))));
    let long = columns::encode(&[Row { kind: "k".repeat(MAX_KIND + 1), ..row(1) }]).unwrap();
    assert!(matches!(unpack(&frame(&long, Some(CRC32C.checksum(&long)))), Err(BatchError::Kind(65))));
    let exactly = vec![0_u8; MAX_PLAIN];
    assert!(matches!(unpack(&frame(&exactly, None)), Err(BatchError::Malformed(_))), "the length is allowed");
    let more = Rows { plain_length: 1 + (1 << 20), ..frame(&exactly, None) };
    assert!(matches!(unpack(&more), Err(BatchError::TooLarge(_))));
}

#[test]
fn a_spoilt_batch_is_noticed() {
    let good = pack(&[row(1), row(2)], COLUMNS).unwrap();
    let spoilt = Rows { crc32c: good.crc32c.map(|crc| crc ^ 1), ..good.clone() };
    assert!(matches!(unpack(&spoilt), Err(BatchError::Checksum { .. })));
    let other = Rows { dictionary: 99, ..good };
    assert!(matches!(unpack(&other), Err(BatchError::Dictionary(99))));
    assert!(matches!(pack(&[row(1)], Form::Columns { dictionary: 99 }), Err(BatchError::Dictionary(99))));
}

#[test]
fn rows_out_of_order_are_refused() {
    for numbers in [vec![1, 3], vec![2, 1], vec![1, 1], vec![u64::MAX, 0]] {
        let rows: Vec<Row> = numbers.iter().map(|seq| row(*seq)).collect();
        assert!(matches!(pack(&rows, COLUMNS), Err(BatchError::Order { .. })), "{numbers:?}");
        let plain = plain::encode(&rows);
        assert!(matches!(unpack(&frame(&plain, None)), Err(BatchError::Order { .. })), "{numbers:?}");
    }
    let last = columns::encode(&[row(u64::MAX), row(1)]).unwrap();
    assert!(matches!(unpack(&frame(&last, Some(CRC32C.checksum(&last)))), Err(BatchError::Order { .. })));
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    // first 1; then times, names, kinds, lengths and bodies, each one too few or too many.
    let cases: [(&[u8], &str); 7] = [
        (b"\x08\x01\x12\x02\x00\x00\x1a\x01a\x2a\x01\x01\x32\x01x", "times"),
        (b"\x08\x01\x12\x01\x00\x1a\x01a\x2a\x02\x01\x00\x32\x01x", "times"),
        (b"\x08\x01\x12\x01\x00\x1a\x01a\x22\x01\x00\x2a\x01\x01\x32\x01x", "kinds"),
        (b"\x08\x01\x12\x01\x00\x2a\x01\x01\x32\x01x", "kinds"),
        (b"\x08\x01\x12\x01\x00\x1a\x01a\x1a\x01b\x22\x01\x02\x2a\x01\x01\x32\x01x", "kinds"),
        (b"\x08\x01\x12\x01\x00\x1a\x01a\x2a\x01\x02\x32\x01x", "bodies"),
        (b"\x08\x01\x12\x01\x00\x1a\x01a\x2a\x01\x01\x32\x02xy", "bodies"),
    ];
    for (plain, what) in cases {
        let found = unpack(&frame(plain, Some(CRC32C.checksum(plain))));
        assert!(matches!(found, Err(BatchError::Columns(which)) if which == what), "{plain:?}: {found:?}");
    }
    let good = b"\x08\x01\x12\x01\x00\x1a\x01a\x1a\x01b\x22\x01\x01\x2a\x01\x01\x32\x01x";
    let rows = unpack(&frame(good, Some(CRC32C.checksum(good)))).unwrap();
    assert_eq!(rows, [Row { seq: 1, at_micros: 0, kind: "b".into(), body: b"x".to_vec() }]);
}

#[test]
fn a_field_of_a_newer_release_is_passed_over() {
    // A row of release 0.1's form with a field 9 in it, and a field 9 beside it.
    let plain = b"\x0a\x06\x08\x05\x1a\x00\x48\x01\x48\x01";
    let rows = unpack(&frame(plain, None)).unwrap();
    assert_eq!(rows, [Row { seq: 5, at_micros: 0, kind: String::new(), body: vec![] }]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(zstd in any::<Vec<u8>>(), plain_length in 0_u32..4096, dictionary in 0_u32..3) {
        let _ = unpack(&Rows { zstd: zstd.into(), plain_length, dictionary, crc32c: None });
    }

    #[test]
    fn no_columns_make_it_panic(plain in any::<Vec<u8>>()) {
        let _ = unpack(&frame(&plain, Some(CRC32C.checksum(&plain))));
    }

    #[test]
    fn any_rows_come_back(
        first in 1..u64::MAX / 2,
        rows in prop::collection::vec((any::<i64>(), "[a-z_]{0,20}", any::<Vec<u8>>()), 0..40),
    ) {
        let rows: Vec<Row> = (first..)
            .zip(rows)
            .map(|(seq, (at_micros, kind, body))| Row { seq, at_micros, kind, body })
            .collect();
        prop_assert_eq!(&unpack(&pack(&rows, COLUMNS).unwrap()).unwrap(), &rows);
        prop_assert_eq!(&unpack(&pack(&rows, Form::Plain).unwrap()).unwrap(), &rows);
    }
}

#[test]
fn as_many_rows_as_may_be_and_not_one_more_are_taken_apart_from_a_batch_of_release_0_1() {
    for (count, many) in [(MAX_ROWS, false), (MAX_ROWS + 1, true)] {
        // Empty rows: two bytes each.
        let plain: Vec<u8> = [0x0a, 0x00].repeat(count);
        let packed = Rows {
            zstd: zstd::bulk::compress(&plain, LEVEL).unwrap().into(),
            plain_length: u32::try_from(plain.len()).unwrap(),
            ..Rows::default()
        };
        match unpack(&packed) {
            Err(BatchError::TooMany(found)) => assert!(many && found == count),
            // All have the number 0.
            Err(BatchError::Order { .. }) => assert!(!many),
            other => panic!("{other:?}"),
        }
    }
}

/// Rows whose batch has just this length before compression.
pub(crate) fn of_plain_length(first: u64, length: usize) -> Vec<Row> {
    let row = |bytes| vec![Row { seq: first, at_micros: 1, kind: "k".into(), body: vec![7; bytes] }];
    let found = |bytes| columns::encode(&row(bytes)).unwrap().len();
    (length - 100..length).find(|bytes| found(*bytes) == length).map(row).unwrap()
}

#[test]
fn a_batch_may_be_as_long_as_the_bound() {
    let form = Form::Columns { dictionary: 0 };
    let most = pack(&of_plain_length(1, MAX_PLAIN), form).unwrap();
    assert_eq!(most.plain_length as usize, MAX_PLAIN);
    assert_eq!(unpack(&most).unwrap().len(), 1);
    assert!(matches!(pack(&of_plain_length(1, MAX_PLAIN + 1), form), Err(BatchError::TooLarge(_))));
}
