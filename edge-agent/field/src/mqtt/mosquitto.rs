//! What Mosquitto needs to be this house's broker: its configuration, its passwords, its access control list.
//!
//! Why written by the gateway: who may do what follows from the devices and users of its configuration, and nobody
//! keeps two such lists equal by hand.
//!
//! Never: files, randomness (salts come in); a password in what it writes.

use super::access::Rights;
use super::topic::overlap;
use data_encoding::BASE64;
use ring::pbkdf2;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// How often the hash is taken; Mosquitto's own tool takes 101, and the number stands in the line.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);
/// A salt's length, bytes, as Mosquitto's own tool has it.
pub const SALT: usize = 12;
const HASH: usize = 64;

/// How Mosquitto listens, and where its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub listen: SocketAddr,
    /// Certificate and key, for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The authority whose certificates clients must show.
    pub client_ca: Option<PathBuf>,
    /// Where Mosquitto keeps what it must not lose.
    pub state: PathBuf,
    /// The file of [`password_line`]s.
    pub passwords: PathBuf,
    /// The file of [`acl`].
    pub acl: PathBuf,
}

/// `mosquitto.conf`.
pub fn configuration(listener: &Listener) -> String {
    let Listener { listen, tls, client_ca, state, passwords, acl } = listener;
    let state = state.display().to_string();
    let mut text = format!(
        "# Written by `engawa broker mosquitto`; written anew when devices or users change.\n\
         per_listener_settings true\n\
         \n\
         # What is acknowledged survives a restart; a power cut costs at most the interval.\n\
         persistence true\n\
         persistence_location {}/\n\
         autosave_interval 60\n\
         # The gateway has up to 100 messages under way. Beyond these bounds the oldest of a client that is away go.\n\
         max_inflight_messages 100\n\
         max_queued_messages 10000\n\
         persistent_client_expiration 14d\n\
         \n\
         listener {} {}\n\
         allow_anonymous false\n\
         password_file {}\n\
         acl_file {}\n",
        state.trim_end_matches('/'),
        listen.port(),
        listen.ip(),
        passwords.display(),
        acl.display()
    );
    // Writing to a String has no failing case.
    if let Some((cert, key)) = tls {
        let _ = write!(text, "certfile {}\nkeyfile {}\ntls_version tlsv1.2\n", cert.display(), key.display());
    }
    if let Some(ca) = client_ca {
        let _ = write!(text, "cafile {}\nrequire_certificate true\n", ca.display());
    }
    text
}

/// True where `name` can be a user of Mosquitto: its files have a line for each, and a colon after the name.
pub fn can_be_user(name: &str) -> bool {
    !name.is_empty() && !name.contains(':') && !name.chars().any(char::is_control) && name.trim() == name
}

/// A line of the password file: PBKDF2 with SHA-512, the form `$7$`.
pub fn password_line(name: &str, password: &str, salt: &[u8; SALT]) -> String {
    let mut hash = [0; HASH];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ROUNDS, salt, password.as_bytes(), &mut hash);
    format!("{name}:$7${ROUNDS}${}${}\n", BASE64.encode(salt), BASE64.encode(&hash))
}

/// The access control list; whoever is not in it may do nothing.
pub fn acl<'a>(users: impl IntoIterator<Item = (&'a str, &'a Rights)>) -> String {
    let mut text = "# Written by `engawa broker mosquitto`: what is not here is denied.\n".to_owned();
    for (name, rights) in users {
        let _ = write!(text, "\nuser {name}\n");
        for filter in rights.publish.union(&rights.subscribe) {
            let access = match (rights.publish.contains(filter), rights.subscribe.contains(filter)) {
                (true, true) => "readwrite",
                (true, false) => "write",
                _ => "read",
            };
            let _ = writeln!(text, "topic {access} {filter}");
        }
        for filter in &rights.never {
            // It keeps from hearing, too: so it is said only where something would be allowed.
            if rights.publish.iter().any(|granted| overlap(granted, filter)) {
                let _ = writeln!(text, "topic deny {filter}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_lines_have_mosquittos_form() {
        let set = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect();
        let rights =
            Rights { publish: set(&["a", "b"]), subscribe: set(&["b", "c/#"]), never: set(&["x/#"]) };
        let text = acl([("x y", &rights)]);
        assert!(text.ends_with("\nuser x y\ntopic write a\ntopic readwrite b\ntopic read c/#\n"), "{text}");
        let line = password_line("x", "tea", &[7; SALT]);
        assert!(line.starts_with("x:$7$1000$BwcHBwcHBwcHBwcH$") && line.len() == 27 + 88 + 1, "{line}");
        assert_ne!(line, password_line("x", "tea", &[8; SALT]));
        assert!(!can_be_user("a:b") && !can_be_user("") && !can_be_user("a\nb") && can_be_user("x y"));
    }
}
