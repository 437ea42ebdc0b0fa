//! The house as Prometheus reads it (text exposition format 0.0.4).
//!
//! Pure: the same view gives the same text. Labels are names of the configuration and fixed words; never a guest's data.
//! Bounded by the configuration: a set of lines for each bus, device, link and lane.

use crate::traffic::{BusTraffic, Quantiles, UnitTraffic};
use crate::view::HouseView;
use engawa_model::DeviceState;
use std::fmt::Write as _;

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub(crate) fn text(view: &HouseView, traffic: &[BusTraffic]) -> String {
    let mut out = Text::default();
    house(&mut out, view);
    buses(&mut out, traffic);
    units(&mut out, traffic);
    out.0
}

fn house(out: &mut Text, view: &HouseView) {
    let status = view.status();
    out.family("engawa_info", "gauge", "The agent's version.");
    out.line("engawa_info", &[("property", view.property.as_str()), ("version", &view.version)], 1.0);
    out.family("engawa_start_time_seconds", "gauge", "When the agent started, since 1970.");
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    out.line("engawa_start_time_seconds", &[], view.started_at.as_second() as f64);
    for (name, help, value) in [
        ("engawa_rooms", "Rooms in the configuration.", status.rooms),
        ("engawa_rooms_occupied", "Rooms in which the PMS has somebody.", status.rooms_occupied),
        ("engawa_alerts_active", "Alerts that are not over.", status.alerts_active),
        ("engawa_postings_open", "Postings that are still to be booked.", status.postings_open),
        ("engawa_postings_doubtful", "Postings that staff must look up.", status.postings_doubtful),
    ] {
        out.family(name, "gauge", help);
        out.count(name, &[], value as u64);
    }
    out.family("engawa_devices", "gauge", "Devices, by their state.");
    for (state, word) in
        [(DeviceState::Well, "well"), (DeviceState::Unwell, "unwell"), (DeviceState::Unknown, "unknown")]
    {
        let count = view.devices.iter().filter(|device| device.state == state).count();
        out.count("engawa_devices", &[("state", word)], count as u64);
    }
    out.family("engawa_link_up", "gauge", "1 while a link can be used.");
    for link in &view.links {
        out.count("engawa_link_up", &[("link", link.id.as_str())], u64::from(link.up));
    }
    out.family("engawa_journal_rows_total", "counter", "Rows written to the journal, by lane.");
    for lane in &view.sync.lanes {
        out.count("engawa_journal_rows_total", &[("lane", lane_name(lane.lane))], lane.written);
    }
    out.family("engawa_journal_rows_waiting", "gauge", "Rows that the cloud does not have yet, by lane.");
    for lane in &view.sync.lanes {
        out.count("engawa_journal_rows_waiting", &[("lane", lane_name(lane.lane))], lane.waiting());
    }
    out.family("engawa_cloud_connected", "gauge", "1 while the cloud is connected.");
    out.count("engawa_cloud_connected", &[], u64::from(view.sync.connected));
    out.family("engawa_house_events_total", "counter", "What the house counts, by reason.");
    for (reason, count) in &view.counters {
        out.count("engawa_house_events_total", &[("reason", reason)], *count);
    }
}

const fn lane_name(lane: engawa_model::Lane) -> &'static str {
    use engawa_model::Lane;
    match lane {
        Lane::Control => "control",
        Lane::Alarms => "alarms",
        Lane::Stays => "stays",
        Lane::Audit => "audit",
        Lane::Telemetry => "telemetry",
        Lane::Bulk => "bulk",
    }
}

