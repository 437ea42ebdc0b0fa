//! The short names that discovery payloads may use for their keys, and the base of topics.
//!
//! Source: Home Assistant, MQTT, "Supported abbreviations in MQTT discovery messages". Only what is read here is listed;
//! other short names stay as they are.

use serde_json::{Map, Value as Json};

/// Of a component, and of the root of a device's payload.
const COMPONENT: &[(&str, &str)] = &[
    ("act_t", "action_topic"),
    ("act_tpl", "action_template"),
    ("avty", "availability"),
    ("avty_mode", "availability_mode"),
    ("avty_t", "availability_topic"),
    ("avty_tpl", "availability_template"),
    ("bri", "brightness"),
    ("bri_cmd_t", "brightness_command_topic"),
    ("bri_cmd_tpl", "brightness_command_template"),
    ("bri_scl", "brightness_scale"),
    ("bri_stat_t", "brightness_state_topic"),
    ("bri_val_tpl", "brightness_value_template"),
    ("cmd_t", "command_topic"),
    ("cmd_tpl", "command_template"),
    ("cmps", "components"),
    ("curr_temp_t", "current_temperature_topic"),
    ("curr_temp_tpl", "current_temperature_template"),
    ("dev", "device"),
    ("dev_cla", "device_class"),
    ("ent_cat", "entity_category"),
    ("exp_aft", "expire_after"),
    ("fan_mode_cmd_t", "fan_mode_command_topic"),
    ("fan_mode_cmd_tpl", "fan_mode_command_template"),
    ("fan_mode_stat_t", "fan_mode_state_topic"),
    ("fan_mode_stat_tpl", "fan_mode_state_template"),
    ("max", "max"),
    ("max_temp", "max_temp"),
    ("min", "min"),
    ("min_temp", "min_temp"),
    ("mode_cmd_t", "mode_command_topic"),
    ("mode_cmd_tpl", "mode_command_template"),
    ("mode_stat_t", "mode_state_topic"),
    ("mode_stat_tpl", "mode_state_template"),
    ("name", "name"),
    ("o", "origin"),
    ("obj_id", "object_id"),
    ("ops", "options"),
    ("p", "platform"),
    ("pl_avail", "payload_available"),
    ("pl_lock", "payload_lock"),
    ("pl_not_avail", "payload_not_available"),
    ("pl_off", "payload_off"),
    ("pl_on", "payload_on"),
    ("pl_unlk", "payload_unlock"),
    ("pow_cmd_t", "power_command_topic"),
    ("ret", "retain"),
    ("stat_cla", "state_class"),
    ("stat_locked", "state_locked"),
    ("stat_off", "state_off"),
    ("stat_on", "state_on"),
    ("stat_t", "state_topic"),
    ("stat_tpl", "state_template"),
    ("stat_unlocked", "state_unlocked"),
    ("stat_val_tpl", "state_value_template"),
    ("t", "topic"),
    ("temp_cmd_t", "temperature_command_topic"),
    ("temp_cmd_tpl", "temperature_command_template"),
    ("temp_stat_t", "temperature_state_topic"),
    ("temp_stat_tpl", "temperature_state_template"),
    ("temp_unit", "temperature_unit"),
    ("uniq_id", "unique_id"),
    ("unit_of_meas", "unit_of_measurement"),
    ("val_tpl", "value_template"),
];
/// Of the device.
const DEVICE: &[(&str, &str)] = &[
    ("cns", "connections"),
    ("hw", "hw_version"),
    ("ids", "identifiers"),
    ("mdl", "model"),
    ("mdl_id", "model_id"),
    ("mf", "manufacturer"),
    ("sa", "suggested_area"),
    ("sn", "serial_number"),
    ("sw", "sw_version"),
];

/// Writes all keys out, and the base of topics (`~`).
pub(super) fn write_out(payload: &mut Map<String, Json>) {
    long(payload, COMPONENT);
    if let Some(Json::Object(device)) = payload.get_mut("device") {
        long(device, DEVICE);
    }
    availability(payload);
    if let Some(Json::Object(components)) = payload.get_mut("components") {
        for component in components.values_mut().filter_map(Json::as_object_mut) {
            long(component, COMPONENT);
            availability(component);
        }
    }
    if let Some(Json::String(base)) = payload.remove("~") {
        with_base(payload, &base);
        if let Some(Json::Object(components)) = payload.get_mut("components") {
            for component in components.values_mut().filter_map(Json::as_object_mut) {
                with_base(component, &base);
            }
        }
    }
}

fn long(object: &mut Map<String, Json>, words: &[(&str, &str)]) {
    for (short, long) in words {
        // Where both are there, the long one is meant.
        if short != long
            && let Some(value) = object.remove(*short)
            && !object.contains_key(*long)
        {
            object.insert((*long).to_owned(), value);
        }
    }
}

fn availability(object: &mut Map<String, Json>) {
    for entry in availabilities(object) {
        long(entry, COMPONENT);
    }
}

/// One object, or a list of them.
fn availabilities(object: &mut Map<String, Json>) -> Vec<&mut Map<String, Json>> {
    match object.get_mut("availability") {
        Some(Json::Object(one)) => vec![one],
        Some(Json::Array(all)) => all.iter_mut().filter_map(Json::as_object_mut).collect(),
        _ => vec![],
    }
}

fn with_base(object: &mut Map<String, Json>, base: &str) {
    let fill = |value: &mut Json| {
        if let Json::String(topic) = value {
            if let Some(rest) = topic.strip_prefix('~') {
                *topic = format!("{base}{rest}");
            } else if let Some(rest) = topic.strip_suffix('~') {
                *topic = format!("{rest}{base}");
            }
        }
    };
    object.iter_mut().filter(|(key, _)| key.ends_with("topic")).for_each(|(_, value)| fill(value));
    for entry in availabilities(object) {
        if let Some(topic) = entry.get_mut("topic") {
            fill(topic);
        }
    }
}
