//! What serde can't see: addresses out of range, names that are there twice, functions that a table does not have.
//!
//! All faults of a profile come at once, each at its place.

mod point;
mod write;

use super::{Block, ModbusProfile};
use engawa_diag::{Doc, Fault, Path};
use std::collections::BTreeSet;

/// The protocol's own bounds on one request (Modbus application protocol V1.1b3, sections 6.1, 6.3 and 6.12).
const MOST_REGISTERS: u16 = 125;
const MOST_BITS: u16 = 2000;
const MOST_WRITE_REGISTERS: u16 = 123;
/// The most requests at once that make sense on one connection.
const MOST_IN_FLIGHT: u8 = 32;
/// The most that a read is tried again: more only keeps the bus from the others.
const MOST_RETRIES: u8 = 5;
/// A point is read at most this often, ms.
const SHORTEST_MS: u32 = 50;
/// The longest pauses and times that make sense, ms.
const LONGEST_MS: u32 = 86_400_000;

/// Where faults of one profile are collected.
struct Faults<'a> {
    doc: &'a Doc,
    list: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, path: &Path, message: impl Into<String>, label: impl Into<String>) {
        self.list.push(self.doc.fault(path, message).label(label));
    }

    fn add_at_key(&mut self, path: &Path, message: impl Into<String>, help: &str) {
        self.list.push(self.doc.fault_at_key(path, message).help(help));
    }

    /// A time that can't be meant.
    fn time(&mut self, path: &Path, ms: Option<u32>) {
        if let Some(ms) = ms.filter(|ms| !(SHORTEST_MS..=LONGEST_MS).contains(ms)) {
            self.add(path, format!("{ms} ms can't be meant"), "expected 50 ms to a day");
        }
    }

    /// A pause that can't be meant.
    fn pause(&mut self, path: &Path, ms: u32) {
        if ms > LONGEST_MS {
            self.add(path, format!("{ms} ms can't be meant"), "expected at most a day");
        }
    }

    /// A number that is none.
    fn finite(&mut self, path: &Path, number: Option<f64>) {
        if number.is_some_and(|number| !number.is_finite()) {
            self.add(path, "a limit is a number", "expected neither nan nor inf");
        }
    }

    /// Limits the wrong way round, or that are none.
    fn limits(&mut self, path: &Path, min: Option<f64>, max: Option<f64>) {
        self.finite(&path.key("min"), min);
        self.finite(&path.key("max"), max);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.add(
                &path.key("min"),
                format!("min {min} is above max {max}"),
                "no value is within these limits",
            );
        }
    }
}

impl ModbusProfile {
    /// All faults.
    pub(crate) fn faults(&self, doc: &Doc) -> Vec<Fault> {
        let at = Path::root().key("modbus");
        let mut faults = Faults { doc, list: Vec::new() };
        self.bounds(&at, &mut faults);
        if self.notation.is_some() && self.printed_base.is_some() {
            faults.add(
                &at.key("printed_base"),
                "either `notation` or `printed_base`",
                "both say what is printed for the first address",
            );
        }
        for (field, blocks) in [("blocks", &self.blocks), ("unreadable", &self.unreadable)] {
            for (n, block) in blocks.iter().enumerate() {
                self.block_faults(block, &at.key(field).index(n), &mut faults);
            }
        }
        self.identity_faults(&at, &mut faults);
        for (name, var) in &self.vars {
            let path = at.key("vars").key(name);
            if !var.choices.contains_key(&var.default) {
                let known: Vec<&str> = var.choices.keys().map(String::as_str).collect();
                faults.add(
                    &path.key("default"),
                    format!("`{}` is not a choice of `{name}`", var.default),
                    format!("expected one of {}", known.join(", ")),
                );
            }
            for (name, choice) in &var.choices {
                if choice.scale.is_zero() {
                    faults.add(
                        &path.key("choices").key(name).key("scale"),
                        "a scale of 0 makes every value 0",
                        "expected a fraction such as \"1/10\"",
                    );
                }
            }
        }
        if self.points.is_empty() {
            faults.add_at_key(
                &at.key("points"),
                "a profile has at least one point",
                "add a [[modbus.points]] with its name, table, address and type",
            );
        }
        let mut names = BTreeSet::new();
        for (n, point) in self.points.iter().enumerate() {
            let path = at.key("points").index(n);
            if !names.insert(point.name.as_str()) {
                faults.add(
                    &path.key("name"),
                    format!("point `{}` is there twice", point.name),
                    "each name once",
                );
            }
            self.point_faults(point, &path, &mut faults);
        }
        faults.list
    }

    fn bounds(&self, at: &Path, faults: &mut Faults<'_>) {
        for (field, got, most, what) in [
            ("max_registers", self.max_registers, MOST_REGISTERS, "registers can't be read at once"),
            ("max_bits", self.max_bits, MOST_BITS, "bits can't be read at once"),
            (
                "max_write_registers",
                self.max_write_registers,
                MOST_WRITE_REGISTERS,
                "registers can't be written at once",
            ),
            (
                "max_in_flight",
                self.max_in_flight.into(),
                MOST_IN_FLIGHT.into(),
                "requests can't be on their way at once",
            ),
        ] {
            if !(1..=most).contains(&got) {
                faults.add(&at.key(field), format!("{got} {what}"), format!("expected 1 to {most}"));
            }
        }
        if self.retries > MOST_RETRIES {
            faults.add(
                &at.key("retries"),
                format!("{} retries keep the bus from other devices", self.retries),
                format!("expected 0 to {MOST_RETRIES}"),
            );
        }
        faults.time(&at.key("interval_ms"), Some(self.interval_ms));
        faults.time(&at.key("timeout_ms"), self.timeout_ms);
        faults.pause(&at.key("pause_ms"), self.pause_ms);
    }

    fn block_faults(&self, block: &Block, path: &Path, faults: &mut Faults<'_>) {
        let mut sound = true;
        for (field, address) in [("first", block.first), ("last", block.last)] {
            let fault = self.address_fault(faults.doc, &path.key(field), block.table, address, 1);
            sound &= fault.is_none();
            faults.list.extend(fault);
        }
        if sound && block.first > block.last {
            faults.add(
                path,
                format!("{} to {} is no block of addresses", block.first, block.last),
                "expected the lower address first",
            );
        }
    }

    fn identity_faults(&self, at: &Path, faults: &mut Faults<'_>) {
        let Some(identity) = &self.identity else { return };
        let path = at.key("identity");
        if let Some(id) = &identity.device_id
            && [&id.vendor, &id.product, &id.revision].into_iter().flatten().all(|text| text.is_empty())
        {
            faults.add(
                &path.key("device_id"),
                "every device would fit this identity",
                "expected at least one of `vendor`, `product` and `revision`",
            );
        }
        let register = identity.table.is_some() || identity.address.is_some() || !identity.expect.is_empty();
        match (identity.table, identity.address) {
            (Some(table), Some(address)) if !identity.expect.is_empty() => {
                if table.is_bits() {
                    faults.add(
                        &path.key("table"),
                        "an identity is a register",
                        "expected `holding` or `input`",
                    );
                } else {
                    let fault = self.address_fault(faults.doc, &path.key("address"), table, address, 1);
                    faults.list.extend(fault);
                }
            }
            _ if register || identity.device_id.is_none() => faults.add_at_key(
                &path,
                "an identity needs `table`, `address` and at least one value in `expect`, or a `device_id`",
                "for example: identity = { table = \"holding\", address = 49, expect = [0x0701] }",
            ),
            _ => {}
        }
    }
}
