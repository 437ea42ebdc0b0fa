use super::*;
use crate::profile::{self, Resolved};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn map(head: &str, point: &str) -> Arc<ModbusMap> {
    let text = format!(
        "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n[modbus]\n{head}\n\
         [[modbus.points]]\nname = 'p'\ntable = 'holding'\naddress = 0\n{point}\n"
    );
    let profile = profile::load("p.toml", &text).unwrap_or_else(|report| panic!("{report}"));
    let Ok(Resolved::Modbus(map)) = profile.resolve(&BTreeMap::new()) else { panic!("a Modbus profile") };
    map
}

fn read(head: &str, point: &str, words: &[u16]) -> Decoded {
    let map = map(head, point);
    decode(&map, &map.points[0], 0, &Words::Registers(words.to_vec())).unwrap()
}

fn good(value: Value) -> Decoded {
    Decoded::good(value)
}

#[test]
fn values_table() {
    let float = |x: f64| good(Value::Float(x));
    let int = |n: i64| good(Value::Int(n));
    let off = Decoded { value: None, quality: Quality::Good };
    for (head, point, words, want) in [
        ("", "type = 'u16'\nscale = '1/50'", &[1050][..], float(21.0)),
        ("", "type = 's16'\nscale = '1/10'", &[0xFFCE], float(-5.0)),
        ("", "type = 's16'", &[0xFFFF], int(-1)),
        ("", "type = 'u16'\ninvalid = [0xFFFF]", &[0xFFFF], Decoded::BAD),
        ("", "type = 'u16'\nunsupported = [0xFFFE]", &[0xFFFE], Decoded::BAD),
        ("", "type = 's16'\nscale = '1/10'\ninvalid = [0x8000]", &[0x8000], Decoded::BAD),
        ("", "type = 'u16'\nscale = '1/50'\noff = [200]", &[200], off),
        ("", "type = 'u16'\nnames = { comfort = 1 }", &[1], good(Value::Text("comfort".into()))),
        ("", "type = 'u16'\nnames = { comfort = 1 }", &[2], int(2)),
        ("", "type = 'u8-hi'", &[0x1234], int(0x12)),
        ("", "type = 'u8-lo'", &[0x1234], int(0x34)),
        ("", "type = 's8'", &[0x12FF], int(-1)),
        ("", "type = 'bits'\nbit = 4\nbits = 4", &[0x1234], int(3)),
        ("", "type = 'bool'\nbit = 2", &[4], good(Value::Bool(true))),
        ("", "type = 'bool'", &[0], good(Value::Bool(false))),
        ("", "type = 'u32'", &[1, 2], int(0x1_0002)),
        ("word_order = 'low-first'", "type = 'u32'", &[2, 1], int(0x1_0002)),
        ("swap_bytes = true", "type = 'u16'", &[0x3412], int(0x1234)),
        ("", "type = 's32'\nscale = '1/1000'", &[0xFFFF, 0xFC18], float(-1.0)),
        // Recorded from an energy meter: 221.917 V.
        ("", "type = 'f32'", &[0x435D, 0xEADE], float(f64::from(f32::from_bits(0x435D_EADE)))),
        ("", "type = 'f32'", &[0x7FC0, 0], Decoded::BAD),
        ("", "type = 's64'", &[0, 0, 0, 9], int(9)),
        ("", "type = 'ascii'\nlength = 2", &[0x4869, 0x2100], good(Value::Text("Hi!".into()))),
    ] {
        assert_eq!(read(head, point, words), want, "{head} {point} {words:?}");
    }
}

#[test]
fn a_choice_by_switch_changes_the_scale() {
    let (_, text) = profile::builtin()[1];
    let profile = profile::load("", text).unwrap();
    for (choice, raw, want) in [("tenths", 225, 22.5), ("celsius", 22, 22.0), ("fahrenheit", 77, 25.0)] {
        let vars = [("temperature".to_owned(), choice.to_owned())].into();
        let Ok(Resolved::Modbus(map)) = profile.resolve(&vars) else { panic!() };
        let point = &map.points[map.position("setpoint").unwrap()];
        let decoded = decode(&map, point, point.address, &Words::Registers(vec![raw])).unwrap();
        let value = decoded.value.unwrap();
        assert!((value.as_f64().unwrap() - want).abs() < 1e-9, "{choice}");
        assert_eq!(encode(point, &value), Ok(vec![raw]), "{choice}");
    }
    let wrong =
        [("temperature".to_owned(), "kelvin".to_owned()), ("colour".to_owned(), "red".to_owned())].into();
    assert_eq!(profile.resolve(&wrong).unwrap_err().len(), 2);
}

#[test]
fn writes_table() {
    let write = "\nwrite = { min = 5.0, max = 40.0 }";
    for (point, value, want) in [
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(22.5), Ok(vec![1125])),
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(4.9), Err("below 5")),
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(40.1), Err("above 40")),
        (format!("type = 'u16'\nscale = '1/50'{write}"), Value::Float(f64::NAN), Err("numbers")),
        ("type = 's16'\nscale = '1/10'\nwrite = {}".into(), Value::Float(-5.0), Ok(vec![0xFFCE])),
        ("type = 'u16'\nwrite = {}".into(), Value::Int(-1), Err("does not fit")),
        (
            "type = 'u16'\nnames = { on = 0xA5, off = 0x5A }\nwrite = {}".into(),
            Value::Text("on".into()),
            Ok(vec![0xA5]),
        ),
        ("type = 'u16'\nnames = { on = 1 }\nwrite = {}".into(), Value::Text("up".into()), Err("it takes on")),
        ("type = 'u32'\nwrite = {}".into(), Value::Int(0x1_0002), Ok(vec![1, 2])),
        ("type = 'f32'\nwrite = {}".into(), Value::Float(1.0), Ok(vec![0x3F80, 0])),
        ("type = 'bool'\nwrite = {}".into(), Value::Bool(true), Ok(vec![1])),
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
fn small_changes_are_not_worth_a_report() {
    let map = map("", "type = 'u16'\nscale = '1/50'\ndead_band = 0.1");
    let point = &map.points[0];
    let float = |x: f64| Decoded::good(Value::Float(x));
    assert!(!differs(point, &float(21.0), &float(21.08)));
    assert!(differs(point, &float(21.0), &float(21.12)));
    assert!(differs(point, &float(21.0), &Decoded::BAD));
    assert!(same(point, &Value::Float(22.51), &float(22.5)), "half a step of the device");
    assert!(!same(point, &Value::Float(22.6), &float(22.5)));
}

proptest! {
    #[test]
    fn no_registers_make_it_panic(words in proptest::collection::vec(any::<u16>(), 0..130), first in any::<u16>()) {
        for (_, text) in profile::builtin() {
            let Ok(Resolved::Modbus(map)) = profile::load("", text).unwrap().resolve(&BTreeMap::new()) else { panic!() };
            for point in &map.points {
                let _ = decode(&map, point, first, &Words::Registers(words.clone()));
                let _ = decode(&map, point, first, &Words::Bits(words.iter().map(|word| *word > 7).collect()));
            }
        }
    }
}
