//! From values to registers: whole values, parts of registers, and what goes along.

use super::*;
use crate::profile::modbus::Table;

fn holding(address: u16) -> Register {
    (Table::Holding, address)
}

#[test]
fn writes_table() {
    let write = "\nwrite = { min = 5.0, max = 40.0 }";
    let text = |text: &str| Value::Text(text.into());
    for (point, value, want) in [
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(22.5), Ok(vec![1125])),
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(4.9), Err("below 5")),
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(40.1), Err("above 40")),
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(f64::NAN), Err("numbers")),
        ("type = 's16'\nscale = '1/10'\nwrite = {}".into(), Value::Float(-5.0), Ok(vec![0xFFCE])),
        ("type = 'u16'\nwrite = {}".into(), Value::Int(-1), Err("does not fit")),
        ("type = 'u16'\nwrite = {}".into(), Value::Float(1e300), Err("does not fit")),
        ("type = 'u16'\nnames = { on = 0xA5, off = 0x5A }\nwrite = {}".into(), text("on"), Ok(vec![0xA5])),
        ("type = 'u16'\nnames = { on = 1 }\nwrite = {}".into(), text("up"), Err("it takes on")),
        ("type = 'u32'\nwrite = {}".into(), Value::Int(0x1_0002), Ok(vec![1, 2])),
        ("type = 's64'\nwrite = {}".into(), Value::Int((1 << 53) + 1), Ok(vec![0x20, 0, 0, 1])),
        ("type = 's64'\nwrite = {}".into(), Value::Int(i64::MIN), Ok(vec![0x8000, 0, 0, 0])),
        ("type = 'u64'\nwrite = {}".into(), Value::Int(i64::MAX), Ok(vec![0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF])),
        ("type = 'u64'\nwrite = {}".into(), Value::Int(-1), Err("does not fit")),
        ("type = 'f16'\nwrite = {}".into(), Value::Float(1.0), Ok(vec![0x3C00])),
        ("type = 'f16'\nwrite = {}".into(), Value::Float(1e6), Err("does not fit")),
        ("type = 'f32'\nwrite = {}".into(), Value::Float(1.0), Ok(vec![0x3F80, 0])),
        ("type = 'f32'\nwrite = {}".into(), Value::Float(1e300), Err("does not fit")),
        ("type = 'f64'\nwrite = {}".into(), Value::Float(-2.0), Ok(vec![0xC000, 0, 0, 0])),
        ("type = 'bcd16'\nwrite = {}".into(), Value::Int(1234), Ok(vec![0x1234])),
        ("type = 'bcd16'\nwrite = {}".into(), Value::Int(10_000), Err("does not fit")),
        ("type = 'bcd32'\nwrite = {}".into(), Value::Int(12_345_678), Ok(vec![0x1234, 0x5678])),
        ("type = 'bool'\nwrite = {}".into(), Value::Bool(true), Ok(vec![1])),
        ("type = 'ascii'\nlength = 3\nwrite = {}".into(), text("Room"), Ok(vec![0x526F, 0x6F6D, 0])),
        ("type = 'ascii'\nlength = 1\nwrite = {}".into(), text("Roo"), Err("at most 2 characters")),
        ("type = 'ascii'\nlength = 3\nwrite = {}".into(), text("Süd"), Err("`ü` is none")),
        ("type = 'ascii'\nlength = 3\nwrite = {}".into(), text("a\nb"), Err("control character")),
        ("type = 'ascii'\nlength = 3\nwrite = {}".into(), Value::Int(1), Err("takes texts")),
        ("type = 'utf16'\nlength = 2\nwrite = {}".into(), text("客室"), Ok(vec![0x5BA2, 0x5BA4])),
        ("type = 'utf16'\nlength = 1\nwrite = {}".into(), text("🛏"), Err("at most 1 characters")),
        ("type = 'u16'".into(), Value::Int(1), Err("can't be written")),
    ] {
        let map = map("", &point);
        match (encode(&map.points[0], &value), want) {
            (Ok(words), Ok(want)) => assert_eq!(words, want, "{point}"),
            (Err(error), Err(want)) => assert!(error.contains(want), "{error} lacks {want}"),
            (got, want) => panic!("{point}: {got:?}, expected {want:?}"),
        }
    }
}

