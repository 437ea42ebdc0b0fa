//! The text of a profile, and what follows from it.
//!
//! Up to a zero byte the input is the text; what comes behind is what a device answers. Where the text is empty, the answer
//! is that of a device with points of all types in all orders. Seen here:
//!
//! - A text that is refused has faults, each within the text, and a report that names the file.
//! - The plan of a good one brings each point once and whole, asks for no more than the device bears, and touches nothing
//!   that may not be read; its parts, should the device refuse, bring the same points.
//! - Whatever the registers hold, a value is good and finite, or marked.
//! - A value that was decoded and is written again is read back as the same, and no other register is touched.

use engawa_field::fuzz::{Place, Read, Registers};
use engawa_field::profile::modbus::ModbusMap;
use engawa_field::profile::{self, Resolved};
use engawa_model::{Quality, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// Longer texts only take longer.
const LONGEST: usize = 6_000;

/// Looks at a text and an answer.
pub fn run(data: &[u8]) {
    let (text, answer) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    if text.is_empty() {
        return of_all_types(answer);
    }
    match std::str::from_utf8(text) {
        Ok(text) if text.len() <= LONGEST => text_and_answer(text, answer),
        _ => {}
    }
}

/// Looks at a text, and what a device of that profile answers.
pub fn text_and_answer(text: &str, answer: &[u8]) {
    match profile::load("some.toml", text) {
        Err(report) => {
            assert!(!report.is_empty(), "refused without a fault");
            for fault in &report.faults {
                assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not within the text");
                assert!(!fault.message.is_empty());
                let place = report.position(fault);
                let lines = text.matches('\n').count() + 1;
                assert!((1..=lines).contains(&place.line) && place.column >= 1, "{place:?}");
            }
            assert!(report.to_string().contains("some.toml"));
        }
        Ok(profile) => {
            let resolved = profile.resolve(&BTreeMap::new()).expect("without variables");
            resolved.point_specs();
            if let Resolved::Modbus(map) = resolved {
                registers(&map, answer);
            }
        }
    }
}

const TYPES: [&str; 17] = [
    "u16", "s16", "u32", "s32", "u64", "s64", "f16", "f32", "f64", "bcd16", "bcd32", "u8-hi", "s8-lo",
    "bool", "bits", "ascii", "utf16",
];

/// A point for each type, order and scale, and of some a range.
fn all_types() -> &'static Arc<ModbusMap> {
    static MAP: OnceLock<Arc<ModbusMap>> = OnceLock::new();
    MAP.get_or_init(|| {
        let mut text = String::from(
            "profile = { name = 'p', make = 'm', model = 'm', kind = 'k', protocol = 'modbus', sources = ['s'] }\n[modbus]\n",
        );
        let mut address = 0;
        for kind in TYPES {
            for order in ["abcd", "cdab", "badc", "dcba"] {
                for scale in ["", "scale = '1/50'", "scale = '-5/9'\noffset = '-160/9'", "valid = { min = -9.0, max = 9.5 }"] {
                    let plain = matches!(kind, "ascii" | "utf16" | "bool");
                    if plain && !scale.is_empty() {
                        continue;
                    }
                    text += &format!(
                        "[[modbus.points]]\nname = 'p{address}'\ntable = 'holding'\naddress = {address}\ntype = '{kind}'\n\
                         order = '{order}'\nwrite = {{ }}\n{scale}\n"
                    );
                    text += match kind {
                        "bits" => "bit = 5\nbits = 6\n",
                        "ascii" | "utf16" => "length = 4\n",
                        _ => "",
                    };
                    address += 4;
                }
            }
        }
        let profile = profile::load("types.toml", &text).unwrap_or_else(|report| panic!("{report}"));
        match profile.resolve(&BTreeMap::new()) {
            Ok(Resolved::Modbus(map)) => map,
            other => panic!("{other:?}"),
        }
    })
}

