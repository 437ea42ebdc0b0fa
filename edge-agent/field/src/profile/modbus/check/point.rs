//! Faults of one point.

use super::super::{ModbusPoint, ModbusProfile, Table, Type};
use super::Faults;
use crate::profile::unit;
use engawa_diag::Path;
use std::collections::BTreeMap;

/// The most registers of a text: one request.
const MOST_TEXT: u16 = 125;

impl ModbusProfile {
    pub(super) fn point_faults(&self, point: &ModbusPoint, path: &Path, faults: &mut Faults<'_>) {
        if point.name.is_empty() || point.name.contains(|c: char| c == '/' || c.is_control()) {
            faults.add(
                &path.key("name"),
                "a point's name must not be empty nor hold `/`",
                "expected for example `room_temperature`",
            );
        }
        let registers = point.registers();
        let fault =
            self.address_fault(faults.doc, &path.key("address"), point.table, point.address, registers);
        if fault.is_none() {
            self.hole_fault(point, path, faults);
        }
        faults.list.extend(fault);
        if let Some(code) = point.unit.as_deref().filter(|code| !unit::is_code(code)) {
            faults.list.push(unit::fault(faults.doc, &path.key("unit"), code));
        }
        self.shape_faults(point, path, faults);
        self.read_faults(point, path, faults);
        self.meaning_faults(point, path, faults);
        self.report_faults(point, path, faults);
        if let Some(write) = &point.write {
            self.write_faults(point, write, &path.key("write"), faults);
        }
    }

    /// A point in a hole that no request may touch could never be read.
    fn hole_fault(&self, point: &ModbusPoint, path: &Path, faults: &mut Faults<'_>) {
        let Some(first) = self.wire(point.table, point.address) else { return };
        let last = u32::from(first) + u32::from(point.registers().max(1)) - 1;
        let hole = self.unreadable.iter().position(|hole| {
            let ends = (self.wire(hole.table, hole.first), self.wire(hole.table, hole.last));
            matches!((hole.table == point.table, ends), (true, (Some(from), Some(to)))
                if u32::from(from) <= last && first <= to)
        });
        if let Some(n) = hole {
            let place = Path::root().key("modbus").key("unreadable").index(n);
            let fault = faults.doc.fault(
                &path.key("address"),
                format!("point `{}` lies where nothing may be read", point.name),
            );
            faults.list.push(
                fault.label("in an `unreadable` hole").related(faults.doc.span_of(&place), "this hole"),
            );
        }
    }

    /// Whether type, bits and length belong together.
    fn shape_faults(&self, point: &ModbusPoint, path: &Path, faults: &mut Faults<'_>) {
        let bits = point.table.is_bits();
        if bits && point.kind != Type::Bool {
            faults.add(&path.key("type"), "coils and discrete inputs are single bits", "expected `bool`");
        }
        let takes_bit = !bits && matches!(point.kind, Type::Bits | Type::Bool);
        match point.bit {
            Some(_) if !takes_bit => faults.add(
                &path.key("bit"),
                "only points of type `bits` or `bool` in a register have a `bit`",
                if bits { "a coil is one bit" } else { "the whole value is the point" },
            ),
            _ if point.bits.is_some() && (bits || point.kind != Type::Bits) => faults.add(
                &path.key("bits"),
                "only points of type `bits` have `bits`",
                "expected `type = \"bits\"` with it",
            ),
            _ if takes_bit => {
                let (bit, count) = (point.bit.unwrap_or(0), point.bits.unwrap_or(1));
                if count == 0 || u16::from(bit) + u16::from(count) > 16 {
                    let field = if point.bit.is_some() { "bit" } else { "bits" };
                    faults.add(
                        &path.key(field),
                        format!("a register has no {count} bits from bit {bit} on"),
                        "expected bits within 0 to 15",
                    );
                }
            }
            _ => {}
        }
        match (point.kind.is_text(), point.length) {
            (true, Some(length)) if (1..=MOST_TEXT).contains(&length) && length <= self.max_registers => {}
            (true, length) => {
                let path = path.key("length");
                let fault = match length {
                    None => faults.doc.fault_at_key(&path, "a text needs its `length` in registers"),
                    Some(length) => faults
                        .doc
                        .fault(&path, format!("a text of {length} registers can't be read in one request")),
                };
                faults.list.push(fault.label("expected 1 up to max_registers"));
            }
            (false, Some(_)) => {
                faults.add(&path.key("length"), "only texts have a `length`", "the type says it");
            }
            (false, None) => {}
        }
        if point.kind.registers() > self.max_registers.max(1) {
            faults.add(
                &path.key("type"),
                "the value has more registers than one request may read",
                format!("max_registers is {}", self.max_registers),
            );
        }
    }

