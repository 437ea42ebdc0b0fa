//! `engawa-cloud serve`: puts the parts together.

use crate::desk::Home;
use crate::output::say;
use crate::release::online;
use crate::setup::{self, SERVER_FILE, SERVER_KEY_FILE, authority};
use crate::{lock, reconcile, upkeep};
use anyhow::{Context, bail};
use engawa_cloud::end::End;
use engawa_cloud::live::Door;
use engawa_cloud::postgres::{self, end::Authorities};
use engawa_cloud::releases::Repository;
use engawa_cloud::store::{DATABASE_FILE, Watch, Writer, gateways};
use engawa_link::{BoundCloud, CloudEnd, Tuning};
use engawa_model::Timestamp;
use engawa_protocol::ports::CloudStore;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the writer may take for what is left at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Why a replica ends whose folder lacks the authority that signs.
const LEFT_BEHIND: &str = "another authority signs gateways' certificates now, and this replica's folder does not have it: \
    copy the folder of another replica, and start this one again";

/// The releases that gateways fetch.
#[derive(clap::Args)]
pub(crate) struct Releases {
    /// The repository of releases that gateways fetch from, as `engawa-cloud release` makes it. It need not be there yet.
    /// Without it: `releases` in the cloud's folder.
    #[arg(long, env = "ENGAWA_CLOUD_RELEASES", value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    releases: Option<PathBuf>,
    /// How fast all gateways together may fetch releases from this process, KiB a second; 0: no limit.
    #[arg(long, default_value_t = 16_384, value_name = "KIB")]
    releases_kib_s: u32,
    /// A file for gauges of the days until the releases' metadata expires, in Prometheus' text format, such as node_exporter's
    /// textfile collector reads: written every ten minutes.
    #[arg(long, value_name = "FILE.prom", value_hint = clap::ValueHint::FilePath)]
    releases_metrics: Option<PathBuf>,
}

impl Releases {
    fn folder(&self, dir: &Path) -> PathBuf {
        self.releases.clone().unwrap_or_else(|| dir.join("releases"))
    }

    fn repository(&self, dir: &Path) -> Repository {
        Repository::new(&self.folder(dir), u64::from(self.releases_kib_s) << 10)
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(
    home: &Home,
    doors: Doors,
    nats: Option<String>,
    releases: &Releases,
) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let address = home.address()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Ends with the runtime: what it writes is whole or not there.
        let (folder, metrics) = (releases.folder(&home.dir), releases.releases_metrics.clone());
        tokio::spawn(online::keep_fresh(home.dir.clone(), folder, metrics));
        match address {
            Some(address) => on_postgres(&home.dir, doors, address, nats, releases).await,
            None if nats.is_some() => bail!("--nats needs a PostgreSQL database: name it with --database"),
            None => on_sqlite(&home.dir, doors, releases).await,
        }
    })
}

/// Where the cloud listens: UDP, and TCP where that is another address.
type Doors = (SocketAddr, Option<SocketAddr>);

/// The link's end for the cloud in `dir`, listening.
fn bind(
    dir: &Path,
    (listen, listen_tcp): Doors,
    store: Arc<dyn CloudStore>,
    commands: watch::Receiver<u64>,
) -> anyhow::Result<BoundCloud> {
    let certificate = dir.join(SERVER_FILE);
    let server_certificate_pem = std::fs::read_to_string(&certificate)
        .with_context(|| format!("reading {}", certificate.display()))?;
    let end = CloudEnd {
        listen,
        listen_tcp,
        authority: authority(dir)?,
        server_certificate_pem,
        server_key_pem: setup::key(&dir.join(SERVER_KEY_FILE))?,
        store,
        commands,
        tuning: Tuning::default(),
    };
    let bound = end.bind()?;
    let (udp, tcp) = (bound.address(), bound.tcp_address());
    if let Err(error) = say(&format!("listening on {udp}\nlistening on {tcp} by TCP")) {
        // Nobody reads it; the gateways come all the same.
        tracing::warn!(%error, address = %bound.address(), "listening, and standard output is closed");
    }
    tracing::info!(udp = %bound.address(), tcp = %bound.tcp_address(), "listening");
    Ok(bound)
}

