//! Names: of files in a slot, and of files in a repository of releases. Everything that names a file is checked here before it
//! goes near a file system.
//!
//! ```text
//! REPO/metadata/   N.root.json  timestamp.json  N.snapshot.json  N.targets.json  N.<delegated role>.json
//! REPO/targets/    <folder of the target path>/<sha256>.<file name>          (consistent snapshots: TUF 1.0, section 6.2)
//! ```

use crate::Digest;

/// The longest name of a file in a slot, bytes.
pub const MOST_FILE_NAME: usize = 64;
/// The longest part of a path in a repository, bytes.
pub const MOST_SEGMENT: usize = 160;
/// The longest name in a repository, bytes.
pub const MOST_NAME: usize = 512;
/// The most parts of a path in a repository.
pub const MOST_DEPTH: usize = 8;
/// The name of the manifest, in a repository and in a slot. No file of a release has it.
pub const MANIFEST: &str = "manifest.json";
/// The name of the pack in a repository.
pub const PACK: &str = "pack";

/// A name that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` can't be a name here: {reason}")]
pub struct BadName {
    /// The name, or its beginning.
    pub name: String,
    /// Why.
    pub reason: &'static str,
}

fn bad(name: &str, reason: &'static str) -> BadName {
    // What somebody sent may be long, or hold what a terminal would act on.
    let name = name.chars().take(80).flat_map(char::escape_default).collect();
    BadName { name, reason }
}

/// The name of a file in a slot: `[a-z0-9._-]`, at most 64, no dot first, and not the manifest's.
///
/// # Errors
/// It is none.
pub fn file(name: &str) -> Result<(), BadName> {
    let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if name == MANIFEST {
        return Err(bad(name, "it is the manifest's"));
    }
    part(name, MOST_FILE_NAME, is_good, "only a-z, 0-9, `.`, `_` and `-` may be in it")
}

/// A part of a path in a repository: `[A-Za-z0-9._+-]`, no dot first.
///
/// # Errors
/// It is none.
pub fn segment(name: &str) -> Result<(), BadName> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-');
    part(name, MOST_SEGMENT, is_good, "only letters, digits, `.`, `_`, `+` and `-` may be in it")
}

fn part(name: &str, most: usize, is_good: impl Fn(u8) -> bool, what: &'static str) -> Result<(), BadName> {
    if name.is_empty() {
        Err(bad(name, "it is empty"))
    } else if name.len() > most {
        Err(bad(name, "it is too long"))
    } else if name.starts_with('.') {
        Err(bad(name, "it begins with a dot"))
    } else if !name.bytes().all(is_good) {
        Err(bad(name, what))
    } else {
        Ok(())
    }
}

/// The path of a TUF target: parts with `/` between.
///
/// # Errors
/// It is none.
pub fn target_path(path: &str) -> Result<(), BadName> {
    if path.len() > MOST_NAME {
        return Err(bad(path, "it is too long"));
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > MOST_DEPTH {
        return Err(bad(path, "it has too many parts"));
    }
    parts.iter().try_for_each(|part| segment(part))
}

/// The name of a file in a repository: `metadata/...json` or `targets/.../<sha256>.<file name>`.
///
/// # Errors
/// There can be no such file in one.
pub fn in_repository(name: &str) -> Result<(), BadName> {
    target_path(name)?;
    let wrong = || bad(name, "neither `metadata/ROLE.json` nor `targets/.../SHA256.NAME`");
    let (folder, rest) = name.split_once('/').ok_or_else(wrong)?;
    let fits = match folder {
        "metadata" => metadata(rest),
        "targets" => {
            let last = rest.rsplit('/').next().unwrap_or_default();
            last.split_once('.').is_some_and(|(sum, file)| !file.is_empty() && sum.parse::<Digest>().is_ok())
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(wrong()) }
}

/// `timestamp.json` or `N.role.json`.
fn metadata(name: &str) -> bool {
    if name == "timestamp.json" {
        return true;
    }
    let Some((version, role)) = name.strip_suffix(".json").and_then(|name| name.split_once('.')) else {
        return false;
    };
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !version.starts_with('0') && !role.is_empty()
}

/// Where the target of this path and content lies in a repository.
///
/// # Errors
/// The path is none.
pub fn of_target(path: &str, sha256: Digest) -> Result<String, BadName> {
    target_path(path)?;
    let name = match path.rsplit_once('/') {
        Some((folder, file)) => format!("targets/{folder}/{sha256}.{file}"),
        None => format!("targets/{sha256}.{path}"),
    };
    in_repository(&name).map(|()| name)
}

/// The path of the target `file` beside the manifest of the path `manifest`.
///
/// # Errors
/// `manifest` is no manifest's path.
pub fn beside(manifest: &str, file: &str) -> Result<String, BadName> {
    target_path(manifest)?;
    let folder = manifest.strip_suffix(MANIFEST).filter(|folder| folder.ends_with('/'));
    let folder = folder.ok_or_else(|| bad(manifest, "a path that ends with `/manifest.json` is expected"))?;
    let path = format!("{folder}{file}");
    target_path(&path).map(|()| path)
}

/// The file name of a patch, by the SHA-256 of the old file.
pub fn patch(from: Digest) -> String {
    format!("patch-{from}.zst")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_slot() {
        for good in ["engawa", "engawa-supervisor", "a", "tables_1.toml"] {
            assert_eq!(file(good), Ok(()), "{good}");
        }
        let long = "x".repeat(65);
        for wrong in ["", ".", "..", ".hidden", "a/b", "Engawa", "a b", "a\0", "ü", "manifest.json", &long] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_of_a_repository() {
        let sum = Digest::of(b"");
        for good in [
            "metadata/timestamp.json".to_owned(),
            "metadata/1.root.json".to_owned(),
            "metadata/12.targets.json".to_owned(),
            "metadata/3.engawa-stable.json".to_owned(),
            format!("targets/engawa/aarch64-unknown-linux-gnu/1.2.0+5/{sum}.manifest.json"),
            format!("targets/{sum}.pack"),
        ] {
            assert_eq!(in_repository(&good), Ok(()));
        }
        for wrong in [
            "",
            "/",
            "metadata",
            "metadata/",
            "metadata/root.json",
            "metadata/0.root.json",
            "metadata/x.root.json",
            "metadata/../secret",
            "../metadata/1.root.json",
            "/metadata/1.root.json",
            "metadata//1.root.json",
            "metadata/1.root.json/",
            "metadata/1..json/x",
            "keys/1.root.json",
            "targets/pack",
            "targets/x.pack",
            "metadata/1.root.json\0",
            "metadata\\1.root.json",
        ] {
            assert!(in_repository(wrong).is_err(), "{wrong}");
        }
        let deep = format!("targets/{}{sum}.pack", "a/".repeat(20));
        assert!(in_repository(&deep).is_err());
    }

    #[test]
    fn where_targets_are() {
        let sum = Digest::of(b"x");
        let manifest = "engawa/t/1.0.0/manifest.json";
        assert_eq!(of_target(manifest, sum).unwrap(), format!("targets/engawa/t/1.0.0/{sum}.manifest.json"));
        assert_eq!(beside(manifest, PACK).unwrap(), "engawa/t/1.0.0/pack");
        assert!(beside("engawa/t/1.0.0/other.json", PACK).is_err());
        assert!(beside(manifest, "../pack").is_err());
        assert!(of_target("../x", sum).is_err());
    }
}
