//! A plain device: some holding registers in one block that drift like measurements. For measuring an idle gateway.

use crate::device::{Exception, Read, Registers, Write};

/// The device.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    registers: Vec<u16>,
}

impl Block {
    /// One with `count` registers from address 0 on.
    pub(crate) fn new(count: u16) -> Self {
        Self { registers: (0..count).map(|at| 200 + at % 100).collect() }
    }

    /// One register, chosen by `random`, goes up or down by one.
    pub(crate) fn drift(&mut self, random: u64) {
        let length = self.registers.len().max(1) as u64;
        let index = usize::try_from(random % length).unwrap_or(0);
        if let Some(register) = self.registers.get_mut(index) {
            let up = random & (1 << 40) == 0;
            *register = if up { (*register + 1).min(400) } else { register.saturating_sub(1).max(100) };
        }
    }
}

impl Registers for Block {
    fn read(&self, how: Read, address: u16) -> Result<u16, Exception> {
        match how {
            Read::Holding => self.registers.get(usize::from(address)).copied().ok_or(Exception::Address),
            Read::Input => Err(Exception::Address),
        }
    }

    fn write(&mut self, _: Write, address: u16, values: &[u16]) -> Result<(), Exception> {
        let first = usize::from(address);
        let slots = self.registers.get_mut(first..first + values.len()).ok_or(Exception::Address)?;
        slots.copy_from_slice(values);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_an_end_and_stays_in_its_range() {
        let mut block = Block::new(20);
        assert_eq!(block.read(Read::Holding, 19), Ok(219));
        assert_eq!(block.read(Read::Holding, 20), Err(Exception::Address));
        assert_eq!(block.write(Write::Multiple, 19, &[1, 2]), Err(Exception::Address));
        assert_eq!(block.write(Write::Multiple, 18, &[100, 400]), Ok(()));
        (0..1000).for_each(|n| block.drift(n << 35));
        (0..20).for_each(|at| assert!((100..=400).contains(&block.read(Read::Holding, at).unwrap())));
    }
}