/// Serves until SIGTERM, SIGINT, or that `lost` is ready; then says good-bye to the gateways, which come back elsewhere or
/// later, each after a time of chance.
async fn until_stopped(bound: BoundCloud, lost: impl Future<Output = &'static str>) -> anyhow::Result<()> {
    let (mut stop, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancel = CancellationToken::new();
    let mut serving = tokio::spawn(bound.run(cancel.clone()));
    tokio::select! {
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => {
            ended.context("the link's task")??;
            bail!("the link ended by itself");
        }
        why = lost => {
            cancel.cancel();
            // Gateways hear that they are to go elsewhere, as far as that is still possible.
            let _ = tokio::time::timeout(LAST_WRITES, serving).await;
            bail!(why);
        }
    }
    tracing::info!("stopping");
    cancel.cancel();
    serving.await.context("the link's task")??;
    Ok(())
}

async fn on_sqlite(dir: &Path, doors: Doors, releases: &Releases) -> anyhow::Result<()> {
    let authority = authority(dir)?;
    let _lock = lock::take(dir)?;
    let path = dir.join(DATABASE_FILE);
    let (writer, mut writer_ended) = Writer::start(&path)?;
    writer.run(gateways::all_gone)?;
    let (changed, commands) = watch::channel(0_u64);
    let watch = Watch::start(&path, move |gateway| {
        tracing::debug!(gateway, "new commands");
        changed.send_modify(|n| *n = n.wrapping_add(1));
    })?;
    let end = Arc::new(End::new(path, writer.clone(), authority));
    end.releases().set(releases.repository(dir));
    let beside = CancellationToken::new();
    let watching = match Door::open(dir) {
        Ok(door) => Some(tokio::spawn(door.run(end.hub().clone(), beside.clone()))),
        // A cloud whose values nobody can watch is still a cloud.
        Err(error) => {
            tracing::warn!(%error, "no socket for live values in {}: `engawa-cloud tail` won't work", dir.display());
            None
        }
    };
    let bound = bind(dir, doors, Arc::clone(&end) as Arc<dyn CloudStore>, commands)?;
    let rollouts = tokio::spawn(reconcile::on_sqlite(dir.to_owned(), releases.folder(dir), writer.clone()));
    let upkeep = tokio::spawn(upkeep::on_sqlite(dir.to_owned(), end, bound.trust(), writer));
    let lost = async {
        let _ = (&mut writer_ended).await;
        "the database's writer has stopped"
    };
    let served = until_stopped(bound, lost).await;
    for task in [upkeep, rollouts] {
        task.abort();
        let _ = task.await;
    }
    beside.cancel();
    if let Some(watching) = watching {
        let _ = watching.await;
    }
    served?;
    drop(watch);
    // It ends once nobody holds it any more: the last presences are then noted and the file is tidy.
    if tokio::time::timeout(LAST_WRITES, writer_ended).await.is_err() {
        tracing::warn!("the last writes took too long; what was acknowledged is durable");
    }
    Ok(())
}

async fn on_postgres(
    dir: &Path,
    doors: Doors,
    address: postgres::Address,
    nats: Option<String>,
    releases: &Releases,
) -> anyhow::Result<()> {
    let told = address.to_string();
    // First what needs no database.
    authority(dir)?;
    let authorities = Authorities::load(dir)?;
    let store = postgres::Store::new(address)?;
    postgres::migrations::migrate_to(&store, postgres::migrations::LATEST).await.context(told)?;
    let store = postgres::Store::open(store.address().clone()).await?;
    postgres::partitions::ahead(&store, Timestamp::now()).await?;
    let mut replica = postgres::Replica::new(doors.0.to_string());
    postgres::authority::require(&store.client().await?, authorities.whole()).await?;
    // Now it is among those that must agree, and hears what they agreed on meanwhile.
    replica.beat(&store).await?;
    postgres::authority::require(&store.client().await?, authorities.whole()).await?;
    let (changed, commands) = watch::channel(0_u64);
    let end = Arc::new(postgres::End::new(store.clone(), replica.clone(), authorities));
    end.releases().set(releases.repository(dir));
    let (hub, left_behind) = (end.hub().clone(), end.left_behind());
    end.tend().await?;
    let bound = bind(dir, doors, Arc::clone(&end) as Arc<dyn CloudStore>, commands)?;
    replica.address = bound.address().to_string();
    replica.beat(&store).await?;
    tracing::info!(replica = replica.id, database = %store.address(), "serving");
    let (beside, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(replica.live(store.clone(), beside.clone()));
    let wake = move |gateway: &str| {
        tracing::debug!(gateway, "new commands");
        changed.send_modify(|n| *n = n.wrapping_add(1));
    };
    tasks.spawn(postgres::Wake::run(store.clone(), wake, beside.clone()));
    tasks.spawn(postgres::live::tell(store.clone(), hub, beside.clone()));
    tasks.spawn(postgres::history::keep(store.clone(), beside.clone()));
    tasks.spawn(upkeep::on_postgres(dir.to_owned(), end, bound.trust(), store.clone(), beside.clone()));
    tasks.spawn(reconcile::on_postgres(store.clone(), releases.folder(dir), beside.clone()));
    if let Some(url) = nats {
        tasks.spawn(postgres::fanout::run(store.clone(), url, beside.clone()));
    }
    let lost = async {
        left_behind.cancelled().await;
        LEFT_BEHIND
    };
    let served = until_stopped(bound, lost).await;
    beside.cancel();
    if tokio::time::timeout(LAST_WRITES, async { while tasks.join_next().await.is_some() {} }).await.is_err()
    {
        tracing::warn!("the last writes took too long; what was acknowledged is durable");
    }
    served
}
