//! Reading from a source: whole small files, and ranges of large ones.

use crate::begun::Begun;
use engawa_release::name::{self, BadName};
use engawa_release::source::{MOST_PIECE, Source, SourceFault};
use engawa_release::{Digest, Manifest, ManifestError};

/// Something that can't be fetched, or is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The source's.
    #[error(transparent)]
    Source(#[from] SourceFault),
    /// The repository lacks it.
    #[error("the repository has no {0}")]
    Absent(String),
    /// It is of another length.
    #[error("{name} has {found} bytes, {wanted} were expected")]
    Length {
        /// The file.
        name: String,
        /// How long it is.
        found: u64,
        /// How long it should be.
        wanted: u64,
    },
    /// It is something else.
    #[error("{name} is not what was signed: {reason}")]
    Damaged {
        /// The file.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A manifest that can't be used.
    #[error("{name}")]
    Manifest {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
}

impl FetchError {
    /// Whether trying again later may help without anybody mending anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Source(SourceFault::Away(_)))
    }
}

impl From<BadName> for FetchError {
    fn from(error: BadName) -> Self {
        Self::Source(error.into())
    }
}

/// A whole file of at most `most` bytes; `None` where there is none. For metadata, whose length nobody knows before.
///
/// # Errors
/// It is longer, or the source's.
pub fn fetch(source: &mut dyn Source, name: &str, most: usize) -> Result<Option<Vec<u8>>, FetchError> {
    let mut bytes = Vec::new();
    Ok(rest(source, name, most, &mut bytes, &mut |_, _| {})?.map(|()| bytes))
}

/// A whole file of at most `most` bytes whose SHA-256 is known; `None` where there is none. What has come of it before is gone
/// on from, and what comes is kept in `begun`; once it is whole it comes from there.
///
/// # Errors
/// It is longer, or the source's. What is not of that digest is given as it came, for its reader to say so.
pub fn fetch_known(
    source: &mut dyn Source,
    name: &str,
    sha256: Digest,
    most: usize,
    begun: &Begun,
) -> Result<Option<Vec<u8>>, FetchError> {
    let mut bytes = begun.read(sha256, most);
    if Digest::of(&bytes) == sha256 {
        return Ok(Some(bytes));
    }
    loop {
        let (resumed, mut keeps) = (!bytes.is_empty(), true);
        let came = rest(source, name, most, &mut bytes, &mut |at, piece| {
            keeps = keeps && begun.add(sha256, at, piece);
        });
        match came {
            Ok(Some(())) if Digest::of(&bytes) == sha256 => return Ok(Some(bytes)),
            // What was kept of it was spoilt, or is of another length by now: once more, from its beginning.
            Ok(Some(())) | Err(FetchError::Length { .. }) if resumed => bytes.clear(),
            Ok(Some(())) => {
                begun.forget(sha256);
                return Ok(Some(bytes));
            }
            Ok(None) => return Ok(None),
            Err(error) => {
                if !error.is_passing() {
                    begun.forget(sha256);
                }
                return Err(error);
            }
        }
        begun.forget(sha256);
    }
}

/// Reads on to the end of a file of which `bytes` are there already; `took` hears of each piece and where it begins.
fn rest(
    source: &mut dyn Source,
    name: &str,
    most: usize,
    bytes: &mut Vec<u8>,
    took: &mut dyn FnMut(u64, &[u8]),
) -> Result<Option<()>, FetchError> {
    loop {
        let wanted = most.saturating_sub(bytes.len()).clamp(1, MOST_PIECE);
        let at = bytes.len() as u64;
        let Some(piece) = source.read(name, at, wanted)? else { return Ok(None) };
        if piece.total > most as u64 || piece.bytes.len() > wanted {
            return Err(FetchError::Length {
                name: name.to_owned(),
                found: piece.total,
                wanted: most as u64,
            });
        }
        let ended = piece.bytes.is_empty();
        took(at, &piece.bytes);
        bytes.extend_from_slice(&piece.bytes);
        if bytes.len() as u64 == piece.total {
            return Ok(Some(()));
        }
        if ended || bytes.len() as u64 > piece.total {
            // It has become shorter, or longer, while it was read.
            let found = bytes.len() as u64;
            return Err(FetchError::Length { name: name.to_owned(), found, wanted: piece.total });
        }
    }
}

/// A target that The Update Framework has spoken of, whole: of the path, length and SHA-256 of its metadata. At most `most` bytes.
///
/// # Errors
/// It is not what was signed, or the source's.
pub fn fetch_target(
    source: &mut dyn Source,
    path: &str,
    (length, sha256): (u64, Digest),
    most: usize,
) -> Result<Vec<u8>, FetchError> {
    target_by(path, (length, sha256), most, |name, most| fetch(source, name, most))
}

fn target_by(
    path: &str,
    (length, sha256): (u64, Digest),
    most: usize,
    fetch: impl FnOnce(&str, usize) -> Result<Option<Vec<u8>>, FetchError>,
) -> Result<Vec<u8>, FetchError> {
    let name = name::of_target(path, sha256)?;
    if length > most as u64 {
        return Err(FetchError::Length { name, found: length, wanted: most as u64 });
    }
    // Checked to be at most `most`.
    let most = usize::try_from(length).unwrap_or(most);
    let bytes = fetch(&name, most)?.ok_or_else(|| FetchError::Absent(name.clone()))?;
    if bytes.len() as u64 != length {
        return Err(FetchError::Length { name, found: bytes.len() as u64, wanted: length });
    }
    let found = Digest::of(&bytes);
    if found != sha256 {
        return Err(FetchError::Damaged { name, reason: format!("its SHA-256 is {found}") });
    }
    Ok(bytes)
}

/// A release whose manifest was verified, and where its files are in a repository.
#[derive(Clone, Debug)]
pub struct Release {
    /// What is in it.
    pub manifest: Manifest,
    /// The manifest as it was signed.
    pub bytes: Vec<u8>,
    /// The target path of the manifest.
    pub path: String,
}

impl Release {
    /// Fetches the manifest that The Update Framework has spoken of: of this path, length and SHA-256.
    ///
    /// # Errors
    /// It is not what was signed, can't be used, or the source's.
    pub fn fetch(
        source: &mut dyn Source,
        path: &str,
        length: u64,
        sha256: Digest,
    ) -> Result<Self, FetchError> {
        let most = engawa_release::manifest::MOST_MANIFEST;
        let bytes = fetch_target(source, path, (length, sha256), most)?;
        Self::read(path, bytes)
    }

    /// The same; a manifest that has come in part is gone on with, and one that has come is not fetched again ([`fetch_known`]).
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn fetch_begun(
        source: &mut dyn Source,
        path: &str,
        (length, sha256): (u64, Digest),
        begun: &Begun,
    ) -> Result<Self, FetchError> {
        let most = engawa_release::manifest::MOST_MANIFEST;
        let bytes = target_by(path, (length, sha256), most, |name, most| {
            fetch_known(source, name, sha256, most, begun)
        })?;
        Self::read(path, bytes)
    }

    /// Of bytes that were verified by whoever has them.
    ///
    /// # Errors
    /// They are no manifest, or the path is none of one.
    pub fn read(path: &str, bytes: Vec<u8>) -> Result<Self, FetchError> {
        name::beside(path, name::PACK)?;
        let manifest = Manifest::read(&bytes)
            .map_err(|source| FetchError::Manifest { name: path.to_owned(), source })?;
        Ok(Self { manifest, bytes, path: path.to_owned() })
    }

    /// Of the manifest's bytes.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The pack's name in a repository.
    pub(crate) fn pack_name(&self) -> Result<String, FetchError> {
        let path = name::beside(&self.path, name::PACK)?;
        Ok(name::of_target(&path, self.manifest.pack.sha256)?)
    }

    /// The name of a patch in a repository.
    pub(crate) fn patch_name(&self, patch: &engawa_release::Patch) -> Result<String, FetchError> {
        let path = name::beside(&self.path, &name::patch(patch.from))?;
        Ok(name::of_target(&path, patch.sha256)?)
    }
}

/// Bytes of a large file from `offset` on, at most `most`, of a file that is `total` long. Never none.
pub(crate) fn range(
    source: &mut dyn Source,
    name: &str,
    (offset, most): (u64, usize),
    total: u64,
) -> Result<Vec<u8>, FetchError> {
    let most = most.min(MOST_PIECE);
    let piece = source.read(name, offset, most)?.ok_or_else(|| FetchError::Absent(name.to_owned()))?;
    if piece.total != total {
        return Err(FetchError::Length { name: name.to_owned(), found: piece.total, wanted: total });
    }
    if piece.bytes.is_empty() || piece.bytes.len() > most {
        let reason = format!("{} bytes came where 1 to {most} were asked for", piece.bytes.len());
        return Err(FetchError::Damaged { name: name.to_owned(), reason });
    }
    Ok(piece.bytes)
}
