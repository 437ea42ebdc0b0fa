//! `engawa run`: puts the parts together, and takes them apart in the right order.

use crate::config::Config;
use crate::house::House;
use anyhow::Context;
use engawa_pms::tcp::{Shell, SystemClock};
use engawa_store::{DatabaseKey, Limits, Store};
use jiff::tz::TimeZone;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Intents that may wait for the PMS link, which takes each at once.
const INTENTS: usize = 1024;

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let (mut stop, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    std::fs::create_dir_all(&config.store.dir)
        .with_context(|| format!("making the folder {}", config.store.dir.display()))?;
    let key = DatabaseKey::load_or_create(&config.key_file())?;
    let store = Store::open(&config.store.dir, &key, Limits::default())?;
    let property = store.load(config.property_spec())??;
    tracing::info!(property = %config.property.id, stays = property.stays().len(), "the house is open");
    let (intents, for_pms) = mpsc::channel(INTENTS);
    let (house, door) = House::new(property, store, intents);
    let mut house = tokio::spawn(house.run());
    let cancel = CancellationToken::new();
    let link = config.pms.clone().map(|pms| {
        let shell = Shell {
            config: pms,
            zone: TimeZone::get(&config.property.zone).unwrap_or(TimeZone::UTC),
            sink: Arc::new(door.clone()),
            intents: for_pms,
            clock: SystemClock,
            seed: rand::random(),
        };
        tokio::spawn(shell.run(cancel.clone()))
    });
    drop(door);
    let early = tokio::select! {
        _ = stop.recv() => None,
        _ = interrupt.recv() => None,
        ended = &mut house => Some(ended),
    };
    // First the links, so that what they still say is stored; the house ends when the last of them has gone.
    cancel.cancel();
    if let Some(link) = link {
        // The house may be gone already; then the link has nobody to report to.
        let _ = link.await;
    }
    let ended = match early {
        Some(ended) => ended,
        None => house.await,
    };
    ended.context("the house's task")?.context("the house can't go on")?;
    tracing::info!("the house is closed");
    Ok(())
}
