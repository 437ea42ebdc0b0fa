use super::*;
use crate::profile::{self, Resolved};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod literature;
mod writes;

fn map(head: &str, point: &str) -> Arc<ModbusMap> {
    let text = format!(
        "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n[modbus]\n{head}\n\
         [[modbus.points]]\nname = 'p'\ntable = 'holding'\naddress = 0\n{point}\n"
    );
    let profile = profile::load("p.toml", &text).unwrap_or_else(|report| panic!("{report}"));
    let Ok(Resolved::Modbus(map)) = profile.resolve(&BTreeMap::new()) else { panic!("a Modbus profile") };
    map
}

fn read(head: &str, point: &str, words: &[u16]) -> (Decoded, Verdict) {
    let map = map(head, point);
    judge(&map, &map.points[0], 0, &Words::Registers(words.to_vec())).unwrap()
}

fn float(x: f64) -> Decoded {
    Decoded::good(Value::Float(x))
}

fn int(n: i64) -> Decoded {
    Decoded::good(Value::Int(n))
}

fn name(text: &str) -> Decoded {
    Decoded::good(Value::Text(text.into()))
}

#[test]
fn values_table() {
    for (point, words, want) in [
        ("type = 'u16'\nscale = '1/50'", &[1050][..], float(21.0)),
        ("type = 's16'\nscale = '1/10'", &[0xFFCE], float(-5.0)),
        ("type = 's16'", &[0xFFFF], int(-1)),
        ("type = 'u16'\nnames = { comfort = 1 }", &[1], name("comfort")),
        ("type = 'u16'\nnames = { comfort = 1 }", &[2], int(2)),
        ("type = 's16'\nnames = { none = -1 }", &[0xFFFF], name("none")),
        ("type = 'u8-hi'", &[0x1234], int(0x12)),
        ("type = 'u8-lo'", &[0x1234], int(0x34)),
        ("type = 's8-hi'", &[0xFE34], int(-2)),
        ("type = 's8-lo'", &[0x12FF], int(-1)),
        ("type = 's8'", &[0x12FF], int(-1)),
        ("type = 'u8-hi'\norder = 'badc'", &[0x1234], int(0x34)),
        ("type = 'bits'\nbit = 4\nbits = 4", &[0x1234], int(3)),
        ("type = 'bits'\nbits = 16", &[0xFFFF], int(0xFFFF)),
        ("type = 'bits'\nbit = 0\nbits = 4\norder = 'dcba'", &[0x0500], int(5)),
        ("type = 'bits'\nbit = 8\nbits = 3\nnames = { swing = 7 }", &[0x0700], name("swing")),
        ("type = 'bool'\nbit = 2", &[4], Decoded::good(Value::Bool(true))),
        ("type = 'bool'\nbit = 2", &[3], Decoded::good(Value::Bool(false))),
        ("type = 'bool'", &[0], Decoded::good(Value::Bool(false))),
        ("type = 'bool'\nnames = { dry = 0, wet = 1 }", &[1], name("wet")),
        ("type = 's32'\nscale = '1/1000'", &[0xFFFF, 0xFC18], float(-1.0)),
        ("type = 's64'", &[0, 0, 0, 9], int(9)),
        ("type = 's64'", &[0xFFFF; 4], int(-1)),
        ("type = 'f16'", &[0x3C00], float(1.0)),
        ("type = 'f16'", &[0xC000], float(-2.0)),
        ("type = 'f16'", &[0x0001], float(2.0_f64.powi(-24))),
        ("type = 'f32'\nscale = '1000'", &[0x3F80, 0], float(1000.0)),
        ("type = 'f64'", &[0xC000, 0, 0, 0], float(-2.0)),
        ("type = 'bcd16'", &[0x1234], int(1234)),
        ("type = 'bcd16'\nscale = '1/10'", &[0x0215], float(21.5)),
        ("type = 'bcd32'", &[0x1234, 0x5678], int(12_345_678)),
        ("type = 'bcd32'\norder = 'cdab'", &[0x5678, 0x1234], int(12_345_678)),
        ("type = 'ascii'\nlength = 2", &[0x4869, 0x2100], name("Hi!")),
        ("type = 'ascii'\nlength = 2\norder = 'badc'", &[0x6948, 0x0021], name("Hi!")),
        ("type = 'ascii'\nlength = 2\norder = 'dcba'", &[0x6948, 0x0021], name("Hi!")),
        ("type = 'ascii'\nlength = 2", &[0x41FF, 0x2020], name("A?")),
        ("type = 'utf16'\nlength = 4", &[0x5BA2, 0x5BA4, 0, 0x41], name("客室")),
        ("type = 'utf16'\nlength = 2", &[0xD83D, 0xDECF], name("🛏")),
        ("type = 'utf16'\nlength = 2", &[0xD83D, 0x41], name("\u{fffd}A")),
        ("type = 'utf16'\nlength = 1\norder = 'badc'", &[0x4100], name("A")),
    ] {
        assert_eq!(read("", point, words), (want, Verdict::Plausible), "{point} {words:04x?}");
    }
}

