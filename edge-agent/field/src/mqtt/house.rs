//! The house on the broker: what of the property is published, and under which topic.
//!
//! Why: a signage screen, a home-automation hub or a service technician can follow the house without knowing
//! the gateway. All state is retained, so that a subscriber has the picture at once.
//!
//! Terms: a *publication* is one message of the house; the *snapshot* is all retained ones. Live changes and
//! snapshot are built by the same functions, so they can't disagree.
//!
//! Never: guests' names or any other personal data; a room says how many stays it has, not whose.

mod guest;
mod wake;

use super::documents::{ValueTopics, device_values};
use super::topic::HouseTopics;
use engawa_model::{
    Alert, Change, CommandOutcome, CommandSource, DeskEvent, DeviceHealth, DeviceId, Intent, LinkHealth,
    LinkId, PointId, Posting, Property, Role, RoomId, Value,
};
use engawa_words::{Arg, Words};
use serde_json::{Map, json};

/// The payload of `status` while the house is connected.
pub const ONLINE: &str = "online";
/// The payload of `status` otherwise; the broker's last will says it.
pub const OFFLINE: &str = "offline";

/// One message of the house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The whole topic.
    pub topic: String,
    /// The payload.
    pub payload: String,
    /// True for state: the broker keeps the last one for later subscribers.
    pub retain: bool,
}

impl Publication {
    /// State: the broker keeps it.
    pub fn state(topic: String, payload: impl ToString) -> Self {
        Self { topic, payload: payload.to_string(), retain: true }
    }

    /// An event: whoever listens now hears it.
    pub fn event(topic: String, payload: impl ToString) -> Self {
        Self { topic, payload: payload.to_string(), retain: false }
    }
}

/// The roles that a room's state shows, and their names there. Roles of comfort stand below `climate`.
const CLIMATE: [(Role, &str); 5] = [
    (Role::RoomTemperature, "temperature"),
    (Role::ClimateSetpoint, "setpoint"),
    (Role::ClimateMode, "mode"),
    (Role::Fan, "fan"),
    (Role::ClimateOutput, "output"),
];
const SENSES: [(Role, &str); 5] = [
    (Role::Window, "window_open"),
    (Role::Door, "door_open"),
    (Role::Lock, "locked"),
    (Role::Occupancy, "presence"),
    (Role::Leak, "leak"),
];

/// Everything that is retained, built from the picture as it is now.
pub fn snapshot(property: &Property, values: ValueTopics) -> Vec<Publication> {
    let topics = HouseTopics::new(&property.spec().id);
    let mut all = vec![business(&topics, property)];
    all.extend(property.rooms().keys().map(|room| room_state(&topics, property, room)));
    let bells = property.rooms().keys().filter(|room| property.rings_in(room));
    all.extend(bells.map(|room| wake::state(&topics, property, room)));
    all.extend(property.rooms().keys().filter_map(|room| guest::state(&topics, property, room)));
    if values.points() {
        all.extend(property.points().filter_map(|(point, _)| point_state(&topics, property, &point)));
    }
    if values.devices() {
        all.extend(property.devices().keys().filter_map(|device| device_values(property, device)));
    }
    all.extend(property.devices().iter().map(|(id, health)| device_health(&topics, id, health)));
    all.extend(property.links().iter().map(|(id, health)| link_health(&topics, id, health)));
    all.extend(property.postings().values().map(|posting| posting_state(&topics, posting)));
    all.extend(property.alerts().values().map(|alert| alert_state(&topics, property, alert)));
    all
}

