//! The PMS's proof of who may connect: the AuthKey (FIAS 2.20, chapter on the interface's authentication key).
//!
//! LD carries in CG the digits of the last LS's date and time, encrypted with a key that the site was given:
//! `FidCryptAB;`, the initialisation vector in base64, the text in base64 (AES-128, CBC, PKCS7). A PMS that does not like
//! the proof stops, and a person must start it again: so a link with a key never describes itself without a proof.

use aes::Aes128;
use aes::cipher::{Block, BlockCipherEncrypt, KeyInit, KeyIvInit, block_padding::Pkcs7};
use cbc::cipher::BlockModeEncrypt;
use data_encoding::BASE64;
use std::fmt;

/// What CG begins with.
const METHOD: &str = "FidCryptAB;";
/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// Why a key can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthKeyError {
    /// It is not base64.
    #[error("the AuthKey is not base64; expected 24 characters such as those that the PMS's vendor gave out")]
    NotBase64,
    /// It has another length.
    #[error("the AuthKey has {0} bytes; expected 16 (24 characters of base64)")]
    Length(usize),
}

/// The site's key. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey([u8; BLOCK]);

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey")
    }
}

impl AuthKey {
    /// Reads a key as it is handed out: base64 of 16 bytes.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, AuthKeyError> {
        let bytes = BASE64.decode(text.trim().as_bytes()).map_err(|_| AuthKeyError::NotBase64)?;
        let length = bytes.len();
        bytes.try_into().map(Self).map_err(|_| AuthKeyError::Length(length))
    }

    /// The proof for CG: `stamp`, the digits of the last LS's DA and TI, encrypted. `nonce` and `count` are never the same
    /// twice; the vector is the nonce encrypted, so that nobody can tell it before (NIST SP 800-38A, appendix C).
    pub fn proof(&self, nonce: [u8; BLOCK], count: u32, stamp: &str) -> String {
        let mut vector = nonce;
        for (byte, count) in vector.iter_mut().zip(count.to_be_bytes()) {
            *byte ^= count;
        }
        let mut block = Block::<Aes128>::from(vector);
        Aes128::new(&self.0.into()).encrypt_block(&mut block);
        self.proof_with(block.into(), stamp)
    }

    fn proof_with(&self, vector: [u8; BLOCK], stamp: &str) -> String {
        let encryptor = cbc::Encryptor::<Aes128>::new(&self.0.into(), &vector.into());
        let text = encryptor.encrypt_padded_vec::<Pkcs7>(stamp.as_bytes());
        format!("{METHOD}{}{}", BASE64.encode(&vector), BASE64.encode(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const KEY: &str = "GVDpVnl6qYlTQXQJZxXdbw==";

    #[test]
    fn every_nonce_and_every_count_has_a_vector_of_its_own() {
        let key = AuthKey::parse("GVDpVnl6qYlTQXQJZxXdbw==").unwrap();
        let vector = |first: u8, count: u32| {
            let mut nonce = [0; BLOCK];
            nonce[0] = first;
            key.proof(nonce, count, "260715101500")[METHOD.len()..][..24].to_owned()
        };
        let all = [vector(0, 1), vector(0x0F, 1), vector(0xF0, 1), vector(0, 2), vector(0, 0x0100_0001)];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
    }

    #[test]
    fn the_specifications_own_example() {
        let vector = BASE64.decode(b"3k57hsoHm04fGEyaA3+UVw==").unwrap().try_into().unwrap();
        let proof = AuthKey::parse(KEY).unwrap().proof_with(vector, "170831102201");
        assert_eq!(proof, "FidCryptAB;3k57hsoHm04fGEyaA3+UVw==oNTebC0J36LY8GV9azyhzw==");
    }

    #[test]
    fn openssl_reads_the_proof_and_no_vector_comes_twice() {
        let key = AuthKey::parse(KEY).unwrap();
        let mut vectors = std::collections::BTreeSet::new();
        for (count, stamp) in ["260715101500", "260715101501", ""].iter().enumerate() {
            let proof = key.proof([7; 16], u32::try_from(count).unwrap(), stamp);
            let (vector, text) = proof.strip_prefix(METHOD).unwrap().split_at(24);
            assert!(vectors.insert(vector.to_owned()));
            let hex =
                |base64: &str| data_encoding::HEXLOWER.encode(&BASE64.decode(base64.as_bytes()).unwrap());
            let mut openssl = Command::new("openssl")
                .args(["enc", "-d", "-aes-128-cbc", "-K", &hex(KEY), "-iv", &hex(vector)])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("install the Debian package openssl");
            let bytes = BASE64.decode(text.as_bytes()).unwrap();
            std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), &bytes).unwrap();
            let out = openssl.wait_with_output().unwrap();
            assert_eq!((out.status.success(), out.stdout.as_slice()), (true, stamp.as_bytes()));
        }
    }

    #[test]
    fn keys_that_are_none_say_why() {
        assert_eq!(AuthKey::parse("not base64!"), Err(AuthKeyError::NotBase64));
        assert_eq!(AuthKey::parse("QUJD"), Err(AuthKeyError::Length(3)));
        assert_eq!(format!("{:?}", AuthKey::parse(" GVDpVnl6qYlTQXQJZxXdbw==\n").unwrap()), "AuthKey");
    }
}