/// Each order of two and four registers, of the values 0x11223344 and 0x1122334455667788.
#[test]
fn orders_table() {
    for (order, two, four) in [
        ("abcd", [0x1122, 0x3344], [0x1122, 0x3344, 0x5566, 0x7788]),
        ("cdab", [0x3344, 0x1122], [0x7788, 0x5566, 0x3344, 0x1122]),
        ("badc", [0x2211, 0x4433], [0x2211, 0x4433, 0x6655, 0x8877]),
        ("dcba", [0x4433, 0x2211], [0x8877, 0x6655, 0x4433, 0x2211]),
    ] {
        let (long, longer) = (0x1122_3344, 0x1122_3344_5566_7788);
        let single = f64::from(f32::from_bits(0x1122_3344));
        let double = f64::from_bits(0x1122_3344_5566_7788);
        for (kind, words, want) in [
            ("u32", &two[..], int(long)),
            ("s32", &two, int(long)),
            ("f32", &two, float(single)),
            ("bcd32", &two, int(11_223_344)),
            ("u64", &four, int(longer)),
            ("s64", &four, int(longer)),
            ("f64", &four, float(double)),
        ] {
            let of_profile = read(&format!("order = '{order}'"), &format!("type = '{kind}'"), words);
            assert_eq!(of_profile, (want.clone(), Verdict::Plausible), "{order} {kind}, of the profile");
            // What the point says goes before what its profile says.
            let of_point = read("order = 'dcba'", &format!("type = '{kind}'\norder = '{order}'"), words);
            assert_eq!(of_point, (want, Verdict::Plausible), "{order} {kind}, of the point");
        }
    }
}

#[test]
fn what_is_no_value_is_told_from_what_is() {
    let beyond = "type = 's16'\nscale = '1/10'\nvalid = { min = -40.0, max = 80.0 }";
    for (point, words, want) in [
        ("type = 'u16'\ninvalid = [0xFFFF]", &[0xFFFF][..], (Decoded::BAD, Verdict::Invalid)),
        ("type = 'u16'\nunsupported = [0xFFFE]", &[0xFFFE], (Decoded::BAD, Verdict::Unsupported)),
        ("type = 's16'\nscale = '1/10'\ninvalid = [0x8000]", &[0x8000], (Decoded::BAD, Verdict::Invalid)),
        ("type = 's16'\nscale = '1/10'\ninvalid = [-32768]", &[0x8000], (Decoded::BAD, Verdict::Invalid)),
        ("type = 's8-lo'\ninvalid = [-128]", &[0x1280], (Decoded::BAD, Verdict::Invalid)),
        ("type = 'u32'\ninvalid = [0xFFFFFFFF]", &[0xFFFF, 0xFFFF], (Decoded::BAD, Verdict::Invalid)),
        ("type = 'u64'\ninvalid = [0xFFFFFFFFFFFFFFFF]", &[0xFFFF; 4], (Decoded::BAD, Verdict::Invalid)),
        (
            "type = 's64'\ninvalid = [-9223372036854775808]",
            &[0x8000, 0, 0, 0],
            (Decoded::BAD, Verdict::Invalid),
        ),
        ("type = 'f32'\ninvalid = [0x4B189680]", &[0x4B18, 0x9680], (Decoded::BAD, Verdict::Invalid)),
        ("type = 'u16'\nscale = '1/50'\noff = [200]", &[200], (Decoded::OFF, Verdict::Off)),
        ("type = 'f16'", &[0x7C00], (Decoded::BAD, Verdict::NotFinite)),
        ("type = 'f32'", &[0x7FC0, 0], (Decoded::BAD, Verdict::NotFinite)),
        ("type = 'f64'", &[0xFFF0, 0, 0, 0], (Decoded::BAD, Verdict::NotFinite)),
        (
            "type = 'f64'\nscale = '1000'",
            &[0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF],
            (Decoded::BAD, Verdict::NotFinite),
        ),
        ("type = 'bcd16'", &[0x12A4], (Decoded::BAD, Verdict::NotDecimal)),
        (beyond, &[0x8000], (Decoded::BAD, Verdict::Implausible(-3276.8))),
        (beyond, &[801], (Decoded::BAD, Verdict::Implausible(80.1))),
        (beyond, &[800], (float(80.0), Verdict::Plausible)),
        ("type = 'u16'\nvalid = { max = 100.0 }", &[101], (Decoded::BAD, Verdict::Implausible(101.0))),
    ] {
        assert_eq!(read("", point, words), want, "{point} {words:04x?}");
    }
}