/// The first byte and a half says which point; then its registers.
fn of_all_types(answer: &[u8]) {
    let [first, second, words @ ..] = answer else { return };
    let registers = Registers::new(all_types());
    let places = registers.places();
    let point = usize::from(u16::from_be_bytes([*first, *second])) % places.len();
    let mut words: Vec<u16> =
        words.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    words.resize(usize::from(places[point].length), 0);
    decoded(&registers, point, &places[point], &words);
}

fn registers(map: &ModbusMap, answer: &[u8]) {
    let registers = Registers::new(map);
    let places = registers.places();
    let words: Vec<u16> = if answer.len() < 2 {
        vec![0]
    } else {
        answer.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    };
    for worth in [0, 125] {
        let plan = registers.plan(worth);
        let (most_registers, most_bits) = registers.most();
        check_plan(&registers, &places, &plan);
        let brought: usize = plan.iter().map(|read| read.points.len()).sum();
        assert_eq!(brought, places.len(), "a point is read twice, or not at all");
        for (number, read) in plan.iter().enumerate() {
            let most = if read.function <= 2 { most_bits } else { most_registers };
            assert!(read.count <= most, "{} at once of {most}", read.count);
            if let Some(parts) = registers.split(worth, number) {
                check_plan(&registers, &places, &parts);
                let of = |reads: &[Read]| -> BTreeSet<usize> {
                    reads.iter().flat_map(|read| read.points.iter().copied()).collect()
                };
                assert_eq!(of(&parts), of(std::slice::from_ref(read)), "a part lost a point");
            }
        }
    }
    for (point, place) in places.iter().enumerate().filter(|(_, place)| !place.bit) {
        let words: Vec<u16> =
            words.iter().copied().cycle().skip(point).take(usize::from(place.length)).collect();
        decoded(&registers, point, place, &words);
    }
}

fn check_plan(registers: &Registers<'_>, places: &[Place], reads: &[Read]) {
    for read in reads {
        let end = u32::from(read.first) + u32::from(read.count);
        assert!(read.count > 0 && end <= 1 << 16, "{read:?} ends beyond the table");
        assert!(!registers.touches_a_hole(read), "{read:?} touches what may not be read");
        for point in &read.points {
            let place = places[*point];
            let within =
                place.address >= read.first && u32::from(place.address) + u32::from(place.length) <= end;
            assert!(within && place.function == read.function, "{place:?} is not in {read:?}");
        }
    }
}

fn decoded(registers: &Registers<'_>, point: usize, place: &Place, words: &[u16]) {
    let (value, quality) = registers.decode(point, place.address, words).expect("it is all there");
    match (&value, quality) {
        (None, Quality::Good | Quality::Bad) => {}
        (Some(Value::Float(x)), Quality::Good) => assert!(x.is_finite(), "{x}"),
        (Some(_), Quality::Good) => {}
        other => panic!("{other:?}"),
    }
    // The answer of another length, or at another place, holds nothing of it.
    assert_eq!(registers.decode(point, place.address, &words[..words.len() - 1]), None);
    if let Some(after) = place.address.checked_add(1) {
        assert_eq!(registers.decode(point, after, words), None);
    }
    let (Some(value), true, true) = (value, place.writable_table, place.written_alone) else { return };
    let mut holding: BTreeMap<u16, u16> = (place.address..=u16::MAX).zip(words.iter().copied()).collect();
    let before = holding.clone();
    let Ok(touched) = registers.write(point, &value, &mut holding) else {
        assert_eq!(holding, before, "a refused write has written");
        return;
    };
    let own = place.address..=place.address + (place.length - 1);
    assert!(!touched.is_empty() && touched.iter().all(|at| own.contains(at)), "{touched:?} beyond {own:?}");
    let words: Vec<u16> = own.map(|at| holding[&at]).collect();
    let (back, quality) = registers.decode(point, place.address, &words).expect("it is all there");
    assert!(
        registers.same(point, &value, back.clone(), quality),
        "{value:?} was written and {back:?} ({quality:?}) is read back"
    );
}
