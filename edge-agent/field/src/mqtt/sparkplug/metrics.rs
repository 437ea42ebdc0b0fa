//! The metrics of one edge node: their aliases and types, what was last told of each, and how they go on the wire.
//!
//! Why aliases outlive a session: a host that still works with those of the birth before can't take one metric for
//! another.
//!
//! The table grows with the points, rooms and links of the configuration and with nothing else.
//!
//! Never: time of its own.

use super::DataType;
use super::house::Reading;
use super::payload::{Metric, MetricValue, PropertyContent, PropertySet, PropertyValue};
use engawa_model::{DeviceId, Quality, Timestamp, Value};
use std::collections::{BTreeMap, HashMap};

/// A metric of the node itself, or of one of its devices.
pub(super) type Key = (Option<DeviceId>, String);

#[derive(Debug)]
struct Known {
    alias: u64,
    datatype: DataType,
    /// True once a value has shown the type; before that it is a guess.
    shown: bool,
    /// Told in the last birth of the node or device.
    born: bool,
    value: Option<Value>,
    quality: Quality,
}

/// All metrics that have ever been told of.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    known: BTreeMap<Key, Known>,
    by_alias: HashMap<u64, Key>,
}

/// The metric is not in the last birth, or not with a type that holds the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeedsBirth;

impl Metrics {
    /// The metrics of a birth of `device` (or of the node), oldest first.
    pub(super) fn birth(
        &mut self,
        device: Option<&DeviceId>,
        readings: &[Reading],
        now: Timestamp,
    ) -> Vec<Metric> {
        self.bury(device);
        let mut ordered: Vec<&Reading> = readings.iter().collect();
        // Section 5.16 wants values in the order of their times.
        ordered.sort_by_key(|reading| reading.at.unwrap_or(now));
        ordered.into_iter().map(|reading| self.born(device, reading, now)).collect()
    }

    /// Nothing of `device` (or of the node) counts as told any more.
    pub(super) fn bury(&mut self, device: Option<&DeviceId>) {
        let of = device.cloned();
        let from = (of.clone(), String::new());
        for (_, known) in self.known.range_mut(from..).take_while(|((device, _), _)| *device == of) {
            known.born = false;
        }
    }

    fn born(&mut self, device: Option<&DeviceId>, reading: &Reading, now: Timestamp) -> Metric {
        let next = self.by_alias.len() as u64 + 1;
        let key = (device.cloned(), reading.name.clone());
        let known = self.known.entry(key.clone()).or_insert_with(|| {
            self.by_alias.insert(next, key);
            Known {
                alias: next,
                datatype: reading.expected,
                shown: false,
                born: false,
                value: None,
                quality: Quality::Good,
            }
        });
        known.shows(reading.value.as_ref());
        if !known.shown {
            known.datatype = reading.expected;
        }
        known.born = true;
        let mut metric = known.tell(reading, now);
        metric.name = Some(reading.name.clone());
        metric.datatype = Some(known.datatype.code());
        metric.properties = Some(properties(reading));
        metric
    }

    /// What data has to say of `reading`; nothing where it is no news.
    pub(super) fn data(
        &mut self,
        device: Option<&DeviceId>,
        reading: &Reading,
        now: Timestamp,
    ) -> Result<Option<Metric>, NeedsBirth> {
        let key = (device.cloned(), reading.name.clone());
        let known = self.known.get_mut(&key).filter(|known| known.born).ok_or(NeedsBirth)?;
        if known.shows(reading.value.as_ref()) {
            return Err(NeedsBirth);
        }
        if reading.historical {
            let mut metric = known.encode(reading, now);
            metric.is_historical = Some(true);
            return Ok(Some(metric));
        }
        if known.value == reading.value && known.quality == reading.quality {
            return Ok(None);
        }
        let restored = known.quality != reading.quality;
        let mut metric = known.tell(reading, now);
        if restored || reading.quality != Quality::Good {
            metric.properties = Some(set(vec![quality(reading.quality)]));
        }
        Ok(Some(metric))
    }

