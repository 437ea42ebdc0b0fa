//! `engawa-cloud settings list|get|set|log`: what a house and the cloud may both change.

use crate::desk::{Desk, Home};
use crate::output::{note, plain, say};
use anyhow::bail;
use clap::Subcommand;
use engawa_cloud::house_settings::{Entry, known};
use engawa_model::Timestamp;
use engawa_model::settings::{FIELDS, Field, Note, Register, Scope, SettingValue, Write};
use serde_json::{Value, json};

/// What can be done with the settings of a house.
#[derive(Subcommand)]
pub(crate) enum SettingsAct {
    /// List a house's settings: value, who may change it, what decides a conflict, what it does
    #[command(
        after_help = "`-` is the value of the gateway's configuration: nobody has changed it.\n\nExample:\n  engawa-cloud \
        settings list grand"
    )]
    List {
        /// A gateway, or a property for its gateways.
        target: String,
        /// Also what guests in the house prefer, where the house shares it.
        #[arg(long)]
        stays: bool,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Show one setting, with what is known of both ends
    Get {
        /// A gateway, or a property for its gateways.
        target: String,
        /// Its name.
        name: String,
        /// The guest's reservation, for what a guest prefers.
        #[arg(long, value_name = "RESERVATION", default_value = "")]
        stay: String,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Change a setting; the gateway takes it when it is there
    #[command(
        after_help = "What the house has changed meanwhile, without knowing of this, is a conflict: the setting's rule \
        decides, the same at both ends, and both values are in `settings log` of both.\n\nExamples:\n  engawa-cloud settings \
        set grand climate.eco-heating-c 18 --as ann\n  engawa-cloud settings set grand-1 quiet.from 22:00\n  engawa-cloud settings \
        set grand climate.comfort-c --default"
    )]
    Set {
        /// A gateway, or a property for its gateways.
        target: String,
        /// Its name.
        name: String,
        /// Its value.
        #[arg(allow_negative_numbers = true, required_unless_present = "default")]
        value: Option<String>,
        /// The value of the gateway's configuration again.
        #[arg(long, conflicts_with = "value")]
        default: bool,
        /// The guest's reservation, for what a guest prefers.
        #[arg(long, value_name = "RESERVATION", default_value = "")]
        stay: String,
        /// Who changes it: it is kept in the log of both ends.
        #[arg(long = "as", value_name = "NAME", default_value = "cloud")]
        who: String,
    },
    /// List what was changed, newest first: by whom, at which end, conflicts with both values
    #[command(after_help = "Example:\n  engawa-cloud settings log grand --name climate.comfort-c --json")]
    Log {
        /// A gateway, or a property for its gateways.
        target: String,
        /// Only of this setting.
        #[arg(long)]
        name: Option<String>,
        /// How many at most, of each gateway.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
}

/// Does what is asked.
pub(crate) fn main(home: &Home, act: &SettingsAct) -> anyhow::Result<()> {
    let desk = home.desk()?;
    match act {
        SettingsAct::List { target, stays, json } => {
            for gateway in desk.gateways_of(target)? {
                list(&desk, &gateway, *stays, *json)?;
            }
        }
        SettingsAct::Get { target, name, stay, json } => {
            let field = known(name, stay)?;
            for gateway in desk.gateways_of(target)? {
                let kept = desk.settings(&gateway)?;
                let found = kept.iter().find(|setting| setting.name == *name && setting.stay == *stay);
                let line = line(&gateway, stay, field, found.map(|setting| &setting.register));
                say(&if *json { line.to_string() } else { plain_json(&line)? })?;
            }
        }
        SettingsAct::Set { target, name, value, stay, who, .. } => {
            let field = known(name, stay)?;
            let parsed = value.as_deref().map(|text| field.parse(text)).transpose();
            let parsed = parsed.map_err(|why| anyhow::anyhow!(why))?;
            for gateway in desk.gateways_of(target)? {
                desk.set_setting(&gateway, stay, name, parsed.clone(), who, Timestamp::now())?;
                let told =
                    parsed.as_ref().map_or_else(|| "as configured there".to_owned(), ToString::to_string);
                say(&plain(&format!("{gateway}  {name}: {told}")))?;
            }
            if !desk.is_served()? {
                note("no `engawa-cloud serve` runs for this cloud: the setting waits until one does");
            }
        }
        SettingsAct::Log { target, name, limit, json } => {
            if let Some(name) = name
                && FIELDS.iter().all(|field| field.name != name)
            {
                bail!("there is no setting `{}`: `engawa-cloud settings list` has all of them", plain(name));
            }
            for gateway in desk.gateways_of(target)? {
                for entry in desk.setting_log(&gateway, name.as_deref(), *limit)? {
                    say(&if *json { serde_json::to_string(&entry)? } else { plain(&told(&entry)) })?;
                }
            }
        }
    }
    Ok(())
}

