//! The gateway's end: keeps a connection to the cloud, ships the journal up and takes commands down.

mod session;
mod updates;

pub use updates::{LineSource, UpdateLine, UpdatePort, updates};

use crate::dial::Dialer;
use crate::home::Native;
use crate::keeper::Keeper;
use crate::transport::Connection;
use crate::{Identity, Line, LinkError, Tuning, tls};
use engawa_protocol::backoff::Backoff;
use engawa_protocol::ports::EdgeStore;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// The codes with which the gateway closes a connection.
const GOING: u32 = 0;
const SENSELESS: u32 = 2;

/// How the link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected.
    Down {
        /// Why, in plain words.
        reason: String,
    },
    /// Connected and welcomed.
    Up {
        /// Since when.
        since: SystemTime,
        /// The cloud's address.
        address: String,
    },
}

/// What the gateway's end works with.
pub struct EdgeLink {
    /// The way to the cloud.
    pub cloud: Line,
    /// Who we are.
    pub identity: Identity,
    /// The journal and the inbox.
    pub store: Arc<dyn EdgeStore>,
    /// Told when the journal was written.
    pub wake: Arc<Notify>,
    /// How the link is; kept up to date.
    pub state: watch::Sender<LinkState>,
    /// Where questions about updates come from, where anybody asks: see [`updates`].
    pub updates: Option<UpdatePort>,
    /// Times and bounds.
    pub tuning: Tuning,
    /// Spreads the pauses between attempts.
    pub seed: u64,
}

impl EdgeLink {
    /// Keeps the link until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut backoff = Backoff::new(self.tuning.backoff_min, self.tuning.backoff_max);
        let dialer = match self.dialer() {
            Ok(dialer) => dialer,
            Err(error) => {
                let reason = error.in_words();
                tracing::error!(%reason, "there can be no link to the cloud");
                self.state.send_replace(LinkState::Down { reason });
                return cancel.cancelled().await;
            }
        };
        let keeper = Keeper::start(self.cloud.clone(), self.identity.clone(), self.tuning, self.seed);
        loop {
            let began = tokio::time::Instant::now();
            let (_, mut renewed) = keeper.identity();
            // A connection never ends well by itself.
            let Err(error) = self.connect_and_sync(&dialer, &keeper, &cancel).await else { break };
            keeper.failed(&error);
            if matches!(error, LinkError::Renewed) {
                continue;
            }
            let reason = error.in_words();
            tracing::warn!(cloud = %self.cloud.addresses.join(", "), %reason, "the link to the cloud is down");
            self.state.send_replace(LinkState::Down { reason });
            let hint = match error {
                LinkError::Refused { retry_after_s, .. } if retry_after_s > 0 => {
                    Some(Duration::from_secs(u64::from(retry_after_s)))
                }
                _ => None,
            };
            let wait = backoff.pause(began.elapsed(), hint, random.random());
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                // What was refused may be welcome now.
                () = renewed.wait() => {}
            }
        }
        self.state.send_replace(LinkState::Down { reason: "the gateway stops".to_owned() });
    }

    fn dialer(&self) -> Result<Dialer, LinkError> {
        let Identity { gateway, certificate_pem, key_pem, ca_pem, .. } = &self.identity;
        let tls = tls::edge(certificate_pem, key_pem, ca_pem)?;
        Ok(Dialer::new(self.cloud.clone(), gateway, tls, self.tuning))
    }

    async fn connect_and_sync(
        &self,
        dialer: &Dialer,
        keeper: &Keeper,
        cancel: &CancellationToken,
    ) -> Result<Stopped, LinkError> {
        let (identity, mut renewed) = keeper.identity();
        let tls = tls::edge(&identity.certificate_pem, &identity.key_pem, &identity.ca_pem)?;
        dialer.show(tls, Native::of(&identity));
        let Some(connected) = cancel.run_until_cancelled(dialer.dial()).await else { return Ok(Stopped) };
        let mut connection = connected?;
        loop {
            let began = tokio::time::Instant::now();
            let ended = tokio::select! {
                () = cancel.cancelled() => After::Stop,
                ended = self.sync(&connection, keeper, dialer.held()) => match ended { Err(error) => After::Fault(error) },
                error = dialer.keep(&connection) => After::Fault(error),
                better = dialer.better(&connection) => After::Move(better),
                () = renewed.wait() => After::Fault(LinkError::Renewed),
            };
            self.store.live_over();
            if let After::Fault(error) = &ended {
                dialer.ended(&connection, error, began.elapsed());
            }
            // The cloud learns at once that we have gone, and does not wait for its time-out.
            match &ended {
                After::Fault(LinkError::Session(error)) => connection.close(SENSELESS, &error.to_string()),
                _ => connection.close(GOING, "going"),
            }
            connection.said_goodbye().await;
            match ended {
                After::Stop => return Ok(Stopped),
                After::Fault(error) => return Err(error),
                After::Move(better) => {
                    tracing::info!(cloud = %better, "QUIC gets through again: the link moves to it");
                    connection = better;
                }
            }
        }
    }
}

/// The link was told to stop.
struct Stopped;

/// What comes after a session.
enum After {
    Stop,
    Fault(LinkError),
    Move(Connection),
}
