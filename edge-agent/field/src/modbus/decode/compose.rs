//! Writes of several registers: the point, what is written along, and what is copied from the device's state first.
//!
//! Why: some devices take a command as a block (DIII-net: power, fan, mode and set point in three registers) whose
//! registers do not follow the device's real state. Writing one field alone would switch the others to whatever was
//! commanded last.

use super::encode::{encode, mask_of};
use super::ordered;
use crate::profile::modbus::{MapPoint, ModbusMap, Table};
use engawa_model::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The functions that write.
const SINGLE_COIL: u8 = 5;
const SINGLE: u8 = 6;
const MULTIPLE: u8 = 16;
const MASK: u8 = 22;

/// A register or coil by its table and wire address.
pub(crate) type Register = (Table, u16);

/// One request that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// Coils (function 5, 15) or registers (6, 16) in wire order from `address` on.
    Words {
        /// 5, 6, 15 or 16.
        function: u8,
        /// The first wire address.
        address: u16,
        /// Registers; of coils 0 or 1.
        words: Vec<u16>,
    },
    /// Function 22: the register becomes (register and `and`) or (`or` and not `and`).
    Mask {
        /// The wire address.
        address: u16,
        /// The bits that are kept.
        and: u16,
        /// The bits that are set.
        or: u16,
    },
}

/// The registers that must be read before `point` can be written, in the order of their addresses.
pub(crate) fn needs(point: &MapPoint) -> BTreeSet<Register> {
    let Some(rule) = &point.write else { return BTreeSet::new() };
    let mut registers: BTreeSet<Register> = rule.copies.iter().map(|copy| copy.from).collect();
    if rule.function != MASK {
        // Bits that nobody writes stay as they are.
        let written = written_bits(point);
        let in_part = written.iter().filter(|(_, bits)| **bits != u16::MAX);
        registers.extend(in_part.map(|(address, _)| (Table::Holding, *address)));
    }
    registers
}

/// Which bits of which holding registers are written, in wire order.
fn written_bits(point: &MapPoint) -> BTreeMap<u16, u16> {
    let mut bits = BTreeMap::new();
    let Some(rule) = &point.write else { return bits };
    let mut add = |address: u16, mask: u16| *bits.entry(address).or_insert(0) |= mask;
    for copy in &rule.copies {
        add(copy.to, copy.mask);
    }
    for companion in rule.companions.iter().filter(|companion| companion.table == Table::Holding) {
        add(companion.address, companion.mask);
    }
    if point.table == Table::Holding {
        let own = point.bits.map_or(u16::MAX, |(bit, count)| {
            #[allow(clippy::cast_possible_truncation, reason = "bits and count are within a register")]
            let field = (super::raw::field(count) << bit) as u16;
            point.order.turned(field)
        });
        for word in 0..point.length {
            if let Some(address) = point.address.checked_add(word) {
                add(address, own);
            }
        }
    }
    bits
}

/// The requests that write `value`, in their order: what is written before the point first, the point's own last.
/// `have` holds the registers of [`needs`] as they were read just now.
///
/// # Errors
/// In plain words: a value that the point does not take, a register that was not read, or a block that is too large.
pub(crate) fn compose(
    map: &ModbusMap,
    point: &MapPoint,
    value: &Value,
    have: &BTreeMap<Register, u16>,
) -> Result<Vec<Outgoing>, String> {
    let rule = point.write.as_ref().ok_or_else(|| format!("{} can't be written", point.name))?;
    let mut requests: Vec<Outgoing> = rule
        .companions
        .iter()
        .filter(|companion| companion.table == Table::Coil)
        .map(|coil| Outgoing::Words { function: SINGLE_COIL, address: coil.address, words: vec![coil.value] })
        .collect();
    if rule.function == MASK {
        let along = rule.companions.iter().filter(|companion| companion.table == Table::Holding);
        requests.extend(along.map(|companion| Outgoing::Mask {
            address: companion.address,
            and: !companion.mask,
            or: companion.value,
        }));
        let (and, or) = mask_of(point, value)?;
        requests.push(Outgoing::Mask { address: point.address, and, or });
        return Ok(requests);
    }
    let registers = registers(point, value, have)?;
    if point.table == Table::Coil {
        requests.extend(blocks(&registers, SINGLE, map.max_write_registers));
        let words = encode(point, value)?;
        requests.push(Outgoing::Words { function: rule.function, address: point.address, words });
        return Ok(requests);
    }
    let mut blocks = blocks(&registers, rule.function, map.max_write_registers);
    // The point goes last: what it needs is there by then.
    let own = blocks.iter().position(|block| {
        matches!(block, Outgoing::Words { address, words, .. }
            if point.address.checked_sub(*address).is_some_and(|at| usize::from(at) < words.len()))
    });
    if let Some(own) = own {
        let own = blocks.remove(own);
        if let Outgoing::Words { words, .. } = &own
            && words.len() < usize::from(point.length)
        {
            return Err(format!("{} has more registers than the device takes at once", point.name));
        }
        blocks.push(own);
    }
    requests.extend(blocks);
    Ok(requests)
}

/// The holding registers that are written, with their words in wire order.
fn registers(
    point: &MapPoint,
    value: &Value,
    have: &BTreeMap<Register, u16>,
) -> Result<BTreeMap<u16, u16>, String> {
    let Some(rule) = &point.write else { return Ok(BTreeMap::new()) };
    let known = |register: Register| {
        have.get(&register).copied().ok_or_else(|| {
            format!("{} needs the {} {}, which was not read", point.name, register.0.in_words(), register.1)
        })
    };
    let mut words = BTreeMap::new();
    for (address, bits) in written_bits(point) {
        let before = if bits == u16::MAX { 0 } else { known((Table::Holding, address))? };
        words.insert(address, before);
    }
    let mut put = |address: u16, mask: u16, bits: u16| {
        let word = words.entry(address).or_insert(0);
        *word = *word & !mask | bits & mask;
    };
    for copy in &rule.copies {
        put(copy.to, copy.mask, known(copy.from)?);
    }
    for companion in rule.companions.iter().filter(|companion| companion.table == Table::Holding) {
        put(companion.address, companion.mask, companion.value);
    }
    if point.table == Table::Holding {
        if point.bits.is_some() {
            let (keep, set) = mask_of(point, value)?;
            put(point.address, !keep, set);
        } else {
            for (address, word) in (point.address..=u16::MAX).zip(ordered(point, encode(point, value)?)) {
                put(address, u16::MAX, word);
            }
        }
    }
    Ok(words)
}

/// Registers as requests: neighbours together where the function writes several.
fn blocks(registers: &BTreeMap<u16, u16>, function: u8, most: u16) -> Vec<Outgoing> {
    let mut blocks: Vec<Outgoing> = Vec::new();
    for (&at, &word) in registers {
        if let Some(Outgoing::Words { address, words, .. }) = blocks.last_mut()
            && function == MULTIPLE
            && usize::from(at - *address) == words.len()
            && words.len() < usize::from(most)
        {
            words.push(word);
            continue;
        }
        blocks.push(Outgoing::Words { function, address: at, words: vec![word] });
    }
    blocks
}
