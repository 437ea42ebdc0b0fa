//! Claim codes: what an installer types once to bring a gateway into the fleet.
//!
//! A code carries a one-time secret and a pin of the cloud's authority, so that a new gateway knows the cloud before it
//! has any certificate; and a checksum, so that a slip of the finger is named as such and does not look like a used code.

use data_encoding::BASE32_NOPAD;
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroize;

/// Bytes of the secret: 128 bits.
const SECRET: usize = 16;
/// Bytes of the pin: the whole SHA-256.
const PIN: usize = 32;
/// Bytes of the checksum.
const CHECK: usize = 2;
/// Characters in a group.
const GROUP: usize = 6;

/// A one-time code.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimCode {
    /// The one-time secret, in base 32. The cloud keeps only its hash.
    pub secret: String,
    /// SHA-256 of the authority's public key (SubjectPublicKeyInfo).
    pub ca_pin: [u8; PIN],
}

/// A text that is no claim code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimCodeError {
    /// A character that no code has.
    #[error("`{0}` can't be part of a claim code: it has the letters A to Z and the digits 2 to 7")]
    Character(char),
    /// Too short or too long.
    #[error("a claim code has {wanted} letters and digits, this text has {found}: is a part missing?")]
    Length {
        /// What a code has.
        wanted: usize,
        /// What the text has.
        found: usize,
    },
    /// The checksum does not fit.
    #[error("a letter or digit of the claim code is wrong: compare it with the original")]
    Checksum,
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode(..)")
    }
}

impl Drop for ClaimCode {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ClaimCode {
    /// A new code for the authority with this pin.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(ca_pin: [u8; PIN]) -> Result<Self, rand::rand_core::OsError> {
        let mut secret = [0; SECRET];
        rand::rngs::OsRng.try_fill_bytes(&mut secret)?;
        Ok(Self { secret: BASE32_NOPAD.encode(&secret), ca_pin })
    }

    /// Secret, pin and checksum, as bytes; `None` for a secret that was put together by hand and is no code.
    fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes =
            BASE32_NOPAD.decode(self.secret.as_bytes()).ok().filter(|secret| secret.len() == SECRET)?;
        bytes.extend(self.ca_pin);
        bytes.extend(checksum(&bytes));
        Some(bytes)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::digest(bytes);
    [digest[0], digest[1]]
}

impl fmt::Display for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = BASE32_NOPAD.encode(&self.bytes().unwrap_or_default());
        for (n, character) in text.chars().enumerate() {
            if n > 0 && n.is_multiple_of(GROUP) {
                f.write_str("-")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}

impl FromStr for ClaimCode {
    type Err = ClaimCodeError;

    fn from_str(text: &str) -> Result<Self, ClaimCodeError> {
        let wanted = (SECRET + PIN + CHECK) * 8 / 5;
        let symbols: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect();
        if let Some(wrong) = symbols.chars().find(|c| !matches!(c, 'A'..='Z' | '2'..='7')) {
            return Err(ClaimCodeError::Character(wrong));
        }
        if symbols.len() != wanted {
            return Err(ClaimCodeError::Length { wanted, found: symbols.len() });
        }
        let bytes = BASE32_NOPAD.decode(symbols.as_bytes()).map_err(|_| ClaimCodeError::Checksum)?;
        let (body, check) = bytes.split_at(SECRET + PIN);
        if checksum(body) != *check {
            return Err(ClaimCodeError::Checksum);
        }
        let (secret, pin) = body.split_at(SECRET);
        let mut ca_pin = [0; PIN];
        ca_pin.copy_from_slice(pin);
        Ok(Self { secret: BASE32_NOPAD.encode(secret), ca_pin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_comes_back_as_it_was_typed() {
        let code = ClaimCode::new([7; PIN]).unwrap();
        let text = code.to_string();
        for typed in [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', " "),
            format!(" {}\n", text.replace('-', "")),
        ] {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
        assert!(!format!("{code:?}").contains(&code.secret));
    }

    #[test]
    fn every_slip_of_the_finger_is_named() {
        let text = ClaimCode::new([7; PIN]).unwrap().to_string().replace('-', "");
        for at in 0..text.len() {
            let mut slipped: Vec<char> = text.chars().collect();
            slipped[at] = if slipped[at] == 'A' { 'B' } else { 'A' };
            let slipped: String = slipped.into_iter().collect();
            assert_eq!(slipped.parse::<ClaimCode>(), Err(ClaimCodeError::Checksum), "at {at}");
        }
        assert_eq!("".parse::<ClaimCode>(), Err(ClaimCodeError::Length { wanted: 80, found: 0 }));
        assert_eq!("0".parse::<ClaimCode>(), Err(ClaimCodeError::Character('0')));
        assert!(matches!(text[1..].parse::<ClaimCode>(), Err(ClaimCodeError::Length { found: 79, .. })));
    }
}
