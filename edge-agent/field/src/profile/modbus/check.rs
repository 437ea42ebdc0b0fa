//! What serde can't see: addresses out of range, points that overlap in name, functions that a table does not have, and
//! what the poller does not do yet.

use super::{ModbusPoint, ModbusProfile, Table, Type, Write};
use engawa_diag::{Doc, Fault, Path};
use std::collections::BTreeSet;

/// The protocol's own bound on registers in one request (Modbus application protocol V1.1b3, section 6.3).
const MOST_REGISTERS: u16 = 125;
/// The most registers of a text.
const MOST_TEXT: u16 = 125;
/// A point is read at most this often, ms.
const SHORTEST_INTERVAL_MS: u32 = 50;
/// The longest pauses and times that make sense, ms.
const LONGEST_MS: u32 = 86_400_000;

impl ModbusProfile {
    /// All faults.
    pub(crate) fn faults(&self, doc: &Doc) -> Vec<Fault> {
        let at = Path::root().key("modbus");
        let mut faults = Vec::new();
        if !(1..=MOST_REGISTERS).contains(&self.max_registers) {
            let fault = doc.fault(
                &at.key("max_registers"),
                format!("{} registers can't be read at once", self.max_registers),
            );
            faults.push(fault.label(format!("expected 1 to {MOST_REGISTERS}")));
        }
        for (field, ms) in [("interval_ms", Some(self.interval_ms)), ("timeout_ms", self.timeout_ms)] {
            if let Some(ms) = ms.filter(|ms| !(SHORTEST_INTERVAL_MS..=LONGEST_MS).contains(ms)) {
                faults.push(
                    doc.fault(&at.key(field), format!("{ms} ms can't be meant"))
                        .label("expected 50 ms to a day"),
                );
            }
        }
        for (n, block) in self.blocks.iter().enumerate() {
            let path = at.key("blocks").index(n);
            if block.first > block.last || block.first < self.printed_base || self.wire(block.last).is_none()
            {
                faults.push(
                    doc.fault(&path, format!("{} to {} is no block of addresses", block.first, block.last)),
                );
            }
        }
        self.identity_faults(doc, &at, &mut faults);
        for (name, var) in &self.vars {
            if !var.choices.contains_key(&var.default) {
                let known: Vec<&str> = var.choices.keys().map(String::as_str).collect();
                let path = at.key("vars").key(name).key("default");
                faults.push(
                    doc.fault(&path, format!("`{}` is not a choice of `{name}`", var.default))
                        .label(format!("expected one of {}", known.join(", "))),
                );
            }
        }
        if self.points.is_empty() {
            faults.push(doc.fault_at_key(&at.key("points"), "a profile has at least one point"));
        }
        let mut names = BTreeSet::new();
        for (n, point) in self.points.iter().enumerate() {
            let path = at.key("points").index(n);
            if !names.insert(point.name.as_str()) {
                faults.push(
                    doc.fault(&path.key("name"), format!("point `{}` is there twice", point.name))
                        .label("each name once"),
                );
            }
            if point.name.is_empty() || point.name.contains(|c: char| c == '/' || c.is_control()) {
                faults.push(doc.fault(&path.key("name"), "a point's name must not be empty nor hold `/`"));
            }
            self.point_faults(point, doc, &path, &mut faults);
        }
        faults
    }

    fn identity_faults(&self, doc: &Doc, at: &Path, faults: &mut Vec<Fault>) {
        let Some(identity) = &self.identity else { return };
        let path = at.key("identity");
        if identity.device_id.is_some() {
            faults.push(
                doc.fault(&path.key("device_id"), "not supported yet: identification by function 43/14")
                    .help("name a register that tells the make: `table`, `address` and `expect`"),
            );
        } else if identity.table.is_none() || identity.address.is_none() || identity.expect.is_empty() {
            faults.push(
                doc.fault_at_key(
                    &path,
                    "an identity needs `table`, `address` and at least one value in `expect`",
                )
                .help("for example: identity = { table = \"holding\", address = 49, expect = [0x0701] }"),
            );
        } else if identity.address.and_then(|address| self.wire(address)).is_none() {
            faults.push(self.beyond(doc, &path.key("address"), identity.address.unwrap_or_default()));
        }
    }

