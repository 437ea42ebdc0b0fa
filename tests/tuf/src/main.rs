//! The TUF client over HTTP, with the command line that the TUF community's conformance suite drives.
//!
//! On the gateway the same client is fed over the link or from a USB stick.

mod http;
mod store;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use engawa_tuf::{Client, Limits, Target};
use http::Base;
use std::path::{Path, PathBuf};
use store::Store;

/// A TUF client that keeps metadata in a folder and fetches over HTTP.
#[derive(Parser)]
#[command(name = "engawa-tuf-client")]
struct Cli {
    /// Where trusted metadata is kept.
    #[arg(long)]
    metadata_dir: PathBuf,
    /// Where the repository's metadata is.
    #[arg(long)]
    metadata_url: Option<Base>,
    /// Which targets to download, in this order.
    #[arg(long = "target-name")]
    target_names: Vec<String>,
    /// Where the repository's targets are.
    #[arg(long)]
    target_base_url: Option<Base>,
    /// Where downloaded targets go.
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trust this root to begin with
    Init {
        /// The file.
        root: PathBuf,
    },
    /// Bring metadata up to date
    Refresh,
    /// Bring metadata up to date and download targets
    Download,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let store = Store::new(&cli.metadata_dir);
    if let Command::Init { root } = &cli.command {
        let bytes = std::fs::read(root).with_context(|| format!("reading {}", root.display()))?;
        return store.keep("root.json", &bytes);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&cli, &store))
}

async fn run(cli: &Cli, store: &Store) -> anyhow::Result<()> {
    let metadata = cli.metadata_url.as_ref().context("name the repository with --metadata-url")?;
    let mut client = Client::open(store.read()?, jiff::Timestamp::now(), Limits::default())?;
    drive(&mut client, metadata, store).await?;
    if matches!(cli.command, Command::Refresh) {
        return Ok(());
    }
    let base = cli.target_base_url.as_ref().context("name the targets with --target-base-url")?;
    let dir = cli.target_dir.as_deref().context("name a folder with --target-dir")?;
    for name in &cli.target_names {
        client.seek(name)?;
        drive(&mut client, metadata, store).await?;
        let Some(target) = client.target(name) else { bail!("no signed metadata names the target {name}") };
        download(&target, base, dir).await?;
    }
    Ok(())
}

async fn drive(client: &mut Client, base: &Base, store: &Store) -> anyhow::Result<()> {
    use engawa_tuf::Step;
    loop {
        match client.next()? {
            Step::Fetch { name, most } => {
                let mut bytes = Vec::new();
                let found = base
                    .get(&name, |piece| {
                        bytes.extend_from_slice(piece);
                        // One more than allowed, so that the client sees it.
                        Ok(bytes.len() <= most)
                    })
                    .await?;
                client.got(found.then_some(bytes));
            }
            Step::Keep { file, bytes } => store.keep(&file, &bytes)?,
            Step::Done => return Ok(()),
        }
    }
}

/// Downloads a target, unless it is there; a file with its name appears only once its bytes are checked.
async fn download(target: &Target, base: &Base, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(http::quoted(&target.path, b""));
    if let Ok(bytes) = std::fs::read(&path) {
        let mut check = target.check();
        if check.update(&bytes).is_ok() && check.finish().is_ok() {
            return Ok(());
        }
    }
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let mut check = target.check();
    let found = base
        .get(&http::quoted(&target.file, b"/"), |piece| {
            check.update(piece)?;
            std::io::Write::write_all(&mut file, piece)?;
            Ok(true)
        })
        .await?;
    if !found {
        bail!("the repository has no {}", target.file);
    }
    check.finish()?;
    file.as_file().sync_all()?;
    file.persist(&path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}
