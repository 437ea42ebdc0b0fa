//! `engawa-cloud bundle`: diagnostics bundles that gateways have sent.

use crate::desk::Home;
use crate::output::{plain, say};
use anyhow::{Context, bail};
use clap::{Subcommand, ValueHint};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What can be done with them.
#[derive(Subcommand)]
pub(crate) enum BundleAct {
    /// List the bundles that are here, newest first: whole, coming, or spoilt
    List {
        /// Only this gateway's.
        gateway: Option<String>,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Save a bundle as JSON, once all of it is here and its digests fit
    #[command(after_help = "Example:\n  engawa-cloud bundle save grand-1 cloud-0f3a grand-1.json")]
    Save {
        /// The gateway.
        gateway: String,
        /// The key, as `list` shows it.
        key: String,
        /// The new file.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// `engawa-cloud bundle`.
pub(crate) fn bundle(home: &Home, act: BundleAct) -> anyhow::Result<()> {
    let desk = home.desk()?;
    match act {
        BundleAct::List { gateway, json } => {
            desk.require(gateway.as_deref())?;
            for bundle in desk.bundles(gateway.as_deref())? {
                if json {
                    let mut line = serde_json::to_value(&bundle)?;
                    line["state"] = bundle.state().into();
                    say(&line.to_string())?;
                    continue;
                }
                let at = bundle.at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
                say(&plain(&format!(
                    "{at:<20}  {:<20}  {:<28}  {:>7} bytes  {} of {} pieces  {}",
                    bundle.gateway,
                    bundle.key,
                    bundle.bytes,
                    bundle.sound,
                    bundle.pieces,
                    bundle.state()
                )))?;
            }
            Ok(())
        }
        BundleAct::Save { gateway, key, file } => {
            desk.require(Some(&gateway))?;
            let bundles = desk.bundles(Some(&gateway))?;
            let Some(bundle) = bundles.iter().find(|bundle| bundle.key == key) else {
                bail!(
                    "no bundle `{key}` of `{gateway}` is here: `engawa-cloud bundle list {gateway}` shows those that are; \
                     the newest {} of each gateway are kept",
                    engawa_cloud::bundles::KEPT
                );
            };
            let text = bundle.open(&desk.bundle_pieces(&gateway, &key)?)?;
            write(&file, &text)?;
            say(&plain(&format!("{}: the bundle `{key}` of {gateway}, {} bytes", file.display(), text.len())))
        }
    }
}

/// A new file, for its owner alone.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let doing = || format!("writing {}", file.display());
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.with_context(doing)?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).with_context(doing)
}