/// What is to be published because of `change`, but for documents of devices: several changes share one of those, see
/// [`device_values`]. `property` is the picture after the change.
pub fn publications(property: &Property, change: &Change, values: ValueTopics) -> Vec<Publication> {
    let topics = HouseTopics::new(&property.spec().id);
    let room = |room: &RoomId| room_state(&topics, property, room);
    let mut said = match change {
        Change::CheckedIn { room: at, .. }
        | Change::StayChanged { room: at, .. }
        | Change::CheckedOut { room: at, .. }
        | Change::ComfortChosen { room: at, .. }
        | Change::RoomFlagged { room: at, .. }
        | Change::RoomStatus { room: at, .. } => vec![room(at)],
        Change::Moved { from, to, .. } => vec![room(from), room(to)],
        Change::Reported { point, room: at, .. } => {
            let shown = values.points().then(|| point_state(&topics, property, point)).flatten();
            let mut out: Vec<_> = shown.into_iter().collect();
            let role = property.point_spec(point).and_then(|(_, spec)| spec.role);
            if let Some(at) = at
                && role.is_some_and(|role| CLIMATE.iter().chain(&SENSES).any(|(shown, _)| *shown == role))
            {
                out.push(room(at));
            }
            out
        }
        Change::DeviceHealth { device, .. } => property
            .devices()
            .get(device)
            .map(|health| device_health(&topics, device, health))
            .into_iter()
            .collect(),
        Change::Link { link, .. } => {
            property.links().get(link).map(|health| link_health(&topics, link, health)).into_iter().collect()
        }
        Change::Posting { number, .. } => property
            .postings()
            .get(number)
            .map(|posting| posting_state(&topics, posting))
            .into_iter()
            .collect(),
        Change::BusinessDate { .. } | Change::NightAudit { .. } => vec![business(&topics, property)],
        Change::Alert { alert } => vec![alert_state(&topics, property, alert)],
        Change::CommandEnded { key, outcome } => {
            // Only who asked over MQTT waits for an answer here.
            let asked = property
                .commands()
                .get(key)
                .is_some_and(|record| record.command.source == CommandSource::Mqtt);
            if asked {
                vec![Publication::event(topics.result(key), result(key.as_str(), outcome))]
            } else {
                vec![]
            }
        }
        Change::Desk { what: DeskEvent::KeyAsked { request } } => {
            // For the encoder's driver. Whose key it is, it need not know.
            let payload = json!({
                "kind": request.kind, "coder": request.coder, "workstation": request.workstation,
                "room": request.room, "from": request.from, "suite": request.suite, "areas": request.areas,
                "arrival": request.arrival, "departure": request.departure, "until": request.until,
                "answer_by": property.key_answer_by(request),
            });
            vec![Publication::event(topics.key(&request.coder), payload)]
        }
        Change::Desk { .. }
        | Change::Resync { .. }
        | Change::Ordered { .. }
        | Change::OrderEnded { .. }
        | Change::CommandAccepted { .. }
        | Change::DeviceFound { .. }
        | Change::DeviceFoundGone { .. }
        | Change::Started { .. }
        | Change::WakeUp { .. }
        | Change::Erased { .. }
        | Change::AuditHead { .. }
        | Change::ArrivalExpected { .. }
        | Change::ChargeProposed { .. }
        | Change::Summary { .. }
        | Change::Thinned { .. }
        | Change::Absent {}
        | Change::EpochBegan { .. }
        | Change::CommandNoted { .. }
        | Change::BundlePiece { .. }
        | Change::Setting { .. }
        | Change::SettingNote { .. }
        | Change::Preference { .. }
        | Change::Update { .. } => vec![],
    };
    if let Change::CommandEnded { key, .. } = change
        && let Some(at) = property.preferring_room(key)
    {
        said.push(room(at));
        said.extend(guest::state(&topics, property, at));
    }
    said.extend(guest::rooms_of(change).into_iter().filter_map(|room| guest::state(&topics, property, room)));
    said
}

/// The result of a command that the house has not taken; `None` for other changes.
pub fn answer(property: &Property, ended: &Change) -> Option<Publication> {
    let Change::CommandEnded { key, outcome } = ended else { return None };
    let topics = HouseTopics::new(&property.spec().id);
    Some(Publication::event(topics.result(key), result(key.as_str(), outcome)))
}

/// What carries out `intent` on the house's own topics; `None` for what a driver does.
pub fn carried_out(property: &Property, intent: &Intent) -> Option<Publication> {
    match intent {
        Intent::Wake { room, .. } | Intent::EndWake { room, .. } => {
            Some(wake::state(&HouseTopics::new(&property.spec().id), property, room))
        }
        Intent::TellGuest { told } => guest::told(&HouseTopics::new(&property.spec().id), property, told),
        _ => None,
    }
}

