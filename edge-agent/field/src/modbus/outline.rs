//! A bus's requests as they would be made, and the share of its time that they take: for whoever plans a line.
//!
//! Pure: the same configuration and notes give the same outline.

use super::config::{BusConfig, Framing};
use super::cost::Pace;
use super::device::ModbusDevice;
use super::learnt::Learnt;
use super::line::MOST_LANES;
use super::plan;
use crate::profile::modbus::ModbusMap;
use engawa_model::DeviceId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// From this share on a bus has little room for writes, for tries and for devices that don't answer, %.
const TIGHT: f64 = 80.0;

/// A bus's requests and their load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outline {
    /// The bus.
    pub bus: String,
    /// Where it is.
    pub place: String,
    /// Requests that can be on their way at once.
    pub lanes: usize,
    /// The requests, by device.
    pub requests: Vec<PlannedRequest>,
    /// What the requests take of the line's time, %.
    pub share_percent: f64,
    /// What can't be kept, and what is tight; in plain words.
    pub warnings: Vec<String>,
    /// True where more is asked for than the line or a device can carry.
    pub overloaded: bool,
    /// What the numbers rest on.
    pub estimate: String,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedRequest {
    /// The device.
    pub device: DeviceId,
    /// Its unit id.
    pub unit: u8,
    /// The function, 1 to 4.
    pub function: u8,
    /// The first wire address.
    pub first: u16,
    /// Registers or bits.
    pub count: u16,
    /// Of these, how many are read along because they lie between.
    pub along: u16,
    /// How often, ms.
    pub interval_ms: u64,
    /// The points in its answer.
    pub points: Vec<Arc<str>>,
    /// How long it holds the line, µs.
    pub takes_us: u64,
    /// What it takes of the line's time, %.
    pub share_percent: f64,
    /// What keeps it from the request before.
    pub apart: Option<String>,
    /// True where the device has refused it: it is asked for rarely, in case that changes.
    pub refused: bool,
}

/// The outline of a bus with these devices; `notes` is what the house remembers of them, `answer` what a device takes
/// to answer (or the round trip), where it is known.
pub fn outline(
    config: &BusConfig,
    devices: &[ModbusDevice],
    notes: &BTreeMap<DeviceId, String>,
    answer: Option<Duration>,
) -> Outline {
    let pace = Pace::of(config, answer);
    let one = config.serial.is_some() || config.framing == Framing::Rtu;
    let wanted = devices.iter().map(|device| usize::from(device.map.max_in_flight)).max().unwrap_or(1);
    // A device is never asked twice at once.
    let lanes = if one { 1 } else { wanted.clamp(1, MOST_LANES).min(devices.len().max(1)) };
    let (mut requests, mut warnings) = (Vec::new(), Vec::new());
    let mut overloaded = false;
    for device in devices {
        let learnt = notes.get(&device.id).map(|note| Learnt::read(note, &device.map)).unwrap_or_default();
        let of_device = of_device(config, pace, lanes, device, &learnt);
        // A device's own time: its requests go one after another, with its pause between.
        let own: f64 = of_device.iter().map(|request| own_share(&device.map, request)).sum();
        if own > 100.0 {
            overloaded = true;
            warnings.push(format!(
                "{} alone needs {own:.0} % of the time that there is: its requests take turns{}; give its points \
                 longer intervals (interval_ms)",
                device.id,
                pause_in_words(&device.map),
            ));
        }
        requests.extend(of_device);
    }
    let share: f64 = requests.iter().map(|request| request.share_percent).sum();
    if share > 100.0 {
        overloaded = true;
        warnings.push(format!(
            "OVERLOAD: the requests need {share:.0} % of the line's time, so every value comes late: {}",
            mend(config, share)
        ));
    } else if share > TIGHT {
        warnings.push(format!(
            "{share:.0} % leaves little room for writes, tries and devices that don't answer (up to 5 %)"
        ));
    }
    Outline {
        bus: config.id.clone(),
        place: config.place(),
        lanes,
        requests,
        share_percent: share,
        warnings,
        overloaded,
        estimate: estimate(config, pace),
    }
}