fn plain_json(line: &Value) -> anyhow::Result<String> {
    // Strings in JSON have no control characters but as escapes.
    Ok(serde_json::to_string_pretty(line)?)
}

fn line(gateway: &str, stay: &str, field: &Field, register: Option<&Register>) -> Value {
    json!({
        "gateway": gateway,
        "stay": Some(stay).filter(|stay| !stay.is_empty()),
        "name": field.name,
        "value": register.and_then(|register| register.value(field)),
        "takes": field.expected(),
        "written_by": field.written_by(),
        "what": field.doc,
        "known": register,
    })
}

fn list(desk: &Desk, gateway: &str, stays: bool, as_json: bool) -> anyhow::Result<()> {
    let kept = desk.settings(gateway)?;
    for field in FIELDS.iter().filter(|field| field.scope == Scope::House) {
        let found = kept.iter().find(|setting| setting.name == field.name && setting.stay.is_empty());
        one(gateway, "", field, found.map(|setting| &setting.register), as_json)?;
    }
    for setting in kept.iter().filter(|setting| stays && !setting.stay.is_empty()) {
        if let Ok(field) = known(&setting.name, &setting.stay) {
            one(gateway, &setting.stay, field, Some(&setting.register), as_json)?;
        }
    }
    Ok(())
}

fn one(
    gateway: &str,
    stay: &str,
    field: &Field,
    register: Option<&Register>,
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        return say(&line(gateway, stay, field, register).to_string());
    }
    let value = register.and_then(|register| register.value(field));
    let value = value.map_or_else(|| "-".to_owned(), ToString::to_string);
    let name = if stay.is_empty() { field.name.to_owned() } else { format!("{stay}/{}", field.name) };
    say(&plain(&format!("{gateway:<12} {name:<26} {value:>9}  {:<20} {}", field.written_by(), field.doc)))
}

/// An entry in words.
fn told(entry: &Entry) -> String {
    let at = Timestamp::from_microsecond(entry.at_micros).unwrap_or_default();
    let write = |write: &Write| {
        let value = write.value.as_ref().map_or_else(|| "the default".to_owned(), SettingValue::to_string);
        format!("{value} by {} ({})", write.by, write.at)
    };
    let what = match &entry.note {
        Note::Written { node, write: written } => format!("{}: {}", node.word(), write(written)),
        Note::Conflict { conflict } => format!(
            "CONFLICT, {} stands: gateway {}, cloud {}",
            conflict.kept.word(),
            write(&conflict.edge),
            write(&conflict.cloud)
        ),
        Note::ClockAhead { by_ms, stamp } => {
            format!("the gateway's clock is {} s ahead ({stamp}): not followed", by_ms / 1000)
        }
        Note::NotItsOwn { node } => format!("the {} wrote what is not its own: not taken", node.word()),
    };
    format!("{at:.3}  {}  {:<26} {what}", entry.gateway, entry.name)
}
