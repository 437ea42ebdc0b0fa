//! What serde can't see: topics that no message can have, placeholders that nothing stands for, words that mean nothing.
//!
//! All faults of a profile come at once, each at its place.

use super::{Availability, Meaning, MqttKind, MqttPoint, MqttProfile, MqttVar, Request};
use crate::profile::unit;
use engawa_diag::{Doc, Fault, Path};
use engawa_model::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The longest time that makes sense, seconds: a year.
const LONGEST_S: u32 = 31_536_000;
/// The placeholders of every template.
const ALWAYS: [&str; 2] = ["device", "room"];
/// Those of a command's payload, too.
const OF_COMMANDS: [&str; 3] = ["value", "text", "on_off"];

struct Faults<'a> {
    doc: &'a Doc,
    list: Vec<Fault>,
    vars: Vec<&'a str>,
}

impl Faults<'_> {
    fn add(&mut self, path: &Path, message: impl Into<String>, label: impl Into<String>) {
        self.list.push(self.doc.fault(path, message).label(label));
    }

    /// A topic that can't be one.
    fn topic(&mut self, path: &Path, topic: &str) {
        if topic.is_empty() || topic.contains(|c: char| matches!(c, '+' | '#') || c.is_control()) {
            self.add(
                path,
                format!("`{topic}` can't be a topic"),
                "expected a text without `+`, `#` and control characters",
            );
        }
        self.placeholders(path, topic, &[], true);
    }

    fn pointer(&mut self, path: &Path, pointer: &str) {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            self.add(
                path,
                format!("`{pointer}` is not a JSON pointer"),
                "expected for example `/climate/temperature`, or nothing for the whole payload",
            );
        }
        self.placeholders(path, pointer, &[], false);
    }

    /// Placeholders that nothing stands for. Where any brace is one (`strict`), those without a name are faults as well.
    fn placeholders(&mut self, path: &Path, template: &str, more: &[&str], strict: bool) {
        let mut rest = template;
        while let Some(open) = rest.find(['{', '}']) {
            let after = &rest[open + 1..];
            let name = after.split_once('}').map(|(name, _)| name).filter(|_| rest[open..].starts_with('{'));
            let is_name =
                |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let name = name.filter(is_name);
            match name {
                Some(name) if ALWAYS.contains(&name) || more.contains(&name) || self.vars.contains(&name) => {
                }
                Some(name) => {
                    let known: Vec<&str> =
                        ALWAYS.iter().chain(more).copied().chain(self.vars.iter().copied()).collect();
                    self.add(
                        path,
                        format!("nothing stands for `{{{name}}}`"),
                        format!("expected one of: {}", known.join(", ")),
                    );
                }
                None if strict => {
                    self.add(
                        path,
                        "a brace in a topic begins or ends a placeholder",
                        "expected for example `{device}`",
                    );
                    return;
                }
                None => {}
            }
            rest = &after[name.map_or(0, |name| name.len() + 1)..];
        }
    }

    fn time(&mut self, path: &Path, seconds: Option<u32>) {
        if let Some(s) = seconds.filter(|s| !(1..=LONGEST_S).contains(s)) {
            self.add(path, format!("{s} s can't be meant"), "expected 1 second to a year");
        }
    }

    /// Limits the wrong way round, or that are none.
    fn limits(&mut self, path: &Path, min: Option<f64>, max: Option<f64>) {
        for (field, limit) in [("min", min), ("max", max)] {
            if limit.is_some_and(|limit| !limit.is_finite()) {
                self.add(&path.key(field), "a limit is a number", "expected neither nan nor inf");
            }
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.add(
                &path.key("min"),
                format!("min {min} is above max {max}"),
                "no value is within these limits",
            );
        }
    }
}

impl MqttProfile {
    /// All faults.
    pub(crate) fn faults(&self, doc: &Doc) -> Vec<Fault> {
        let at = Path::root().key("mqtt");
        let vars = self.vars.keys().map(String::as_str).collect();
        let mut faults = Faults { doc, list: Vec::new(), vars };
        if let Some(topic) = &self.status_topic {
            faults.topic(&at.key("status_topic"), topic);
        }
        faults.time(&at.key("stale_after_s"), self.stale_after_s);
        faults.time(&at.key("heartbeat_s"), self.heartbeat_s);
        for (n, availability) in self.availability.iter().enumerate() {
            availability.faults(&at.key("availability").index(n), &mut faults);
        }
        for (n, Request { topic, payload }) in self.requests.iter().enumerate() {
            let path = at.key("requests").index(n);
            faults.topic(&path.key("topic"), topic);
            faults.placeholders(&path.key("payload"), payload, &[], false);
        }
        for (name, var) in &self.vars {
            var.faults(name, &at.key("vars").key(name), &mut faults);
        }
        if self.points.is_empty() {
            let fault = doc.fault_at_key(&at.key("points"), "a profile has at least one point");
            faults.list.push(fault.help("add a [[mqtt.points]] with its name, pointer and kind"));
        }
        let mut names = BTreeSet::new();
        for (n, point) in self.points.iter().enumerate() {
            let path = at.key("points").index(n);
            if !names.insert(point.name.as_str()) {
                faults.add(
                    &path.key("name"),
                    format!("point `{}` is there twice", point.name),
                    "each name once",
                );
            }
            self.point_faults(point, &path, &mut faults);
        }
        faults.list
    }

