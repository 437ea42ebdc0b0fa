//! `engawa pms import`: lists of stays, for houses without a PMS that could be asked.

use super::Fault;
use crate::cli::show;
use crate::config::{self, Loaded};
use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueHint};
use engawa_model::{RoomId, Timestamp};
use engawa_pms::hosted::import::{Agenda, Mistake, Reading, read_file, read_folder};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `engawa pms import`.
#[derive(Args)]
pub(crate) struct Import {
    /// The lists.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Only check them.
    #[arg(long)]
    check: bool,
    /// They are the whole house: remove the other lists.
    #[arg(long)]
    all: bool,
    /// The configuration.
    #[arg(long, env = "ENGAWA_CONFIG", default_value = "/etc/engawa/engawa.toml", value_hint = ValueHint::FilePath)]
    config: PathBuf,
}

/// Checks lists and takes them.
pub(super) fn import(import: &Import) -> Result<bool, Fault> {
    let loaded = match config::load(&import.config) {
        Ok(loaded) => loaded,
        Err(reports) => {
            show(&reports);
            return Err(Fault::Wrong(format!("{} can't be used", import.config.display())));
        }
    };
    match import.take(&loaded) {
        Ok(words) => {
            println!("{words}");
            Ok(true)
        }
        Err(error) => Err(Fault::Failed(format!("{error:#}"))),
    }
}

impl Import {
    fn take(&self, loaded: &Loaded) -> anyhow::Result<String> {
        let property = &loaded.config.property;
        let Some(import) = loaded.config.hosted.as_ref().and_then(|hosted| hosted.import.as_ref()) else {
            bail!("the configuration has no [hosted.import], so nobody would take the lists");
        };
        // The configuration was checked: the zone is known.
        let zone = TimeZone::get(&property.zone).unwrap_or(TimeZone::UTC);
        let reading = Reading::new(import, zone, property.rooms.iter().cloned().map(RoomId::new));
        let mut lists: BTreeMap<String, String> = BTreeMap::new();
        if !self.all && import.folder.is_dir() {
            // An empty folder is no mistake here.
            lists.extend(read_folder(&import.folder).unwrap_or_default());
        }
        let mut new = Vec::new();
        for path in &self.files {
            let kind = path.extension().and_then(|kind| kind.to_str()).map(str::to_ascii_lowercase);
            if !matches!(kind.as_deref(), Some("csv" | "ics")) {
                bail!("{} is no list: expected the ending .csv or .ics", path.display());
            }
            let (name, text) = read_file(path).map_err(|mistake| anyhow!("{mistake}"))?;
            lists.insert(name.clone(), text.clone());
            new.push((name, text));
        }
        let stays = reading
            .read(lists.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .map_err(|mistakes| anyhow!("nothing is taken:\n{}", told(&mistakes)))?;
        let count = stays.len();
        let mut agenda = Agenda::default();
        agenda.replace(stays);
        let here = agenda.count(Timestamp::now());
        if self.check {
            return Ok(format!("{count} stays, {here} of them in the house now; nothing was changed"));
        }
        put(&import.folder, &new)?;
        if self.all {
            remove_others(&import.folder, &new)?;
        }
        Ok(format!(
            "{count} stays, {here} of them in the house now; a running agent takes them within seconds"
        ))
    }
}

fn told(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("  {mistake}")).collect::<Vec<_>>().join("\n")
}

/// Writes the lists beside their places and renames them, so that the agent never reads half a list.
fn put(folder: &Path, lists: &[(String, String)]) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    for (name, text) in lists {
        let (new, place) = (folder.join(format!(".{name}.new")), folder.join(name));
        let written = (|| {
            // Lists hold names: for the agent's user alone.
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &place)
        })();
        written.with_context(|| format!("writing {}", place.display()))?;
    }
    Ok(())
}

fn remove_others(folder: &Path, keep: &[(String, String)]) -> anyhow::Result<()> {
    for (name, _) in read_folder(folder).map_err(|mistake| anyhow!("{mistake}"))? {
        if !keep.iter().any(|(kept, _)| *kept == name) {
            let path = folder.join(&name);
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
