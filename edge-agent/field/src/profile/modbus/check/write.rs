//! Faults of how a point is written.

use super::super::{ModbusPoint, ModbusProfile, Table, Write};
use super::Faults;
use super::point::names_faults;
use engawa_diag::Path;

/// The function that changes some bits of a register (mask write).
const MASK: u8 = 22;
/// The function that writes one register.
const SINGLE: u8 = 6;

impl ModbusProfile {
    pub(super) fn write_faults(
        &self,
        point: &ModbusPoint,
        write: &Write,
        path: &Path,
        faults: &mut Faults<'_>,
    ) {
        if matches!(point.table, Table::Input | Table::Discrete) {
            faults.add_at_key(
                path,
                "input registers and discrete inputs can't be written",
                "leave `write` out, or name the holding register or coil that takes commands",
            );
            return;
        }
        self.function_faults(point, write, path, faults);
        faults.limits(path, write.min, write.max);
        if write.tolerance.is_some_and(|tolerance| !tolerance.is_finite() || tolerance < 0.0) {
            faults.add(&path.key("tolerance"), "a tolerance is a number from 0 on", "in the point's unit");
        }
        faults.pause(&path.key("settle_ms"), write.settle_ms);
        faults.pause(&path.key("min_interval_ms"), write.min_interval_ms);
        let text = point.kind.is_text();
        for (field, there) in [
            ("min", write.min.is_some()),
            ("max", write.max.is_some()),
            ("tolerance", write.tolerance.is_some()),
        ] {
            if text && there {
                faults.add(&path.key(field), format!("only numbers have `{field}`"), "this is a text");
            }
        }
        if (text || point.kind.is_float()) && !write.names.is_empty() {
            faults.add(&path.key("names"), "only whole numbers have names", "expected a type such as `u16`");
        } else {
            names_faults(point, &write.names, &path.key("names"), faults);
        }
        self.companion_faults(point, write, path, faults);
        self.copy_faults(point, write, path, faults);
    }

    fn function_faults(&self, point: &ModbusPoint, write: &Write, path: &Path, faults: &mut Faults<'_>) {
        let allowed: &[u8] = match (point.table, point.registers(), point.part()) {
            (Table::Coil, _, _) => &[5, 15],
            (_, _, Some(_)) => &[SINGLE, 16, MASK],
            (_, 1, None) => &[SINGLE, 16],
            _ => &[16],
        };
        let function = write.function.filter(|function| !allowed.contains(function));
        if let Some(function) = function {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            faults.add(
                &path.key("function"),
                format!("function {function} can't write this point"),
                format!("expected {}", names.join(" or ")),
            );
        }
        let Some((first, last)) = self.block(point, write).filter(|_| point.table == Table::Holding) else {
            return;
        };
        let count = u32::from(last - first) + 1;
        let alone = matches!(write.function, Some(SINGLE | MASK));
        if !alone && count > u32::from(self.max_write_registers.max(1)) {
            faults.add_at_key(
                path,
                format!(
                    "the write has {count} registers, and the device takes {} at once",
                    self.max_write_registers
                ),
                "`max_write_registers` says how many it takes; `companion` and `copy_from` count too",
            );
        }
    }

    fn companion_faults(&self, point: &ModbusPoint, write: &Write, path: &Path, faults: &mut Faults<'_>) {
        for (n, companion) in write.companion.iter().enumerate() {
            let path = path.key("companion").index(n);
            match companion.table {
                Table::Input | Table::Discrete => faults.add(
                    &path.key("table"),
                    "input registers and discrete inputs can't be written",
                    "expected `holding` or `coil`",
                ),
                Table::Coil if companion.value > 1 => faults.add(
                    &path.key("value"),
                    format!("a coil can't be {}", companion.value),
                    "expected 0 or 1",
                ),
                Table::Coil if companion.mask.is_some() => {
                    faults.add(&path.key("mask"), "a coil is one bit", "leave `mask` out");
                }
                _ => {}
            }
            if let Some(mask) = companion.mask
                && (mask == 0 || companion.value & !mask != 0)
            {
                faults.add(
                    &path.key("mask"),
                    format!(
                        "the value {:#06x} has bits that the mask {mask:#06x} leaves out",
                        companion.value
                    ),
                    "expected all bits of the value",
                );
            }
            let fault =
                self.address_fault(faults.doc, &path.key("address"), companion.table, companion.address, 1);
            let sound = fault.is_none();
            faults.list.extend(fault);
            if sound
                && companion.table == point.table
                && self.overlaps(point, companion.address, companion.mask)
            {
                faults.add(
                    &path.key("address"),
                    "this is the point itself: its value would be written over",
                    "expected another register, or a `mask` beside the point's bits",
                );
            }
        }
    }

    /// True where what is written along would lie on the point's own bits.
    fn overlaps(&self, point: &ModbusPoint, address: u32, mask: Option<u16>) -> bool {
        let (Some(own), Some(other)) =
            (self.wire(point.table, point.address), self.wire(point.table, address))
        else {
            return false;
        };
        let within = other >= own && u32::from(other) < u32::from(own) + u32::from(point.registers());
        // Bits are counted in the value, masks in the register as it is on the wire.
        let order = point.order.unwrap_or(self.order);
        match point.part() {
            Some((bit, count)) if within => {
                let own = ((1_u32 << count.min(16)) - 1) << bit.min(15);
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "bits beyond the register are a fault of their own"
                )]
                let own = order.turned(own as u16);
                own & mask.unwrap_or(u16::MAX) != 0
            }
            _ => within,
        }
    }

    fn copy_faults(&self, point: &ModbusPoint, write: &Write, path: &Path, faults: &mut Faults<'_>) {
        if write.copy_from.is_empty() {
            return;
        }
        let at = path.key("copy_from");
        if point.table == Table::Coil || matches!(write.function, Some(SINGLE | MASK)) {
            faults.add_at_key(
                &at,
                "state can only be copied into a block of holding registers (function 16)",
                "leave `function` out or write 16, or leave `copy_from` out",
            );
            return;
        }
        let block = self.block(point, write);
        for (n, copy) in write.copy_from.iter().enumerate() {
            let path = at.index(n);
            let from = path.key("from");
            if copy.from.table.is_bits() {
                faults.add(
                    &from.key("table"),
                    "state is copied from registers",
                    "expected `holding` or `input`",
                );
            } else {
                let fault = self.address_fault(
                    faults.doc,
                    &from.key("address"),
                    copy.from.table,
                    copy.from.address,
                    1,
                );
                faults.list.extend(fault);
            }
            if copy.mask == Some(0) {
                faults.add(&path.key("mask"), "no bit would be copied", "expected the bits that are");
            }
            let fault = self.address_fault(faults.doc, &path.key("to"), Table::Holding, copy.to, 1);
            let to = self.wire(Table::Holding, copy.to);
            if let (None, Some(to), Some((first, last))) = (&fault, to, block)
                && !(first..=last).contains(&to)
            {
                faults.add(
                    &path.key("to"),
                    format!(
                        "{} is not next to the point's registers: it can't go into the same request",
                        copy.to
                    ),
                    "expected a register of one unbroken block with the point",
                );
            }
            faults.list.extend(fault);
            if point.part().is_none() && self.overlaps(point, copy.to, None) {
                faults.add(
                    &path.key("to"),
                    "this is the point itself: its value would be written over",
                    "expected another register of the block",
                );
            }
        }
    }
}
