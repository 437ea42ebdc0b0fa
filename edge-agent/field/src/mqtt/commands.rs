//! Messages on the house's command topics, read into commands; what can't be read gets a clear answer.
//!
//! Why: whoever writes an integration sees on `cmd/error` what was wrong with the message, in words, instead
//! of silence. A command always has an idempotency key, so that a message that the broker delivers twice
//! is carried out once.
//!
//! Never: carries anything out; the model decides. No payload makes it panic.

use super::topic::CommandTopic;
use engawa_model::{Action, Command, CommandKey, CommandSource, PointId, Role, RoomId, Timestamp, Value};
use serde::Deserialize;

/// The longest payload of a command, bytes: the longest action is a few hundred.
const MAX_PAYLOAD: usize = 16 * 1024;
/// The longest idempotency key, characters; it becomes a level of a topic.
const MAX_KEY: usize = 128;

/// Why a message is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A retained command would be carried out again at each reconnect.
    #[error("commands must not be retained: publish without the retain flag")]
    Retained,
    /// More than any command needs.
    #[error("the payload has {0} bytes; a command has at most {MAX_PAYLOAD}")]
    TooLong(usize),
    /// Neither a number nor JSON.
    #[error("expected a number such as `22.5`, or JSON such as `{{\"value\":22.5,\"key\":\"k-1\"}}`: {0}")]
    Setpoint(String),
    /// Neither a value nor an object.
    #[error(
        "expected a value as JSON, such as `22.5`, `true` or `\"auto\"`, or an object such as \
         `{{\"value\":22.5,\"key\":\"k-1\"}}`: {0}"
    )]
    Value(String),
    /// Not a command.
    #[error("expected JSON such as `{{\"key\":\"k-1\",\"do\":\"resync\"}}`: {0}")]
    Command(String),
    /// A key that can't be used.
    #[error("`key` must have 1 to {MAX_KEY} characters, none of them a control character")]
    Key,
    /// The gateway's own upkeep, or what only the cloud may say.
    #[error("this is not asked over MQTT: use `engawa` on the gateway, or `engawa-cloud send`")]
    NotHere,
    /// Whoever writes to the broker could give any name.
    #[error("`by` can't be said over MQTT: leave it out")]
    By,
    /// A number that is none.
    #[error("the value must be a finite number")]
    NotFinite,
}

