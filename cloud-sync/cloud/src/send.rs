//! `engawa-cloud send`: commands for a gateway.

use crate::asker;
use crate::cli::{DONE, NOT_DONE, NOT_ENDED};
use crate::desk::Home;
use crate::output::{note, plain, say};
use anyhow::{Context, bail};
use clap::Subcommand;
use engawa_model::{
    Action, CommandKey, Currency, Money, Role, RoomId, StayId, Timestamp, UpdateWindow, Value,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// How often the outcome is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// The longest key, characters.
const MOST_KEY: usize = 256;
/// The longest name of a room, a stay or an outlet, characters.
const MOST_NAME: usize = 64;
/// The statuses that a house reports (FIAS field RS).
const STATUSES: [&str; 6] = [
    "dirty-vacant",
    "dirty-occupied",
    "clean-vacant",
    "clean-occupied",
    "inspected-vacant",
    "inspected-occupied",
];
/// The signs at a door.
const SIGNS: [&str; 3] = ["do-not-disturb", "make-up", "off"];

/// What can be asked of a house.
#[derive(Subcommand)]
pub(crate) enum What {
    /// Set a room's climate set point, °C
    #[command(after_help = "Example:\n  engawa-cloud send grand-1 --wait 30 setpoint 101 22.5")]
    Setpoint {
        /// The room.
        #[arg(value_parser = name)]
        room: String,
        /// For example 22.5.
        #[arg(allow_negative_numbers = true)]
        celsius: f64,
    },
    /// Charge a room or a stay
    #[command(
        after_help = "A charge is never sent to the PMS twice: with the same --key it is one charge, however often \
        the command is sent.\n\nExample:\n  engawa-cloud send grand-1 --key bar-4711 post 101 12.50 EUR \"Bar\""
    )]
    Post {
        /// The room.
        #[arg(value_parser = name)]
        room: String,
        /// How much, for example 12.50; never more decimals than the currency has. Negative: a credit.
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// ISO 4217, for example EUR.
        currency: String,
        /// What for; no personal data.
        text: String,
        /// The stay (the PMS's reservation number) to charge, where the room has several.
        #[arg(long, value_parser = name)]
        stay: Option<String>,
        /// The outlet, as the PMS names it.
        #[arg(long, value_parser = name)]
        outlet: Option<String>,
    },
    /// Report a room's housekeeping status to the PMS
    RoomStatus {
        /// The room.
        #[arg(value_parser = name)]
        room: String,
        /// The status.
        #[arg(value_parser = STATUSES)]
        status: String,
    },
    /// Report a room's door sign to the PMS
    Service {
        /// The room.
        #[arg(value_parser = name)]
        room: String,
        /// The sign.
        #[arg(value_parser = SIGNS)]
        sign: String,
    },
    /// Ask the PMS for the list of the house
    Resync,
    /// Have the gateway read its configuration again; what needs a restart is named in the result
    #[command(
        after_help = "Nothing changes where the file is wrong; the result then has file, line and how to mend it.\n\n\
        Example:\n  engawa-cloud send grand-1 --wait 30 reload"
    )]
    Reload,
    /// Have the gateway gather a diagnostics bundle, without guests' data or secrets, and send it here
    #[command(
        after_help = "Example:\n  engawa-cloud send grand-1 --key fault-7 --wait 60 diagnose\n  engawa-cloud \
        bundle list grand-1\n  engawa-cloud bundle save grand-1 fault-7 fault-7.json"
    )]
    Diagnose,
    /// End a tail before its time
    EndTail {
        /// The key of its command: see `engawa-cloud commands`.
        tail: String,
    },
    /// Have one gateway install a release; `engawa-cloud rollout` does it for a fleet, ring by ring
    #[command(after_help = "Example:\n  engawa-cloud send grand-1 update 1.4.0 --from 02:00 --to 04:30")]
    Update {
        /// Which, for example 1.4.0.
        version: String,
        /// Where it comes from.
        #[arg(long, default_value = "stable", value_parser = ["stable", "beta", "nightly"])]
        channel: String,
        /// From when on it may be installed, on the clocks of the property.
        #[arg(long, value_name = "HH:MM", requires = "to")]
        from: Option<String>,
        /// Until when.
        #[arg(long, value_name = "HH:MM", requires = "from")]
        to: Option<String>,
    },
    /// Any command in its JSON form
    #[command(after_help = "Example:\n  engawa-cloud send grand-1 json \
        '{\"do\":\"set-role\",\"room\":\"101\",\"role\":\"light\",\"value\":false}'")]
    Json {
        /// The action, for example '{"do":"resync"}'.
        action: String,
    },
}

/// A name of a room, a stay or an outlet. Blanks in it count, and so does a leading zero.
fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > MOST_NAME || text.chars().any(char::is_control) {
        return Err(format!("expected 1 to {MOST_NAME} characters, none of them a control character"));
    }
    Ok(text.to_owned())
}

/// To whom, how, and for how long.
pub(crate) struct Order {
    pub(crate) gateway: String,
    pub(crate) key: Option<String>,
    pub(crate) expires_s: u32,
    pub(crate) wait: Option<u32>,
    pub(crate) json: bool,
    /// Who asks, where the command line says so.
    pub(crate) who: Option<String>,
}

