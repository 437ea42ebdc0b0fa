//! Diagnostics bundles as they come: pieces in rows of the bulk lane, kept beside the journal, a few for each gateway.
//!
//! A bundle's bytes would lie in the journal for ever: its rows keep everything but the bytes. Each piece has a digest of
//! its own and one of the whole, so that a piece that came spoilt is known as such when it comes, and the whole when it is
//! saved.

use data_encoding::{BASE64, HEXLOWER};
use engawa_model::{BUNDLE_PIECE, Change, CommandKey, Lane, MOST_BUNDLE, Timestamp};
use engawa_protocol::ports::Row;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The lane of bundles.
pub(crate) const BULK: u8 = Lane::Bulk.number();
/// Bundles kept for one gateway: the newest.
pub const KEPT: u32 = 8;
/// Pieces of the largest bundle.
const MOST_PIECES: u32 = MOST_BUNDLE.div_ceil(BUNDLE_PIECE) as u32;
/// The most that a bundle may be when it is unpacked, bytes.
const MOST_TEXT: usize = 16 << 20;

/// A piece that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) key: CommandKey,
    pub(crate) number: i32,
    pub(crate) of: i32,
    pub(crate) bytes: i64,
    pub(crate) sha256: String,
    /// False where its digest does not fit.
    pub(crate) sound: bool,
    pub(crate) data: Vec<u8>,
}

/// Takes a piece out of its row: the piece, and the row as the journal keeps it. `None` for anything that is no piece of a
/// bundle within its bounds: it stays a row like any other.
pub(crate) fn split(row: &Row) -> Option<(Arrived, Row)> {
    let Ok(Change::BundlePiece { key, mut piece }) = serde_json::from_slice(&row.body) else { return None };
    let data = BASE64.decode(piece.data.take()?.as_bytes()).ok()?;
    let fits = (1..=MOST_PIECES).contains(&piece.of)
        && (1..=piece.of).contains(&piece.number)
        && data.len() <= BUNDLE_PIECE
        && piece.bytes <= MOST_BUNDLE as u64;
    if !fits {
        return None;
    }
    let arrived = Arrived {
        key: key.clone(),
        // Both are at most MOST_PIECES, and the bytes at most MOST_BUNDLE.
        number: i32::try_from(piece.number).ok()?,
        of: i32::try_from(piece.of).ok()?,
        bytes: i64::try_from(piece.bytes).ok()?,
        sha256: piece.sha256.clone(),
        sound: digest(&data) == piece.piece_sha256,
        data,
    };
    let body = serde_json::to_vec(&Change::BundlePiece { key, piece }).ok()?;
    Some((arrived, Row { body, ..row.clone() }))
}

fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// A bundle, as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// Whose.
    pub gateway: String,
    /// The key of the command that asked for it.
    pub key: String,
    /// When it was made, by the gateway's clock.
    pub at: Option<Timestamp>,
    /// How many pieces it has.
    pub pieces: u32,
    /// How many of them are here and sound.
    pub sound: u32,
    /// How many are here and spoilt.
    pub spoilt: u32,
    /// Bytes, as it travels.
    pub bytes: u64,
    /// SHA-256 of these, hexadecimal.
    pub sha256: String,
}

impl Bundle {
    /// `whole`, `coming`, or `spoilt`.
    pub fn state(&self) -> &'static str {
        match (self.spoilt, self.sound == self.pieces) {
            (1.., _) => "spoilt",
            (0, true) => "whole",
            (0, false) => "coming",
        }
    }

    /// The bundle's text from its pieces, in order.
    ///
    /// # Errors
    /// Pieces that are missing or spoilt, or a digest that does not fit.
    pub fn open(&self, pieces: &[(u32, bool, Vec<u8>)]) -> Result<String, BundleError> {
        if let Some((number, ..)) = pieces.iter().find(|(_, sound, _)| !sound) {
            return Err(BundleError::Spoilt { number: *number, of: self.pieces });
        }
        for number in 1..=self.pieces {
            if !pieces.iter().any(|(found, ..)| *found == number) {
                return Err(BundleError::Missing { number, of: self.pieces });
            }
        }
        let whole: Vec<u8> = pieces.iter().flat_map(|(_, _, data)| data.iter().copied()).collect();
        if whole.len() as u64 != self.bytes || digest(&whole) != self.sha256 {
            return Err(BundleError::Digest);
        }
        let text = zstd::bulk::decompress(&whole, MOST_TEXT).map_err(BundleError::Unpack)?;
        String::from_utf8(text).map_err(|_| BundleError::Digest)
    }
}

