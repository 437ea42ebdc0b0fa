//! What the agent tells the service manager: ready, alive, stopping. Without systemd it tells nobody.

use crate::house::Shared;
use engawa_model::Timestamp;
use sd_notify::NotifyState;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A house that has not shown itself for this long must not be called alive.
const SILENT: Duration = Duration::from_secs(20);

/// A start goes on for so long from each time that this is said, microseconds.
const MORE_USEC: u32 = 60_000_000;
/// How often it is said.
const AGAIN: Duration = Duration::from_secs(15);

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The agent is ready.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the start goes on, until what is returned is dropped: bringing a large database up to date takes longer than a
/// start may. Whoever waits has a bound of its own.
pub(crate) fn prolong_start() -> mpsc::SyncSender<()> {
    let (goes_on, over) = mpsc::sync_channel(1);
    let told = std::thread::Builder::new().name("starting".to_owned()).spawn(move || {
        loop {
            tell(&[NotifyState::ExtendTimeoutUsec(MORE_USEC)]);
            if over.recv_timeout(AGAIN) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager can't be told that the start goes on");
    }
    goes_on
}

/// The agent stops.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the service manager's watchdog for as long as the house's loop is alive: a house that hangs is then killed
/// and started again.
pub(crate) async fn feed_watchdog(shared: Arc<Shared>, cancel: CancellationToken) -> anyhow::Result<()> {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        cancel.cancelled().await;
        return Ok(());
    };
    let mut ticks = tokio::time::interval(patience / 3);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = ticks.tick() => {
                if shared.silence(Timestamp::now()) < SILENT {
                    tell(&[NotifyState::Watchdog]);
                }
            }
        }
    }
}