/// What tells two messages apart that carry no key of their own.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When the message came.
    pub at: Timestamp,
    /// How many had come before it, since the start.
    pub count: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetpointObject {
    value: f64,
    key: Option<String>,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SetpointPayload {
    Number(f64),
    Object(SetpointObject),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PointObject {
    value: Value,
    key: Option<String>,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct CommandObject {
    key: String,
    #[serde(default)]
    expires: Option<Timestamp>,
    #[serde(flatten)]
    action: Action,
}

/// Reads one message. `retained` is its retain flag as delivered: set where the broker had kept it.
pub fn read(
    topic: &CommandTopic,
    payload: &[u8],
    retained: bool,
    arrival: Arrival,
) -> Result<Command, CommandError> {
    if retained {
        return Err(CommandError::Retained);
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(CommandError::TooLong(payload.len()));
    }
    match topic {
        CommandTopic::Setpoint(room) => setpoint(room, payload, arrival),
        CommandTopic::Point(to) => point(to, payload, arrival),
        CommandTopic::Any => command(payload),
    }
}

fn point(to: &PointId, payload: &[u8], arrival: Arrival) -> Result<Command, CommandError> {
    let wrong = |error: serde_json::Error| CommandError::Value(error.to_string());
    let json: serde_json::Value = serde_json::from_slice(payload).map_err(wrong)?;
    let PointObject { value, key, expires } = match json {
        object @ serde_json::Value::Object(_) => serde_json::from_value(object).map_err(wrong)?,
        serde_json::Value::Null | serde_json::Value::Array(_) => {
            return Err(CommandError::Value("it is neither".to_owned()));
        }
        scalar => {
            PointObject { value: serde_json::from_value(scalar).map_err(wrong)?, key: None, expires: None }
        }
    };
    if matches!(value, Value::Float(x) if !x.is_finite()) {
        return Err(CommandError::NotFinite);
    }
    let key = match key {
        Some(key) => checked(key)?,
        None => CommandKey::new(format!("mqtt-{to}-{}-{}", arrival.at.as_millisecond(), arrival.count)),
    };
    let action = Action::SetPoint { point: to.clone(), value };
    Ok(Command { key, source: CommandSource::Mqtt, expires, action })
}

fn setpoint(room: &RoomId, payload: &[u8], arrival: Arrival) -> Result<Command, CommandError> {
    let read: SetpointPayload = serde_json::from_slice(payload).map_err(|error| {
        // serde's text for an untagged enum names types of ours; say what JSON itself says, where it does.
        CommandError::Setpoint(match serde_json::from_slice::<serde_json::Value>(payload) {
            Err(error) => error.to_string(),
            Ok(serde_json::Value::Object(object)) => {
                object_error(object).unwrap_or_else(|| error.to_string())
            }
            Ok(_) => "it is neither".to_owned(),
        })
    })?;
    let (value, key, expires) = match read {
        SetpointPayload::Number(value) => (value, None, None),
        SetpointPayload::Object(object) => (object.value, object.key, object.expires),
    };
    if !value.is_finite() {
        return Err(CommandError::NotFinite);
    }
    let key = match key {
        Some(key) => checked(key)?,
        None => {
            let (ms, count) = (arrival.at.as_millisecond(), arrival.count);
            CommandKey::new(format!("mqtt-{room}-{value}-{ms}-{count}"))
        }
    };
    let action =
        Action::SetRole { room: room.clone(), role: Role::ClimateSetpoint, value: Value::Float(value) };
    Ok(Command { key, source: CommandSource::Mqtt, expires, action })
}

fn object_error(object: serde_json::Map<String, serde_json::Value>) -> Option<String> {
    SetpointObject::deserialize(serde_json::Value::Object(object)).err().map(|error| error.to_string())
}

fn command(payload: &[u8]) -> Result<Command, CommandError> {
    let read: CommandObject =
        serde_json::from_slice(payload).map_err(|error| CommandError::Command(error.to_string()))?;
    if let Action::SetRole { value: Value::Float(x), .. } | Action::SetPoint { value: Value::Float(x), .. } =
        &read.action
        && !x.is_finite()
    {
        return Err(CommandError::NotFinite);
    }
    match &read.action {
        Action::Reload { .. }
        | Action::Diagnose { .. }
        | Action::Tail { .. }
        | Action::EndTail { .. }
        | Action::Update { .. }
        | Action::MergeSetting { .. }
        | Action::MergePreference { .. } => return Err(CommandError::NotHere),
        Action::SetSetting { by: Some(_), .. } | Action::SetPreference { by: Some(_), .. } => {
            return Err(CommandError::By);
        }
        _ => {}
    }
    Ok(Command {
        key: checked(read.key)?,
        source: CommandSource::Mqtt,
        expires: read.expires,
        action: read.action,
    })
}

fn checked(key: String) -> Result<CommandKey, CommandError> {
    let fits = !key.is_empty() && key.chars().count() <= MAX_KEY && !key.chars().any(char::is_control);
    if fits { Ok(CommandKey::new(key)) } else { Err(CommandError::Key) }
}

/// The answer on `cmd/error`. The message's own text is not repeated: it may hold anything.
pub fn answer(topic: &str, error: &CommandError, at: Timestamp) -> serde_json::Value {
    serde_json::json!({ "topic": topic, "error": error.to_string(), "at": at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{Currency, Money};
    use proptest::prelude::*;

    fn arrival() -> Arrival {
        Arrival { at: Timestamp::from_second(1_700_000_000).unwrap(), count: 7 }
    }

    fn set(payload: &str) -> Result<Command, CommandError> {
        read(&CommandTopic::Setpoint(RoomId::from("101")), payload.as_bytes(), false, arrival())
    }

    fn to_point(payload: &str) -> Result<Command, CommandError> {
        let topic = CommandTopic::Point(PointId::new("t/1", "mode"));
        read(&topic, payload.as_bytes(), false, arrival())
    }

    fn asked(payload: &str) -> Result<Command, CommandError> {
        read(&CommandTopic::Any, payload.as_bytes(), false, arrival())
    }

    #[test]
    fn a_set_point_is_a_number_or_an_object() {
        let action =
            Action::SetRole { room: "101".into(), role: Role::ClimateSetpoint, value: Value::Float(22.5) };
        let command = set("22.5").unwrap();
        assert_eq!(command.key.as_str(), "mqtt-101-22.5-1700000000000-7");
        assert_eq!((command.source, &command.action), (CommandSource::Mqtt, &action));
        let command = set(r#"{"value":22.5,"key":"k 1","expires":"2026-11-24T12:00:00Z"}"#).unwrap();
        assert_eq!((command.key.as_str(), &command.action), ("k 1", &action));
        assert_eq!(command.expires, Some("2026-11-24T12:00:00Z".parse().unwrap()));
        assert_eq!(set("22").unwrap().action, set("22.0").unwrap().action);
    }

    #[test]
    fn a_point_takes_any_value_or_an_object() {
        for (payload, value) in [
            ("22", Value::Int(22)),
            ("22.0", Value::Float(22.0)),
            ("true", Value::Bool(true)),
            ("\"auto\"", Value::Text("auto".to_owned())),
            ("{\"value\":\"auto\"}", Value::Text("auto".to_owned())),
        ] {
            let command = to_point(payload).unwrap();
            let action = Action::SetPoint { point: PointId::new("t/1", "mode"), value };
            assert_eq!((command.source, command.action), (CommandSource::Mqtt, action), "{payload}");
            assert_eq!(command.key.as_str(), "mqtt-t/1/mode-1700000000000-7");
        }
        let command = to_point(r#"{"value":1,"key":"k","expires":"2026-11-24T12:00:00Z"}"#).unwrap();
        assert_eq!(
            (command.key.as_str(), command.expires),
            ("k", Some("2026-11-24T12:00:00Z".parse().unwrap()))
        );
    }

    #[test]
    fn any_action_can_be_asked_with_a_key() {
        let command = asked(
            r#"{"key":"bar-17","do":"post","room":"101","amount":{"minor":1250,"currency":"EUR"},"text":"Bar"}"#,
        )
        .unwrap();
        let amount = Money { minor: 1250, currency: Currency::new("EUR").unwrap() };
        assert_eq!(command.key.as_str(), "bar-17");
        assert_eq!(
            command.action,
            Action::Post { room: "101".into(), stay: None, amount, text: "Bar".to_owned(), outlet: None }
        );
        assert_eq!(asked(r#"{"key":"r","do":"resync"}"#).unwrap().action, Action::Resync);
    }

    #[test]
    fn what_is_no_command_is_refused_in_words() {
        for (result, text) in [
            (set("warm"), "expected a number"),
            (set(""), "expected a number"),
            (set("\"22\""), "neither"),
            (set("[22]"), "neither"),
            (set(r#"{"valeu":22}"#), "valeu"),
            (set(r#"{"value":22,"key":""}"#), "`key`"),
            (set("1e999"), "expected a number"),
            (to_point("auto"), "expected a value as JSON"),
            (to_point("null"), "neither"),
            (to_point("[1]"), "neither"),
            (to_point("{}"), "value"),
            (to_point(r#"{"value":[1]}"#), "Value"),
            (to_point(r#"{"value":1,"kye":"k"}"#), "kye"),
            (to_point(r#"{"value":1,"key":""}"#), "`key`"),
            (asked("resync"), "expected JSON"),
            (asked(r#"{"do":"resync"}"#), "key"),
            (asked(r#"{"key":"k","do":"dance"}"#), "dance"),
            (asked(r#"{"key":"k\u0000","do":"resync"}"#), "`key`"),
            (asked(r#"{"key":"k","do":"reload"}"#), "not asked over MQTT"),
            (asked(r#"{"key":"k","do":"diagnose","by":"ann"}"#), "not asked over MQTT"),
            (asked(r#"{"key":"k","do":"end-tail","tail":"t"}"#), "not asked over MQTT"),
            (asked(r#"{"key":"k","do":"merge-preference","stay":"1","name":"n"}"#), "not asked over MQTT"),
            (asked(r#"{"key":"k","do":"set-setting","name":"n","by":"ann"}"#), "`by`"),
            (asked(r#"{"key":"k","do":"set-preference","stay":"1","name":"n","by":"ann"}"#), "`by`"),
            (asked(&" ".repeat(MAX_PAYLOAD + 1)), "bytes"),
            (read(&CommandTopic::Any, b"{}", true, arrival()), "retained"),
        ] {
            let error = result.unwrap_err();
            assert!(error.to_string().contains(text), "{error} lacks {text}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in any::<Vec<u8>>()) {
            let _ = read(&CommandTopic::Any, &payload, false, arrival());
            let _ = read(&CommandTopic::Setpoint("1".into()), &payload, false, arrival());
            let _ = read(&CommandTopic::Point(PointId::new("d", "p")), &payload, false, arrival());
        }
    }
}
