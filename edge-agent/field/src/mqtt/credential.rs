//! A user name and password, kept out of logs and errors.
//!
//! Never: reads files; the shell does.

use std::fmt;

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

    pub(super) fn password(&self) -> &str {
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
