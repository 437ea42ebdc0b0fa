//! `engawa settings`: what both ends may change, seen and changed at the gateway.
//!
//! Listing reads the store, also while the agent is stopped. A change goes through the agent, whether the line to the cloud
//! is up or not.

use crate::asking::ask;
use crate::cli::{Failure, File, Form};
use crate::config::Loaded;
use crate::guest_cmd::{self, Who};
use crate::listing;
use anyhow::{anyhow, bail};
use clap::{Args, Subcommand, ValueHint};
use engawa_model::settings::{FIELDS, Field, Note, Register, Scope, SettingValue, Write, field};
use engawa_model::{Property, StayId, Timestamp};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;

/// Which configuration: an option here, since a value may be left out.
#[derive(Args)]
pub(crate) struct At {
    /// The configuration.
    #[arg(long, env = "ENGAWA_CONFIG", default_value = "/etc/engawa/engawa.toml", value_hint = ValueHint::FilePath)]
    config: PathBuf,
}

/// What can be asked of settings.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List all settings: value, who may change it, what decides a conflict, what it does
    #[command(after_help = "A value with a star is the configuration's: nobody has changed it.

Examples:
  engawa settings list
  engawa settings list --stay 4711 --as ann --reason 'asked by the guest'
                                              what a guest prefers; with a row in the audit trail")]
    List {
        #[command(flatten)]
        at: At,
        /// What the guest of this reservation prefers, in place of the house's settings.
        #[arg(long, value_name = "RESERVATION", requires = "who")]
        stay: Option<String>,
        /// Who asks for a guest's preferences.
        #[arg(long = "as", value_name = "NAME", requires = "reason")]
        who: Option<String>,
        /// Why.
        #[arg(long, value_name = "WHY", requires = "who")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// Show one setting, with what is known of both ends
    Get {
        /// Its name.
        name: String,
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        form: Form,
    },
    /// Change a setting, or note what a guest prefers
    #[command(
        after_help = "It takes effect at once, and the cloud hears of it when the line is there. What the cloud has \
        changed meanwhile, without knowing of this, is a conflict: the setting's rule decides, the same at both ends, and \
        both values are in `engawa settings log` of both. Needs the running agent.

Exit status 1: refused, with the reason. 3: the agent is not running.

Examples:
  engawa settings set climate.eco-heating-c 18 --as ann
  engawa settings set quiet.from 22:00
  engawa settings set climate.comfort-c --default        the configuration's value again
  engawa settings set guest.temperature-c 20.5 --stay 4711"
    )]
    Set {
        /// Its name.
        name: String,
        /// Its value.
        #[arg(allow_negative_numbers = true, required_unless_present = "default")]
        value: Option<String>,
        /// The configuration's value again; of a guest: no preference.
        #[arg(long, conflicts_with = "value")]
        default: bool,
        /// The guest's reservation, for what a guest prefers.
        #[arg(long, value_name = "RESERVATION")]
        stay: Option<String>,
        /// Who changes it, as staff call themselves: it is kept in the log of both ends.
        #[arg(long = "as", value_name = "NAME")]
        who: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// List what was changed, newest first: by whom, at which end, conflicts with both values
    #[command(after_help = "Examples:
  engawa settings log --limit 20
  engawa settings log --name climate.comfort-c --json")]
    Log {
        #[command(flatten)]
        at: At,
        /// Only of this setting.
        #[arg(long)]
        name: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        form: Form,
    },
}

impl Command {
    /// Which configuration.
    pub(crate) fn file(&self) -> File {
        let (Self::List { at, .. } | Self::Get { at, .. } | Self::Set { at, .. } | Self::Log { at, .. }) =
            self;
        File { config: at.config.clone() }
    }
}

/// Does what is asked.
pub(crate) fn main(command: &Command, loaded: &Loaded) -> Result<(), Failure> {
    match command {
        Command::List { stay: Some(stay), who: Some(who), reason: Some(reason), form, .. } => {
            let who = Who::new(who.clone(), reason.clone());
            Ok(preferences(loaded, stay, &who, form.json)?)
        }
        Command::List { form, .. } => Ok(list(&stored(loaded)?, form.json)?),
        Command::Get { name, form, .. } => {
            let property = stored(loaded)?;
            let mut out = crate::answer::lock();
            let field = house(name)?;
            let line = as_json(&property, field);
            if form.json {
                Ok(writeln!(out, "{line}")?)
            } else {
                Ok(writeln!(out, "{}", serde_json::to_string_pretty(&line)?)?)
            }
        }
        Command::Set { name, value, stay, who, .. } => {
            set(loaded, name, value.as_deref(), stay.as_deref(), who.as_deref())
        }
        Command::Log { name, limit, form, .. } => {
            if let Some(name) = name {
                house(name)?;
            }
            Ok(log(&stored(loaded)?, name.as_deref(), *limit, form.json)?)
        }
    }
}

/// The stored house, with the configuration's values underneath.
fn stored(loaded: &Loaded) -> anyhow::Result<Property> {
    let mut property = listing::stored(loaded)?;
    property.set_defaults(loaded.config.settings());
    Ok(property)
}

