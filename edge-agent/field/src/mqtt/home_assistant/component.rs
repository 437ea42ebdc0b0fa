//! One entity for each point: which kind it is, and how its values and commands look.
//!
//! Terms: a *template* is Home Assistant's (Jinja); what it does not understand, it calls unknown: `None`.
//!
//! Never: a template that fails on a value of another kind than expected.

use super::device::{HomeDevice, House};
use super::names;
use super::unit::{Measure, measure};
use crate::profile::{PointTraits, Takes, ValueKind};
use engawa_model::{PointId, Role};
use serde_json::{Map, Value as Json, json};

/// The longest state that Home Assistant keeps, characters.
const MAX_STATE: usize = 255;
/// The range of a number whose profile gives none.
const ANY: f64 = 1e9;
/// The step of a number that has none of its own.
const STEP: f64 = 0.1;
/// The finest step that Home Assistant takes.
const MIN_STEP: f64 = 0.001;
/// From a value of Home Assistant's to the JSON of a command.
pub(super) const AS_JSON: &str = "{{ value | tojson }}";

/// Where a point is on the broker.
pub(super) struct Place {
    /// The topic of its state.
    pub(super) state: String,
    /// Its value there, in the words of a template.
    value: String,
    /// The topic of its commands.
    pub(super) set: String,
}

impl Place {
    pub(super) fn new(house: &House, device: &HomeDevice, point: &PointTraits) -> Self {
        let House { topics, values, .. } = house;
        let id = PointId { device: device.id.clone(), point: point.name.clone() };
        let set = topics.set_point(&id);
        if values.points() {
            return Self {
                state: topics.point(device.room.as_ref(), &id),
                value: "value_json.value".to_owned(),
                set,
            };
        }
        // JSON's strings are strings of the template language, too. A point that has not reported is not there.
        let value = format!("value_json['values'].get({})", json!(point.name));
        Self { state: topics.values(&device.id), value, set }
    }

    /// A number, or nothing.
    pub(super) fn number(&self) -> String {
        format!("{{{{ {0} if {0} is number else None }}}}", self.value)
    }

    /// `true`, `false`, or nothing.
    fn on_off(&self) -> String {
        format!("{{{{ None if {0} is none else 'true' if {0} else 'false' }}}}", self.value)
    }

    /// The other way round: Home Assistant's `lock` sensor is on while the door is not locked.
    fn off_on(&self) -> String {
        format!("{{{{ None if {0} is none else 'false' if {0} else 'true' }}}}", self.value)
    }

    /// One of `names`, or nothing.
    pub(super) fn one_of(&self, names: &[String]) -> String {
        format!("{{{{ {0} if {0} in {1} else None }}}}", self.value, json!(names))
    }

    /// What `words` (JSON) say for the value, or nothing.
    pub(super) fn looked_up(&self, words: &Json) -> String {
        format!("{{{{ {words}.get({}) }}}}", self.value)
    }

    /// As much of a text as Home Assistant keeps.
    fn text(&self) -> String {
        format!("{{{{ ({} | string)[:{MAX_STATE}] }}}}", self.value)
    }
}

/// The beginning of an entity.
pub(super) fn entry(platform: &str, unique_id: String) -> Map<String, Json> {
    Map::from_iter([("p".to_owned(), json!(platform)), ("uniq_id".to_owned(), json!(unique_id))])
}

struct Entity(Map<String, Json>);

impl Entity {
    fn new(platform: &str, point: &PointTraits, unique_id: String) -> Self {
        let mut entity = entry(platform, unique_id);
        entity.insert("name".to_owned(), json!(names::for_people(&point.name)));
        let category = match point.role {
            Some(Role::Battery | Role::Fault) => Some("diagnostic"),
            // What has no part in the room and is no switch is a setting.
            None if point.takes.is_some() && point.kind != ValueKind::Bool => Some("config"),
            _ => None,
        };
        entity.extend(category.map(|category| ("ent_cat".to_owned(), json!(category))));
        Self(entity)
    }

    fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn with_some(self, key: &str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn state(self, point: &PointTraits, place: &Place, key: &str, template: impl Into<String>) -> Self {
        // Without a state topic Home Assistant believes what it has set.
        if point.reads { self.with("stat_t", place.state.clone()).with(key, template.into()) } else { self }
    }

    fn set(self, place: &Place) -> Self {
        // With QoS 1 the acknowledgement means that the command is stored.
        self.with("cmd_t", place.set.clone()).with("qos", 1)
    }

    fn measure(self, Measure { class, unit, state }: Measure, sensor: bool) -> Self {
        let entity = self.with_some("dev_cla", class).with_some("unit_of_meas", unit);
        entity.with_some("stat_cla", state.filter(|_| sensor))
    }

    fn on_off(self) -> Self {
        self.with("pl_on", "true").with("pl_off", "false")
    }

    fn done(self) -> Option<Json> {
        Some(Json::Object(self.0))
    }
}

/// The entity of `point`; `None` for one that can neither be shown nor set.
pub(super) fn entity(point: &PointTraits, unique_id: String, place: &Place) -> Option<Json> {
    let entity = |platform: &str| Entity::new(platform, point, unique_id.clone());
    if let Some(takes) = &point.takes
        && let Some(control) = control(point, takes, entity, place)
    {
        return control.done();
    }
    if !point.reads {
        return None;
    }
    if is_on_off(point) {
        let (class, template) = match point.role {
            Some(Role::Window) => (Some("window"), place.on_off()),
            Some(Role::Door) => (Some("door"), place.on_off()),
            Some(Role::Occupancy) => (Some("occupancy"), place.on_off()),
            Some(Role::Leak) => (Some("moisture"), place.on_off()),
            Some(Role::Minibar) => (Some("opening"), place.on_off()),
            Some(Role::Lock) => (Some("lock"), place.off_on()),
            Some(Role::Light) => (Some("light"), place.on_off()),
            Some(Role::Fault) => (Some("problem"), place.on_off()),
            _ => (None, place.on_off()),
        };
        let entity = entity("binary_sensor").with_some("dev_cla", class).on_off();
        return entity.state(point, place, "val_tpl", template).done();
    }
    let sensor = entity("sensor");
    let sensor = match point.kind {
        ValueKind::Bool | ValueKind::Number => {
            let measure = measure(point.unit.as_deref(), point.role, &point.name);
            sensor.measure(measure, true).state(point, place, "val_tpl", place.number())
        }
        ValueKind::Text if !point.names.is_empty() => sensor
            .with("dev_cla", "enum")
            .with("ops", json!(point.names))
            .state(point, place, "val_tpl", place.one_of(&point.names)),
        ValueKind::Text => sensor.state(point, place, "val_tpl", place.text()),
    };
    sensor.done()
}

/// The roles that are on or off whatever number their device has for that.
fn is_on_off(point: &PointTraits) -> bool {
    let by_role = matches!(
        point.role,
        Some(Role::Window | Role::Door | Role::Occupancy | Role::Leak | Role::Minibar | Role::Lock)
    );
    point.kind == ValueKind::Bool || by_role && point.kind == ValueKind::Number
}

/// The entity of a point that can be set; `None` where Home Assistant has none for it.
fn control(
    point: &PointTraits,
    takes: &Takes,
    entity: impl Fn(&str) -> Entity,
    place: &Place,
) -> Option<Entity> {
    let control = match (point.role, point.kind) {
        (Some(Role::Lock), ValueKind::Bool) => entity("lock")
            .with("pl_lock", "true")
            .with("pl_unlk", "false")
            .with("stat_locked", "true")
            .with("stat_unlocked", "false")
            .state(point, place, "val_tpl", place.on_off()),
        (Some(Role::Light), ValueKind::Bool) => {
            entity("light").on_off().state(point, place, "stat_val_tpl", place.on_off())
        }
        (_, ValueKind::Bool) => entity("switch").on_off().state(point, place, "val_tpl", place.on_off()),
        (role, ValueKind::Number) => {
            let finite = |bound: Option<f64>| bound.filter(|bound| bound.is_finite());
            let min =
                finite(takes.min).unwrap_or_else(|| finite(takes.max).map_or(-ANY, |max| max.min(0.0) - ANY));
            let max = finite(takes.max).unwrap_or_else(|| min.max(0.0) + ANY);
            if min >= max {
                return None;
            }
            let step = takes.step.filter(|step| step.is_finite()).unwrap_or(STEP).max(MIN_STEP);
            entity("number")
                .measure(measure(point.unit.as_deref(), role, &point.name), false)
                .with("min", min)
                .with("max", max)
                .with("step", step)
                .with("mode", "box")
                .state(point, place, "val_tpl", place.number())
        }
        (_, ValueKind::Text) if !takes.names.is_empty() => entity("select")
            .with("ops", json!(takes.names))
            .with("cmd_tpl", AS_JSON)
            .state(point, place, "val_tpl", place.one_of(&takes.names)),
        (_, ValueKind::Text) => entity("text").with("max", MAX_STATE).with("cmd_tpl", AS_JSON).state(
            point,
            place,
            "val_tpl",
            place.text(),
        ),
    };
    Some(control.set(place))
}
