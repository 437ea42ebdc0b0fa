//! `engawa devices read` and `write`: one point, on purpose.
//!
//! A register of any device is described on the command line by a profile of one point, so that it is checked, decoded
//! and written as points of profiles are.

use super::block_on;
use crate::cli::{DONE, FAILED, Form, WRONG, show};
use crate::config;
use crate::line_args::LineArgs;
use crate::profile_cmd::failed;
use clap::{ArgGroup, Args, ValueEnum};
use engawa_field::modbus::BusConfig;
use engawa_field::modbus::tool::access::{self, Ending, Written};
use engawa_field::modbus::tool::{self, PointAnswer};
use engawa_field::profile::modbus::{ModbusMap, Table};
use engawa_field::profile::{self, Resolved};
use engawa_model::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};
use std::sync::Arc;

/// The point of a profile that the command line describes.
const THE_POINT: &str = "value";

/// A Modbus table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TableName {
    Coil,
    Discrete,
    Holding,
    Input,
}

impl From<TableName> for Table {
    fn from(name: TableName) -> Self {
        match name {
            TableName::Coil => Self::Coil,
            TableName::Discrete => Self::Discrete,
            TableName::Holding => Self::Holding,
            TableName::Input => Self::Input,
        }
    }
}

/// Which point, or which register.
#[derive(Args)]
#[command(group = ArgGroup::new("line"))]
struct Which {
    #[command(flatten)]
    line: LineArgs,
    /// The unit id.
    #[arg(long, requires = "line")]
    unit: Option<u8>,
    /// The table of a register.
    #[arg(long, requires = "line")]
    table: Option<TableName>,
    /// The wire address of a register: it counts from 0.
    #[arg(long, requires = "line")]
    address: Option<u16>,
    /// The kind of value, as in a profile: u16, s16, u32, f32, ascii, ...; a coil or discrete input is a bool.
    #[arg(long = "type", requires = "line")]
    kind: Option<String>,
    /// The order of bytes: abcd, cdab, badc or dcba.
    #[arg(long, requires = "line")]
    order: Option<String>,
    /// Registers of a text.
    #[arg(long, requires = "line")]
    length: Option<u16>,
    /// The lowest bit of a bool or of bits in a register.
    #[arg(long, requires = "line")]
    bit: Option<u8>,
    /// How many bits.
    #[arg(long, requires = "line")]
    bits: Option<u8>,
    /// value = raw x scale, such as 1/10.
    #[arg(long, requires = "line")]
    scale: Option<String>,
    /// The function that reads it, where it is not the table's own.
    #[arg(long, requires = "line")]
    read_function: Option<u8>,
    /// How long the device may take to answer, ms.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    timeout_ms: u32,
}

/// A point that was found, and the line that it is on.
struct Found {
    bus: BusConfig,
    unit: u8,
    map: Arc<ModbusMap>,
    /// The points that were meant.
    name: Option<String>,
    /// For people.
    shown: String,
}

/// What is read.
#[derive(Args)]
pub(crate) struct Read {
    /// A device of the configuration, or a point of it, `DEVICE/POINT`.
    #[arg(conflicts_with = "line", required_unless_present = "line")]
    target: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    form: Form,
}

/// What is written.
#[derive(Args)]
pub(crate) struct Write {
    /// The point `DEVICE/POINT` of the configuration (none where a line is named), and the value.
    #[arg(value_names = ["DEVICE/POINT", "VALUE"], num_args = 1..=2, required = true, allow_negative_numbers = true)]
    words: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// The function that writes it: 5 or 15 for coils, 6 or 16 for registers; the usual one where absent.
    #[arg(long, requires = "line")]
    function: Option<u8>,
    /// Don't read it back.
    #[arg(long, requires = "line")]
    no_verify: bool,
    /// Don't ask before writing.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    form: Form,
}

