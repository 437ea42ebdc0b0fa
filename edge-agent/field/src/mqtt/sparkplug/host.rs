//! The primary host: what its STATE messages say (Sparkplug 3.0, sections 5.4 and 5.5).
//!
//! Why the timestamp counts: a host's will may reach the broker after the host's next birth. It carries the
//! timestamp of the session that it ends, so an older one says nothing about the session that runs.
//!
//! Never: the clock.

use serde::Deserialize;

/// The longest STATE payload that is read, bytes.
const MAX_STATE: usize = 4096;

/// A STATE payload. Hosts may add keys of their own.
#[derive(Deserialize)]
struct State {
    online: bool,
    timestamp: u64,
}

/// What is known of the primary host.
#[derive(Debug, Default)]
pub(super) struct PrimaryHost {
    /// In this session of ours.
    online: bool,
    /// Of the newest STATE ever heard; outlives our sessions.
    newest: Option<u64>,
}

/// What a STATE message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostNews {
    /// The host is online.
    Online,
    /// The host is offline.
    Offline,
    /// Older than what is known already.
    Old,
}

impl PrimaryHost {
    /// True once the host has said so in this session.
    pub(super) fn online(&self) -> bool {
        self.online
    }

    /// Our own session is over: the host must be seen again in the next one.
    pub(super) fn forget(&mut self) {
        self.online = false;
    }

    /// Takes a STATE payload; an error says what is wrong with it.
    pub(super) fn hear(&mut self, payload: &[u8]) -> Result<HostNews, String> {
        if payload.len() > MAX_STATE {
            return Err(format!("a STATE payload of {} bytes; at most {MAX_STATE} are read", payload.len()));
        }
        let state: State = serde_json::from_slice(payload).map_err(|error| {
            format!("expected JSON with `online` and `timestamp` (Sparkplug 3.0): {error}")
        })?;
        if self.newest.is_some_and(|newest| state.timestamp < newest) {
            return Ok(HostNews::Old);
        }
        self.newest = Some(state.timestamp);
        self.online = state.online;
        Ok(if state.online { HostNews::Online } else { HostNews::Offline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_older_counts() {
        let mut host = PrimaryHost::default();
        for (payload, news, online) in [
            (r#"{"online":true,"timestamp":100}"#, HostNews::Online, true),
            (r#"{"online":false,"timestamp":99}"#, HostNews::Old, true),
            // The will of a session has the timestamp of its birth.
            (r#"{"online":false,"timestamp":100}"#, HostNews::Offline, false),
            (r#"{"online":true,"timestamp":99}"#, HostNews::Old, false),
            (r#"{"timestamp":101,"online":true,"more":[1]}"#, HostNews::Online, true),
        ] {
            assert_eq!(host.hear(payload.as_bytes()), Ok(news), "{payload}");
            assert_eq!(host.online(), online, "{payload}");
        }
        host.forget();
        assert!(!host.online());
        assert_eq!(host.hear(br#"{"online":true,"timestamp":1}"#), Ok(HostNews::Old));
    }

    #[test]
    fn what_is_no_state_is_refused_in_words() {
        let mut host = PrimaryHost::default();
        for payload in
            ["ONLINE", "", "{}", r#"{"online":1,"timestamp":1}"#, r#"{"online":true,"timestamp":-1}"#]
        {
            assert!(host.hear(payload.as_bytes()).unwrap_err().contains("`online`"), "{payload}");
        }
        assert!(host.hear(&[b' '; MAX_STATE + 1]).unwrap_err().contains("bytes"));
        assert!(!host.online());
    }
}
