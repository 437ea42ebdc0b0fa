//! Checks of single clauses that are more than a question to the trace.

use crate::trace::{Found, Step, Told, Trace, long, that};
use engawa_field::mqtt::sparkplug::{EdgeNode, NodeNames, Picture};
use engawa_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

pub const DATA: [&str; 2] = ["NDATA", "DDATA"];
pub const BIRTHS: [&str; 2] = ["NBIRTH", "DBIRTH"];

/// Ids with a reserved character, and empty ones, are refused before anything runs.
pub fn ids(refused: impl Fn(&str) -> bool) -> Found {
    ["a+b", "a/b", "a#b", "a\u{0}b", ""]
        .iter()
        .try_for_each(|id| that(refused(id), || format!("{id:?} is taken")))
}

/// Devices have one level of a topic each, without reserved characters, and no two the same.
pub fn devices(ids: &[&str]) -> Found {
    let names = NodeNames::new("g", "n", None).unwrap();
    let levels: BTreeSet<String> = ids
        .iter()
        .map(|id| {
            names.of_device("DDATA", &(*id).into()).strip_prefix("spBv1.0/g/DDATA/n/").unwrap().to_owned()
        })
        .collect();
    let clean = levels.iter().all(|level| !level.contains(['+', '/', '#']));
    that(levels.len() == ids.len() && clean, || format!("{levels:?}"))
}

pub fn clean(trace: &Trace) -> Found {
    let flags = trace.steps.iter().filter_map(|step| match step {
        Step::Connect { level, clean, .. } => Some((*level, *clean)),
        _ => None,
    });
    let flags: Vec<_> = flags.collect();
    that(flags == [(4, true); 3], || format!("{flags:?}"))
}

pub fn bd_seq_type(trace: &Trace) -> Found {
    let int64 = |told: &Told| told.metric("bdSeq").is_some_and(|metric| metric["datatype"] == 4);
    trace.will(int64).and(trace.each(&["NBIRTH"], int64))
}

/// After 255 comes 0.
pub fn wraps() -> Found {
    let mut node = EdgeNode::new(NodeNames::new("g", "n", None).unwrap(), Some(254));
    let numbers = [(); 3].map(|()| node.connect(Timestamp::UNIX_EPOCH).0);
    that(numbers == [255, 0, 1], || format!("{numbers:?}"))
}

pub fn rebirth_metric(trace: &Trace) -> Found {
    trace.each(&["NBIRTH"], |told| {
        told.metric("Node Control/Rebirth").is_some_and(|metric| {
            metric["datatype"] == 11 && metric["boolean_value"] == false && metric["alias"].is_null()
        })
    })
}

/// Ids, and names of metrics, that differ only by case.
pub fn case(trace: &Trace) -> Found {
    for birth in trace.told().filter(|told| told.is_birth()) {
        let names: Vec<String> =
            birth.metrics().iter().map(|metric| metric["name"].as_str().unwrap().to_lowercase()).collect();
        let different: BTreeSet<&String> = names.iter().collect();
        that(different.len() == names.len(), || format!("{}: {names:?}", birth.sent.topic))?;
    }
    let devices: BTreeSet<&String> = trace.told().filter_map(|told| told.device.as_ref()).collect();
    let lower: BTreeSet<String> = devices.iter().map(|device| device.to_lowercase()).collect();
    that(devices.len() == lower.len() && devices.len() == 2, || format!("{devices:?}"))
}

/// In births all metrics have names, and all but the two of the session itself have aliases too.
pub fn names(trace: &Trace) -> Found {
    trace.each_metric(&BIRTHS, |metric| {
        let of_session = metric["name"] == "bdSeq" || metric["name"] == "Node Control/Rebirth";
        metric["name"].as_str().is_some_and(|name| !name.is_empty())
            && metric["alias"].is_null() == of_session
    })
}

/// An alias means one metric, over the whole node and the whole trace.
pub fn aliases(trace: &Trace) -> Found {
    let mut meant: BTreeMap<u64, (Option<String>, String)> = BTreeMap::new();
    for birth in trace.told().filter(|told| told.is_birth()) {
        let mut here = BTreeSet::new();
        for metric in birth.metrics() {
            let Some(alias) = long(&metric["alias"]) else { continue };
            that(here.insert(alias), || format!("{alias} twice in {}", birth.sent.topic))?;
            // The program forgets aliases when it ends, and every birth of the next run says them again.
            if birth.session < 3 {
                let now = (birth.device.clone(), metric["name"].to_string());
                let before = meant.entry(alias).or_insert_with(|| now.clone());
                that(*before == now, || format!("{alias} is {before:?} and {now:?}"))?;
            }
        }
    }
    that(meant.len() > 4, || format!("{meant:?}"))
}

