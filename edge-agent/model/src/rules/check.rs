//! What is wrong with rules beyond their form. Pure: places are named by keys, whoever read the text knows its lines.

use super::{Escalation, LONGEST_DELAY_S, MOST_RULES, PointIs, Rule, RuleFile, Setpoint, When, Write};
use crate::{AlertKind, Role, Value};
use std::collections::BTreeSet;

/// Conditions may stand within each other so deep.
const MOST_DEPTH: usize = 4;
/// The conditions of one rule, together.
const MOST_POINTS: usize = 32;
/// Steps of an escalation.
const MOST_STEPS: usize = 8;
/// The longest text, characters.
const MOST_TEXT: usize = 200;

/// A fault of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// Where: keys, and indices from 0, from the top of the file: `rule`, `3`, `when`, `time`.
    pub at: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

struct Faults {
    at: Vec<String>,
    found: Vec<RuleFault>,
}

impl Faults {
    fn within(&mut self, key: impl ToString, check: impl FnOnce(&mut Self)) {
        self.at.push(key.to_string());
        check(self);
        self.at.pop();
    }

    fn push(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        let mut at = self.at.clone();
        at.extend((!key.is_empty()).then(|| key.to_owned()));
        self.found.push(RuleFault { at, message: message.into(), help: help.into() });
    }

    fn delay(&mut self, key: &str, seconds: u32) {
        if seconds > LONGEST_DELAY_S {
            self.push(
                key,
                format!("{seconds} s can't be meant"),
                format!("expected 0 to {LONGEST_DELAY_S}, which is a week"),
            );
        }
    }
}

impl RuleFile {
    /// Everything that is wrong with the file by itself; which rooms there are is not asked.
    pub fn faults(&self) -> Vec<RuleFault> {
        let mut faults = Faults { at: vec![], found: vec![] };
        if self.rule.len() > MOST_RULES {
            faults.push(
                "rule",
                format!("{} rules are too many", self.rule.len()),
                format!("expected at most {MOST_RULES}"),
            );
        }
        let mut seen: BTreeSet<(&str, Vec<&str>, Vec<&str>)> = BTreeSet::new();
        for (n, rule) in self.rule.iter().enumerate() {
            faults.at = vec!["rule".to_owned(), n.to_string()];
            let rooms = rule.rooms.iter().map(crate::RoomId::as_str).collect();
            let types = rule.types.iter().map(String::as_str).collect();
            if !seen.insert((&rule.name, rooms, types)) {
                faults.push(
                    "name",
                    format!("the rule `{}` is there twice for the same rooms", rule.name),
                    "give it another name, or say for which `rooms` or `types` it is",
                );
            }
            for (m, name) in rule.types.iter().enumerate().filter(|(_, name)| !self.types.contains_key(*name))
            {
                let known: Vec<&str> = self.types.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                faults.within("types", |faults| {
                    faults.push(
                        &m.to_string(),
                        format!("there is no room type `{name}`"),
                        format!("the types of this file are in [types]: {known}"),
                    );
                });
            }
            rule_faults(rule, &mut faults);
        }
        faults.found
    }
}

fn rule_faults(rule: &Rule, faults: &mut Faults) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if rule.name.is_empty() || rule.name.len() > 40 || !rule.name.chars().all(plain) {
        faults.push(
            "name",
            format!("`{}` can't be the name of a rule", rule.name),
            "expected 1 to 40 lower-case letters, digits and `-`",
        );
    }
    if !rule.enabled {
        return;
    }
    if rule.priority > 100 {
        faults.push("priority", format!("{} is no priority", rule.priority), "expected 0 to 100");
    }
    faults.delay("for_s", rule.for_s);
    faults.delay("keep_s", rule.keep_s);
    if rule.when == When::default() {
        faults.push("when", "the rule has no condition", "for example when = { occupied = true }");
    }
    if rule.then == super::Then::default() && rule.after == super::After::default() {
        faults.push("then", "the rule does nothing", "for example then = { setpoint = { of = \"eco\" } }");
    }
    let mut points = 0;
    faults.within("when", |faults| when_faults(&rule.when, 0, &mut points, faults));
    if points > MOST_POINTS {
        faults.push(
            "when",
            format!("{points} points are too many"),
            format!("expected at most {MOST_POINTS}"),
        );
    }
    faults.within("then", |faults| {
        if let Some(setpoint) = &rule.then.setpoint {
            faults.within("setpoint", |faults| setpoint_faults(setpoint, faults));
        }
        writes(&rule.then.set, faults);
        status(rule.then.status.as_deref(), faults);
        if let Some(alert) = &rule.then.alert {
            faults.within("alert", |faults| {
                text(&alert.text, faults);
                if matches!(
                    alert.kind,
                    AlertKind::PostingDoubtful | AlertKind::WriteFailed | AlertKind::WriteBlocked
                ) {
                    faults.push(
                        "kind",
                        "this kind is raised by the house itself",
                        "for alerts of your own, kind = \"rule\"",
                    );
                }
                escalation(&alert.escalate, faults);
            });
        }
        if let Some(charge) = &rule.then.charge {
            faults.within("charge", |faults| {
                text(&charge.text, faults);
                if charge.amount_minor.is_some_and(|minor| minor <= 0) {
                    faults.push(
                        "amount_minor",
                        "a charge is more than nothing",
                        "expected minor units: 450 is 4.50",
                    );
                }
            });
        }
    });
    faults.within("after", |faults| {
        writes(&rule.after.set, faults);
        status(rule.after.status.as_deref(), faults);
    });
}