/// Counters of 64 bits are exact, rounded once, or refused: never another number.
#[test]
fn large_counters_do_not_turn_wrong() {
    let beyond = (1_i64 << 53) + 1;
    assert_eq!(read("", "type = 'u64'", &[0x0020, 0, 0, 1]).0, int(beyond), "an f64 has no 2^53 + 1");
    assert_eq!(read("", "type = 'u64'", &[0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF]).0, int(i64::MAX));
    let too_large = read("", "type = 'u64'", &[0x8000, 0, 0, 0]);
    assert_eq!(too_large, (Decoded::BAD, Verdict::TooLarge(1 << 63)));
    assert!(too_large.1.in_words().contains("9223372036854775808"));
    // In kilowatt hours it is a number again, and not a negative one.
    assert_eq!(
        read("", "type = 'u64'\nscale = '1/1000'", &[0x8000, 0, 0, 0]).0,
        float(9_223_372_036_854_775.808)
    );
    assert_eq!(read("", "type = 'u64'\nscale = '1/1000'", &[0xFFFF; 4]).0, float(18_446_744_073_709_551.615));
    assert_eq!(read("", "type = 's64'\nscale = '1/1000'", &[0xFFFF; 4]).0, float(-0.001));
}

#[test]
fn the_tables_are_not_mixed_up() {
    let map = map("", "type = 'u16'");
    assert_eq!(decode(&map, &map.points[0], 0, &Words::Bits(vec![true])), None);
    assert_eq!(decode(&map, &map.points[0], 1, &Words::Registers(vec![1])), None, "before the answer");
    assert_eq!(decode(&map, &map.points[0], 0, &Words::Registers(vec![])), None, "beyond the answer");
}

#[test]
fn a_choice_by_switch_changes_the_scale() {
    let (_, text) = profile::builtin().iter().find(|(name, _)| *name == "intesis-inmbsdai").unwrap();
    let profile = profile::load("", text).unwrap();
    for (choice, raw, want) in
        [("tenths", 225, float(22.5)), ("celsius", 22, int(22)), ("fahrenheit", 77, float(25.0))]
    {
        let vars = [("temperature".to_owned(), choice.to_owned())].into();
        let Ok(Resolved::Modbus(map)) = profile.resolve(&vars) else { panic!() };
        let point = &map.points[map.position("setpoint").unwrap()];
        let decoded = decode(&map, point, point.address, &Words::Registers(vec![raw])).unwrap();
        assert_eq!(decoded, want, "{choice}");
        assert_eq!(encode(point, &decoded.value.unwrap()), Ok(vec![raw]), "{choice}");
    }
    let wrong =
        [("temperature".to_owned(), "kelvin".to_owned()), ("colour".to_owned(), "red".to_owned())].into();
    assert_eq!(profile.resolve(&wrong).unwrap_err().len(), 2);
}

#[test]
fn small_changes_are_not_worth_a_report() {
    let point = |bands: &str| map("", &format!("type = 'u16'\n{bands}")).points[0].clone();
    for (bands, old, new, want) in [
        ("scale = '1/50'\ndead_band = 0.1", float(21.0), float(21.08), false),
        ("scale = '1/50'\ndead_band = 0.1", float(21.0), float(21.12), true),
        ("scale = '1/50'\ndead_band = 0.1", float(21.0), Decoded::BAD, true),
        ("scale = '1/50'", float(21.0), float(21.0), false),
        ("scale = '1/50'", float(21.0), float(21.02), true),
        // A share of the value last reported.
        ("dead_band_percent = 2.0", float(1000.0), float(1020.0), false),
        ("dead_band_percent = 2.0", float(1000.0), float(1021.0), true),
        ("dead_band_percent = 2.0", float(-1000.0), float(-1019.0), false),
        ("dead_band_percent = 2.0", float(0.0), float(0.1), true),
        // Of two bands the wider counts.
        ("dead_band = 5.0\ndead_band_percent = 2.0", float(10.0), float(14.0), false),
        ("dead_band = 5.0\ndead_band_percent = 2.0", float(1000.0), float(1019.0), false),
        ("dead_band = 5.0\ndead_band_percent = 2.0", float(1000.0), float(1021.0), true),
        // Whole numbers too.
        ("dead_band = 2.0", int(10), int(12), false),
        ("dead_band = 2.0", int(10), int(13), true),
        ("", int(1 << 53), int((1 << 53) + 1), true),
        ("dead_band = 2.0", int(i64::MIN), int(i64::MAX), true),
        ("dead_band = 2.0", name("on"), name("off"), true),
        ("dead_band = 2.0", name("on"), int(1), true),
    ] {
        assert_eq!(differs(&point(bands), &old, &new), want, "{bands} {old:?} {new:?}");
    }
}

fn shipped() -> Vec<Arc<ModbusMap>> {
    let map = |text: &str| match profile::load("", text).unwrap().resolve(&BTreeMap::new()) {
        Ok(Resolved::Modbus(map)) => Some(map),
        _ => None,
    };
    profile::builtin().iter().filter_map(|(_, text)| map(text)).collect()
}

proptest! {
    #[test]
    fn no_registers_make_it_panic(words in proptest::collection::vec(any::<u16>(), 0..130), first in any::<u16>()) {
        for map in shipped() {
            for point in &map.points {
                let _ = decode(&map, point, first, &Words::Registers(words.clone()));
                let _ = decode(&map, point, first, &Words::Bits(words.iter().map(|word| *word > 7).collect()));
                // From the point's own address it is in the answer.
                if usize::from(point.length) <= words.len() && !point.table.is_bits() {
                    prop_assert!(decode(&map, point, point.address, &Words::Registers(words.clone())).is_some());
                }
            }
        }
    }
}
