//! The figures for people, and as JSON for programs.

use crate::check_in::CheckIn;
use crate::idle::Idle;
use crate::logs::Spread;
use crate::peers::Publish;
use crate::run::Row;
use crate::sim::field::Sick;
use serde_json::{Value, json};

/// Where figures go.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// One JSON object a line instead of tables.
    pub json: bool,
}

#[allow(clippy::print_stdout, reason = "the bench is looked at")]
fn say(line: &str) {
    println!("{line}");
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

impl Report {
    /// What a table is about, and its head.
    pub fn title(self, title: &str) {
        if self.json {
            return;
        }
        say("");
        say(title);
        say(&format!(
            "  {:<20} {:>8} {:>8} {:>9} {:>7} {:>7} {:>8} {:>7} {:>6} {:>15} {:>13} {:>7}",
            "",
            "devices",
            "µs/reg",
            "CPU %",
            "RSS MB",
            "req/s",
            "reg/s",
            "reg/req",
            "held %",
            "change→MQTT ms",
            "read→MQTT ms",
            "missed"
        ));
    }

    /// One run.
    pub fn row(self, table: &str, row: &Row) {
        if self.json {
            say(&json_row(table, row).to_string());
            return;
        }
        let or_dash =
            |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
        let spread = |spread: Option<Spread>| {
            spread.map_or("-".to_owned(), |spread| format!("{:.0} / {:.0}", spread.p50, spread.p99))
        };
        let fine = |spread: Option<Spread>| {
            spread.map_or("-".to_owned(), |spread| format!("{:.1} / {:.1}", spread.p50, spread.p99))
        };
        let mut line = format!(
            "  {:<20} {:>8} {:>8} {:>9.1} {:>7.1} {:>7.0} {:>8.0} {:>7} {:>6.1} {:>15} {:>13} {:>7}",
            row.peer,
            row.load.devices(),
            or_dash(row.micros_per_register(), 2),
            100.0 * row.cpu_s / row.seconds,
            megabytes(row.peak_kb),
            row.wire.requests,
            row.wire.registers,
            or_dash(row.registers_per_request(), 1),
            100.0 * row.share(),
            spread(row.markers.change),
            fine(row.markers.read),
            if row.markers.change.is_some() { row.markers.missed.to_string() } else { "-".to_owned() },
        );
        if let Some(lag) = row.lag {
            line += &format!(
                "   healthy polled late by p50 {:.0} p99 {:.0} most {:.0} ms",
                lag.p50, lag.p99, lag.most
            );
        }
        say(&line);
    }

    /// A peer without figures, and why.
    pub fn absent(self, table: &str, who: &str, why: &str) {
        if self.json {
            say(&json!({ "bench": table, "who": who, "error": why }).to_string());
        } else {
            say(&format!("  {who:<20} not measured: {why}"));
        }
    }

    /// A sentence below a table.
    pub fn note(self, text: &str) {
        if !self.json {
            say(&format!("  {text}"));
        }
    }

    /// Check-ins.
    pub fn check_in(self, measured: &CheckIn) {
        let CheckIn { rooms, spread } = measured;
        if self.json {
            say(&json!({ "bench": "check-in", "who": "engawa", "rooms": rooms, "count": spread.count,
                "p50_ms": spread.p50, "p99_ms": spread.p99, "most_ms": spread.most })
            .to_string());
            return;
        }
        say(&format!(
            "Check-in on the PMS's socket to set point on the Modbus wire, {rooms} rooms polled every second"
        ));
        say(&format!(
            "  {:<20} {} check-ins: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            "engawa", spread.count, spread.p50, spread.p99, spread.most
        ));
        self.note("aim: p99 below 50 ms beyond the device's own answer time (which is none here)");
    }

    /// The idle hotel.
    pub fn idle(self, rooms: u32, registers: u16, costs: &[Idle]) {
        if !self.json {
            say(&format!(
                "Idle: {rooms} rooms of {registers} registers, each a server of its own, polled every second"
            ));
            say(&format!("  {:<20} {:>8} {:>9} {:>7} {:>8}", "", "µs/reg", "CPU %", "RSS MB", "peak MB"));
        }
        for cost in costs {
            if self.json {
                say(&json!({ "bench": "idle", "who": cost.who, "rooms": rooms, "registers": registers,
                    "interval_s": 1, "seconds": cost.seconds, "rss_kb": cost.resident_kb,
                    "peak_rss_kb": cost.peak_kb, "cpu_s": cost.cpu_s,
                    "us_per_register": cost.micros_per_register })
                .to_string());
            } else {
                say(&format!(
                    "  {:<20} {:>8.2} {:>9.2} {:>7.1} {:>8.1}",
                    cost.who,
                    cost.micros_per_register,
                    100.0 * cost.cpu_s / cost.seconds,
                    megabytes(cost.resident_kb),
                    megabytes(cost.peak_kb)
                ));
            }
        }
        self.note("aim: at most 20 MB resident and 3 µs a register (engawa)");
    }
}

fn json_row(table: &str, row: &Row) -> Value {
    let spread = |spread: Option<Spread>| {
        spread.map(|s| json!({ "count": s.count, "p50_ms": s.p50, "p99_ms": s.p99, "most_ms": s.most }))
    };
    json!({
        "bench": table, "who": row.peer.to_string(), "devices": row.load.devices(), "registers": row.load.registers,
        "period_ms": row.load.period_ms, "seconds": row.seconds,
        "publish": match row.load.publish { Publish::OnChange => "change", Publish::Always => "always" },
        "sick": row.load.sick == Sick::Some, "us_per_register": row.micros_per_register(),
        "cpu_s": row.cpu_s, "peak_rss_kb": row.peak_kb, "rss_kb": row.resident_kb,
        "requests_s": row.wire.requests, "registers_s": row.wire.registers,
        "registers_per_request": row.registers_per_request(), "held": row.share(),
        "exceptions": row.wire.exceptions, "connections": row.wire.connected,
        "messages_s": row.heard.0, "message_bytes": row.heard.1, "markers": row.markers.set,
        "missed": row.markers.missed, "change_to_mqtt": spread(row.markers.change),
        "read_to_mqtt": spread(row.markers.read), "healthy_polled_late": spread(row.lag),
        "field_cpu_s": row.others_cpu_s.0, "broker_cpu_s": row.others_cpu_s.1,
    })
}