    fn read_faults(&self, point: &ModbusPoint, path: &Path, faults: &mut Faults<'_>) {
        let reads_with = point.reads_with();
        let fits = match point.table {
            Table::Coil => reads_with == 1,
            Table::Discrete => reads_with == 2,
            Table::Holding | Table::Input => matches!(reads_with, 3 | 4),
        };
        if !fits {
            faults.add(
                &path.key("read_function"),
                format!("function {reads_with} does not read this table"),
                "expected 3 or 4 for registers, nothing for bits",
            );
        }
    }

    /// Scales, sentinels and names.
    fn meaning_faults(&self, point: &ModbusPoint, path: &Path, faults: &mut Faults<'_>) {
        if point.scale.is_zero() {
            faults.add(
                &path.key("scale"),
                "a scale of 0 makes every value 0",
                "expected a fraction such as \"1/10\"",
            );
        }
        let scaled = !point.scale.is_one() || !point.offset.is_zero();
        if let Some(var) = &point.scale_var {
            if scaled {
                faults.add(
                    &path.key("scale_var"),
                    "either `scale_var`, or `scale` and `offset`",
                    "the variable gives both",
                );
            }
            if !self.vars.contains_key(var) {
                let known: Vec<&str> = self.vars.keys().map(String::as_str).collect();
                faults.add(
                    &path.key("scale_var"),
                    format!("there is no variable `{var}`"),
                    if known.is_empty() {
                        "the profile has no `vars`".to_owned()
                    } else {
                        format!("expected one of: {}", known.join(", "))
                    },
                );
            }
        }
        let plain = point.kind.is_text() || point.kind == Type::Bool;
        for (field, there) in [
            ("scale", !point.scale.is_one()),
            ("offset", !point.offset.is_zero()),
            ("scale_var", point.scale_var.is_some()),
            ("valid", point.valid.is_some()),
            ("dead_band", point.dead_band.is_some()),
            ("dead_band_percent", point.dead_band_percent.is_some()),
        ] {
            if there && plain {
                faults.add(
                    &path.key(field),
                    format!("only numbers have `{field}`"),
                    if point.kind.is_text() { "this is a text" } else { "this is on or off" },
                );
            }
        }
        let bits_or_text = point.kind.is_text() || point.table.is_bits();
        for (field, codes) in
            [("invalid", &point.invalid), ("unsupported", &point.unsupported), ("off", &point.off)]
        {
            if bits_or_text && !codes.is_empty() {
                faults.add(
                    &path.key(field),
                    "texts and single bits have no raw values to spare",
                    "expected a number in registers",
                );
                continue;
            }
            for (n, code) in codes.iter().enumerate() {
                if point.raw_of(*code).is_none() {
                    faults.add(
                        &path.key(field).index(n),
                        format!("{code} is no raw value of this type"),
                        "it can never come",
                    );
                }
            }
        }
        let unnamed = point.kind.is_text() || point.kind.is_float();
        if unnamed && !point.names.is_empty() {
            faults.add(&path.key("names"), "only whole numbers have names", "expected a type such as `u16`");
        } else {
            names_faults(point, &point.names, &path.key("names"), faults);
        }
        if let Some(valid) = point.valid {
            let path = path.key("valid");
            faults.limits(&path, valid.min, valid.max);
            if valid.min.is_none() && valid.max.is_none() {
                faults.add(&path, "every value is plausible", "expected `min`, `max` or both");
            }
        }
    }

    /// When it is read, and what is worth a report.
    fn report_faults(&self, point: &ModbusPoint, path: &Path, faults: &mut Faults<'_>) {
        faults.time(&path.key("interval_ms"), point.interval_ms);
        faults.time(&path.key("heartbeat_ms"), point.heartbeat_ms);
        let interval = point.interval_ms.unwrap_or(self.interval_ms);
        if let Some(heartbeat) = point.heartbeat_ms.filter(|ms| *ms < interval) {
            faults.add(
                &path.key("heartbeat_ms"),
                format!(
                    "the point is read every {interval} ms, so it can't be reported every {heartbeat} ms"
                ),
                "expected at least the interval",
            );
        }
        if point.dead_band.is_some_and(|band| !band.is_finite() || band < 0.0) {
            faults.add(&path.key("dead_band"), "a dead band is a number from 0 on", "in the point's unit");
        }
        if point.dead_band_percent.is_some_and(|band| !(0.0..=100.0).contains(&band)) {
            faults.add(
                &path.key("dead_band_percent"),
                "a share is 0 to 100 %",
                "of the value that was reported last",
            );
        }
    }
}

/// Names of values that can't come, and two names of one value.
pub(super) fn names_faults(
    point: &ModbusPoint,
    names: &BTreeMap<String, i64>,
    path: &Path,
    faults: &mut Faults<'_>,
) {
    let mut seen: BTreeMap<i64, &str> = BTreeMap::new();
    for (name, raw) in names {
        let path = path.key(name);
        if point.raw_of(i128::from(*raw)).is_none() {
            faults.add(&path, format!("{raw} is no raw value of this type"), "it can never come");
        }
        if let Some(first) = seen.insert(*raw, name) {
            faults.add(&path, format!("{raw} has two names: `{first}` and `{name}`"), "each value once");
        }
    }
}
