//! What a point is to a system outside that shows and sets it: which kind of value it has, and which values it takes.
//!
//! Why beside [`PointSpec`](engawa_model::PointSpec): rules need the role and the range; whoever draws a switch, a slider
//! or a list needs the kind, the step and the names as well, and only the profile knows them.
//!
//! Never: values.

use super::Resolved;
use super::modbus::{MapPoint, ModbusMap, Type};
use super::mqtt::{Meaning, MqttKind, MqttPoint};
use engawa_model::{Role, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kind of a point's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// On or off.
    Bool,
    /// A number.
    Number,
    /// A text, or one of several names.
    Text,
}

/// What a point takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Takes {
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// The finest step between two numbers.
    pub step: Option<f64>,
    /// The names, in the device's own order; empty where anything of the kind may be written.
    pub names: Vec<String>,
}

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointTraits {
    /// Its name.
    pub name: Arc<str>,
    /// What it is to its room.
    pub role: Option<Role>,
    /// Its unit (UCUM).
    pub unit: Option<Arc<str>>,
    /// The kind of its values.
    pub kind: ValueKind,
    /// True where the device reports it.
    pub reads: bool,
    /// The names that it reports, in the device's own order; empty where it has none.
    pub names: Vec<String>,
    /// What may be written; `None` where nothing may.
    pub takes: Option<Takes>,
}

impl Resolved {
    /// The points, as systems outside show and set them.
    pub fn traits(&self) -> Arc<[PointTraits]> {
        match self {
            Self::Modbus(map) => map.traits(),
            Self::Mqtt(profile) => profile.points.iter().map(of_mqtt).collect(),
        }
    }
}

impl ModbusMap {
    fn traits(&self) -> Arc<[PointTraits]> {
        self.points.iter().map(of_modbus).collect()
    }
}

fn of_modbus(point: &MapPoint) -> PointTraits {
    let named = |names: &BTreeMap<String, i64>| {
        let mut names: Vec<_> = names.iter().map(|(name, raw)| (*raw, name.clone())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    // With a unit it is a measure, of which some values have names.
    let is_named = !point.names.is_empty() && point.unit.is_none();
    let kind = match point.kind {
        _ if is_named || point.kind.is_text() => ValueKind::Text,
        Type::Bool => ValueKind::Bool,
        _ => ValueKind::Number,
    };
    let takes = point.write.as_ref().filter(|write| !write.never_in_routine).map(|write| Takes {
        min: write.min,
        max: write.max,
        step: (kind == ValueKind::Number && !point.kind.is_float()).then(|| point.scale.times(1.0).abs()),
        names: if kind == ValueKind::Text { named(&write.names) } else { vec![] },
    });
    PointTraits {
        name: point.name.clone(),
        role: point.role,
        unit: point.unit.clone(),
        kind,
        reads: true,
        names: if is_named { point.names.values().cloned().collect() } else { vec![] },
        takes,
    }
}

fn of_mqtt(point: &MqttPoint) -> PointTraits {
    let kind = match point.kind {
        MqttKind::Bool => ValueKind::Bool,
        MqttKind::Int | MqttKind::Float => ValueKind::Number,
        MqttKind::Text => ValueKind::Text,
    };
    let named = |words: &BTreeMap<String, Meaning>| {
        let mut names: Vec<String> = Vec::new();
        for Meaning(meaning) in words.values() {
            if let Value::Text(name) = meaning
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    };
    let step = match point.kind {
        MqttKind::Int => Some(1.0),
        MqttKind::Float => point.is_scaled().then(|| point.scale.times(1.0).abs()),
        _ => None,
    };
    let takes = Takes { min: point.min, max: point.max, step, names: named(point.words()) };
    PointTraits {
        name: point.name.as_str().into(),
        role: point.role,
        unit: point.unit.as_deref().map(Into::into),
        kind,
        reads: point.reports(),
        names: named(&point.values),
        takes: point.command_topic.is_some().then_some(takes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::load;

    fn traits(protocol: &str, body: &str) -> Vec<PointTraits> {
        let text = format!(
            "[profile]\nname = 'p'\nmake = 'M'\nmodel = 'm'\nkind = 'k'\nprotocol = '{protocol}'\nsources = ['s']\n{body}"
        );
        let profile = load("p.toml", &text).unwrap();
        profile.resolve(&BTreeMap::new()).unwrap().traits().to_vec()
    }

    #[test]
    fn a_modbus_point_has_the_step_of_its_scale_and_the_names_of_its_codes() {
        let points = traits(
            "modbus",
            "[modbus]\n\
             [[modbus.points]]\nname = 'set'\nunit = 'Cel'\ntable = 'holding'\naddress = 1\ntype = 's16'\nscale = '1/2'\n\
             names = { frost = 7 }\nwrite = { min = 5.0, max = 30.0 }\n\
             [[modbus.points]]\nname = 'mode'\ntable = 'holding'\naddress = 2\ntype = 'u16'\n\
             names = { auto = 3, heat = 1, cool = 2 }\nwrite = {}\n\
             [[modbus.points]]\nname = 'relay'\ntable = 'coil'\naddress = 3\ntype = 'bool'\nwrite = {}\n\
             [[modbus.points]]\nname = 'level'\ntable = 'holding'\naddress = 4\ntype = 'f32'\nwrite = {}\n\
             [[modbus.points]]\nname = 'serial'\ntable = 'input'\naddress = 9\ntype = 'ascii'\nlength = 4\n",
        );
        let [set, mode, relay, level, serial] = &points[..] else { panic!("{points:#?}") };
        let takes = set.takes.clone().unwrap();
        assert_eq!(
            (set.kind, takes.step, takes.min, takes.max),
            (ValueKind::Number, Some(0.5), Some(5.0), Some(30.0))
        );
        assert_eq!(
            (set.names.len(), takes.names.len()),
            (0, 0),
            "a measure with a named value stays a measure"
        );
        assert_eq!(
            (mode.kind, &mode.names[..]),
            (ValueKind::Text, &["heat", "cool", "auto"].map(str::to_owned)[..])
        );
        assert_eq!(mode.takes.as_ref().unwrap().names, mode.names);
        assert_eq!((relay.kind, relay.takes.is_some()), (ValueKind::Bool, true));
        assert_eq!((level.kind, level.takes.as_ref().unwrap().step), (ValueKind::Number, None));
        assert_eq!((serial.kind, serial.takes.is_some()), (ValueKind::Text, false));
    }

    #[test]
    fn an_mqtt_point_may_only_take_commands_and_has_the_names_that_its_words_mean() {
        let points = traits(
            "mqtt",
            "[mqtt]\nstatus_topic = 'z/{device}'\n\
             [[mqtt.points]]\nname = 'buzzer'\nkind = 'bool'\ncommand_topic = 'z/{device}/set'\n\
             [[mqtt.points]]\nname = 'count'\nkind = 'int'\npointer = '/n'\n\
             [[mqtt.points]]\nname = 'mode'\nkind = 'text'\npointer = '/m'\ncommand_topic = 'z/{device}/set'\n\
             values = { HEAT = 'heat', heating = 'heat', OFF = 'off' }\n",
        );
        let shown: Vec<_> = points.iter().map(|it| (it.kind, it.reads, it.takes.is_some())).collect();
        let text = (ValueKind::Text, true, true);
        assert_eq!(shown, [(ValueKind::Bool, false, true), (ValueKind::Number, true, false), text]);
        assert_eq!(points[2].names, ["heat", "off"]);
        assert_eq!(points[2].takes.as_ref().unwrap().names, points[2].names);
    }
}