    /// The metric of `device` that a command means, and its type.
    pub(super) fn meant(
        &self,
        device: &DeviceId,
        name: Option<&str>,
        alias: Option<u64>,
    ) -> Option<(&str, DataType)> {
        let key = match name.filter(|name| !name.is_empty()) {
            Some(name) => (Some(device.clone()), name.to_owned()),
            None => self.by_alias.get(&alias?)?.clone(),
        };
        let (key, known) = self.known.get_key_value(&key)?;
        (key.0.as_ref() == Some(device)).then_some((key.1.as_str(), known.datatype))
    }
}

impl Known {
    /// Learns the type from `value`; true where it has changed.
    fn shows(&mut self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return false };
        let before = self.datatype;
        self.datatype = match (self.shown, self.datatype.holds(value)) {
            (true, _) => self.datatype.widened(value),
            // A guess that fits is kept: a set point of 22 is a number all the same.
            (false, true) if self.datatype != DataType::String => self.datatype,
            (false, _) => DataType::of(value),
        };
        self.shown = true;
        self.datatype != before
    }

    fn tell(&mut self, reading: &Reading, now: Timestamp) -> Metric {
        self.value.clone_from(&reading.value);
        self.quality = reading.quality;
        self.encode(reading, now)
    }

    fn encode(&self, reading: &Reading, now: Timestamp) -> Metric {
        let value = reading.value.as_ref().and_then(|value| self.datatype.encode(value));
        Metric {
            alias: Some(self.alias),
            timestamp: Some(millis(reading.at.unwrap_or(now))),
            is_null: value.is_none().then_some(true),
            value,
            ..Metric::default()
        }
    }
}

/// `bdSeq` as a metric.
pub(super) fn bd_seq(number: u8, at: Timestamp) -> Metric {
    Metric {
        name: Some("bdSeq".to_owned()),
        timestamp: Some(millis(at)),
        datatype: Some(DataType::Int64.code()),
        value: Some(MetricValue::Long(u64::from(number))),
        ..Metric::default()
    }
}

/// The metric that a host writes to ask for all births again. It has no alias: a host that knows none asks by it.
pub(super) fn rebirth(at: Timestamp) -> Metric {
    Metric {
        name: Some(super::command::REBIRTH.to_owned()),
        timestamp: Some(millis(at)),
        datatype: Some(DataType::Boolean.code()),
        value: Some(MetricValue::Boolean(false)),
        ..Metric::default()
    }
}

/// Milliseconds since 1970, UTC; zero before.
pub(super) fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

