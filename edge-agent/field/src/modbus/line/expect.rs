//! What an answer to a request must look like, known from the request alone.
//!
//! The codec decodes what it is given; that the answer belongs to the request, has as many values as were asked for and
//! echoes what was written is seen here, on every transport, before the codec gets it.

/// The longest answer PDU (Modbus application protocol V1.1b3, section 4.1).
pub(crate) const LONGEST_PDU: usize = 253;

/// What must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    /// The device that was asked.
    pub(crate) unit: u8,
    /// The function it was asked for.
    pub(crate) function: u8,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// So many bytes of values (functions 1 to 4).
    Values(u8),
    /// Exactly these bytes after the function: a write, echoed whole or by its head.
    Echo(Vec<u8>),
    /// Objects of a device identification (43/14).
    Identity,
}

/// How an answer's length is known from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The whole PDU has so many bytes.
    Is(usize),
    /// Not to be said before more has come.
    Unknown,
    /// This is not the beginning of such an answer.
    Never,
}

impl Expect {
    /// What a request (its PDU) must be answered with. `None` for a request that this layer does not send.
    pub(crate) fn of(unit: u8, request: &[u8]) -> Option<Self> {
        let function = *request.first()?;
        let shape = match function {
            1..=4 => {
                let count = u16::from_be_bytes([*request.get(3)?, *request.get(4)?]);
                let bytes = if function <= 2 { count.div_ceil(8) } else { count.checked_mul(2)? };
                Shape::Values(
                    u8::try_from(bytes).ok().filter(|bytes| usize::from(*bytes) + 2 <= LONGEST_PDU)?,
                )
            }
            5 | 6 | 15 | 16 => Shape::Echo(request.get(1..5)?.to_vec()),
            22 => Shape::Echo(request.get(1..7)?.to_vec()),
            0x2b if request.get(1) == Some(&14) => Shape::Identity,
            _ => return None,
        };
        Some(Self { unit, function, shape })
    }

    /// The length of the answer PDU that begins like this: what was asked for, or an exception.
    pub(crate) fn length(&self, pdu: &[u8]) -> Length {
        match pdu.first() {
            None => Length::Unknown,
            Some(function) if *function == self.function | 0x80 => Length::Is(2),
            Some(function) if *function != self.function => Length::Never,
            Some(_) => match &self.shape {
                Shape::Values(bytes) => match pdu.get(1) {
                    None => Length::Unknown,
                    Some(count) if count == bytes => Length::Is(2 + usize::from(*bytes)),
                    Some(_) => Length::Never,
                },
                Shape::Echo(echo) => Length::Is(1 + echo.len()),
                Shape::Identity => identity_length(pdu),
            },
        }
    }

    /// The length of the answer where everything goes well; for an identification, of a usual one.
    pub(crate) fn usual_length(&self) -> usize {
        match &self.shape {
            Shape::Values(bytes) => 2 + usize::from(*bytes),
            Shape::Echo(echo) => 1 + echo.len(),
            Shape::Identity => 64,
        }
    }

    /// Whether this whole PDU of `unit` is the answer.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn check(&self, unit: u8, pdu: &[u8]) -> Result<(), String> {
        if unit != self.unit {
            return Err(format!("an answer of unit {unit} where unit {} was asked", self.unit));
        }
        let Some(function) = pdu.first().copied() else {
            return Err("an answer without a function".to_owned());
        };
        if function & 0x7f != self.function {
            return Err(format!(
                "an answer to function {} where {} was asked",
                function & 0x7f,
                self.function
            ));
        }
        if function & 0x80 != 0 {
            return if pdu.len() == 2 {
                Ok(())
            } else {
                Err(format!("an exception of {} bytes; it has 2", pdu.len()))
            };
        }
        match &self.shape {
            Shape::Values(bytes) => self.check_values(pdu, *bytes),
            Shape::Echo(echo) if pdu.get(1..) == Some(&**echo) => Ok(()),
            Shape::Echo(_) => Err("the echo of a write is not what was written".to_owned()),
            Shape::Identity if identity_length(pdu) == Length::Is(pdu.len()) => Ok(()),
            Shape::Identity => Err("a device identification whose lengths don't fit".to_owned()),
        }
    }

    fn check_values(&self, pdu: &[u8], bytes: u8) -> Result<(), String> {
        let said = pdu.get(1).copied().unwrap_or_default();
        let come = pdu.len().saturating_sub(2);
        if usize::from(said) != come {
            return Err(format!("an answer that says {said} bytes of values and has {come}"));
        }
        if said == bytes {
            return Ok(());
        }
        Err(if self.function <= 2 {
            format!("{said} bytes of bits where {bytes} were asked for")
        } else {
            format!("{} values where {} were asked for", f64::from(said) / 2.0, bytes / 2)
        })
    }
}