fn result(key: &str, outcome: &CommandOutcome) -> serde_json::Value {
    let (name, reason) = match outcome {
        CommandOutcome::Done => ("done", None),
        CommandOutcome::Refused { reason } => ("refused", Some(reason)),
        CommandOutcome::Doubtful { reason } => ("doubtful", Some(reason)),
        CommandOutcome::Superseded => ("superseded", None),
        CommandOutcome::Expired => ("expired", None),
    };
    let mut object = json!({ "key": key, "outcome": name });
    if let Some(reason) = reason {
        object["reason"] = json!(reason);
    }
    object
}

fn business(topics: &HouseTopics, property: &Property) -> Publication {
    let payload = json!({ "date": property.business_date(), "night_audit": property.night_audit() });
    Publication::state(topics.business(), payload)
}

fn room_state(topics: &HouseTopics, property: &Property, room: &RoomId) -> Publication {
    let stays = property.stays_in(room).count();
    let seen = |roles: &[(Role, &str)]| -> Map<String, serde_json::Value> {
        let known = roles.iter().filter_map(|(role, name)| {
            // The first point of the role that has reported; a room with two shows both under `point/`.
            let mut points = property.points_with_role(room, *role).iter();
            let value = points.find_map(|point| property.point(point)?.value.as_ref())?;
            Some(((*name).to_owned(), shown(*role, value)))
        });
        known.collect()
    };
    let mut object = json!({ "room": room, "occupied": stays > 0, "stays": stays });
    if let Some(state) = property.rooms().get(room) {
        object["do_not_disturb"] = json!(state.flags.do_not_disturb);
        object["message_light"] = json!(state.flags.message_light);
        object["status"] = json!(state.status);
        object["sign"] = json!(state.sign);
    }
    object["climate"] = seen(&CLIMATE).into();
    for (name, value) in seen(&SENSES) {
        object[name] = value;
    }
    Publication::state(topics.room(room), object)
}

/// A door or window is open or not, whatever number its device has for that.
fn shown(role: Role, value: &Value) -> serde_json::Value {
    match (role, value.as_bool()) {
        (Role::Window | Role::Door | Role::Lock | Role::Occupancy | Role::Leak, Some(on)) => json!(on),
        _ => json!(value),
    }
}

fn point_state(topics: &HouseTopics, property: &Property, point: &PointId) -> Option<Publication> {
    let state = property.point(point)?;
    let (room, spec) = property.point_spec(point)?;
    let payload = json!({
        "value": state.value, "quality": state.quality, "at": state.at, "unit": spec.unit,
    });
    Some(Publication::state(topics.point(room, point), payload))
}

fn device_health(topics: &HouseTopics, id: &DeviceId, health: &DeviceHealth) -> Publication {
    let payload = json!({ "state": health.state, "reason": health.reason, "since": health.since });
    Publication::state(topics.device(id), payload)
}

fn link_health(topics: &HouseTopics, id: &LinkId, health: &LinkHealth) -> Publication {
    let payload = json!({ "up": health.up, "detail": health.detail, "since": health.since });
    Publication::state(topics.link(id), payload)
}

fn posting_state(topics: &HouseTopics, posting: &Posting) -> Publication {
    let payload = json!({
        "state": posting.state, "room": posting.room, "amount": posting.amount, "answer": posting.answer,
        "key": posting.key, "asked": posting.asked,
    });
    Publication::state(topics.posting(posting.number), payload)
}

fn alert_state(topics: &HouseTopics, property: &Property, alert: &Alert) -> Publication {
    let words = Words::of([property.language()]);
    let kind = format!("alert-{}", alert.kind.word());
    let source = [("source", Arg::from(alert.source.as_str()))];
    let payload = json!({
        "active": alert.active, "count": alert.count, "first": alert.first, "last": alert.last, "text": alert.text,
        "language": words.language().tag(), "title": words.find(&kind, &[]),
        "what": words.find(&format!("{kind}-text"), &source), "do": words.find(&format!("{kind}-do"), &[]),
        "detail": words.detail(&alert.text),
    });
    Publication::state(topics.alert(alert.kind, &alert.source), payload)
}