    fn point_faults(&self, point: &MqttPoint, path: &Path, faults: &mut Faults<'_>) {
        if point.name.is_empty() || point.name.contains(|c: char| c == '/' || c.is_control()) {
            faults.add(
                &path.key("name"),
                "a point's name must not be empty nor hold `/`",
                "expected for example `room_temperature`",
            );
        }
        if let Some(code) = point.unit.as_deref().filter(|code| !unit::is_code(code)) {
            faults.list.push(unit::fault(faults.doc, &path.key("unit"), code));
        }
        self.place_faults(point, path, faults);
        self.meaning_faults(point, path, faults);
        faults.time(&path.key("stale_after_s"), point.stale_after_s);
        faults.time(&path.key("heartbeat_s"), point.heartbeat_s);
        if point.dead_band.is_some_and(|band| !band.is_finite() || band < 0.0) {
            faults.add(&path.key("dead_band"), "a dead band is a number from 0 on", "in the point's unit");
        }
        command_faults(point, path, faults);
    }

    fn place_faults(&self, point: &MqttPoint, path: &Path, faults: &mut Faults<'_>) {
        if !point.reports() && point.command_topic.is_none() {
            let fault = faults
                .doc
                .fault_at_key(path, format!("point `{}` can be neither read nor written", point.name));
            faults.list.push(fault.help("add `pointer`, `command_topic` or both"));
        }
        if let Some(topic) = &point.topic {
            faults.topic(&path.key("topic"), topic);
            if point.pointer.is_none() {
                faults.add(
                    &path.key("topic"),
                    "a topic without a `pointer`",
                    "`pointer = \"\"` is the whole payload",
                );
            }
        }
        if let Some(pointer) = &point.pointer {
            faults.pointer(&path.key("pointer"), pointer);
            if point.topic.is_none() && self.status_topic.is_none() {
                faults.add(
                    &path.key("pointer"),
                    format!("point `{}` has no topic", point.name),
                    "expected `topic` here, or `status_topic` for all",
                );
            }
        }
        for (n, place) in point.also.iter().enumerate() {
            let path = path.key("also").index(n);
            match &place.topic {
                Some(topic) => faults.topic(&path.key("topic"), topic),
                None if self.status_topic.is_none() => {
                    faults.add(
                        &path,
                        "this place has no topic",
                        "expected `topic` here, or `status_topic` for all",
                    );
                }
                None => {}
            }
            faults.pointer(&path.key("pointer"), &place.pointer);
        }
    }

    fn meaning_faults(&self, point: &MqttPoint, path: &Path, faults: &mut Faults<'_>) {
        for (field, words) in [("values", &point.values), ("command_values", &point.command_values)] {
            word_faults(point.kind, words, &path.key(field), faults);
        }
        if point.invert && (point.kind != MqttKind::Bool || !point.values.is_empty()) {
            faults.add(
                &path.key("invert"),
                "only a point of kind `bool` without `values` can be inverted",
                "expected `values` that say what is meant",
            );
        }
        let number = matches!(point.kind, MqttKind::Int | MqttKind::Float);
        for (field, there) in [
            ("scale", !point.scale.is_one()),
            ("offset", !point.offset.is_zero()),
            ("scale_var", point.scale_var.is_some()),
            ("valid", point.valid.is_some()),
            ("dead_band", point.dead_band.is_some()),
            ("min", point.min.is_some()),
            ("max", point.max.is_some()),
        ] {
            if there && !number {
                faults.add(
                    &path.key(field),
                    format!("only numbers have `{field}`"),
                    "this is on or off, or a text",
                );
            }
        }
        if point.scale.is_zero() {
            faults.add(
                &path.key("scale"),
                "a scale of 0 makes every value 0",
                "expected a fraction such as \"1/10\"",
            );
        }
        if point.kind == MqttKind::Int && point.is_scaled() {
            faults.add(&path.key("kind"), "a whole number is not scaled", "expected `float`");
        }
        if let Some(var) = &point.scale_var {
            if !point.scale.is_one() || !point.offset.is_zero() {
                faults.add(
                    &path.key("scale_var"),
                    "either `scale_var`, or `scale` and `offset`",
                    "the variable gives both",
                );
            }
            if self.vars.get(var).is_none_or(|var| var.choices.is_empty()) {
                faults.add(
                    &path.key("scale_var"),
                    format!("there is no variable `{var}` with choices"),
                    "expected one of [mqtt.vars]",
                );
            }
        }
        if let Some(valid) = point.valid {
            let path = path.key("valid");
            faults.limits(&path, valid.min, valid.max);
            if valid.min.is_none() && valid.max.is_none() {
                faults.add(&path, "every value is plausible", "expected `min`, `max` or both");
            }
        }
        faults.limits(path, point.min, point.max);
    }
}

