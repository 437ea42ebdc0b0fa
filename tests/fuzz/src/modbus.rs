//! Modbus as its specification has it (application protocol V1.1b3, serial line guide V1.02), written a second time and
//! as plainly as can be: requests, a device that answers them, and whether an answer fits.

use arbitrary::Unstructured;

/// The check sum of the serial line guide, bit by bit.
pub fn check_sum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0xffff_u16;
    for byte in bytes {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = sum & 1 == 1;
            sum >>= 1;
            if carry {
                sum ^= 0xa001;
            }
        }
    }
    sum.to_le_bytes()
}

/// An RTU frame.
pub fn sealed(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    frame.extend(check_sum(&frame));
    frame
}

/// A request (its PDU) of a kind that the gateway sends.
///
/// # Errors
/// The script has ended.
pub fn request(script: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let function = *script.choose(&[1_u8, 2, 3, 4, 3, 4, 5, 6, 15, 16, 22, 0x2b])?;
    let address: u16 = script.arbitrary()?;
    let mut pdu = vec![function];
    pdu.extend(address.to_be_bytes());
    match function {
        1 | 2 => pdu.extend(script.int_in_range(1..=2000_u16)?.to_be_bytes()),
        3 | 4 => pdu.extend(script.int_in_range(1..=125_u16)?.to_be_bytes()),
        5 => pdu.extend(if script.arbitrary()? { [0xff, 0] } else { [0, 0] }),
        6 => pdu.extend(script.arbitrary::<u16>()?.to_be_bytes()),
        15 => {
            pdu.extend(9_u16.to_be_bytes());
            pdu.extend([2, script.arbitrary()?, 1]);
        }
        16 => {
            let count = script.int_in_range(1..=4_u8)?;
            pdu.extend([0, count, count * 2]);
            for _ in 0..count {
                pdu.extend(script.arbitrary::<u16>()?.to_be_bytes());
            }
        }
        22 => pdu.extend(script.arbitrary::<u32>()?.to_be_bytes()),
        _ => pdu = vec![0x2b, 14, 1, 0],
    }
    Ok(pdu)
}

/// What a device answers: registers and bits follow from unit, function and address, so that another one's are seen.
pub fn answer(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let word = |at: usize| u16::from_be_bytes([pdu[at], pdu[at + 1]]);
    match pdu[0] {
        function @ (1 | 2) => {
            let bytes = usize::from(word(3).div_ceil(8));
            let mut answer = vec![function, u8::try_from(bytes).unwrap_or_default()];
            answer.extend((0..bytes).map(|n| pdu[2] ^ unit ^ u8::try_from(n).unwrap_or_default()));
            answer
        }
        function @ (3 | 4) => {
            let mut answer = vec![function, u8::try_from(word(3) * 2).unwrap_or_default()];
            let value = |n: u16| word(1).wrapping_add(n).wrapping_mul(31) ^ u16::from(unit) << 8;
            answer.extend((0..word(3)).flat_map(|n| value(n).to_be_bytes()));
            answer
        }
        5 | 6 | 22 => pdu.to_vec(),
        15 | 16 => pdu[..5].to_vec(),
        _ => b"\x2b\x0e\x01\x01\x00\x00\x03\x00\x01E\x01\x02X1\x02\x00".to_vec(),
    }
}

/// Whether this PDU of `from` answers that request of `unit`.
pub fn fits(unit: u8, request: &[u8], from: u8, pdu: &[u8]) -> bool {
    if from != unit || pdu.is_empty() {
        return false;
    }
    if pdu[0] == request[0] | 0x80 {
        return pdu.len() == 2;
    }
    if pdu[0] != request[0] {
        return false;
    }
    match request[0] {
        1..=4 => {
            let count = usize::from(u16::from_be_bytes([request[3], request[4]]));
            let bytes = if request[0] <= 2 { count.div_ceil(8) } else { count * 2 };
            pdu.len() == bytes + 2 && usize::from(pdu[1]) == bytes
        }
        5 | 6 | 22 => pdu == request,
        15 | 16 => pdu == &request[..5],
        _ => identity_fits(pdu),
    }
}

/// Function, MEI type, code, conformity, more, next, count; then id, length and bytes of each object.
fn identity_fits(pdu: &[u8]) -> bool {
    if pdu.len() < 7 || pdu[1] != 14 {
        return false;
    }
    let mut rest = &pdu[7..];
    for _ in 0..pdu[6] {
        match rest {
            [_, length, after @ ..] if after.len() >= usize::from(*length) => {
                rest = &after[usize::from(*length)..];
            }
            _ => return false,
        }
    }
    rest.is_empty()
}
