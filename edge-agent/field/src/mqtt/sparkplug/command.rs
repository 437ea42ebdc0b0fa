//! Commands of hosts: NCMD and DCMD payloads, read into what they ask.
//!
//! What a host may write is not decided here: the house's own rules take or refuse every command, and its journal
//! says which. Here only what can't be understood is refused, in words.
//!
//! Never: carries anything out.

use super::metrics::Metrics;
use super::payload::{self, Metric, MetricValue};
use engawa_model::{DeviceId, PointId, Value};

/// The metric that asks for all births again.
pub(super) const REBIRTH: &str = "Node Control/Rebirth";
/// Metrics in one command; more is refused as a whole, as no person or rule of a host writes so many at once.
const MAX_METRICS: usize = 256;

/// What a command to the node asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RebirthAsked;

/// Reads an NCMD. The results are one for each metric.
pub(super) fn of_node(bytes: &[u8]) -> Vec<Result<RebirthAsked, String>> {
    each(bytes, |metric| match (metric.name.as_deref(), &metric.value) {
        (Some(REBIRTH), Some(MetricValue::Boolean(true))) => Ok(RebirthAsked),
        (Some(REBIRTH), _) => Err(format!("`{REBIRTH}` is asked for with the boolean true")),
        _ => Err(format!("{} can't be written: the node takes `{REBIRTH}` only", called(metric))),
    })
}

/// Reads a DCMD for `device`. The results are one for each metric.
pub(super) fn of_device(
    bytes: &[u8],
    device: &DeviceId,
    metrics: &Metrics,
) -> Vec<Result<(PointId, Value), String>> {
    each(bytes, |metric| {
        let (name, datatype) = metrics
            .meant(device, metric.name.as_deref(), metric.alias)
            .ok_or_else(|| format!("device `{device}` has no {}", called(metric)))?;
        let value = metric.value.as_ref().filter(|_| metric.is_null != Some(true));
        let value = value.ok_or_else(|| format!("{} comes without a value", called(metric)))?;
        let value =
            datatype.decode(value, metric.datatype).map_err(|why| format!("{}: {why}", called(metric)))?;
        Ok((PointId { device: device.clone(), point: name.into() }, value))
    })
}

fn each<T>(bytes: &[u8], read: impl Fn(&Metric) -> Result<T, String>) -> Vec<Result<T, String>> {
    match payload::decode(bytes) {
        Err(error) => vec![Err(error.to_string())],
        Ok(payload) if payload.metrics.is_empty() => vec![Err("the command has no metric".to_owned())],
        Ok(payload) if payload.metrics.len() > MAX_METRICS => {
            vec![Err(format!("{} metrics in one command; the most is {MAX_METRICS}", payload.metrics.len()))]
        }
        Ok(payload) => payload.metrics.iter().map(read).collect(),
    }
}

/// The metric, as the command names it; what a stranger wrote is cut short for the log.
fn called(metric: &Metric) -> String {
    match (&metric.name, metric.alias) {
        (Some(name), _) if !name.is_empty() => {
            format!("metric `{}`", name.chars().take(80).flat_map(char::escape_debug).collect::<String>())
        }
        (_, Some(alias)) => format!("metric with alias {alias}"),
        _ => "metric without name and alias".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::DataType;
    use super::super::house::Reading;
    use super::super::payload::Payload;
    use super::*;
    use engawa_model::Timestamp;
    use proptest::prelude::*;
    use prost::Message;

    fn bytes(metrics: Vec<Metric>) -> Vec<u8> {
        Payload { timestamp: Some(1), metrics, ..Payload::default() }.encode_to_vec()
    }

    fn metric(name: Option<&str>, alias: Option<u64>, value: Option<MetricValue>) -> Metric {
        Metric { name: name.map(str::to_owned), alias, value, ..Metric::default() }
    }

    fn known() -> Metrics {
        let mut metrics = Metrics::default();
        for device in ["t1", "t2"] {
            let reading = Reading::new("setpoint", DataType::Double);
            metrics.birth(Some(&device.into()), &[reading], Timestamp::UNIX_EPOCH);
        }
        metrics
    }

    #[test]
    fn a_metric_is_meant_by_name_or_by_alias() {
        let value = || Some(MetricValue::Double(22.5));
        let wanted = Ok((PointId::new("t1", "setpoint"), Value::Float(22.5)));
        for meant in [
            metric(Some("setpoint"), None, value()),
            metric(None, Some(1), value()),
            metric(Some(""), Some(1), value()),
        ] {
            assert_eq!(of_device(&bytes(vec![meant]), &"t1".into(), &known()), std::slice::from_ref(&wanted));
        }
    }

    #[test]
    fn what_can_not_be_understood_is_refused_in_words() {
        let null = Metric { is_null: Some(true), ..metric(None, Some(1), None) };
        for (meant, text) in [
            (metric(None, Some(2), Some(MetricValue::Double(1.0))), "no metric with alias 2"),
            (metric(Some("fan"), None, Some(MetricValue::Double(1.0))), "no metric `fan`"),
            (metric(None, None, None), "without name"),
            (metric(None, Some(1), None), "without a value"),
            (null, "without a value"),
            (metric(None, Some(1), Some(MetricValue::Boolean(true))), "does not fit"),
        ] {
            let read = of_device(&bytes(vec![meant]), &"t1".into(), &known());
            assert!(read[0].as_ref().unwrap_err().contains(text), "{read:?} lacks {text}");
        }
        for (payload, text) in [
            (bytes(vec![]), "no metric"),
            (vec![0xff; 9], "protobuf"),
            (bytes(vec![Metric::default(); MAX_METRICS + 1]), "257"),
            (bytes(vec![metric(Some(REBIRTH), None, Some(MetricValue::Boolean(false)))]), "boolean true"),
            (bytes(vec![metric(Some("Node Control/Reboot"), None, None)]), "Reboot"),
        ] {
            let read = of_node(&payload);
            assert!(read[0].as_ref().unwrap_err().contains(text), "{read:?} lacks {text}");
        }
        assert_eq!(
            of_node(&bytes(vec![metric(Some(REBIRTH), None, Some(MetricValue::Boolean(true)))])),
            [Ok(RebirthAsked)]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in any::<Vec<u8>>()) {
            let _ = of_node(&payload);
            let _ = of_device(&payload, &"t1".into(), &known());
        }
    }
}
