//! `engawa-cloud serve`: puts the parts together.

use crate::lock;
use crate::output::say;
use crate::setup::{SERVER_FILE, SERVER_KEY_FILE, authority};
use anyhow::{Context, bail};
use engawa_cloud::end::End;
use engawa_cloud::store::{DATABASE_FILE, Watch, Writer, gateways};
use engawa_link::{CloudEnd, Tuning};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long the writer may take for what is left at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(dir: &Path, listen: SocketAddr) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(dir, listen))
}

async fn run(dir: &Path, listen: SocketAddr) -> anyhow::Result<()> {
    let (mut stop, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let read = |file| {
        let path = dir.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let authority_of_link = authority(dir)?;
    let _lock = lock::take(dir)?;
    let path = dir.join(DATABASE_FILE);
    let (writer, mut writer_ended) = Writer::start(&path)?;
    writer.run(gateways::all_gone)?;
    let (changed, commands) = watch::channel(0_u64);
    let watch = Watch::start(&path, move |gateway| {
        tracing::debug!(gateway, "new commands");
        changed.send_modify(|n| *n = n.wrapping_add(1));
    })?;
    let end = CloudEnd {
        listen,
        authority: authority_of_link,
        server_certificate_pem: read(SERVER_FILE)?,
        server_key_pem: read(SERVER_KEY_FILE)?,
        store: Arc::new(End::new(path, writer, authority(dir)?)),
        commands,
        tuning: Tuning::default(),
    };
    let bound = end.bind()?;
    if let Err(error) = say(&format!("listening on {}", bound.address())) {
        // Nobody reads it; the gateways come all the same.
        tracing::warn!(%error, address = %bound.address(), "listening, and standard output is closed");
    }
    let cancel = CancellationToken::new();
    let mut serving = tokio::spawn(bound.run(cancel.clone()));
    tokio::select! {
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => {
            ended.context("the link's task")??;
            bail!("the link ended by itself");
        }
        _ = &mut writer_ended => bail!("the database's writer has stopped"),
    }
    tracing::info!("stopping");
    cancel.cancel();
    serving.await.context("the link's task")??;
    drop(watch);
    // It ends once nobody holds it any more: the last presences are then noted and the file is tidy.
    if tokio::time::timeout(LAST_WRITES, writer_ended).await.is_err() {
        tracing::warn!("the last writes took too long; what was acknowledged is durable");
    }
    Ok(())
}
