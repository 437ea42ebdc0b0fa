//! Erasure of what is held on a guest: a tombstone, signed by the vault that destroyed the key.

use crate::{StayId, Timestamp};
use serde::{Deserialize, Serialize};

/// Why something was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureReason {
    /// Somebody asked for it (GDPR, article 17; APPI, article 35).
    Asked,
    /// Its time was over.
    Retention,
}

impl ErasureReason {
    /// The reason in one word, as it is stored and signed; never renamed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Retention => "retention",
        }
    }
}

/// The tombstone of one record. It names no guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The PMS's reservation number.
    pub stay: StayId,
    /// The record's name in the vault, hexadecimal: a reservation number may come again.
    pub record: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: ErasureReason,
    /// The vault's public key (Ed25519), hexadecimal.
    pub signer: String,
    /// The signature of [`Self::message`], hexadecimal.
    pub signature: String,
}

impl Erasure {
    /// Kind and key of the stored document where the record is none of a stay, such as a look-up's: it is named by them after
    /// a control character, which no reservation number has.
    pub fn of_document(&self) -> Option<(&str, &str)> {
        self.stay.as_str().strip_prefix('\u{1}')?.split_once(' ')
    }

    /// What is signed. The reservation number stands last, since it may hold anything.
    pub fn message(&self) -> String {
        let at = self.at.as_microsecond();
        format!("engawa erasure v1\n{at}\n{}\n{}\n{}", self.reason.as_str(), self.record, self.stay)
    }
}