fn when_faults(when: &When, depth: usize, points: &mut usize, faults: &mut Faults) {
    if depth > MOST_DEPTH {
        faults.push(
            "",
            "conditions within conditions within conditions",
            format!("at most {MOST_DEPTH} deep"),
        );
        return;
    }
    for (key, seconds) in [
        ("occupied_for_s", when.occupied_for_s),
        ("vacant_for_s", when.vacant_for_s),
        ("came_within_s", when.came_within_s),
        ("left_within_s", when.left_within_s),
    ] {
        faults.delay(key, seconds.unwrap_or(0));
    }
    if let Some(arriving) = &when.arriving
        && !(1..=1440).contains(&arriving.within_min)
    {
        faults.within("arriving", |faults| {
            faults.push(
                "within_min",
                format!("{} minutes can't be meant", arriving.within_min),
                "expected 1 to 1440",
            );
        });
    }
    if let Some(time) = &when.time
        && time.from == time.to
    {
        faults.within("time", |faults| {
            faults.push("to", "it ends when it begins", "for a whole day leave `time` out");
        });
    }
    *points += when.point.len();
    faults.within("point", |faults| {
        for (n, point) in when.point.iter().enumerate() {
            faults.within(n, |faults| point_faults(point, faults));
        }
    });
    faults.within("any", |faults| {
        for (n, one) in when.any.iter().enumerate() {
            faults.within(n, |faults| nested(one, depth, points, faults));
        }
    });
    if let Some(not) = &when.not {
        faults.within("not", |faults| nested(not, depth, points, faults));
    }
}

fn nested(when: &When, depth: usize, points: &mut usize, faults: &mut Faults) {
    if *when == When::default() {
        faults.push("", "an empty condition always holds", "name what must hold, or remove it");
    }
    when_faults(when, depth + 1, points, faults);
}

fn point_faults(point: &PointIs, faults: &mut Faults) {
    let said = usize::from(point.is.is_some())
        + usize::from(point.above.is_some())
        + usize::from(point.below.is_some());
    if said != 1 {
        faults.push("", "it must say what the point is", "exactly one of `is`, `above` and `below`");
    }
    if ![point.above, point.below, Some(point.hysteresis)].into_iter().flatten().all(f64::is_finite) {
        faults.push("", "a limit must be a finite number", "for example below = 15");
    }
    if point.hysteresis < 0.0 {
        faults.push("hysteresis", format!("{} is less than nothing", point.hysteresis), "expected 0 or more");
    }
    if point.hysteresis > 0.0 && point.is.is_some() {
        faults.push(
            "hysteresis",
            "`is` knows no hysteresis",
            "against flutter: `for_s`, or `keep_s` of the rule",
        );
    }
    faults.delay("for_s", point.for_s);
}

fn setpoint_faults(setpoint: &Setpoint, faults: &mut Faults) {
    if let Some(celsius) = setpoint.celsius {
        if !(5.0..=35.0).contains(&celsius) {
            faults.push("celsius", format!("{celsius} °C is not a room's set point"), "expected 5 to 35");
        }
        if setpoint.of != super::Of::Base || setpoint.setback_c != 0.0 || setpoint.offset_c != 0.0 {
            faults.push(
                "",
                "`celsius` is a set point by itself",
                "remove `of`, `setback_c` and `offset_c`, or `celsius`",
            );
        }
    }
    for (key, by) in [("setback_c", setpoint.setback_c), ("offset_c", setpoint.offset_c)] {
        if !(-15.0..=15.0).contains(&by) {
            faults.push(key, format!("{by} °C can't be meant"), "expected -15 to 15");
        }
    }
}

fn writes(writes: &[Write], faults: &mut Faults) {
    faults.within("set", |faults| {
        for (n, write) in writes.iter().enumerate() {
            faults.within(n, |faults| {
                if write.role == Role::ClimateSetpoint {
                    faults.push("role", "a set point is not written once", "use then.setpoint");
                }
                if write.role == Role::Lock {
                    faults.push("role", "rules do not lock or unlock doors", "remove it");
                }
                if matches!(write.value, Value::Float(x) if !x.is_finite()) {
                    faults.push("value", "it must be a finite number", "for example value = 40");
                }
            });
        }
    });
}

fn status(status: Option<&str>, faults: &mut Faults) {
    if let Some(word) = status
        && !crate::STATUSES.contains(&word)
    {
        faults.push(
            "status",
            format!("`{word}` is no status of a room"),
            format!("expected one of {}", crate::STATUSES.join(", ")),
        );
    }
}

fn text(text: &str, faults: &mut Faults) {
    if text.trim().is_empty() || text.chars().count() > MOST_TEXT || text.chars().any(char::is_control) {
        faults.push("text", "staff read this", format!("expected one line of 1 to {MOST_TEXT} characters"));
    }
}

fn escalation(steps: &[Escalation], faults: &mut Faults) {
    faults.within("escalate", |faults| {
        if steps.len() > MOST_STEPS {
            faults.push(
                "",
                format!("{} steps are too many", steps.len()),
                format!("expected at most {MOST_STEPS}"),
            );
        }
        let mut last = 0;
        for (n, step) in steps.iter().enumerate() {
            faults.within(n, |faults| {
                text(&step.text, faults);
                faults.delay("after_s", step.after_s);
                if step.after_s <= last {
                    faults.push(
                        "after_s",
                        format!("{} s is not later than the step before", step.after_s),
                        "steps are counted from when the rule came on, in order",
                    );
                }
            });
            last = step.after_s;
        }
    });
}