impl Availability {
    fn faults(&self, path: &Path, faults: &mut Faults<'_>) {
        faults.topic(&path.key("topic"), &self.topic);
        faults.pointer(&path.key("pointer"), &self.pointer);
        if self.online == self.offline {
            faults.add(
                &path.key("offline"),
                format!("`{}` says that the device is there, too", self.offline),
                "expected another word than `online`",
            );
        }
    }
}

impl MqttVar {
    fn faults(&self, name: &str, path: &Path, faults: &mut Faults<'_>) {
        let own = ALWAYS.contains(&name) || OF_COMMANDS.contains(&name);
        if own || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            faults.list.push(
                faults.doc.fault_at_key(path, format!("a variable can't be called `{name}`")).help(
                    "letters, digits and `_`; device, room, value, text and on_off have their own meaning",
                ),
            );
        }
        if !self.choices.is_empty() && !self.choices.contains_key(&self.default) {
            let known: Vec<&str> = self.choices.keys().map(String::as_str).collect();
            faults.add(
                &path.key("default"),
                format!("`{}` is not a choice of `{name}`", self.default),
                format!("expected one of {}", known.join(", ")),
            );
        } else if !Self::takes(&self.default) {
            faults.add(
                &path.key("default"),
                format!("`{}` can't go into a topic", self.default),
                "expected a text without + # { } \" and \\",
            );
        }
        for (choice, meaning) in &self.choices {
            let path = path.key("choices").key(choice);
            if meaning.scale.is_zero() {
                faults.add(
                    &path.key("scale"),
                    "a scale of 0 makes every value 0",
                    "expected a fraction such as \"1/10\"",
                );
            }
            if !Self::takes(choice) {
                faults.add(
                    &path,
                    format!("`{choice}` can't go into a topic"),
                    "expected a text without + # { } \" and \\",
                );
            }
        }
    }
}

fn word_faults(kind: MqttKind, words: &BTreeMap<String, Meaning>, path: &Path, faults: &mut Faults<'_>) {
    for (word, Meaning(meaning)) in words {
        let (fits, expected) = match kind {
            MqttKind::Bool => (matches!(meaning, Value::Bool(_)), "expected true or false"),
            MqttKind::Int => (matches!(meaning, Value::Int(_)), "expected a whole number"),
            MqttKind::Float => (
                matches!(meaning, Value::Int(_)) || matches!(meaning, Value::Float(x) if x.is_finite()),
                "expected a number",
            ),
            MqttKind::Text => (matches!(meaning, Value::Text(_)), "expected a text"),
        };
        if !fits {
            faults.add(&path.key(word), format!("`{meaning}` is no value of this kind"), expected);
        }
    }
}

fn command_faults(point: &MqttPoint, path: &Path, faults: &mut Faults<'_>) {
    match &point.command_topic {
        Some(topic) => faults.topic(&path.key("command_topic"), topic),
        None => {
            for (field, there) in [
                ("command_template", point.command_template.is_some()),
                ("command_values", !point.command_values.is_empty()),
                ("command_retain", point.command_retain),
                ("min", point.min.is_some()),
                ("max", point.max.is_some()),
            ] {
                if there {
                    faults.add(
                        &path.key(field),
                        format!("point `{}` can't be written, so it has no `{field}`", point.name),
                        "expected `command_topic` with it",
                    );
                }
            }
        }
    }
    if let Some(template) = &point.command_template {
        faults.placeholders(&path.key("command_template"), template, &OF_COMMANDS, false);
        if point.kind != MqttKind::Bool && template.contains("{on_off}") {
            faults.add(
                &path.key("command_template"),
                "only a point of kind `bool` is on or off",
                "expected `{value}`",
            );
        }
    }
}