fn state(node: &mut EdgeNode, host: &str, online: bool, timestamp: u64) -> bool {
    let payload = format!(r#"{{"online":{online},"timestamp":{timestamp}}}"#);
    let topic = format!("spBv1.0/STATE/{host}");
    node.heard(&topic, payload.as_bytes(), true, Timestamp::UNIX_EPOCH, &mut Picture::default);
    node.born()
}

fn waiting() -> EdgeNode {
    let mut node = EdgeNode::new(NodeNames::new("g", "n", Some("scada")).unwrap(), None);
    node.connect(Timestamp::UNIX_EPOCH);
    node.connected(Timestamp::UNIX_EPOCH, &mut Picture::default);
    node
}

pub fn other_host() -> Found {
    let mut node = waiting();
    let born = [state(&mut node, "other", true, 1), state(&mut node, "scada", true, 1)];
    that(born == [false, true], || format!("{born:?}"))
}

pub fn old_online() -> Found {
    let mut node = waiting();
    let born = [
        state(&mut node, "scada", false, 5),
        state(&mut node, "scada", true, 4),
        state(&mut node, "scada", true, 5),
    ];
    that(born == [false, false, true], || format!("{born:?}"))
}

/// The offline STATE with an old timestamp ended nothing: commands that came after it were heard in the same session.
pub fn old_state(trace: &Trace) -> Found {
    let steps = trace.after("old state");
    let left = steps
        .iter()
        .any(|step| matches!(step, Step::Disconnect { .. } | Step::Closed | Step::Connect { .. }));
    that(!left, || format!("{steps:?}"))?;
    trace.leaves("host offline")
}

pub fn device_lost(trace: &Trace) -> Found {
    match trace.after("t2 lost").as_slice() {
        [Step::Told(death), Step::Told(birth), ..]
            if death.kind == "DDEATH" && birth.kind == "DBIRTH" && birth.device.as_deref() == Some("t2") =>
        {
            that(death.device == birth.device, || format!("{:?}", death.device))
        }
        other => Err(format!("{other:?}")),
    }
}

/// A connection is closed before the next is made.
pub fn one_connection(trace: &Trace) -> Found {
    let open = trace.steps.iter().try_fold(0_i32, |open, step| match step {
        Step::Connect { .. } if open == 0 => Ok(1),
        Step::Connect { session, .. } => Err(format!("session {session} begins while another is open")),
        Step::Closed => Ok(0),
        _ => Ok(open),
    });
    open.map(drop)
}

/// What follows the request: the whole birth sequence, and nothing before it.
pub fn reborn(trace: &Trace) -> Found {
    let told: Vec<&str> = trace
        .after("rebirth")
        .into_iter()
        .filter_map(|step| if let Step::Told(told) = step { Some(told.kind.as_str()) } else { None })
        .collect();
    that(told == ["NBIRTH", "DBIRTH", "DBIRTH"], || format!("{told:?}"))
}

/// Property sets have as many keys as values, and each value a type of the enumeration.
pub fn properties(trace: &Trace) -> Found {
    let mut units = 0;
    for metric in trace.told().flat_map(Told::metrics).filter(|metric| !metric["properties"].is_null()) {
        let (keys, values) = (&metric["properties"]["keys"], &metric["properties"]["values"]);
        let (keys, values) = (keys.as_array().unwrap(), values.as_array().unwrap());
        let typed = values.iter().all(|value| matches!(value["type"].as_u64(), Some(3 | 10..=12)));
        that(keys.len() == values.len() && typed, || metric.to_string())?;
        units += keys
            .iter()
            .zip(values)
            .filter(|(key, it)| **key == "engUnit" && it["string_value"] == "Cel")
            .count();
    }
    that(units > 0, || "no unit in the trace".to_owned())
}

/// `Quality` is a signed integer of 32 bits: 0, 192 or 500.
pub fn quality(trace: &Trace) -> Found {
    let mut codes = BTreeSet::new();
    for metric in trace.told().flat_map(Told::metrics) {
        let Some(keys) = metric["properties"]["keys"].as_array() else { continue };
        for (at, _) in keys.iter().enumerate().filter(|(_, key)| **key == "Quality") {
            let value = &metric["properties"]["values"][at];
            that(value["type"] == 3, || metric.to_string())?;
            codes.insert(value["int_value"].as_u64());
        }
    }
    that(codes == BTreeSet::from([Some(192), Some(500)]), || format!("{codes:?}"))
}
