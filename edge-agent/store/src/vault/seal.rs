//! Sealing: XChaCha20-Poly1305 with a random nonce of 192 bits, bound to its place by the additional data.

use crate::StoreError;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rand::TryRngCore;
use zeroize::Zeroizing;

/// Bytes of a nonce.
const NONCE: usize = 24;

/// Where a sealed value belongs. A value that is moved to another row or column, or put back from an older version,
/// does not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
    pub(crate) row: [&'a [u8]; 3],
    pub(crate) version: u64,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let [a, b, c] = self.row;
        let mut out = Vec::with_capacity(96);
        for part in [self.table.as_bytes(), self.column.as_bytes(), a, b, c, &self.version.to_be_bytes()] {
            // With its length before it no part can run into the next.
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// Random bytes for keys, nonces and names of records.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0_u8; N];
    let filled = rand::rngs::OsRng.try_fill_bytes(&mut bytes);
    filled.map_err(|_| StoreError::Sealing("the system gives no random bytes"))?;
    Ok(bytes)
}

/// A new key for a stay.
pub(crate) fn new_key() -> Result<Zeroizing<[u8; 32]>, StoreError> {
    random().map(Zeroizing::new)
}

/// `plain` under `key`, bound to `place`: the nonce, then the cipher text with its tag.
pub(crate) fn seal(key: &[u8; 32], place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce = random::<NONCE>()?;
    let payload = Payload { msg: plain, aad: &place.bytes() };
    let sealed = XChaCha20Poly1305::new(&Key::from(*key))
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| StoreError::Sealing("the value is too long"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What [`seal`] sealed; `None` for another key or place, or where a bit was changed.
pub(crate) fn open(key: &[u8; 32], place: &Place<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: &place.bytes() };
    XChaCha20Poly1305::new(&Key::from(*key)).decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_at_its_own_place_only() {
        let (key, other) = (new_key().unwrap(), new_key().unwrap());
        let place = Place { table: "t", column: "/name", row: [b"1", b"stay", b"4711"], version: 3 };
        let sealed = seal(&key, &place, "佐藤".as_bytes()).unwrap();
        assert_eq!(open(&key, &place, &sealed).unwrap().as_slice(), "佐藤".as_bytes());
        let elsewhere = [
            Place { table: "u", ..place },
            Place { column: "/title", ..place },
            Place { row: [b"2", b"stay", b"4711"], ..place },
            Place { row: [b"1", b"sta", b"y4711"], ..place },
            Place { version: 2, ..place },
        ];
        assert!(elsewhere.iter().all(|place| open(&key, place, &sealed).is_none()));
        assert!(open(&other, &place, &sealed).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, &place, &changed).is_none(), "bit {bit}");
        }
        assert!((0..sealed.len()).all(|length| open(&key, &place, &sealed[..length]).is_none()));
        assert_ne!(seal(&key, &place, b"x").unwrap(), seal(&key, &place, b"x").unwrap());
    }
}
