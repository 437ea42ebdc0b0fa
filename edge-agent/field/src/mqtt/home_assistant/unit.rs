//! From a UCUM unit to what Home Assistant calls it: its sign, the *device class*, the *state class*.
//!
//! Why so: with them Home Assistant converts, draws long-term statistics and puts energy on its dashboard. It refuses a
//! device class with a unit that does not belong to it, so a class is given only for units that it has had for years.
//!
//! Never: conversion.

use engawa_model::Role;

/// What Home Assistant is told of a measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// `device_class`.
    pub(super) class: Option<&'static str>,
    /// `unit_of_measurement`.
    pub(super) unit: Option<String>,
    /// `state_class`.
    pub(super) state: Option<&'static str>,
}

const MEASUREMENT: &str = "measurement";
/// A counter that only grows, or begins again.
const TOTAL: &str = "total_increasing";

/// (UCUM, sign, device class, state class)
type Row = (&'static str, &'static str, Option<&'static str>, &'static str);

const UNITS: &[Row] = &[
    ("Cel", "°C", Some("temperature"), MEASUREMENT),
    ("[degF]", "°F", Some("temperature"), MEASUREMENT),
    ("mW", "mW", Some("power"), MEASUREMENT),
    ("W", "W", Some("power"), MEASUREMENT),
    ("kW", "kW", Some("power"), MEASUREMENT),
    ("MW", "MW", Some("power"), MEASUREMENT),
    ("V.A", "VA", Some("apparent_power"), MEASUREMENT),
    ("kV.A", "kVA", None, MEASUREMENT),
    ("V.A{reactive}", "var", Some("reactive_power"), MEASUREMENT),
    ("kV.A{reactive}", "kvar", None, MEASUREMENT),
    ("W.h", "Wh", Some("energy"), TOTAL),
    ("kW.h", "kWh", Some("energy"), TOTAL),
    ("MW.h", "MWh", Some("energy"), TOTAL),
    ("J", "J", Some("energy"), TOTAL),
    ("kJ", "kJ", Some("energy"), TOTAL),
    ("MJ", "MJ", Some("energy"), TOTAL),
    ("GJ", "GJ", Some("energy"), TOTAL),
    ("V.A.h", "VAh", None, TOTAL),
    ("kV.A.h", "kVAh", None, TOTAL),
    ("V.A.h{reactive}", "varh", None, TOTAL),
    ("kV.A.h{reactive}", "kvarh", None, TOTAL),
    ("A.h", "Ah", None, TOTAL),
    ("V", "V", Some("voltage"), MEASUREMENT),
    ("mV", "mV", Some("voltage"), MEASUREMENT),
    ("A", "A", Some("current"), MEASUREMENT),
    ("mA", "mA", Some("current"), MEASUREMENT),
    ("Hz", "Hz", Some("frequency"), MEASUREMENT),
    ("kHz", "kHz", Some("frequency"), MEASUREMENT),
    ("Pa", "Pa", Some("pressure"), MEASUREMENT),
    ("hPa", "hPa", Some("pressure"), MEASUREMENT),
    ("kPa", "kPa", Some("pressure"), MEASUREMENT),
    ("bar", "bar", Some("pressure"), MEASUREMENT),
    ("mbar", "mbar", Some("pressure"), MEASUREMENT),
    ("[psi]", "psi", Some("pressure"), MEASUREMENT),
    ("m3", "m³", Some("volume"), TOTAL),
    ("L", "L", Some("volume"), TOTAL),
    ("l", "L", Some("volume"), TOTAL),
    ("m3/h", "m³/h", Some("volume_flow_rate"), MEASUREMENT),
    ("L/min", "L/min", Some("volume_flow_rate"), MEASUREMENT),
    ("lx", "lx", Some("illuminance"), MEASUREMENT),
    ("W/m2", "W/m²", Some("irradiance"), MEASUREMENT),
    ("dB[SPL]", "dB", Some("sound_pressure"), MEASUREMENT),
    ("m/s", "m/s", Some("speed"), MEASUREMENT),
    ("ms", "ms", Some("duration"), MEASUREMENT),
    ("s", "s", Some("duration"), MEASUREMENT),
    ("min", "min", Some("duration"), MEASUREMENT),
    ("h", "h", Some("duration"), MEASUREMENT),
    ("d", "d", Some("duration"), MEASUREMENT),
    ("mm", "mm", Some("distance"), MEASUREMENT),
    ("cm", "cm", Some("distance"), MEASUREMENT),
    ("m", "m", Some("distance"), MEASUREMENT),
    ("g", "g", Some("weight"), MEASUREMENT),
    ("kg", "kg", Some("weight"), MEASUREMENT),
    ("ug/m3", "µg/m³", None, MEASUREMENT),
    ("[ppm]", "ppm", None, MEASUREMENT),
    ("[ppb]", "ppb", None, MEASUREMENT),
    ("deg", "°", None, MEASUREMENT),
    ("Ohm", "Ω", None, MEASUREMENT),
    ("{revolution}/min", "rpm", None, MEASUREMENT),
];

