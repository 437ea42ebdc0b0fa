//! A profile with its variables filled in and its addresses on the wire: what the planner and the decoder work with.

use super::{Block, ModbusPoint, ModbusProfile, Order, Range, Table, Type, Write};
use crate::profile::VarFault;
use crate::profile::modbus::Fraction;
use engawa_model::{PointSpec, Role};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The map of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct ModbusMap {
    pub(crate) points: Vec<MapPoint>,
    pub(crate) max_registers: u16,
    pub(crate) max_bits: u16,
    pub(crate) max_write_registers: u16,
    pub(crate) max_gap: u16,
    /// (table, first, last), on the wire.
    pub(crate) blocks: Vec<(Table, u16, u16)>,
    /// Holes that no request may touch: (table, first, last), on the wire.
    pub(crate) unreadable: Vec<(Table, u16, u16)>,
    /// Requests at once on one TCP connection.
    pub(crate) max_in_flight: u8,
    pub(crate) retries: u8,
    pub(crate) pause: Duration,
    pub(crate) timeout: Option<Duration>,
    /// (function, wire address, values).
    pub(crate) identity: Option<(u8, u16, Vec<u16>)>,
    /// What the device must say of itself (function 43/14).
    pub(crate) device_id: Option<DeviceIdRule>,
}

/// How a device's own words must begin; what is absent may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIdRule {
    /// Its vendor name.
    pub vendor: Option<String>,
    /// Its product code.
    pub product: Option<String>,
    /// Its revision.
    pub revision: Option<String>,
}

/// One point on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct MapPoint {
    pub(crate) name: Arc<str>,
    pub(crate) role: Option<Role>,
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) table: Table,
    /// The function that reads it.
    pub(crate) function: u8,
    pub(crate) address: u16,
    /// Registers, or 1 bit.
    pub(crate) length: u16,
    pub(crate) kind: Type,
    pub(crate) order: Order,
    /// Lowest bit and count, of what is a part of a register: bits, bytes, a `bool` with its bit.
    pub(crate) bits: Option<(u8, u8)>,
    pub(crate) scale: Fraction,
    pub(crate) offset: Fraction,
    pub(crate) invalid: Vec<u64>,
    pub(crate) unsupported: Vec<u64>,
    pub(crate) off: Vec<u64>,
    pub(crate) names: BTreeMap<i64, String>,
    pub(crate) valid: Range,
    pub(crate) interval: Duration,
    pub(crate) dead_band: f64,
    /// A share of the value last reported, %.
    pub(crate) dead_band_percent: f64,
    /// The value is reported at least this often, changed or not.
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) write: Option<WriteRule>,
}

/// How a point is written.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRule {
    pub(crate) function: u8,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) names: BTreeMap<String, i64>,
    pub(crate) settle: Duration,
    pub(crate) min_interval: Duration,
    pub(crate) verify: bool,
    pub(crate) tolerance: Option<f64>,
    pub(crate) never_in_routine: bool,
    pub(crate) companions: Vec<CompanionRule>,
    pub(crate) copies: Vec<CopyRule>,
}

/// A register or coil that is written along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompanionRule {
    pub(crate) table: Table,
    pub(crate) address: u16,
    pub(crate) value: u16,
    pub(crate) mask: u16,
}

/// A register whose state is copied into a holding register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyRule {
    pub(crate) from: (Table, u16),
    pub(crate) to: u16,
    pub(crate) mask: u16,
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