    fn point_faults(&self, point: &ModbusPoint, doc: &Doc, path: &Path, faults: &mut Vec<Fault>) {
        let length = point.length.unwrap_or_else(|| point.kind.registers());
        match self.wire(point.address) {
            Some(wire) if u32::from(wire) + u32::from(length.max(1)) <= 1 << 16 => {}
            _ => faults.push(self.beyond(doc, &path.key("address"), point.address)),
        }
        let bits = point.table.is_bits();
        if bits && point.kind != Type::Bool {
            let fault = doc.fault(&path.key("type"), "coils and discrete inputs are single bits");
            faults.push(fault.label("expected `bool`"));
        }
        if !bits && point.kind == Type::Bool && point.bit.is_none() && point.names.is_empty() {
            // A register that is 0 or not: that is what most on/off registers are.
        }
        let wants_bit = matches!(point.kind, Type::Bits) || (point.kind == Type::Bool && point.bit.is_some());
        if wants_bit {
            let (bit, count) = (point.bit.unwrap_or(0), point.bits.unwrap_or(1));
            if bits || count == 0 || u16::from(bit) + u16::from(count) > 16 {
                faults.push(
                    doc.fault(&path.key("bit"), format!("a register has no {count} bits from bit {bit} on"))
                        .label("expected bits within 0 to 15"),
                );
            }
            if point.write.is_some() {
                faults.push(
                    doc.fault(&path.key("write"), "not supported yet: writing some bits of a register")
                        .help("read-modify-write needs the state of the other bits; leave `write` out"),
                );
            }
        } else if point.bits.is_some() {
            faults.push(doc.fault(&path.key("bits"), "only points of type `bits` have `bits`"));
        }
        match (point.kind, point.length) {
            (Type::Ascii, Some(length))
                if (1..=MOST_TEXT).contains(&length) && length <= self.max_registers => {}
            (Type::Ascii, _) => faults.push(
                doc.fault_at_key(&path.key("length"), "a text needs its `length` in registers")
                    .label("expected 1 up to max_registers"),
            ),
            (_, Some(_)) => faults.push(doc.fault(&path.key("length"), "only texts have a `length`")),
            (_, None) => {}
        }
        if point.kind == Type::Ascii && point.write.is_some() {
            faults.push(doc.fault(&path.key("write"), "not supported yet: writing texts"));
        }
        if point.kind.registers() > self.max_registers.max(1) {
            faults
                .push(doc.fault(&path.key("type"), "the value has more registers than one request may read"));
        }
        let reads_with = point.read_function.unwrap_or_else(|| point.table.read_function());
        let fits = match point.table {
            Table::Coil => reads_with == 1,
            Table::Discrete => reads_with == 2,
            Table::Holding | Table::Input => matches!(reads_with, 3 | 4),
        };
        if !fits {
            faults.push(
                doc.fault(
                    &path.key("read_function"),
                    format!("function {reads_with} does not read this table"),
                )
                .label("expected 3 or 4 for registers, nothing for bits"),
            );
        }
        if point.scale.is_zero() {
            faults.push(doc.fault(&path.key("scale"), "a scale of 0 makes every value 0"));
        }
        if let Some(var) = &point.scale_var {
            if !point.scale.is_one() || !point.offset.is_zero() {
                faults.push(doc.fault(&path.key("scale_var"), "either `scale_var`, or `scale` and `offset`"));
            }
            if !self.vars.contains_key(var) {
                let known: Vec<&str> = self.vars.keys().map(String::as_str).collect();
                faults.push(
                    doc.fault(&path.key("scale_var"), format!("there is no variable `{var}`"))
                        .label(format!("expected one of: {}", known.join(", "))),
                );
            }
        }
        if let Some(ms) = point.interval_ms.filter(|ms| !(SHORTEST_INTERVAL_MS..=LONGEST_MS).contains(ms)) {
            faults.push(
                doc.fault(&path.key("interval_ms"), format!("{ms} ms can't be meant"))
                    .label("expected 50 ms to a day"),
            );
        }
        if point.dead_band.is_some_and(|band| !band.is_finite() || band < 0.0) {
            faults.push(doc.fault(&path.key("dead_band"), "a dead band is a number from 0 on"));
        }
        if let Some(write) = &point.write {
            write_faults(point, write, doc, &path.key("write"), faults);
        }
    }

    fn beyond(&self, doc: &Doc, path: &Path, address: u32) -> Fault {
        doc.fault(path, format!("{address} is no address of this device"))
            .label(format!("expected {} to {}", self.printed_base, u64::from(self.printed_base) + 0xFFFF))
            .help("addresses are as the maker prints them; `printed_base` says what is printed for the first one")
    }

    /// The wire address of a printed one.
    pub(super) fn wire(&self, printed: u32) -> Option<u16> {
        printed.checked_sub(self.printed_base).and_then(|wire| u16::try_from(wire).ok())
    }
}

fn write_faults(point: &ModbusPoint, write: &Write, doc: &Doc, path: &Path, faults: &mut Vec<Fault>) {
    if matches!(point.table, Table::Input | Table::Discrete) {
        faults.push(doc.fault_at_key(path, "input registers and discrete inputs can't be written"));
    }
    let registers = point.kind.registers();
    let allowed: &[u8] = match (point.table, registers) {
        (Table::Coil, _) => &[5, 15],
        (_, 1) => &[6, 16],
        _ => &[16],
    };
    if let Some(function) = write.function.filter(|function| !allowed.contains(function)) {
        let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        faults.push(
            doc.fault(&path.key("function"), format!("function {function} can't write this point"))
                .label(format!("expected {}", names.join(" or "))),
        );
    }
    if matches!(point.kind, Type::U8Hi | Type::U8Lo | Type::S8) {
        faults.push(doc.fault_at_key(path, "not supported yet: writing one byte of a register"));
    }
    for (field, there) in [("companion", write.companion.is_some()), ("copy_from", write.copy_from.is_some())]
    {
        if there {
            faults.push(doc.fault(&path.key(field), format!("not supported yet: `{field}`")).help(
                "leave `write` out until it is: a write that forgets its companions switches other things",
            ));
        }
    }
    for (field, limit) in [("min", write.min), ("max", write.max)] {
        if limit.is_some_and(|limit| !limit.is_finite()) {
            faults.push(doc.fault(&path.key(field), "a limit is a number"));
        }
    }
    if let (Some(min), Some(max)) = (write.min, write.max)
        && min > max
    {
        faults.push(doc.fault(&path.key("min"), format!("min {min} is above max {max}")));
    }
}
