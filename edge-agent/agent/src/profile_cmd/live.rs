//! `engawa profile test`: a live device, read once.

use super::{failed, resolved, wrong};
use crate::cli::{DONE, FAILED, Form, WRONG};
use crate::line_args::LineArgs;
use clap::{ArgGroup, Args};
use engawa_field::modbus::tool::{self, Findings, PointAnswer, PointFinding};
use engawa_field::profile::Resolved;
use engawa_model::Quality;
use serde_json::{Value, json};

/// What is tested, and where.
#[derive(Args)]
#[command(group = ArgGroup::new("line").required(true))]
pub(crate) struct Test {
    /// The name of a profile (see `engawa profile list`), or a file.
    profile: String,
    #[command(flatten)]
    line: LineArgs,
    /// The device's unit id.
    #[arg(long, default_value_t = 1)]
    unit: u8,
    /// How long the device may take to answer, ms, where its profile does not say.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    timeout_ms: u32,
    /// A variable of the profile, such as `--var temperature=celsius`; as often as needed.
    #[arg(long = "var", value_name = "NAME=CHOICE", value_parser = var)]
    vars: Vec<(String, String)>,
    #[command(flatten)]
    form: Form,
}

pub(super) fn var(text: &str) -> Result<(String, String), String> {
    let (name, choice) = text.split_once('=').ok_or("expected NAME=CHOICE, such as temperature=celsius")?;
    Ok((name.to_owned(), choice.to_owned()))
}

/// Reads the device; the exit status.
pub(super) fn test(test: &Test) -> u8 {
    let map = match resolved(&test.profile, &test.vars) {
        Ok(Resolved::Modbus(map)) => map,
        Ok(Resolved::Mqtt(_)) => {
            eprintln!(
                "engawa: `{0}` is a profile of MQTT devices, which report by themselves: pipe their messages into \
                 `engawa profile hear {0} --name NAME`",
                test.profile
            );
            return WRONG;
        }
        Err(report) => return wrong(report),
    };
    let bus = match test.line.bus(test.timeout_ms) {
        Ok(bus) => bus,
        Err(fault) => {
            eprintln!("engawa: {fault}");
            return WRONG;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    match runtime.block_on(tool::read(&bus, test.unit, &map)) {
        Ok(findings) => {
            if test.form.json {
                in_json(&findings)
            } else {
                in_words(&findings)
            }
            if findings.fits() { DONE } else { FAILED }
        }
        Err(reason) => failed(reason),
    }
}

fn in_words(findings: &Findings) {
    for identity in &findings.identity {
        let mark = if identity.fits { "fits" } else { "ANOTHER DEVICE" };
        println!("identity  {mark}: {}; it says {}", identity.expected, identity.found);
    }
    if findings.identity.is_empty() {
        println!("identity  the profile names nothing to tell the device by");
    }
    let width = findings.points.iter().map(|point| point.name.chars().count()).max().unwrap_or(0);
    for point in &findings.points {
        let place = format!("{}:{}", table(point), point.address);
        print!("{:<width$}  {place:<14}  ", point.name);
        match &point.answer {
            Ok(answer) => {
                let value = answer.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
                let unit = point.unit.as_deref().unwrap_or("");
                let shown = format!("{value} {unit}");
                println!(
                    "{:<20}  {:<20}  {:<5}  {}",
                    raw(answer),
                    shown.trim_end(),
                    quality(answer.quality),
                    answer.verdict
                );
            }
            Err(reason) => println!("NO ANSWER  {reason}"),
        }
    }
    let answered = findings.points.iter().filter(|point| point.answer.is_ok()).count();
    let verdict = if findings.fits() { "the profile fits" } else { "the profile does not fit" };
    println!("{answered} of {} points answered: {verdict}", findings.points.len());
}

fn in_json(findings: &Findings) {
    for identity in &findings.identity {
        println!(
            "{}",
            json!({ "identity": identity.expected, "found": identity.found, "fits": identity.fits })
        );
    }
    for point in &findings.points {
        let mut line = json!({ "point": point.name, "table": table(point), "address": point.address,
            "unit": point.unit });
        match &point.answer {
            Ok(answer) => {
                line["raw"] = json!(answer.raw);
                line["value"] = answer.value.as_ref().map_or(Value::Null, |value| json!(value));
                line["quality"] = json!(answer.quality);
                line["verdict"] = json!(answer.verdict);
            }
            Err(reason) => line["error"] = json!(reason),
        }
        println!("{line}");
    }
}

fn table(point: &PointFinding) -> &'static str {
    point.table.key()
}

/// The words as they came; the beginning of a text's.
fn raw(answer: &PointAnswer) -> String {
    /// More than the longest number has.
    const MOST: usize = 4;
    let shown: Vec<String> = answer.raw.iter().take(MOST).map(|word| format!("{word:04x}")).collect();
    let more = if answer.raw.len() > MOST { ".." } else { "" };
    format!("{}{more}", shown.join(" "))
}

const fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Good => "good",
        Quality::Stale => "stale",
        Quality::Bad => "bad",
    }
}