fn of_device(
    config: &BusConfig,
    pace: Pace,
    lanes: usize,
    device: &ModbusDevice,
    learnt: &Learnt,
) -> Vec<PlannedRequest> {
    let map = &device.map;
    let planned = plan::planned(map, config.gap_worth(), learnt);
    let request = |(request, apart): (plan::Request, plan::Apart)| {
        let takes = pace.read(request.function, request.count);
        let refused = learnt.refused(request.function, request.first, request.count).is_some();
        let interval = if refused { request.interval.max(super::REFUSED_AGAIN) } else { request.interval };
        #[allow(clippy::cast_precision_loss, reason = "there are at most 32 lanes")]
        let share = 100.0 * takes.as_secs_f64() / interval.as_secs_f64().max(1e-3) / lanes as f64;
        PlannedRequest {
            device: device.id.clone(),
            unit: device.unit,
            function: request.function,
            first: request.first,
            count: request.count,
            along: plan::read_along(map, &request),
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            points: request
                .points
                .iter()
                .filter_map(|n| map.points.get(*n))
                .map(|p| p.name.clone())
                .collect(),
            takes_us: u64::try_from(takes.as_micros()).unwrap_or(u64::MAX),
            share_percent: share,
            apart: apart.in_words(),
            refused,
        }
    };
    planned.into_iter().map(request).collect()
}

/// What a request takes of its device's own time, %.
fn own_share(map: &ModbusMap, request: &PlannedRequest) -> f64 {
    let takes = Duration::from_micros(request.takes_us) + map.pause;
    100.0 * takes.as_secs_f64() / Duration::from_millis(request.interval_ms).as_secs_f64().max(1e-3)
}

fn pause_in_words(map: &ModbusMap) -> String {
    if map.pause.is_zero() {
        String::new()
    } else {
        format!(" with {} ms between them (pause_ms)", map.pause.as_millis())
    }
}

fn mend(config: &BusConfig, share: f64) -> String {
    let longer = format!("make intervals {:.1} times as long", share / TIGHT);
    if config.serial.is_some() {
        format!("{longer}, raise the baud rate, or put some devices on a second line")
    } else {
        format!("{longer}, or raise max_in_flight where the device bears it")
    }
}

fn estimate(config: &BusConfig, pace: Pace) -> String {
    match pace {
        Pace::Serial { answer, .. } => format!(
            "at {} baud, with {} ms for a device to answer",
            config.baud_or_default(),
            answer.as_millis()
        ),
        Pace::Network { round_trip } if config.framing == Framing::Rtu => format!(
            "with {} ms a request; the speed of the line behind the serial server is not known here",
            round_trip.as_millis()
        ),
        Pace::Network { round_trip } => format!("with {} ms a round trip", round_trip.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{self, Resolved};

    fn thermostats(count: u8) -> Vec<ModbusDevice> {
        let (_, text) = profile::builtin()[0];
        let Ok(Resolved::Modbus(map)) = profile::load("", text).unwrap().resolve(&BTreeMap::new()) else {
            panic!()
        };
        (1..=count)
            .map(|unit| ModbusDevice { id: DeviceId::new(format!("t{unit}")), unit, map: map.clone() })
            .collect()
    }

    #[test]
    fn a_line_that_is_asked_for_too_much_is_told_so() {
        let line = BusConfig { baud: Some(9600), ..BusConfig::serial("b", "/dev/ttyS0") };
        let few = outline(&line, &thermostats(2), &BTreeMap::new(), None);
        assert!(!few.overloaded && few.share_percent > 10.0, "{few:?}");
        let many = outline(&line, &thermostats(40), &BTreeMap::new(), None);
        assert!(many.overloaded && many.warnings.iter().any(|w| w.starts_with("OVERLOAD")), "{many:?}");
        let sum = few.share_percent * 20.0;
        assert!((many.share_percent - sum).abs() < 1e-6, "each device takes the same");
        let fast = BusConfig { baud: Some(115_200), ..line };
        assert!(outline(&fast, &thermostats(2), &BTreeMap::new(), None).share_percent < few.share_percent);
    }

    #[test]
    fn every_point_is_in_one_request() {
        for (name, text) in profile::builtin() {
            let Ok(Resolved::Modbus(map)) = profile::load(name, text).unwrap().resolve(&BTreeMap::new())
            else {
                continue;
            };
            let device = ModbusDevice { id: DeviceId::from("d"), unit: 1, map: map.clone() };
            let outline = outline(&BusConfig::tcp("b", "a:1"), &[device], &BTreeMap::new(), None);
            let mut points: Vec<_> =
                outline.requests.iter().flat_map(|request| request.points.clone()).collect();
            points.sort();
            let mut want: Vec<_> = map.points.iter().map(|point| point.name.clone()).collect();
            want.sort();
            assert_eq!(points, want, "{name}");
        }
    }
}