fn house(name: &str) -> anyhow::Result<&'static Field> {
    known(name, Scope::House)
}

fn known(name: &str, scope: Scope) -> anyhow::Result<&'static Field> {
    let names = || {
        let names = FIELDS.iter().filter(|field| field.scope == scope).map(|field| field.name);
        names.collect::<Vec<_>>().join(", ")
    };
    match field(name) {
        Some(field) if field.scope == scope => Ok(field),
        Some(_) if scope == Scope::House => bail!("`{name}` is what a guest prefers: it needs --stay"),
        _ => bail!("there is no setting `{name}`; there are: {}", names()),
    }
}

fn shown(value: Option<&SettingValue>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn as_json(property: &Property, field: &Field) -> Value {
    let register = property.registers().get(field.name);
    json!({
        "name": field.name,
        "value": property.setting(field.name),
        "changed": register.and_then(|register| register.current(field)).is_some_and(|write| write.value.is_some()),
        "takes": field.expected(),
        "written_by": field.written_by(),
        "what": field.doc,
        "known": register,
    })
}

fn list(property: &Property, as_json_lines: bool) -> anyhow::Result<()> {
    let mut out = crate::answer::lock();
    for field in FIELDS.iter().filter(|field| field.scope == Scope::House) {
        if as_json_lines {
            writeln!(out, "{}", as_json(property, field))?;
            continue;
        }
        let register = property.registers().get(field.name);
        let changed = register.and_then(|register| register.value(field)).is_some();
        let value = shown(property.setting(field.name));
        let star = if changed || value == "-" { "" } else { "*" };
        writeln!(out, "{:<26} {:>9}{star:<1}  {:<20} {}", field.name, value, field.written_by(), field.doc)?;
    }
    Ok(())
}

fn preferences(loaded: &Loaded, stay: &str, who: &Who, as_json_lines: bool) -> anyhow::Result<()> {
    let mut viewer = guest_cmd::viewer(loaded)?;
    let property = viewer.house(&who.asker()?, loaded.property_spec(), Timestamp::now())??;
    let id = StayId::from(stay);
    if !property.stays().contains_key(&id) {
        bail!("no guest of reservation `{stay}` is in the house");
    }
    let none = Default::default();
    let kept = property.preferences(&id).unwrap_or(&none);
    let mut out = crate::answer::lock();
    for field in FIELDS.iter().filter(|field| field.scope == Scope::Stay) {
        let register: Option<&Register> = kept.get(field.name);
        let value = register.and_then(|register| register.value(field));
        if as_json_lines {
            let line = json!({ "stay": stay, "name": field.name, "value": value, "known": register });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{:<26} {:>9}   {}", field.name, shown(value), field.doc)?;
        }
    }
    Ok(())
}

fn set(
    loaded: &Loaded,
    name: &str,
    value: Option<&str>,
    stay: Option<&str>,
    who: Option<&str>,
) -> Result<(), Failure> {
    let field = known(name, if stay.is_some() { Scope::Stay } else { Scope::House })?;
    let parsed = value.map(|text| field.parse(text)).transpose().map_err(|why| anyhow!(why))?;
    let action = match stay {
        Some(stay) => {
            json!({ "do": "set-preference", "stay": stay, "name": name, "wish": parsed, "by": who })
        }
        None => json!({ "do": "set-setting", "name": name, "value": parsed, "by": who }),
    };
    ask(loaded, "settings", action)?;
    let told = parsed.map_or_else(|| "as in the configuration".to_owned(), |value| value.to_string());
    writeln!(crate::answer::lock(), "{name}: {told}")?;
    Ok(())
}

fn log(property: &Property, name: Option<&str>, limit: usize, as_json_lines: bool) -> anyhow::Result<()> {
    let mut out = crate::answer::lock();
    let wanted = property.setting_log().rev().filter(|entry| name.is_none_or(|name| entry.name == name));
    for entry in wanted.take(limit) {
        if as_json_lines {
            writeln!(out, "{}", json!(entry))?;
        } else {
            writeln!(out, "{}  {:<26} {}", entry.at, entry.name, told(&entry.note))?;
        }
    }
    Ok(())
}

/// A note in words.
fn told(note: &Note) -> String {
    let write = |write: &Write| {
        let value = write.value.as_ref().map_or_else(|| "the default".to_owned(), ToString::to_string);
        format!("{value} by {} ({})", write.by, write.at)
    };
    match note {
        Note::Written { node, write: written } => format!("{}: {}", node.word(), write(written)),
        Note::Conflict { conflict } => format!(
            "CONFLICT, {} stands: gateway {}, cloud {}",
            conflict.kept.word(),
            write(&conflict.edge),
            write(&conflict.cloud)
        ),
        Note::ClockAhead { by_ms, stamp } => {
            format!("the cloud's clock is {} s ahead ({stamp}): not followed", by_ms / 1000)
        }
        Note::NotItsOwn { node } => format!("the {} wrote what is not its own: not taken", node.word()),
    }
}
