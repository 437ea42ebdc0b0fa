//! `engawa devices probe`: what a unit bears.

use super::block_on;
use super::point::TableName;
use crate::cli::{DONE, FAILED, Form, WRONG};
use crate::line_args::LineArgs;
use crate::profile_cmd::{failed, resolved, wrong};
use clap::{ArgGroup, Args};
use engawa_field::modbus::tool::probe::{self, Probe as Findings};
use engawa_field::profile::Resolved;
use serde_json::json;
use std::time::Duration;

/// Which unit, and where it is read.
#[derive(Args)]
#[command(group = ArgGroup::new("line").required(true))]
pub(crate) struct Probe {
    #[command(flatten)]
    line: LineArgs,
    /// The unit id.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=255))]
    unit: u8,
    /// Where it has registers; looked for where absent.
    #[arg(long, requires = "address")]
    table: Option<TableName>,
    /// The wire address from which it is read.
    #[arg(long, requires = "table")]
    address: Option<u16>,
    /// The name of a profile, or a file, that says where it has registers.
    #[arg(long, conflicts_with = "table")]
    profile: Option<String>,
    /// How long the device may take to answer, ms.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    timeout_ms: u32,
    #[command(flatten)]
    form: Form,
}

impl Probe {
    pub(super) fn run(&self) -> u8 {
        let map = match self.profile.as_ref().map(|profile| resolved(profile, &[])) {
            None => None,
            Some(Ok(Resolved::Modbus(map))) => Some(map),
            Some(Ok(Resolved::Mqtt(_))) => {
                eprintln!("engawa: that is a profile of MQTT devices: they are on no line");
                return WRONG;
            }
            Some(Err(report)) => return wrong(report),
        };
        let bus = match self.line.bus(self.timeout_ms) {
            Ok(bus) => bus,
            Err(fault) => {
                eprintln!("engawa: {fault}");
                return WRONG;
            }
        };
        let place = self.table.zip(self.address).map(|(table, address)| (table.into(), address));
        match block_on(probe::probe(&bus, self.unit, place, map.as_deref())) {
            Err(status) => status,
            Ok(Err(reason)) => failed(reason),
            Ok(Ok(findings)) => {
                if self.form.json {
                    in_json(&findings)
                } else {
                    in_words(&findings)
                }
                if findings.round_trips.is_empty() { FAILED } else { DONE }
            }
        }
    }
}

fn ms(took: Option<&Duration>) -> f64 {
    took.map_or(0.0, |took| (took.as_secs_f64() * 10_000.0).round() / 10.0)
}

/// The round trip that so many of 100 did not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    ms(sorted.get(rank))
}

fn in_words(findings: &Findings) {
    match &findings.identity {
        Ok(said) => println!(
            "identity      vendor `{}`, product `{}`, revision `{}`",
            said.vendor, said.product, said.revision
        ),
        Err(why) => println!("identity      none: {why}"),
    }
    let (table, address) = (findings.table.key(), findings.address);
    println!("read at       {table} {address}");
    let trips = &findings.round_trips;
    println!(
        "round trip    {:.1} ms at least, {:.1} half, {:.1} of 95 in 100, {:.1} at most; {} of {} reads lost",
        ms(trips.first()),
        quantile(trips, 50),
        quantile(trips, 95),
        ms(trips.last()),
        findings.lost,
        findings.lost + trips.len()
    );
    let most = findings.most;
    match &findings.beyond {
        None => println!("one request   {most}, which is all that the protocol has"),
        Some(why) => println!(
            "one request   {most} from {address} on; one more: {why} (its limit, or the end of what it has there)"
        ),
    }
    match &findings.at_once {
        None => println!("at once       1: an RTU line has one conversation"),
        Some(at_once) => {
            let beyond =
                at_once.beyond.as_ref().map_or("more was not tried".to_owned(), |why| format!("more: {why}"));
            println!("at once       {} requests on one connection; {beyond}", at_once.bears);
        }
    }
}

fn in_json(findings: &Findings) {
    let trips = &findings.round_trips;
    let identity = match &findings.identity {
        Ok(said) => json!({ "vendor": said.vendor, "product": said.product, "revision": said.revision }),
        Err(why) => json!({ "error": why }),
    };
    let at_once = findings.at_once.as_ref().map(|of| json!({ "bears": of.bears, "beyond": of.beyond }));
    println!(
        "{}",
        json!({ "identity": identity, "table": findings.table.key(), "address": findings.address,
            "round_trip_ms": { "min": ms(trips.first()), "p50": quantile(trips, 50), "p95": quantile(trips, 95),
                "max": ms(trips.last()) },
            "lost": findings.lost, "most_in_one_request": findings.most, "beyond": findings.beyond,
            "at_once": at_once })
    );
}
