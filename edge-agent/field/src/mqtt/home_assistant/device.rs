//! The announcement of a device, and that of the house.
//!
//! Never: what only the running house knows.

use super::climate::{self, Climate};
use super::component::{self, Place, entry};
use super::{MAX_KEPT, names};
use crate::mqtt::documents::ValueTopics;
use crate::mqtt::topic::HouseTopics;
use crate::profile::PointTraits;
use engawa_model::{DeviceId, LinkId, PropertyId, RoomId};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// A device, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct HomeDevice {
    /// Its name in the house.
    pub id: DeviceId,
    /// Where it is.
    pub room: Option<RoomId>,
    /// Who makes it.
    pub make: String,
    /// Which device it is.
    pub model: String,
    /// Its points; shared by all devices of a profile.
    pub points: Arc<[PointTraits]>,
}

/// What all announcements share.
#[derive(Clone, Debug)]
pub(super) struct House {
    pub(super) id: PropertyId,
    pub(super) name: String,
    pub(super) topics: HouseTopics,
    pub(super) values: ValueTopics,
    pub(super) links: Vec<LinkId>,
}

/// A device is there while the gateway is, and while it answers as it should.
const WELL: &str = "{{ 'online' if value_json.state == 'well' else 'offline' }}";
const UP: &str = "{{ 'true' if value_json.up else 'false' }}";

impl House {
    /// The house itself: its links to the PMS, the lines and the cloud.
    pub(super) fn announcement(&self) -> Json {
        let link = |link: &LinkId| {
            let mut entity = entry("binary_sensor", names::link(&self.id, link));
            entity.extend([
                ("name".to_owned(), json!(format!("Link {link}"))),
                ("dev_cla".to_owned(), json!("connectivity")),
                ("ent_cat".to_owned(), json!("diagnostic")),
                ("stat_t".to_owned(), json!(self.topics.link(link))),
                ("val_tpl".to_owned(), json!(UP)),
                ("pl_on".to_owned(), json!("true")),
                ("pl_off".to_owned(), json!("false")),
            ]);
            (names::slug(link.as_str()), Json::Object(entity))
        };
        let entities: Map<_, _> = self.links.iter().map(link).collect();
        json!({
            "dev": {
                "ids": [names::gateway(&self.id)], "name": self.name, "mf": "Engawa", "mdl": "Edge gateway",
                "sw": env!("CARGO_PKG_VERSION"),
            },
            "o": origin(),
            "avty": [{ "t": self.topics.status() }],
            "cmps": entities,
        })
    }

    /// A device with its entities; `None` for one that has nothing to show.
    pub(super) fn device(&self, device: &HomeDevice) -> Option<Json> {
        let entities = self.entities(device);
        if entities.is_empty() {
            return None;
        }
        let mut about = json!({
            "ids": [names::device(&self.id, &device.id)], "name": device.id, "mf": device.make, "mdl": device.model,
            "via_device": names::gateway(&self.id),
        });
        if let Some(room) = &device.room {
            about["sa"] = json!(room);
        }
        Some(json!({
            "dev": about,
            "o": origin(),
            "avty_mode": "all",
            "avty": [
                { "t": self.topics.status() },
                { "t": self.topics.device(&device.id), "val_tpl": WELL },
            ],
            "cmps": entities,
        }))
    }

    fn entities(&self, device: &HomeDevice) -> Map<String, Json> {
        let place = |point: &PointTraits| Place::new(self, device, point);
        let climate = Climate::of(&device.points);
        let mut entities = Map::new();
        if let Some(climate) = &climate {
            let id = names::climate(&self.id, &device.id, &climate.setpoint.name);
            // No slug holds `_-`: a point can't have this key.
            let key = format!("climate_-{}", names::slug(&climate.setpoint.name));
            entities.insert(key, climate::entity(climate, id, place));
        }
        for point in device.points.iter().filter(|point| climate.as_ref().is_none_or(|it| !it.shows(point))) {
            let id = names::point(&self.id, &device.id, &point.name);
            if let Some(entity) = component::entity(point, id, &place(point)) {
                entities.insert(names::slug(&point.name), entity);
            }
        }
        entities
    }
}

fn origin() -> Json {
    json!({ "name": "Engawa", "sw": env!("CARGO_PKG_VERSION") })
}

/// The announcement `now`, with a word for each entity that only the `kept` one has, or has as one of another kind: Home
/// Assistant then takes those away. `None` where there is none, and where what is kept is no announcement.
pub(super) fn without(now: &Json, kept: &[u8]) -> Option<Json> {
    if kept.len() > MAX_KEPT {
        return None;
    }
    let kept: Json = serde_json::from_slice(kept).ok()?;
    let mut left = now.clone();
    let entities = left.get_mut("cmps")?.as_object_mut()?;
    let mut gone = false;
    for (key, entity) in kept.get("cmps")?.as_object()? {
        let Some(kind) = entity.get("p").filter(|kind| kind.is_string()) else { continue };
        if entities.get(key).and_then(|now| now.get("p")) != Some(kind) {
            entities.insert(key.clone(), json!({ "p": kind }));
            gone = true;
        }
    }
    gone.then_some(left)
}
