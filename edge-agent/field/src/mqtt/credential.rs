//! A user name and password, kept out of logs and errors.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest password file that is read, bytes.
const MOST: u64 = 64 * 1024;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file can't be read.
    #[error("{} can't be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{} has no password in its first line", .0.display())]
    NoPassword(PathBuf),
}

/// The credential of `user`, whose password is the first line of the file at `path`. Blocks on the disk.
///
/// # Errors
/// A file that can't be read, or that has no password.
pub fn read(user: &str, path: &Path) -> Result<Credential, CredentialError> {
    let fault = |source| CredentialError::File { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text)).map_err(fault)?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(Credential::new(user, password)),
        _ => Err(CredentialError::NoPassword(path.to_owned())),
    }
}

/// A user name with its password.
#[derive(Clone)]
pub struct Credential {
    username: String,
    password: String,
}

impl Credential {
    /// Both halves.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// True where both halves are right. How long it takes does not tell how much of the password is.
    pub fn matches(&self, username: &str, password: &[u8]) -> bool {
        let ours = self.password.as_bytes();
        let differs =
            ours.iter().enumerate().fold(u8::from(ours.len() != password.len()), |sum, (at, byte)| {
                sum | (byte ^ password.get(at).copied().unwrap_or_default())
            });
        self.username == username && differs == 0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_halves_match() {
        let credential = Credential::new("bar", "tea");
        assert!(credential.matches("bar", b"tea"));
        for (user, password) in [("bar", "te"), ("bar", "teaa"), ("bar", ""), ("", "tea"), ("bar", "tee")] {
            assert!(!credential.matches(user, password.as_bytes()), "{user} {password}");
        }
        assert!(!format!("{credential:?}").contains("tea"));
    }
}