/// Function, MEI type, code, conformity, more, next, number of objects; then each object's id, length and bytes.
fn identity_length(pdu: &[u8]) -> Length {
    let Some(objects) = pdu.get(6) else {
        return if pdu.get(1).is_none_or(|mei| *mei == 14) { Length::Unknown } else { Length::Never };
    };
    if pdu.get(1) != Some(&14) {
        return Length::Never;
    }
    let mut at = 7;
    for _ in 0..*objects {
        let Some(length) = pdu.get(at + 1) else { return Length::Unknown };
        at += 2 + usize::from(*length);
        if at > LONGEST_PDU {
            return Length::Never;
        }
    }
    Length::Is(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_with_what_was_asked() {
        let read = [3, 0, 10, 0, 2];
        let bits = [1, 0, 0, 0, 9];
        let write = [6, 0, 10, 1, 2];
        let many = [16, 0, 10, 0, 2, 4, 1, 2, 3, 4];
        let mask = [22, 0, 1, 0xff, 0, 0, 0xff];
        let identity = [0x2b, 14, 1, 0];
        for (name, request, unit, answer, fault) in [
            ("a read", &read[..], 1, &[3, 4, 0, 1, 0, 2][..], ""),
            ("bits in whole bytes", &bits, 1, &[1, 2, 0, 1], ""),
            ("an exception", &read, 1, &[0x83, 2], ""),
            ("an exception to another function", &read, 1, &[0x84, 2], "to function 4 where 3"),
            ("an exception with more behind it", &read, 1, &[0x83, 2, 0], "an exception of 3 bytes"),
            ("another unit", &read, 2, &[3, 4, 0, 1, 0, 2], "of unit 2 where unit 1"),
            ("another function", &read, 1, &[4, 4, 0, 1, 0, 2], "to function 4"),
            ("too few", &read, 1, &[3, 2, 0, 1], "1 values where 2"),
            ("an odd byte", &read, 1, &[3, 3, 0, 1, 0], "1.5 values where 2"),
            ("a count that lies", &read, 1, &[3, 4, 0, 1], "says 4 bytes of values and has 2"),
            ("too few bits", &bits, 1, &[1, 1, 0], "1 bytes of bits where 2"),
            ("no count at all", &read, 1, &[3], ""),
            ("an echo", &write, 1, &[6, 0, 10, 1, 2], ""),
            ("an echo of another value", &write, 1, &[6, 0, 10, 1, 3], "the echo"),
            ("an echo of another address", &write, 1, &[6, 0, 11, 1, 2], "the echo"),
            ("an echo by its head", &many, 1, &[16, 0, 10, 0, 2], ""),
            ("an echo of a mask", &mask, 1, &[22, 0, 1, 0xff, 0, 0, 0xff], ""),
            ("an identification", &identity, 1, &[0x2b, 14, 1, 1, 0, 0, 1, 0, 2, b'S', b'B'], ""),
            ("one that is cut", &identity, 1, &[0x2b, 14, 1, 1, 0, 0, 1, 0, 2, b'S'], "lengths"),
        ] {
            let got = Expect::of(1, request).unwrap().check(unit, answer);
            match (name, got) {
                ("no count at all", got) => assert!(got.is_err()),
                (_, Ok(())) => assert_eq!(fault, "", "{name}"),
                (_, Err(why)) => assert!(!fault.is_empty() && why.contains(fault), "{name}: {why}"),
            }
        }
    }

    #[test]
    fn requests_that_are_too_long_for_an_answer_are_none() {
        assert_eq!(Expect::of(1, &[3, 0, 0, 0, 126]), None);
        assert_eq!(Expect::of(1, &[3, 0, 0, 0xff, 0xff]), None);
        assert_eq!(Expect::of(1, &[1, 0, 0, 0xff, 0xff]), None);
        assert!(Expect::of(1, &[3, 0, 0, 0, 125]).is_some());
    }
}