type Property = (&'static str, DataType, PropertyContent);

/// Quality codes: section 6.4.9.1.
fn quality(quality: Quality) -> Property {
    let code = match quality {
        Quality::Good => 192,
        Quality::Stale => 500,
        Quality::Bad => 0,
    };
    ("Quality", DataType::Int32, PropertyContent::Int(code))
}

fn properties(reading: &Reading) -> PropertySet {
    let mut all = vec![quality(reading.quality)];
    if let Some(unit) = &reading.unit {
        all.push(("engUnit", DataType::String, PropertyContent::String(unit.clone())));
    }
    for (name, bound) in [("engLow", reading.low), ("engHigh", reading.high)] {
        all.extend(bound.map(|bound| (name, DataType::Double, PropertyContent::Double(bound))));
    }
    all.push(("readOnly", DataType::Boolean, PropertyContent::Boolean(!reading.writable)));
    set(all)
}

fn set(properties: Vec<Property>) -> PropertySet {
    let mut set = PropertySet::default();
    for (key, datatype, content) in properties {
        set.keys.push(key.to_owned());
        set.values.push(PropertyValue {
            datatype: Some(datatype.code()),
            is_null: None,
            value: Some(content),
        });
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(name: &str, value: Option<Value>, second: i64) -> Reading {
        let at = Some(Timestamp::from_second(second).unwrap());
        Reading { value, at, ..Reading::new(name, DataType::Double) }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000).unwrap()
    }

    #[test]
    fn only_news_is_told_and_only_by_alias() {
        let (mut metrics, device) = (Metrics::default(), DeviceId::from("t1"));
        let born = metrics.birth(
            Some(&device),
            &[reading("b", None, 9), reading("a", Some(Value::Float(1.0)), 5)],
            now(),
        );
        let told: Vec<_> =
            born.iter().map(|m| (m.name.as_deref(), m.alias, m.timestamp, m.is_null)).collect();
        assert_eq!(
            told,
            [(Some("a"), Some(1), Some(5_000), None), (Some("b"), Some(2), Some(9_000), Some(true))]
        );
        assert_eq!(metrics.data(Some(&device), &reading("a", Some(Value::Float(1.0)), 6), now()), Ok(None));
        let data =
            metrics.data(Some(&device), &reading("a", Some(Value::Float(2.0)), 7), now()).unwrap().unwrap();
        assert_eq!((data.name, data.alias, data.datatype, data.properties), (None, Some(1), None, None));
        assert_eq!(data.value, Some(MetricValue::Double(2.0)));
        // A metric of another device, or after the death of its own, was told to nobody.
        assert_eq!(metrics.data(None, &reading("a", None, 7), now()), Err(NeedsBirth));
        metrics.bury(Some(&device));
        assert_eq!(metrics.data(Some(&device), &reading("a", None, 7), now()), Err(NeedsBirth));
        assert_eq!(metrics.birth(Some(&device), &[reading("a", None, 8)], now())[0].alias, Some(1));
    }

    #[test]
    fn quality_is_told_when_it_changes_and_while_it_is_not_good() {
        let mut metrics = Metrics::default();
        metrics.birth(None, &[reading("a", Some(Value::Float(1.0)), 5)], now());
        for (value, quality, told) in [
            (1.0, Quality::Stale, Some(500)),
            (2.0, Quality::Stale, Some(500)),
            (2.0, Quality::Bad, Some(0)),
            (2.0, Quality::Good, Some(192)),
            (3.0, Quality::Good, None),
        ] {
            let reading = Reading { quality, ..reading("a", Some(Value::Float(value)), 6) };
            let set = metrics.data(None, &reading, now()).unwrap().unwrap().properties;
            let code = set.map(|set| set.values[0].value.clone().unwrap());
            assert_eq!(code, told.map(PropertyContent::Int), "{value} {quality:?}");
        }
    }

    #[test]
    fn a_value_of_another_kind_needs_a_birth_with_a_wider_type() {
        let mut metrics = Metrics::default();
        let kind = |metrics: &mut Metrics, value: Value| {
            metrics.birth(None, &[reading("a", Some(value), 5)], now())[0].datatype
        };
        assert_eq!(metrics.birth(None, &[reading("a", None, 5)], now())[0].datatype, Some(10));
        let off = reading("a", Some(Value::Bool(false)), 6);
        assert_eq!(metrics.data(None, &off, now()), Err(NeedsBirth));
        assert_eq!(kind(&mut metrics, Value::Bool(false)), Some(11));
        assert_eq!(kind(&mut metrics, Value::Int(2)), Some(12));
        assert_eq!(kind(&mut metrics, Value::Bool(true)), Some(12), "a type never narrows");
    }

    #[test]
    fn what_was_buffered_says_so_and_replaces_nothing() {
        let mut metrics = Metrics::default();
        metrics.birth(None, &[reading("a", Some(Value::Float(2.0)), 9)], now());
        let old = Reading { historical: true, ..reading("a", Some(Value::Float(1.0)), 5) };
        let told = metrics.data(None, &old, now()).unwrap().unwrap();
        assert_eq!((told.is_historical, told.timestamp), (Some(true), Some(5_000)));
        assert_eq!(metrics.data(None, &reading("a", Some(Value::Float(2.0)), 9), now()), Ok(None));
    }
}
