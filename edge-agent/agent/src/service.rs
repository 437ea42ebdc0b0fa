//! What the agent tells the service manager: ready, alive, stopping. Without systemd it tells nobody.

use crate::house::Shared;
use engawa_model::Timestamp;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A house that has not shown itself for this long must not be called alive.
const SILENT: Duration = Duration::from_secs(20);

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The agent is ready.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
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