/// What a unit does not tell, and the point's name does: (UCUM, part of the name, device class).
const NAMED: &[(&str, &str, &str)] = &[
    ("%", "humidity", "humidity"),
    ("%", "battery", "battery"),
    ("[ppm]", "co2", "carbon_dioxide"),
    ("[ppb]", "voc", "volatile_organic_compounds_parts"),
    ("ug/m3", "pm2", "pm25"),
    ("ug/m3", "pm10", "pm10"),
    ("ug/m3", "pm1", "pm1"),
    ("m3", "water", "water"),
    ("L", "water", "water"),
];

/// What Home Assistant is told of a number with this unit, role and name.
pub(super) fn measure(unit: Option<&str>, role: Option<Role>, name: &str) -> Measure {
    let Some(unit) = unit else { return Measure::default() };
    let name = name.to_ascii_lowercase();
    let named =
        NAMED.iter().find(|(of, part, _)| *of == unit && name.contains(part)).map(|(_, _, class)| *class);
    let (sign, class, state) = match UNITS.iter().find(|(code, ..)| *code == unit) {
        Some((_, sign, class, state)) => ((*sign).to_owned(), named.or(*class), *state),
        None if role == Some(Role::Battery) && unit == "%" => (unit.to_owned(), Some("battery"), MEASUREMENT),
        None if matches!(unit, "1" | "[pH]") => {
            return Measure { state: Some(MEASUREMENT), ..Measure::default() };
        }
        // What is only an annotation is a word for people.
        None => (unit.trim_matches(['{', '}', '[', ']']).to_owned(), named, MEASUREMENT),
    };
    Measure { class, unit: Some(sign), state: Some(state) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_its_sign_and_classes() {
        let told = |unit, role, name| {
            let Measure { class, unit, state } = measure(unit, role, name);
            (class, unit, state)
        };
        let sign = |text: &str| Some(text.to_owned());
        assert_eq!(told(None, None, "code"), (None, None, None));
        assert_eq!(told(Some("Cel"), None, "t"), (Some("temperature"), sign("°C"), Some("measurement")));
        assert_eq!(told(Some("kW.h"), None, "t"), (Some("energy"), sign("kWh"), Some("total_increasing")));
        assert_eq!(
            told(Some("%"), None, "Relative-Humidity"),
            (Some("humidity"), sign("%"), Some("measurement"))
        );
        assert_eq!(
            told(Some("%"), Some(Role::Battery), "charge"),
            (Some("battery"), sign("%"), Some("measurement"))
        );
        assert_eq!(
            told(Some("%"), Some(Role::ClimateOutput), "valve"),
            (None, sign("%"), Some("measurement"))
        );
        assert_eq!(
            told(Some("[ppm]"), None, "co2"),
            (Some("carbon_dioxide"), sign("ppm"), Some("measurement"))
        );
        assert_eq!(told(Some("[ppm]"), None, "nh3"), (None, sign("ppm"), Some("measurement")));
        assert_eq!(told(Some("{pulse}"), None, "n"), (None, sign("pulse"), Some("measurement")));
        assert_eq!(told(Some("1"), None, "n"), (None, None, Some("measurement")));
    }
}