fn buses(out: &mut Text, traffic: &[BusTraffic]) {
    type Read = fn(&BusTraffic) -> f64;
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let families: [(&str, &str, &str, Read); 6] = [
        ("engawa_bus_busy_ratio", "gauge", "How much of the last minute a bus was busy.", |bus| {
            bus.busy_percent / 100.0
        }),
        ("engawa_bus_dead_ratio", "gauge", "How much of it went to devices that don't answer.", |bus| {
            bus.dead_percent / 100.0
        }),
        ("engawa_bus_late_answers_total", "counter", "Answers that nobody waited for any more.", |bus| {
            bus.late as f64
        }),
        ("engawa_bus_crc_errors_total", "counter", "Frames with a wrong check sum.", |bus| bus.crc as f64),
        ("engawa_bus_noise_bytes_total", "counter", "Bytes that belong to no answer.", |bus| {
            bus.noise as f64
        }),
        ("engawa_bus_reconnects_total", "counter", "Connections after the first.", |bus| {
            bus.reconnects as f64
        }),
    ];
    for (name, kind, help, read) in families {
        out.family(name, kind, help);
        for bus in traffic {
            out.line(name, &[("bus", &bus.bus)], read(bus));
        }
    }
}

fn units(out: &mut Text, traffic: &[BusTraffic]) {
    type Read = fn(&UnitTraffic) -> u64;
    let all = || traffic.iter().flat_map(|bus| bus.units.iter().map(move |unit| (bus.bus.as_str(), unit)));
    let counters: [(&str, &str, Read); 8] = [
        ("engawa_unit_requests_total", "Requests sent to a unit.", |unit| unit.requests),
        ("engawa_unit_values_total", "Registers and bits read from a unit.", |unit| unit.values),
        ("engawa_unit_writes_total", "Writes to a unit.", |unit| unit.writes),
        ("engawa_unit_retries_total", "Reads that were sent once more at once.", |unit| unit.retries),
        ("engawa_unit_timeouts_total", "Requests without an answer in time.", |unit| unit.timeouts),
        ("engawa_unit_crc_errors_total", "Answers with a wrong check sum.", |unit| unit.crc),
        ("engawa_unit_garbage_total", "Other answers that were none.", |unit| unit.garbage),
        ("engawa_unit_broken_total", "Requests during which the connection broke.", |unit| unit.broken),
    ];
    for (name, help, read) in counters {
        out.family(name, "counter", help);
        for (bus, unit) in all() {
            out.count(name, &labels(bus, unit, &unit.unit.to_string()), read(unit));
        }
    }
    out.family("engawa_unit_exceptions_total", "counter", "Refusals of a unit, by exception code.");
    for (bus, unit) in all() {
        for (exception, count) in &unit.exceptions {
            let number = unit.unit.to_string();
            let [bus, device, unit] = labels(bus, unit, &number);
            let of = [bus, device, unit, ("exception", exception.as_str())];
            out.count("engawa_unit_exceptions_total", &of, *count);
        }
    }
    type Times = fn(&UnitTraffic) -> Quantiles;
    let times: [(&str, &str, Times); 2] = [
        ("engawa_unit_round_trip_seconds", "From a request to its answer.", |unit| unit.round_trip),
        ("engawa_unit_poll_lag_seconds", "How much later than its time a poll went out.", |unit| unit.lag),
    ];
    for (name, help, read) in times {
        out.family(name, "summary", help);
        for (bus, unit) in all() {
            let (number, found) = (unit.unit.to_string(), read(unit));
            let [bus, device, unit] = labels(bus, unit, &number);
            for (quantile, ms) in
                [("0.5", found.p50_ms), ("0.95", found.p95_ms), ("0.99", found.p99_ms), ("1", found.max_ms)]
            {
                out.line(name, &[bus, device, unit, ("quantile", quantile)], ms / 1000.0);
            }
            out.count(&format!("{name}_count"), &[bus, device, unit], found.count);
        }
    }
}

fn labels<'a>(bus: &'a str, unit: &'a UnitTraffic, number: &'a str) -> [(&'static str, &'a str); 3] {
    [("bus", bus), ("device", unit.device.as_str()), ("unit", number)]
}

/// A text in the exposition format.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn count(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.line(name, labels, value as f64);
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if n == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_numbers_plain() {
        let mut text = Text::default();
        text.family("m", "gauge", "Help.");
        text.line("m", &[("a", "x\"y\\z\n"), ("b", "2")], 0.25);
        text.count("m", &[], 12_345_678);
        assert_eq!(
            text.0,
            "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n\",b=\"2\"} 0.25\nm 12345678\n"
        );
    }
}
