//! Keeps a gateway's identity good while its link runs: asks now and then how the certificate stands, renews it, and has
//! the session begin anew with it.

use crate::error::chain;
use crate::renew::{Renewal, Step};
use crate::transport::SendHalf;
use crate::turn::Turns;
use crate::{Identity, Line, LinkError, Tuning, stream};
use engawa_protocol::frame::Body;
use engawa_protocol::trust::Turn;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// The steps of one renewal, and some more: a bound on what one look may do.
const MOST_STEPS: usize = 8;
/// After a failure it is tried again so much sooner.
const SOONER: u32 = 24;

/// The identity of a running link.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    _task: Option<AbortOnDropHandle<()>>,
}

struct Shared {
    identity: Mutex<Identity>,
    turns: Turns,
    shown: Mutex<Option<Turn>>,
    /// The session was refused, perhaps since the certificate's time is over.
    refused: Notify,
    /// Counts the certificates.
    renewed: watch::Sender<u64>,
}

impl Keeper {
    /// Begins to look after `identity`; ends when it is dropped.
    pub(crate) fn start(cloud: Line, identity: Identity, tuning: Tuning, seed: u64) -> Self {
        let (folder, keys) = (identity.folder.clone(), identity.keys.clone());
        let shared = Arc::new(Shared {
            turns: Turns::new(folder.as_deref()),
            shown: Mutex::new(None),
            identity: Mutex::new(identity),
            refused: Notify::new(),
            renewed: watch::Sender::new(0),
        });
        let task = folder.map(|folder| {
            let renewal = Renewal { cloud, folder, keys, tuning };
            AbortOnDropHandle::new(tokio::spawn(Arc::clone(&shared).look_after(renewal, seed)))
        });
        Self { shared, _task: task }
    }

    /// The identity to connect with now, and what ends once there is a newer one.
    pub(crate) fn identity(&self) -> (Identity, Renewed) {
        let renewed = Renewed(self.shared.renewed.subscribe());
        (self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner).clone(), renewed)
    }

    /// The link failed; where the cloud refused, the certificate may be the reason.
    pub(crate) fn failed(&self, error: &LinkError) {
        if matches!(error, LinkError::Refused { .. }) {
            self.shared.refused.notify_one();
        }
    }

    /// What comes before the hello: the turn is shown. That the cloud is of our region was seen when it was dialled.
    ///
    /// # Errors
    /// The stream broke.
    pub(crate) async fn greet(&self, up: &mut SendHalf) -> Result<(), LinkError> {
        // A file is written and synced: short, but not on the async threads.
        let shared = Arc::clone(&self.shared);
        let turn = tokio::task::spawn_blocking(move || shared.turns.show()).await.unwrap_or(None);
        *self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner) = turn;
        match turn {
            Some(turn) => stream::send(up, Body::Turn(turn)).await,
            None => Ok(()),
        }
    }

    /// The cloud has noted the turn that was shown, under this number.
    pub(crate) fn taken(&self, number: u64) {
        let shown = self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(shown) = shown {
            let shared = Arc::clone(&self.shared);
            // What fails is logged there, and does no harm; so does a process that ends before.
            tokio::task::spawn_blocking(move || shared.turns.taken(shown, number));
        }
    }
}

/// Ends once there is a newer certificate.
pub(crate) struct Renewed(watch::Receiver<u64>);

impl Renewed {
    pub(crate) async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody renews it any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    async fn look_after(self: Arc<Self>, renewal: Renewal, seed: u64) {
        // Another stream of numbers than the pauses between attempts to connect.
        let mut random = StdRng::seed_from_u64(seed ^ 0x7265_6e65_7721);
        let every = renewal.tuning.certificates;
        // A fleet that starts at once must not ask at once.
        let mut pause = every.mul_f64(random.random_range(0.0..0.05));
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.refused.notified() => {}
            }
            let sooner = every / SOONER;
            pause = match self.look(&renewal).await {
                Ok(()) => every.mul_f64(random.random_range(0.5..1.0)),
                Err(error) => {
                    tracing::info!(reason = %error, "the certificate could not be looked after; trying again later");
                    sooner.mul_f64(random.random_range(0.5..1.0))
                }
            };
            // Refusals come again and again; so often is enough.
            tokio::time::sleep(sooner.min(pause).mul_f64(0.5)).await;
            pause = pause.saturating_sub(sooner / 2).max(Duration::from_millis(1));
        }
    }

    /// Does what there is to do now.
    async fn look(&self, renewal: &Renewal) -> Result<(), String> {
        for _ in 0..MOST_STEPS {
            let step = renewal.advance().await.map_err(|error| chain(&error))?;
            tracing::debug!(?step, "the gateway's certificate");
            match step {
                Step::Fresh | Step::GivenUp => break,
                Step::Trusting => self.reload(renewal, false)?,
                Step::Switched => {
                    self.reload(renewal, true)?;
                    tracing::info!("the gateway has a new certificate");
                }
                Step::KeyMade | Step::Signed | Step::OldGone => {}
            }
        }
        Ok(())
    }

    fn reload(&self, renewal: &Renewal, anew: bool) -> Result<(), String> {
        let identity =
            Identity::load_with(&renewal.folder, renewal.keys.clone()).map_err(|error| chain(&error))?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        if anew {
            self.renewed.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}
