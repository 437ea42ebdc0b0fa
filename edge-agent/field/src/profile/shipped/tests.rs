//! Every shipped profile: sound, within its device's limits, and right on values that its source documents.

mod mqtt;

use super::builtin;
use crate::modbus::decode::{Decoded, Words, decode};
use crate::modbus::learnt::Learnt;
use crate::modbus::plan;
use crate::profile::modbus::ModbusMap;
use crate::profile::{Resolved, load};
use engawa_model::{Quality, Role, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

fn map(name: &str) -> Arc<ModbusMap> {
    let (_, text) =
        builtin().iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("no profile {name}"));
    let profile = load(name, text).unwrap_or_else(|report| panic!("{report}"));
    match profile.resolve(&BTreeMap::new()) {
        Ok(Resolved::Modbus(map)) => map,
        other => panic!("{name}: {other:?}"),
    }
}

fn modbus() -> impl Iterator<Item = &'static str> {
    builtin().iter().filter(|(_, text)| text.contains("protocol = \"modbus\"")).map(|(name, _)| *name)
}

#[test]
fn each_is_sound_and_names_its_sources() {
    for (name, text) in builtin() {
        let profile = load(name, text).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(profile.head.name, *name);
        assert!(!profile.head.sources.is_empty());
        assert!(text.starts_with("#:schema ./profile.schema.json\n"), "{name} opens with its schema");
        let resolved = profile.resolve(&BTreeMap::new()).unwrap();
        let specs = resolved.point_specs();
        for role in [Role::ClimateSetpoint, Role::RoomTemperature] {
            let count = specs.iter().filter(|spec| spec.role == Some(role)).count();
            assert!(count <= 1, "{name}: {count} points are the room's {role:?}");
            assert!(count == 1 || profile.head.kind != "thermostat", "{name}: a thermostat has a {role:?}");
        }
    }
}

#[test]
fn no_request_asks_for_more_than_the_device_bears_or_for_what_no_source_names() {
    for name in modbus() {
        let map = map(name);
        for request in plan::requests(&map, 125, &Learnt::default()) {
            let most = if request.function <= 2 { map.max_bits } else { map.max_registers };
            assert!(request.count <= most, "{name}: {request:?}");
            let mut hole = 0;
            for address in request.first..request.first + request.count {
                let known = map.points.iter().any(|point| {
                    point.function == request.function
                        && (point.address..point.address + point.length).contains(&address)
                });
                hole = if known { 0 } else { hole + 1 };
                assert!(hole <= map.max_gap, "{name}: {request:?} reads {address}");
            }
        }
    }
}

