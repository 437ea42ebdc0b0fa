//! What a row costs on the wire, from hotels that the dictionary was not trained with.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

use engawa_protocol::batch::{self, Form};
use engawa_protocol::frame::{self, Body};
use engawa_protocol::ports::Row;
use engawa_sync::rows::Hotel;

/// Hotels that are measured, and the first one's seed: far from those of the training.
const HOTELS: u64 = 12;
const FIRST: u64 = 1_000_000;

/// Bytes of a frame for each row, in batches of `of`.
fn bytes_per_row(make: impl Fn(&mut Hotel, u64, u64) -> Vec<Row>, of: u64, form: Form) -> f64 {
    let (mut bytes, mut rows) = (0, 0);
    for seed in FIRST..FIRST + HOTELS {
        let mut hotel = Hotel::new(seed);
        for batch in 0..10 {
            let packed = batch::pack(&make(&mut hotel, 1 + 700_000 + batch * of, of), form).unwrap();
            bytes += frame::size(&Body::Rows(packed));
            rows += of;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let per_row = bytes as f64 / rows as f64;
    per_row
}

#[test]
fn a_telemetry_row_costs_less_than_24_bytes() {
    let newest = engawa_protocol::dictionary::known()[0];
    let forms = [
        ("release 0.1", Form::Plain),
        ("columns", Form::Columns { dictionary: 0 }),
        ("columns, dictionary", Form::Columns { dictionary: newest }),
    ];
    println!("bytes per row        telemetry by 200   by 20   alone   stays by 8   alarm alone");
    for (name, form) in forms {
        let of = |of| bytes_per_row(Hotel::telemetry, of, form);
        let (many, some, alone) = (of(200), of(20), of(1));
        let stays = bytes_per_row(Hotel::stays, 8, form);
        let alarm = bytes_per_row(Hotel::alarms, 1, form);
        println!("{name:<20} {many:>16.1} {some:>7.1} {alone:>7.1} {stays:>12.1} {alarm:>13.1}");
        if matches!(form, Form::Columns { dictionary } if dictionary > 0) {
            assert!(many < 24.0, "{many:.1} bytes for a row in batches of 200");
            assert!(alarm < 90.0, "{alarm:.1} bytes for an alarm");
        }
    }
}
