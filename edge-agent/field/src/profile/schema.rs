//! The JSON Schema of profiles, published from the types that read them, so that editors complete and check a profile
//! while it is written.
//!
//! What a schema can't say (an address beyond its table, a name that is there twice) is said by [`super::load`].

use super::File;
use engawa_model::Role;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// The schema as text. Draft 07: what editors of TOML know.
pub fn json_schema() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// All roles. The model knows no schemas, so they are told here; [`tests`] see that none is missing.
const ROLES: &[Role] = &[
    Role::RoomTemperature,
    Role::ClimateSetpoint,
    Role::ClimateMode,
    Role::Fan,
    Role::ClimateOutput,
    Role::Window,
    Role::Occupancy,
    Role::Door,
    Role::Lock,
    Role::Battery,
    Role::Minibar,
    Role::Leak,
    Role::Light,
    Role::Fault,
    Role::Smoke,
    Role::Scene,
    Role::DoNotDisturb,
    Role::MakeUp,
];

/// The schema of a role.
pub(super) struct RoleSchema;

impl JsonSchema for RoleSchema {
    fn schema_name() -> Cow<'static, str> {
        "Role".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "What a point is to its room.", "enum": ROLES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_in_the_schema() {
        let next = |role: Role| match role {
            // A new role makes this match fail to compile: it belongs into `ROLES` too.
            Role::RoomTemperature
            | Role::ClimateSetpoint
            | Role::ClimateMode
            | Role::Fan
            | Role::ClimateOutput
            | Role::Window
            | Role::Occupancy
            | Role::Door
            | Role::Lock
            | Role::Battery
            | Role::Minibar
            | Role::Leak
            | Role::Light
            | Role::Fault
            | Role::Smoke
            | Role::Scene
            | Role::DoNotDisturb
            | Role::MakeUp => serde_json::to_value(role).unwrap(),
        };
        let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
        let listed = &schema["definitions"]["Role"]["enum"];
        for role in ROLES {
            assert!(listed.as_array().unwrap().contains(&next(*role)), "{role:?}");
        }
    }

    #[test]
    fn the_published_schema_is_up_to_date() {
        let published = include_str!("../../profiles/profile.schema.json");
        assert!(
            published == json_schema(),
            "profiles/profile.schema.json is not what the types say: renew it with \
             `cargo run -p engawa -- profile schema > edge-agent/field/profiles/profile.schema.json`"
        );
    }

    #[test]
    fn shipped_profiles_name_the_schema() {
        for (name, text) in super::super::builtin() {
            assert_eq!(text.lines().next(), Some("#:schema ./profile.schema.json"), "{name}");
        }
    }
}