impl Which {
    /// The register that the command line describes. The exit status where it is wrong.
    fn register(&self, write: Option<String>) -> Result<Found, u8> {
        let (Some(unit), Some(table), Some(address)) = (self.unit, self.table, self.address) else {
            eprintln!("engawa: a register is told by --unit, --table and --address");
            return Err(WRONG);
        };
        let bus = self.line.bus(self.timeout_ms).map_err(|fault| {
            eprintln!("engawa: {fault}");
            WRONG
        })?;
        let table: Table = table.into();
        let bits = matches!(table, Table::Coil | Table::Discrete);
        let kind = self.kind.as_deref().unwrap_or(if bits { "bool" } else { "u16" });
        let mut text = String::from(
            "[profile]\nname = 'line'\nmake = '-'\nmodel = '-'\nkind = '-'\nprotocol = 'modbus'\n\
             sources = ['the command line']\n[[modbus.points]]\n",
        );
        let quoted = |word: &str| toml_text(word);
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "name = '{THE_POINT}'\ntable = '{}'\naddress = {address}\ntype = {}",
            table.key(),
            quoted(kind)
        );
        for (key, given) in [
            ("order", self.order.as_deref().map(quoted)),
            ("length", self.length.map(|n| n.to_string())),
            ("bit", self.bit.map(|n| n.to_string())),
            ("bits", self.bits.map(|n| n.to_string())),
            ("scale", self.scale.as_deref().map(quoted)),
            ("read_function", self.read_function.map(|n| n.to_string())),
            ("write", write),
        ] {
            if let Some(given) = given {
                let _ = writeln!(text, "{key} = {given}");
            }
        }
        let loaded = profile::load("the command line, as a profile", &text);
        let map = loaded.map(|profile| profile.resolve(&BTreeMap::new()));
        match map {
            Ok(Ok(Resolved::Modbus(map))) => Ok(Found {
                bus,
                unit,
                map,
                name: Some(THE_POINT.to_owned()),
                shown: format!("{} {address} of unit {unit}", table.key()),
            }),
            Ok(_) => Err(failed("this point can't be used")),
            Err(report) => {
                show(&[report]);
                Err(WRONG)
            }
        }
    }

    /// A device or point of the configuration. The exit status where there is none.
    fn configured(&self, target: &str) -> Result<Found, u8> {
        let loaded = config::load(&self.line.config).map_err(|reports| {
            show(&reports);
            WRONG
        })?;
        let buses = loaded.buses();
        let devices = || buses.iter().flat_map(|(bus, devices)| devices.iter().map(move |d| (bus, d)));
        // A device's name holds no `/`.
        let (id, point) = match target.split_once('/') {
            Some((id, point)) => (id, Some(point.to_owned())),
            None => (target, None),
        };
        let Some((bus, device)) = devices().find(|(_, device)| device.id.as_str() == id) else {
            let near = engawa_diag::nearest(id, devices().map(|(_, device)| device.id.as_str()));
            let help = near.map_or_else(
                || "`engawa devices` lists all; devices on the broker are on no line".to_owned(),
                |near| format!("is `{near}` meant?"),
            );
            eprintln!("engawa: the configuration has no Modbus device `{id}`; {help}");
            return Err(WRONG);
        };
        Ok(Found {
            bus: bus.clone(),
            unit: device.unit,
            map: Arc::clone(&device.map),
            name: point,
            shown: target.to_owned(),
        })
    }
}

/// A TOML string of any text.
fn toml_text(text: &str) -> String {
    // JSON's strings are TOML's basic strings, but for a few characters that both escape alike.
    json!(text).to_string()
}

impl Read {
    pub(super) fn run(&self) -> u8 {
        let found = match &self.target {
            Some(target) => self.which.configured(target),
            None => self.which.register(None),
        };
        let found = match found {
            Ok(found) => found,
            Err(status) => return status,
        };
        let Some(name) = &found.name else { return self.device(&found) };
        match block_on(access::read(&found.bus, found.unit, &found.map, name)) {
            Err(status) => status,
            Ok(Err(reason)) => failed(reason),
            Ok(Ok(answer)) => {
                self.tell(&found.shown, &Ok(answer));
                DONE
            }
        }
    }

    /// All points of a device.
    fn device(&self, found: &Found) -> u8 {
        match block_on(tool::read(&found.bus, found.unit, &found.map)) {
            Err(status) => status,
            Ok(Err(reason)) => failed(reason),
            Ok(Ok(findings)) => {
                for point in &findings.points {
                    self.tell(&format!("{}/{}", found.shown, point.name), &point.answer);
                }
                if findings.points.iter().all(|point| point.answer.is_ok()) { DONE } else { FAILED }
            }
        }
    }

    fn tell(&self, shown: &str, answer: &Result<PointAnswer, String>) {
        match (answer, self.form.json) {
            (Ok(answer), true) => println!(
                "{}",
                json!({ "point": shown, "value": answer.value, "raw": answer.raw, "quality": answer.quality,
                    "verdict": answer.verdict })
            ),
            (Err(reason), true) => println!("{}", json!({ "point": shown, "error": reason })),
            (Ok(answer), false) => println!("{shown}  {}", words(answer)),
            (Err(reason), false) => println!("{shown}  NO ANSWER  {reason}"),
        }
    }
}