#[test]
fn parts_leave_the_other_bits_alone() {
    for (point, value, current, want) in [
        ("type = 'bool'\nbit = 0", Value::Bool(true), 0x1230, 0x1231),
        ("type = 'bool'\nbit = 15", Value::Bool(false), 0xFFFF, 0x7FFF),
        ("type = 'bits'\nbit = 4\nbits = 4", Value::Int(6), 0xABCD, 0xAB6D),
        ("type = 'bits'\nbits = 16", Value::Int(0x1234), 0xFFFF, 0x1234),
        ("type = 'u8-hi'", Value::Int(0x55), 0x1234, 0x5534),
        ("type = 'u8-lo'", Value::Int(0x55), 0x1234, 0x1255),
        ("type = 's8-hi'", Value::Int(-2), 0x1234, 0xFE34),
        ("type = 's8-lo'", Value::Int(-1), 0x1234, 0x12FF),
        ("type = 'u8-lo'\norder = 'badc'", Value::Int(0x55), 0x1234, 0x5534),
        ("type = 'bool'\nbit = 0\norder = 'dcba'", Value::Bool(true), 0x1230, 0x1330),
    ] {
        let map = map("", &format!("{point}\nwrite = {{}}"));
        let spec = &map.points[0];
        assert_eq!(encode_into(&map, spec, &value, &[current]), Ok(vec![want]), "{point}");
        let (and, or) = mask(&map, spec, &value).unwrap();
        assert_eq!(current & and | or & !and, want, "{point}, as the device masks it");
        // Sixteen bits are all there are: nothing has to be kept.
        let kept = if point.contains("bits = 16") { BTreeSet::new() } else { [holding(0)].into() };
        assert_eq!(needs(spec), kept, "{point}");
    }
    let map = map("", "type = 'bits'\nbit = 1\nbits = 3\nwrite = {}");
    assert!(encode_into(&map, &map.points[0], &Value::Int(8), &[0]).unwrap_err().contains("does not fit"));
    assert!(encode_into(&map, &map.points[0], &Value::Int(1), &[]).unwrap_err().contains("0 were read"));
    let whole = super::map("", "type = 'u16'\nwrite = {}");
    assert!(mask(&whole, &whole.points[0], &Value::Int(1)).unwrap_err().contains("no part"));
    assert_eq!(encode_into(&whole, &whole.points[0], &Value::Int(7), &[]), Ok(vec![7]));
}

/// The state of an indoor unit on Daikin's DIII-net, and a command that must not switch what nobody asked for.
#[test]
fn a_block_takes_the_state_along() {
    // Power, fan and direction; mode; set point: three registers that take one command.
    let copy = "copy_from = [\n\
        { from = { table = 'input', address = 2000 }, to = 2000, mask = 0x7701 },\n\
        { from = { table = 'input', address = 2001 }, to = 2001, mask = 0x000F },\n\
        { from = { table = 'input', address = 2002 }, to = 2002 },\n]\n\
        companion = [{ table = 'holding', address = 2000, value = 0x0060, mask = 0x00F0 }]";
    let point = format!(
        "type = 'u16'\n[[modbus.points]]\nname = 'fan'\ntable = 'holding'\naddress = 2000\ntype = 'bits'\nbit = 12\nbits = 3\n\
         write.function = 16\nwrite.{}",
        copy.replace("\ncompanion", "\nwrite.companion")
    );
    let map = map("", &point);
    let fan = &map.points[1];
    let status =
        [((Table::Input, 2000), 0x11E1), ((Table::Input, 2001), 0x0222), ((Table::Input, 2002), 235)];
    let wanted: Vec<Register> = needs(fan).into_iter().collect();
    assert_eq!(
        wanted,
        [holding(2000), holding(2001), (Table::Input, 2000), (Table::Input, 2001), (Table::Input, 2002)],
        "the state, and the registers some of whose bits nobody writes"
    );
    let mut have: BTreeMap<Register, u16> = status.into();
    let missing = compose(&map, fan, &Value::Int(5), &have).unwrap_err();
    assert!(missing.contains("holding register 2000, which was not read"), "{missing}");
    have.extend([(holding(2000), 0x0008), (holding(2001), 0xA0)]);
    let words = vec![0x5169, 0x00A2, 235];
    assert_eq!(
        compose(&map, fan, &Value::Int(5), &have),
        Ok(vec![Outgoing::Words { function: 16, address: 2000, words }]),
        "speed 5, fan fields enabled, power and direction as they are, mode 2, 23.5 °C"
    );
}