impl ModbusProfile {
    /// The map of a device with these variables.
    pub(crate) fn resolve(&self, vars: &BTreeMap<String, String>) -> Result<ModbusMap, Vec<VarFault>> {
        let faults = self.var_faults(vars);
        if !faults.is_empty() {
            return Err(faults);
        }
        // Addresses were checked when the profile was loaded; what slipped through is left out rather than misread.
        let block = |block: &Block| {
            Some((block.table, self.wire(block.table, block.first)?, self.wire(block.table, block.last)?))
        };
        let identity = self.identity.as_ref().and_then(|identity| {
            let table = identity.table?;
            let address = self.wire(table, identity.address?)?;
            Some((table.read_function(), address, identity.expect.clone()))
        });
        let device_id = self.identity.as_ref().and_then(|identity| identity.device_id.as_ref());
        Ok(ModbusMap {
            points: self.points.iter().filter_map(|point| self.point(point, vars)).collect(),
            max_registers: self.max_registers,
            max_bits: self.max_bits,
            max_write_registers: self.max_write_registers,
            max_gap: self.max_gap,
            blocks: self.blocks.iter().filter_map(block).collect(),
            unreadable: self.unreadable.iter().filter_map(block).collect(),
            max_in_flight: self.max_in_flight,
            retries: self.retries,
            pause: ms(self.pause_ms),
            timeout: self.timeout_ms.map(ms),
            identity,
            device_id: device_id.map(|id| DeviceIdRule {
                vendor: id.vendor.clone(),
                product: id.product.clone(),
                revision: id.revision.clone(),
            }),
        })
    }

    fn var_faults(&self, vars: &BTreeMap<String, String>) -> Vec<VarFault> {
        let mut faults = Vec::new();
        for (name, choice) in vars {
            let known =
                |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            match self.vars.get(name) {
                None => faults.push(VarFault {
                    var: name.clone(),
                    message: format!("the profile has no variable `{name}`"),
                    help: Some(match self.vars.is_empty() {
                        true => "remove it: the profile has none".to_owned(),
                        false => format!("it has: {}", known(self.vars.keys().collect())),
                    }),
                }),
                Some(var) if !var.choices.contains_key(choice) => faults.push(VarFault {
                    var: name.clone(),
                    message: format!("`{choice}` is not a choice of `{name}`"),
                    help: Some(format!("it is one of: {}", known(var.choices.keys().collect()))),
                }),
                Some(_) => {}
            }
        }
        faults
    }

    fn point(&self, point: &ModbusPoint, vars: &BTreeMap<String, String>) -> Option<MapPoint> {
        let chosen = point.scale_var.as_ref().and_then(|name| {
            let var = self.vars.get(name)?;
            var.choices.get(vars.get(name).unwrap_or(&var.default))
        });
        let (scale, offset) =
            chosen.map_or((point.scale, point.offset), |choice| (choice.scale, choice.offset));
        let raw = |codes: &[i128]| codes.iter().filter_map(|code| point.raw_of(*code)).collect();
        Some(MapPoint {
            name: point.name.as_str().into(),
            role: point.role,
            unit: point.unit.as_deref().map(Into::into),
            table: point.table,
            function: point.reads_with(),
            address: self.wire(point.table, point.address)?,
            length: point.registers(),
            kind: point.kind,
            order: point.order.unwrap_or(self.order),
            bits: point.part(),
            scale,
            offset,
            invalid: raw(&point.invalid),
            unsupported: raw(&point.unsupported),
            off: raw(&point.off),
            names: point.names.iter().map(|(name, raw)| (*raw, name.clone())).collect(),
            valid: point.valid.unwrap_or_default(),
            interval: ms(point.interval_ms.unwrap_or(self.interval_ms)),
            dead_band: point.dead_band.unwrap_or(0.0),
            dead_band_percent: point.dead_band_percent.unwrap_or(0.0),
            heartbeat: point.heartbeat_ms.map(ms),
            write: point.write.as_ref().map(|write| self.write(point, write)),
        })
    }

    fn write(&self, point: &ModbusPoint, write: &Write) -> WriteRule {
        let companion = |companion: &super::Companion| {
            Some(CompanionRule {
                table: companion.table,
                address: self.wire(companion.table, companion.address)?,
                value: companion.value,
                mask: companion.mask.unwrap_or(u16::MAX),
            })
        };
        let copy = |copy: &super::CopyFrom| {
            Some(CopyRule {
                from: (copy.from.table, self.wire(copy.from.table, copy.from.address)?),
                to: self.wire(Table::Holding, copy.to)?,
                mask: copy.mask.unwrap_or(u16::MAX),
            })
        };
        WriteRule {
            function: write.function.unwrap_or_else(|| self.usual_function(point, write)),
            min: write.min,
            max: write.max,
            names: if write.names.is_empty() { point.names.clone() } else { write.names.clone() },
            settle: ms(write.settle_ms),
            min_interval: ms(write.min_interval_ms),
            verify: write.verify,
            tolerance: write.tolerance,
            never_in_routine: write.never_in_routine,
            companions: write.companion.iter().filter_map(companion).collect(),
            copies: write.copy_from.iter().filter_map(copy).collect(),
        }
    }