/// Why a bundle can't be saved.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A piece has not come.
    #[error("piece {number} of {of} has not come yet: try again when the gateway is connected")]
    Missing {
        /// Which.
        number: u32,
        /// How many there are.
        of: u32,
    },
    /// A piece came spoilt.
    #[error("piece {number} of {of} came spoilt (its digest does not fit): ask for another bundle")]
    Spoilt {
        /// Which.
        number: u32,
        /// How many there are.
        of: u32,
    },
    /// The whole is not what was sent.
    #[error("the pieces are not the bundle that was sent (its digest does not fit): ask for another one")]
    Digest,
    /// It can't be unpacked.
    #[error("the bundle can't be unpacked")]
    Unpack(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::BundlePiece;

    fn rows(text: &str) -> Vec<Row> {
        let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
        let pieces: Vec<&[u8]> = packed.chunks(16).collect();
        let of = u32::try_from(pieces.len()).unwrap();
        let row = |(data, number): (&&[u8], u32)| {
            let piece = BundlePiece {
                number,
                of,
                bytes: packed.len() as u64,
                sha256: digest(&packed),
                piece_sha256: digest(data),
                data: Some(BASE64.encode(data)),
            };
            let change = Change::BundlePiece { key: "k".into(), piece };
            let body = serde_json::to_vec(&change).unwrap();
            Row { seq: number.into(), at_micros: 1, kind: change.kind().into(), body }
        };
        pieces.iter().zip(1..).map(row).collect()
    }

    fn opened(rows: &[Row]) -> Result<String, BundleError> {
        let pieces: Vec<Arrived> = rows.iter().filter_map(|row| Some(split(row)?.0)).collect();
        let bundle = Bundle {
            gateway: "g".into(),
            key: "k".into(),
            at: None,
            pieces: u32::try_from(pieces[0].of).unwrap(),
            sound: 0,
            spoilt: 0,
            bytes: pieces[0].bytes.cast_unsigned(),
            sha256: pieces[0].sha256.clone(),
        };
        let pieces = pieces.into_iter().map(|p| (u32::try_from(p.number).unwrap(), p.sound, p.data));
        bundle.open(&pieces.collect::<Vec<_>>())
    }

    #[test]
    fn pieces_come_together_and_nothing_else_does() {
        let text = "a bundle of some length, so that it has several pieces: 1 2 3 4 5 6 7 8 9";
        let rows = rows(text);
        assert!(rows.len() > 2);
        assert_eq!(opened(&rows).unwrap(), text);
        let (_, kept) = split(&rows[0]).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&kept.body).unwrap();
        assert_eq!((kept.get("data"), &kept["number"]), (None, &1.into()));
        assert!(matches!(opened(&rows[..2]), Err(BundleError::Missing { number: 3, .. })));

        let mut spoilt = rows.clone();
        let body = String::from_utf8(spoilt[1].body.clone()).unwrap();
        let at = body.find("\"data\":\"").unwrap() + 8;
        let other = if &body[at..=at] == "A" { "B" } else { "A" };
        spoilt[1].body = format!("{}{other}{}", &body[..at], &body[at + 1..]).into_bytes();
        assert!(matches!(opened(&spoilt), Err(BundleError::Spoilt { number: 2, .. })));

        let mut swapped = rows;
        swapped.swap(0, 1);
        assert!(matches!(opened(&swapped), Err(BundleError::Digest)));
    }

    #[test]
    fn what_is_no_piece_stays_a_row() {
        let row = |body: &str| Row { seq: 1, at_micros: 1, kind: "x".into(), body: body.into() };
        for body in [
            "{}",
            r#"{"kind":"started","clean":true}"#,
            r#"{"kind":"bundle_piece","key":"k","number":3,"of":2,"bytes":1,"sha256":"","piece_sha256":"","data":"AAAA"}"#,
            r#"{"kind":"bundle_piece","key":"k","number":1,"of":9999,"bytes":1,"sha256":"","piece_sha256":"","data":"AAAA"}"#,
            r#"{"kind":"bundle_piece","key":"k","number":1,"of":1,"bytes":1,"sha256":"","piece_sha256":"","data":"?"}"#,
            r#"{"kind":"bundle_piece","key":"k","number":1,"of":1,"bytes":1,"sha256":"","piece_sha256":""}"#,
        ] {
            assert_eq!(split(&row(body)), None, "{body}");
        }
    }
}
