//! A profile with its variables filled in and its addresses on the wire: what the planner and the decoder work with.

use super::{ModbusPoint, ModbusProfile, Table, Type, WordOrder};
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
    pub(crate) word_order: WordOrder,
    pub(crate) swap_bytes: bool,
    pub(crate) max_registers: u16,
    pub(crate) max_gap: u16,
    /// (table, first, last), on the wire.
    pub(crate) blocks: Vec<(Table, u16, u16)>,
    pub(crate) pause: Duration,
    pub(crate) timeout: Option<Duration>,
    /// (function, wire address, values).
    pub(crate) identity: Option<(u8, u16, Vec<u16>)>,
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
    /// Lowest bit and count, of `bool` and `bits` within a register.
    pub(crate) bits: Option<(u8, u8)>,
    pub(crate) scale: Fraction,
    pub(crate) offset: Fraction,
    pub(crate) invalid: Vec<u64>,
    pub(crate) off: Vec<u64>,
    pub(crate) names: BTreeMap<i64, String>,
    pub(crate) interval: Duration,
    pub(crate) dead_band: f64,
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
    pub(crate) never_in_routine: bool,
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
        let block =
            |block: &super::Block| Some((block.table, self.wire(block.first)?, self.wire(block.last)?));
        let identity = self.identity.as_ref().and_then(|identity| {
            let (table, address) = (identity.table?, self.wire(identity.address?)?);
            Some((table.read_function(), address, identity.expect.clone()))
        });
        Ok(ModbusMap {
            points: self.points.iter().filter_map(|point| self.point(point, vars)).collect(),
            word_order: self.word_order,
            swap_bytes: self.swap_bytes,
            max_registers: self.max_registers,
            max_gap: self.max_gap,
            blocks: self.blocks.iter().filter_map(block).collect(),
            pause: ms(self.pause_ms),
            timeout: self.timeout_ms.map(ms),
            identity,
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
        let in_register = !point.table.is_bits();
        let bits = match point.kind {
            Type::Bits => Some((point.bit.unwrap_or(0), point.bits.unwrap_or(1))),
            Type::Bool if in_register => point.bit.map(|bit| (bit, 1)),
            _ => None,
        };
        let length = point.length.unwrap_or_else(|| point.kind.registers());
        let write = point.write.as_ref().map(|write| WriteRule {
            function: write.function.unwrap_or(match (point.table, length) {
                (Table::Coil, _) => 5,
                (_, 1) => 6,
                _ => 16,
            }),
            min: write.min,
            max: write.max,
            names: if write.names.is_empty() { point.names.clone() } else { write.names.clone() },
            settle: ms(write.settle_ms),
            min_interval: ms(write.min_interval_ms),
            verify: write.verify,
            never_in_routine: write.never_in_routine,
        });
        Some(MapPoint {
            name: point.name.as_str().into(),
            role: point.role,
            unit: point.unit.as_deref().map(Into::into),
            table: point.table,
            function: point.read_function.unwrap_or_else(|| point.table.read_function()),
            address: self.wire(point.address)?,
            length,
            kind: point.kind,
            bits,
            scale,
            offset,
            invalid: point.invalid.iter().chain(&point.unsupported).copied().collect(),
            off: point.off.clone(),
            names: point.names.iter().map(|(name, raw)| (*raw, name.clone())).collect(),
            interval: ms(point.interval_ms.unwrap_or(self.interval_ms)),
            dead_band: point.dead_band.unwrap_or(0.0),
            write,
        })
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

    /// The number of the point `name`.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.points.iter().position(|point| *point.name == *name)
    }
}
