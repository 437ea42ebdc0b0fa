//! What an observation costs in a house of thousands of rooms, with the standard rules and without.
//! `cargo run --release -p engawa-rules --example cost`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

#[path = "../tests/house/mod.rs"]
mod house;

use engawa_model::{
    DeviceId, DeviceSpec, Fact, Observation, PointId, Property, Quality, RoomId, RoomSpec, Timestamp, Value,
};
use jiff::SignedDuration;
use std::time::Instant;

const ROOMS: usize = 2_000;
const DEVICES: usize = 4;
const OBSERVATIONS: usize = 400_000;

fn main() {
    let mut spec = house::spec(&["0"]);
    let points = spec.devices[0].points.clone();
    spec.rooms = (0..ROOMS).map(|n| RoomSpec { id: RoomId::new(n.to_string()) }).collect();
    spec.devices = (0..ROOMS * DEVICES)
        .map(|n| DeviceSpec {
            id: DeviceId::new(format!("d-{n}")),
            room: Some(RoomId::new((n % ROOMS).to_string())),
            profile: "cost".into(),
            points: points.clone(),
        })
        .collect();
    for governed in [false, true] {
        let mut property = Property::new(spec.clone());
        if governed {
            property.govern(house::policy(&spec, &[&engawa_rules::standard().0]));
        }
        let mut now: Timestamp = "2027-01-15T08:00:00Z".parse().unwrap();
        property.apply(&Observation::new(now, Fact::Tick));
        let begun = Instant::now();
        for n in 0..OBSERVATIONS {
            now = now.checked_add(SignedDuration::from_micros(125)).unwrap();
            let (name, _) = house::POINTS[[1, 2, 4, 1][n % 4]];
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let value = if n % 4 == 1 || n % 4 == 2 {
                Value::Bool(n % 8 > 3)
            } else {
                Value::Float(18.0 + (n % 50) as f64 / 10.0)
            };
            let point = PointId::new(format!("d-{}", (n * 7919) % (ROOMS * DEVICES)), name);
            let fact = Fact::Reported { point, value: Some(value), quality: Quality::Good, sampled: now };
            property.apply(&Observation::new(now, fact));
            if property.next_wake().is_some_and(|wake| wake <= now) {
                property.apply(&Observation::new(now, Fact::Tick));
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let each = begun.elapsed().as_secs_f64() * 1e6 / OBSERVATIONS as f64;
        let name = if governed { "standard rules" } else { "no rules" };
        println!("{ROOMS} rooms, {} devices, {name}: {each:.2} µs an observation", ROOMS * DEVICES);
    }
}