    /// The function that writes a point whose profile does not say it.
    fn usual_function(&self, point: &ModbusPoint, write: &Write) -> u8 {
        match point.table {
            Table::Coil | Table::Discrete => 5,
            _ if self.block(point, write).is_some_and(|(first, last)| first < last) => 16,
            _ => 6,
        }
    }

    /// The registers (first and last, on the wire) that are written in one request with function 16: the point's, and
    /// what is written along and touches them.
    pub(super) fn block(&self, point: &ModbusPoint, write: &Write) -> Option<(u16, u16)> {
        let first = self.wire(point.table, point.address)?;
        let mut block = (first, first.checked_add(point.registers().saturating_sub(1))?);
        let companions = write.companion.iter().filter(|companion| companion.table == Table::Holding);
        let along: Vec<u16> = companions
            .map(|companion| companion.address)
            .chain(write.copy_from.iter().map(|copy| copy.to))
            .filter_map(|address| self.wire(Table::Holding, address))
            .collect();
        // Each round takes what touches; there are no more rounds than registers.
        for _ in &along {
            for address in &along {
                if u32::from(*address) + 1 >= u32::from(block.0)
                    && u32::from(*address) <= u32::from(block.1) + 1
                {
                    block = (block.0.min(*address), block.1.max(*address));
                }
            }
        }
        Some(block)
    }
}

impl ModbusPoint {
    /// The function that reads it.
    pub(super) fn reads_with(&self) -> u8 {
        self.read_function.unwrap_or_else(|| self.table.read_function())
    }

    /// Its registers.
    pub(super) fn registers(&self) -> u16 {
        self.length.unwrap_or_else(|| self.kind.registers())
    }

    /// Lowest bit and count, where it is a part of a register.
    pub(super) fn part(&self) -> Option<(u8, u8)> {
        match self.kind {
            _ if self.table.is_bits() => None,
            Type::Bits => Some((self.bit.unwrap_or(0), self.bits.unwrap_or(1))),
            Type::Bool => self.bit.map(|bit| (bit, 1)),
            kind => kind.byte(),
        }
    }

    /// The bits of a sentinel: of a negative one its two's complement. `None` where the kind has no such value.
    pub(super) fn raw_of(&self, code: i128) -> Option<u64> {
        let width =
            self.part().map_or_else(|| u32::from(self.kind.registers()) * 16, |(_, count)| count.into());
        let end = 1_i128 << width.min(64);
        let least = if self.kind.is_signed() { -(end >> 1) } else { 0 };
        if !(least..end).contains(&code) {
            return None;
        }
        u64::try_from(if code < 0 { code + end } else { code }).ok()
    }
}

impl ModbusMap {
    /// The points, as rules and listings see them.
    pub(crate) fn point_specs(&self) -> Arc<[PointSpec]> {
        let spec = |point: &MapPoint| PointSpec {
            name: point.name.clone(),
            role: point.role,
            unit: point.unit.clone(),
            writable: point.write.as_ref().is_some_and(|write| !write.never_in_routine),
            min: point.write.as_ref().and_then(|write| write.min),
            max: point.write.as_ref().and_then(|write| write.max),
        };
        self.points.iter().map(spec).collect()
    }

    /// True where the profile names what tells its make from others.
    pub fn has_mark(&self) -> bool {
        self.identity.is_some() || self.device_id.is_some()
    }

    /// The number of the point `name`.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.points.iter().position(|point| *point.name == *name)
    }
}