#[test]
fn companions_go_along_or_before() {
    let words =
        |function, address, words: &[u16]| Outgoing::Words { function, address, words: words.to_vec() };
    for (write, want) in [
        // Next to the point: one request.
        ("companion = [{ table = 'holding', address = 1, value = 9 }]", vec![words(16, 0, &[7, 9])]),
        // Apart from it: before it.
        (
            "companion = [{ table = 'holding', address = 5, value = 9 }]",
            vec![words(6, 5, &[9]), words(6, 0, &[7])],
        ),
        // A device that takes single registers only.
        (
            "function = 6, companion = [{ table = 'holding', address = 1, value = 9 }]",
            vec![words(6, 1, &[9]), words(6, 0, &[7])],
        ),
        (
            "companion = [{ table = 'coil', address = 3, value = 1 }]",
            vec![words(5, 3, &[1]), words(6, 0, &[7])],
        ),
        ("", vec![words(6, 0, &[7])]),
        ("function = 16", vec![words(16, 0, &[7])]),
    ] {
        let map = map("", &format!("type = 'u16'\nwrite = {{ {write} }}"));
        assert_eq!(compose(&map, &map.points[0], &Value::Int(7), &BTreeMap::new()), Ok(want), "{write}");
    }
    let map = map(
        "",
        "type = 'u8-lo'\nwrite = { function = 22, companion = [{ table = 'holding', address = 1, value = 2, mask = 3 }] }",
    );
    assert_eq!(needs(&map.points[0]), BTreeSet::new(), "the device masks by itself");
    let masks = vec![
        Outgoing::Mask { address: 1, and: 0xFFFC, or: 2 },
        Outgoing::Mask { address: 0, and: 0xFF00, or: 7 },
    ];
    assert_eq!(compose(&map, &map.points[0], &Value::Int(7), &BTreeMap::new()), Ok(masks));
}

#[test]
fn what_is_read_back_is_the_same_within_the_tolerance() {
    for (point, written, read, want) in [
        ("type = 'u16'\nscale = '1/50'\nwrite = {}", Value::Float(22.51), float(22.5), true),
        ("type = 'u16'\nscale = '1/50'\nwrite = {}", Value::Float(22.6), float(22.5), false),
        ("type = 'u16'\nscale = '1/10'\nwrite = { tolerance = 0.5 }", Value::Float(22.4), float(22.0), true),
        ("type = 'u16'\nscale = '1/10'\nwrite = { tolerance = 0.5 }", Value::Float(22.6), float(22.0), false),
        ("type = 'u16'\nscale = '1/10'\nwrite = { tolerance = 0.0 }", Value::Float(22.6), float(22.6), true),
        ("type = 'f32'\nwrite = {}", Value::Float(0.1), float(f64::from(0.1_f32)), true),
        ("type = 'f32'\nwrite = {}", Value::Float(0.1), float(0.2), false),
        ("type = 'f16'\nwrite = {}", Value::Float(1000.3), float(1000.5), true),
        ("type = 'u16'\nwrite = {}", Value::Int(1), Decoded::BAD, false),
        ("type = 'u16'\nnames = { on = 1 }\nwrite = {}", Value::Text("on".into()), int(1), true),
        ("type = 'u16'\nnames = { on = 1 }\nwrite = {}", Value::Int(1), name("on"), true),
        ("type = 'u16'\nnames = { on = 1 }\nwrite = {}", Value::Int(0), name("on"), false),
        ("type = 'ascii'\nlength = 4\nwrite = {}", Value::Text("Hi ".into()), name("Hi"), true),
        ("type = 'ascii'\nlength = 4\nwrite = {}", Value::Text("Hi".into()), name("Ho"), false),
        ("type = 'u16'\nscale = '1/50'\noff = [200]\nwrite = {}", Value::Float(4.0), Decoded::OFF, true),
        ("type = 'u16'\nscale = '1/50'\noff = [200]\nwrite = {}", Value::Float(5.0), Decoded::OFF, false),
    ] {
        let map = map("", point);
        assert_eq!(same(&map.points[0], &written, &read), want, "{point} {written:?} {read:?}");
    }
}

