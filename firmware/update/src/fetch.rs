//! Reading from a source: whole small files, and ranges of large ones.

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
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let wanted = (most - bytes.len()).clamp(1, MOST_PIECE);
        let Some(piece) = source.read(name, bytes.len() as u64, wanted)? else { return Ok(None) };
        if piece.total > most as u64 || piece.bytes.len() > wanted {
            return Err(FetchError::Length {
                name: name.to_owned(),
                found: piece.total,
                wanted: most as u64,
            });
        }
        let ended = piece.bytes.is_empty();
        bytes.extend_from_slice(&piece.bytes);
        if bytes.len() as u64 == piece.total {
            return Ok(Some(bytes));
        }
        if ended {
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
    let name = name::of_target(path, sha256)?;
    if length > most as u64 {
        return Err(FetchError::Length { name, found: length, wanted: most as u64 });
    }
    // Checked to be at most `most`.
    let most = usize::try_from(length).unwrap_or(most);
    let bytes = fetch(source, &name, most)?.ok_or_else(|| FetchError::Absent(name.clone()))?;
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
