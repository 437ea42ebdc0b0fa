//! What a device's word means to the house: true or false, a number, or another word.

use engawa_model::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// The meaning of a word.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning(pub Value);

impl<'de> Deserialize<'de> for Meaning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// By hand: of an untagged enum serde says only that nothing fits.
struct Any;

impl Visitor<'_> for Any {
    type Value = Meaning;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false, a number, or a text")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Meaning, E> {
        Ok(Meaning(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Meaning, E> {
        Ok(Meaning(Value::Int(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Meaning, E> {
        i64::try_from(value)
            .map(|value| Meaning(Value::Int(value)))
            .map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Meaning, E> {
        Ok(Meaning(Value::Float(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Meaning, E> {
        Ok(Meaning(Value::Text(value.to_owned())))
    }
}

impl JsonSchema for Meaning {
    fn schema_name() -> Cow<'static, str> {
        "Meaning".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["boolean", "number", "string"],
            "description": "What a word of the device means: true or false, a number, or another word."
        })
    }
}