/// What a point is expected to be.
enum Want {
    Number(f64),
    Whole(i64),
    Is(bool),
    Named(&'static str),
    Bad,
}
use Want::{Bad, Is, Named, Number, Whole};

#[test]
fn documented_answers_mean_what_their_source_says() {
    let float = |number: f32| [(number.to_bits() >> 16) as u16, (number.to_bits() & 0xFFFF) as u16];
    let [volt_high, volt_low] = float(230.2);
    assert_eq!([volt_high, volt_low], [0x4366, 0x3333], "as Eastron's protocol document writes 230.2 V");
    let kilowatt = float(1.5);
    let meter = float(62.5);
    for (profile, point, answer, want) in [
        // Basic documentation CE1P3079: set points and temperatures in 1/50 K.
        ("siemens-rdf302", "comfort_setpoint", &[1050][..], Number(21.0)),
        // Register 40009 in 0.5 K steps, tenths; 40001 is 131 in every device; 40006 is the door station.
        ("smarttemp-smt131", "device_id", &[131], Whole(131)),
        ("smarttemp-smt131", "firmware_version", &[309], Number(3.09)),
        ("smarttemp-smt131", "door_station", &[2], Named("do-not-disturb")),
        ("smarttemp-smt131", "occupancy", &[1], Is(true)),
        // IEEE 754, most significant register first.
        ("eastron-sdm120", "voltage", &[volt_high, volt_low], Number(230.2)),
        ("eastron-sdm630", "voltage_l3", &[volt_high, volt_low], Number(230.2)),
        // Not available is NaN.
        ("schneider-iem3155", "voltage_l1", &[0x7FC0, 0], Bad),
        ("schneider-iem3155", "voltage_l1", &[volt_high, volt_low], Number(230.2)),
        ("schneider-iem3155", "current_l1", &kilowatt, Number(1.5)),
        // Three maps of one brand: tenths, halves with coded power, tenths.
        ("beca-bac-002aln", "setpoint", &[215], Number(21.5)),
        ("beca-bac-6000aln", "power", &[0xA5], Named("on")),
        ("beca-bac-6000aln", "power", &[0x5A], Named("off")),
        ("beca-bac-6000aln", "room_temperature", &[43], Number(21.5)),
        ("beca-bht-006", "sensor_temperature", &[0xFFF6], Number(-1.0)),
        ("beca-bht-006", "heating_status", &[1], Named("heating")),
        // Capability bits of DIII-net.
        ("daikin-dta116a51-diii", "can_cool", &[0b10], Is(true)),
        ("daikin-dta116a51-diii", "can_heat", &[0b11], Is(false)),
        ("engo-efan", "fan_status", &[12], Named("auto-high")),
        ("engo-efan", "room_temperature", &[224], Number(22.4)),
        // Whole degrees.
        ("haier-ycj-a002", "room_temperature", &[0xFFFE], Whole(-2)),
        ("haier-ycj-a002", "setpoint", &[24], Whole(24)),
        ("isma-tp", "temperature", &[231], Number(23.1)),
        ("isma-tp", "co2", &[640], Whole(640)),
        ("kamstrup-multical", "temperature_1", &meter, Number(62.5)),
        ("lg-pdrycb500", "mode", &[4], Named("heat")),
        ("lg-pdrycb500", "setpoint", &[235], Number(23.5)),
        ("nibe-f1155", "outdoor_temperature", &[0xFF9C], Number(-10.0)),
        ("onokom-air-dk-1", "mode", &[2], Named("cool")),
        ("ss-aerasgard-rftm-co2", "humidity_4s", &[455], Number(45.5)),
        ("vector-tra-f12", "series", &[27], Named("tra-f121-a")),
        ("vector-tra-f12", "operating_mode", &[1], Named("economy")),
        ("wirenboard-wb-msw4", "temperature", &[2150], Number(21.5)),
        // The sensor's own words for "no value".
        ("wirenboard-wb-msw4", "temperature", &[0x7FFF], Bad),
        ("wirenboard-wb-msw4", "co2", &[0xFFFF], Bad),
        ("wirenboard-wb-msw4", "illuminance", &[0xFFFF, 0xFFFF], Bad),
    ] {
        let map = map(profile);
        let spec = &map.points[map.position(point).unwrap_or_else(|| panic!("{profile} has no {point}"))];
        let words = Words::Registers(answer.to_vec());
        let Decoded { value, quality } = decode(&map, spec, spec.address, &words).unwrap();
        let right = match (&want, &value) {
            (Bad, None) => quality == Quality::Bad,
            (Number(want), Some(Value::Float(is))) => (want - is).abs() < 1e-4,
            (Whole(want), Some(Value::Int(is))) => want == is,
            (Is(want), Some(Value::Bool(is))) => want == is,
            (Named(want), Some(Value::Text(is))) => want == is,
            _ => false,
        };
        assert!(right, "{profile} {point} {answer:?}: {value:?} {quality:?}");
    }
}

#[test]
fn coils_are_bits() {
    for (profile, point) in [
        ("moxa-iologik-e1214", "relay_0"),
        ("waveshare-modbus-rtu-io-8ch", "output_1"),
        ("waveshare-modbus-rtu-relay", "relay_8"),
        ("lg-pdrycb500", "operation"),
        ("haier-ycj-a002", "power"),
    ] {
        let map = map(profile);
        let spec = &map.points[map.position(point).unwrap()];
        for bit in [true, false] {
            let decoded = decode(&map, spec, spec.address, &Words::Bits(vec![bit])).unwrap();
            assert_eq!(decoded.value, Some(Value::Bool(bit)), "{profile} {point}");
        }
    }
}