/// The value, the registers and the verdict.
fn words(answer: &PointAnswer) -> String {
    let value = answer.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let raw: Vec<String> = answer.raw.iter().take(8).map(|word| format!("{word:04x}")).collect();
    format!("{value}  ({}; {})", raw.join(" "), answer.verdict)
}

/// A value as people type it.
fn value(text: &str) -> Value {
    match (text, text.parse::<i64>(), text.parse::<f64>()) {
        ("true" | "on", ..) => Value::Bool(true),
        ("false" | "off", ..) => Value::Bool(false),
        (_, Ok(whole), _) => Value::Int(whole),
        (_, _, Ok(number)) => Value::Float(number),
        _ => Value::Text(text.to_owned()),
    }
}

impl Write {
    pub(super) fn run(&self) -> u8 {
        let found = match (&*self.words, self.which.line.is_given()) {
            ([value], true) => self.which.register(Some(self.rule())).map(|found| (found, value)),
            ([target, value], false) => self.which.configured(target).map(|found| (found, value)),
            _ => {
                eprintln!(
                    "engawa: expected DEVICE/POINT and VALUE, or a line with --unit, --table, --address and VALUE"
                );
                return WRONG;
            }
        };
        let (found, text) = match found {
            Ok(found) => found,
            Err(status) => return status,
        };
        let Some(name) = found.name.clone() else {
            eprintln!(
                "engawa: one point is written, and `{}` is a device: expected DEVICE/POINT",
                found.shown
            );
            return WRONG;
        };
        let given = value(text);
        // A name such as `off` of the point's own goes before a bool.
        let as_text = Value::Text(text.clone());
        let value = if access::may_write(&found.map, &name, &as_text).is_ok() { as_text } else { given };
        let words = match access::may_write(&found.map, &name, &value) {
            Ok(words) => words,
            Err(reason) => {
                eprintln!("engawa: {reason}");
                return WRONG;
            }
        };
        let raw: Vec<String> = words.iter().map(|word| format!("{word:04x}")).collect();
        let what = format!("{} = {value} ({})", found.shown, raw.join(" "));
        if !self.yes && !agreed(&what, &found.bus.place()) {
            eprintln!("engawa: nothing was written");
            return FAILED;
        }
        match block_on(access::write(&found.bus, found.unit, &found.map, &name, &value)) {
            Err(status) => status,
            Ok(Err(reason)) => failed(format!("nothing was written: {reason}")),
            Ok(Ok(written)) => self.tell(&found.shown, &value, &written),
        }
    }

    /// How a register is written, as a profile says it.
    fn rule(&self) -> String {
        let function = self.function.map_or_else(String::new, |function| format!(", function = {function}"));
        format!("{{ verify = {}{function} }}", !self.no_verify)
    }

    fn tell(&self, shown: &str, value: &Value, written: &Written) -> u8 {
        let before = written.before.as_ref().map_or_else(|reason| format!("? ({reason})"), words);
        let (ending, now, status) = match &written.ending {
            Ending::Done(now) => ("done".to_owned(), Some(now), DONE),
            Ending::Unverified => ("sent and taken; it was not read back".to_owned(), None, DONE),
            Ending::Differs(now) => ("the device took it and does not keep it".to_owned(), Some(now), FAILED),
            Ending::Doubtful(why, now) => (
                format!("not known whether it was written: {why}; it was not sent again"),
                now.as_ref(),
                FAILED,
            ),
            Ending::Not(why) => (format!("not written: {why}"), None, FAILED),
        };
        if self.form.json {
            let before = written.before.as_ref().ok().and_then(|before| before.value.clone());
            println!(
                "{}",
                json!({ "point": shown, "wanted": value, "before": before, "done": status == DONE, "ending": ending,
                    "now": now.and_then(|now| now.value.clone()) })
            );
        } else {
            println!("before  {before}");
            if let Some(now) = now {
                println!("now     {}", words(now));
            }
            println!("{ending}");
        }
        status
    }
}

/// Asks at the terminal; where there is none nobody can agree.
fn agreed(what: &str, place: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        eprintln!("engawa: this would write {what} at {place}; say --yes where nobody can be asked");
        return false;
    }
    eprint!("Write {what} at {place}? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_type_them() {
        for (text, want) in [
            ("21.5", Value::Float(21.5)),
            ("-3", Value::Int(-3)),
            ("on", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("comfort", Value::Text("comfort".into())),
        ] {
            assert_eq!(value(text), want, "{text}");
        }
        assert_eq!(toml_text("a\"b\\c\n"), r#""a\"b\\c\n""#);
    }
}