/// Stores the command, and waits for its outcome where that was asked.
pub(crate) fn send(home: &Home, order: Order, what: What) -> anyhow::Result<u8> {
    let action = action(what)?;
    // What came as JSON may say itself who asks.
    let action = match asker::asker(order.who) {
        Some(who) if action.asked_by().is_none() => action.by(&who),
        _ => action,
    };
    let key = order.key.unwrap_or_else(|| format!("cloud-{:016x}", rand::random::<u64>()));
    if key.is_empty() || key.chars().count() > MOST_KEY || key.chars().any(char::is_control) {
        bail!("--key: expected 1 to {MOST_KEY} characters, none of them a control character");
    }
    let key = CommandKey::new(key);
    let now = Timestamp::now();
    let expires = now + jiff::SignedDuration::from_secs(i64::from(order.expires_s));
    let desk = home.desk()?;
    let sent = desk.send(&order.gateway, &key, &action, now, expires)?;
    let Some(longest) = order.wait else {
        if order.json {
            say(&json!({ "gateway": order.gateway, "key": key, "seq": sent.seq, "new": sent.fresh })
                .to_string())?;
        } else {
            let known = if sent.fresh { "" } else { ", which was there already" };
            say(&format!("command {} for `{}` with key {key}{known}", sent.seq, order.gateway))?;
        }
        return Ok(DONE);
    };
    if !desk.is_served()? {
        note("no `engawa-cloud serve` runs for this cloud: the command waits until one does");
    }
    let deadline = Instant::now() + Duration::from_secs(u64::from(longest));
    loop {
        let command = desk.command(&order.gateway, sent.seq)?.context("the command is gone")?;
        let over = Instant::now() >= deadline;
        if order.json && (command.outcome.is_some() || over) {
            say(&serde_json::to_string(&command)?)?;
        }
        if let Some(outcome) = &command.outcome {
            let reason = command.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            if !order.json {
                say(&plain(&format!("{outcome}{reason}")))?;
            }
            return Ok(if outcome == "done" { DONE } else { NOT_DONE });
        }
        if over {
            note(&format!(
                "command {} has not ended after {longest} s; it is {}: the same with --key {key} goes on waiting",
                sent.seq, command.state
            ));
            return Ok(NOT_ENDED);
        }
        std::thread::park_timeout(LOOK);
    }
}

fn action(what: What) -> anyhow::Result<Action> {
    Ok(match what {
        What::Setpoint { room, celsius } => {
            if !celsius.is_finite() {
                bail!("`{celsius}` is not a set point: expected a number of °C such as 22.5");
            }
            Action::SetRole {
                room: RoomId::new(room),
                role: Role::ClimateSetpoint,
                value: Value::Float(celsius),
            }
        }
        What::Post { room, amount, currency, text, stay, outlet } => {
            let Some(currency) = Currency::new(&currency) else {
                bail!("`{currency}` is not an ISO 4217 code: expected three capital letters such as EUR");
            };
            let minor = minor(&amount, currency)?;
            if text.trim().is_empty() {
                bail!("the text of a charge is empty: it stands on the guest's bill");
            }
            if text.chars().any(char::is_control) {
                bail!("the text of a charge has a control character");
            }
            Action::Post {
                room: RoomId::new(room),
                stay: stay.map(StayId::new),
                amount: Money { minor, currency },
                text,
                outlet,
            }
        }
        What::RoomStatus { room, status } => Action::RoomStatus { room: RoomId::new(room), status },
        What::Service { room, sign } => Action::Service { room: RoomId::new(room), sign },
        What::Resync => Action::Resync,
        What::Reload => Action::Reload { by: None },
        What::Diagnose => Action::Diagnose { by: None },
        What::EndTail { tail } => Action::EndTail { tail: CommandKey::new(tail), by: None },
        What::Update { version, channel, from, to } => {
            let window = from.zip(to).map(|(from, to)| UpdateWindow { from, to });
            Action::Update { version, channel, window, from: None, clock_is_right: false, by: None }
        }
        What::Json { action } => serde_json::from_str(&action)
            .context("the action is not one that this release knows; for example {\"do\":\"resync\"}")?,
    })
}

/// An amount in minor units, exactly: `12.50` in EUR is 1250.
fn minor(amount: &str, currency: Currency) -> anyhow::Result<i64> {
    let digits = usize::from(currency.minor_digits());
    let wrong = || {
        let example = if digits == 0 { "12".to_owned() } else { format!("12.{}", "5".repeat(digits)) };
        format!(
            "`{amount}` is not an amount in {currency}: expected a number with at most {digits} decimals, such as {example}"
        )
    };
    let (negative, plain) = match amount.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, amount),
    };
    let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !all_digits(whole)
        || !all_digits(part)
        || part.len() > digits
        || plain.ends_with('.')
    {
        bail!(wrong());
    }
    let minor: i64 = format!("{whole}{part:0<digits$}").parse().with_context(wrong)?;
    Ok(if negative { -minor } else { minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, code, want) in [
            ("12.50", "EUR", Some(1250)),
            ("12.5", "EUR", Some(1250)),
            ("12", "EUR", Some(1200)),
            ("-0.05", "EUR", Some(-5)),
            ("1500", "JPY", Some(1500)),
            ("1.234", "KWD", Some(1234)),
            ("12.505", "EUR", None),
            ("1500.0", "JPY", None),
            ("12,50", "EUR", None),
            ("12.", "EUR", None),
            (".5", "EUR", None),
            ("", "EUR", None),
            ("1e3", "EUR", None),
            ("+1", "EUR", None),
            ("--1", "EUR", None),
            ("-", "EUR", None),
            ("1 000", "EUR", None),
            ("١٢", "EUR", None),
            ("1.2345", "CLF", Some(12345)),
            ("92233720368547758.07", "EUR", Some(i64::MAX)),
            ("92233720368547758.08", "EUR", None),
            ("-92233720368547758.07", "EUR", Some(-i64::MAX)),
            ("99999999999999999999", "EUR", None),
        ] {
            assert_eq!(minor(text, Currency::new(code).unwrap()).ok(), want, "{text} {code}");
        }
    }
}
