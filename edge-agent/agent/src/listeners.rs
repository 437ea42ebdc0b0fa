//! Listening sockets that a supervisor holds and hands over (sd_listen_fds(3)): a connection that comes while the release is
//! switched waits in them, and is not refused.

use anyhow::Context;
use listenfd::ListenFd;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

/// The name of the API's TCP door in LISTEN_FDNAMES.
const API: &str = "api";

/// The sockets that were handed over, by name.
#[derive(Debug, Default)]
pub(crate) struct Listeners(BTreeMap<String, TcpListener>);

impl Listeners {
    /// Takes what the environment names. What can't be used is said, and left.
    pub(crate) fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut handed = ListenFd::from_env();
        let mut taken = BTreeMap::new();
        for (n, name) in names.split(':').take(handed.len()).enumerate() {
            match handed.take_tcp_listener(n) {
                Ok(Some(listener)) if name == API => drop(taken.insert(name.to_owned(), listener)),
                Ok(_) => {
                    tracing::warn!(socket = %name, "nothing here listens on the socket of this name: `{API}` is known")
                }
                Err(error) => {
                    tracing::warn!(socket = %name, %error, "a socket that was handed over can't be used")
                }
            }
        }
        Self(taken)
    }

    /// The listener for the API's TCP door, where one was handed over that is where the configuration says: that may have changed
    /// since the supervisor was started.
    ///
    /// # Errors
    /// The system has no room for another descriptor.
    pub(crate) fn api(&self, configured: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
        let Some(listener) = self.0.get(API) else { return Ok(None) };
        let is = listener.local_addr().context("asking where the socket `api` listens")?;
        let Some(wanted) = configured else { return Ok(None) };
        if wanted.ip() != is.ip() || (wanted.port() != 0 && wanted.port() != is.port()) {
            tracing::warn!(
                held = %is, configured = %wanted,
                "the supervisor holds the socket `{API}` elsewhere than [api] listen says: it is listened on by the agent alone, and \
                 whoever connects while versions are switched is refused; restart the service, so that the supervisor takes the \
                 new address"
            );
            return Ok(None);
        }
        // The task may be started again: the one that is held stays.
        Ok(Some(listener.try_clone().context("taking the socket `api`")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_serves_again_where_it_is_at_the_address_of_the_configuration() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let listeners = Listeners([(API.to_owned(), listener)].into());
        for configured in [at, "127.0.0.1:0".parse().unwrap(), at] {
            let taken = listeners.api(Some(configured)).unwrap().unwrap();
            assert_eq!(taken.local_addr().unwrap(), at);
        }
        assert!(listeners.api(None).unwrap().is_none());
        assert!(listeners.api(Some("127.0.0.2:0".parse().unwrap())).unwrap().is_none());
        assert!(Listeners::default().api(Some(at)).unwrap().is_none());
    }
}
