//! A profile with its variables filled in, and templates filled in.

use super::{MqttProfile, MqttVar};
use crate::profile::VarFault;
use std::collections::BTreeMap;

/// What can't be in a variable's text: it would make another topic of it, or end a text in JSON.
const FORBIDDEN: [char; 6] = ['+', '#', '{', '}', '"', '\\'];
/// The longest text of a variable, bytes.
const MOST_BYTES: usize = 256;

/// `template` with each `{name}` for which `value` has something; what it does not know stays as it is, and what was put
/// in is not looked at again.
pub(crate) fn fill<'a>(template: &str, value: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> String {
    let (mut filled, mut rest) = (String::with_capacity(template.len()), template);
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        filled.push_str(before);
        let name = after[1..].split_once('}').map(|(name, _)| name);
        match name.and_then(|name| Some((name, value(name)?))) {
            Some((name, text)) => {
                filled.push_str(&text);
                rest = &after[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &after[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

impl MqttProfile {
    /// The profile of a device with these variables. `{device}` and `{room}` stay for the device itself.
    pub(crate) fn resolve(&self, vars: &BTreeMap<String, String>) -> Result<Self, Vec<VarFault>> {
        let faults: Vec<_> = vars.iter().filter_map(|(name, text)| self.var_fault(name, text)).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let text = |name: &str| {
            let var = self.vars.get(name)?;
            Some(vars.get(name).unwrap_or(&var.default).as_str())
        };
        let plain = |template: &str| fill(template, |name| text(name).map(Into::into));
        // RFC 6901, section 3: within a pointer's step these two are written otherwise.
        let pointer = |template: &str| {
            fill(template, |name| text(name).map(|text| text.replace('~', "~0").replace('/', "~1").into()))
        };
        let mut filled = self.clone();
        filled.vars = BTreeMap::new();
        for topic in
            filled.status_topic.iter_mut().chain(filled.availability.iter_mut().map(|a| &mut a.topic))
        {
            *topic = plain(topic);
        }
        for availability in &mut filled.availability {
            availability.pointer = pointer(&availability.pointer);
        }
        for request in &mut filled.requests {
            request.topic = plain(&request.topic);
            request.payload = plain(&request.payload);
        }
        for point in &mut filled.points {
            for topic in [&mut point.topic, &mut point.command_topic, &mut point.command_template] {
                *topic = topic.as_deref().map(plain);
            }
            point.pointer = point.pointer.as_deref().map(pointer);
            for place in &mut point.also {
                place.topic = place.topic.as_deref().map(plain);
                place.pointer = pointer(&place.pointer);
            }
            let chosen = point.scale_var.take().and_then(|name| {
                let choice = text(&name)?;
                self.vars.get(&name)?.choices.get(choice).copied()
            });
            if let Some(choice) = chosen {
                (point.scale, point.offset) = (choice.scale, choice.offset);
            }
        }
        Ok(filled)
    }

    fn var_fault(&self, name: &str, text: &str) -> Option<VarFault> {
        let fault =
            |message: String, help: String| VarFault { var: name.to_owned(), message, help: Some(help) };
        let names =
            |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.vars.get(name) {
            None => Some(fault(
                format!("the profile has no variable `{name}`"),
                match self.vars.is_empty() {
                    true => "remove it: the profile has none".to_owned(),
                    false => format!("it has: {}", names(self.vars.keys().collect())),
                },
            )),
            Some(var) if !var.choices.is_empty() && !var.choices.contains_key(text) => Some(fault(
                format!("`{text}` is not a choice of `{name}`"),
                format!("it is one of: {}", names(var.choices.keys().collect())),
            )),
            Some(_) if !MqttVar::takes(text) => Some(fault(
                format!("`{text}` can't go into a topic"),
                format!("expected 1 to {MOST_BYTES} bytes without {}", FORBIDDEN.map(String::from).join(" ")),
            )),
            Some(_) => None,
        }
    }
}

impl MqttVar {
    /// True for a text that can go into topics and payloads.
    pub(super) fn takes(text: &str) -> bool {
        (1..=MOST_BYTES).contains(&text.len())
            && !text.contains(|c: char| FORBIDDEN.contains(&c) || c.is_control())
    }
}