/// Every type of one register, and of several.
const ONE: &[&str] = &[
    "u16",
    "s16",
    "u8-hi",
    "u8-lo",
    "s8-hi",
    "s8-lo",
    "f16",
    "bcd16",
    "bits'\nbit = 3\nbits = 7#",
    "bool'\nbit = 9#",
];
const MORE: &[(&str, usize)] =
    &[("u32", 2), ("s32", 2), ("f32", 2), ("bcd32", 2), ("u64", 4), ("s64", 4), ("f64", 4)];

proptest! {
    /// What was read can be written, and is read again as it was: each type in each order.
    #[test]
    fn values_go_round(
        four in proptest::array::uniform4(any::<u16>()),
        order in proptest::sample::select(vec!["abcd", "cdab", "badc", "dcba"]),
    ) {
        let one = ONE.iter().map(|kind| (*kind, 1));
        for (kind, count) in one.chain(MORE.iter().copied()) {
            let kind = kind.strip_suffix('#').map_or_else(|| format!("type = '{kind}'"), |kind| format!("type = '{kind}"));
            let map = map(&format!("order = '{order}'"), &format!("{kind}\nwrite = {{}}"));
            let (point, words) = (&map.points[0], &four[..count]);
            let before = decode(&map, point, 0, &Words::Registers(words.to_vec())).unwrap();
            let Some(value) = &before.value else { continue };
            let written = encode_into(&map, point, value, words).unwrap();
            let after = decode(&map, point, 0, &Words::Registers(written.clone())).unwrap();
            prop_assert_eq!(&after, &before, "{} {}", order, kind);
            prop_assert!(same(point, value, &after));
            // A zero may lose its sign; everything else keeps each bit, and of a part each bit beside it.
            if value.as_f64() != Some(0.0) {
                prop_assert_eq!(&written[..], words, "{} {}", order, kind);
            }
        }
    }

    #[test]
    fn texts_go_round(text in "[ -~]{0,8}", wide in "[!-~äß客🛏]{0,4}", order in proptest::sample::select(vec!["abcd", "cdab", "badc", "dcba"])) {
        for (kind, text) in [("ascii", &text), ("utf16", &wide)] {
            let map = map(&format!("order = '{order}'"), &format!("type = '{kind}'\nlength = 8\nwrite = {{}}"));
            let words = encode_into(&map, &map.points[0], &Value::Text(text.clone()), &[]).unwrap();
            prop_assert_eq!(words.len(), 8);
            let back = decode(&map, &map.points[0], 0, &Words::Registers(words)).unwrap();
            prop_assert_eq!(back, name(text.trim()));
        }
    }

    /// No value makes it panic, and none is cut to fit.
    #[test]
    fn no_value_makes_it_panic(number in any::<f64>(), whole in any::<i64>(), text in ".{0,20}") {
        for map in shipped() {
            for point in &map.points {
                for value in [Value::Float(number), Value::Int(whole), Value::Text(text.clone()), Value::Bool(true)] {
                    let _ = encode(point, &value);
                    let have = needs(point).into_iter().map(|register| (register, 0xFFFF)).collect();
                    let _ = compose(&map, point, &value, &have);
                }
            }
        }
        let map = map("", "type = 's16'\nwrite = {}");
        if let Ok(words) = encode(&map.points[0], &Value::Int(whole)) {
            prop_assert_eq!(i64::from(words[0].cast_signed()), whole);
        }
    }
}
