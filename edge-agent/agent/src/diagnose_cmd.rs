//! `engawa diagnose`: a bundle for whoever looks for a fault, without guests' data and without secrets.
#![allow(clippy::print_stdout, reason = "standard output is where the answer goes")]

use crate::asking::{asker, failure};
use crate::cli::Failure;
use crate::config::Loaded;
use crate::upkeep::{bundle, mask};
use anyhow::Context;
use engawa_api::Client;
use engawa_store::{DATABASE_FILE, DatabaseKey, Reader};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the bundle to the new file `to`.
pub(crate) fn diagnose(loaded: &Loaded, to: &Path) -> Result<(), Failure> {
    let by = asker();
    let (bundle, how) = match asked(loaded, by.as_deref()) {
        Ok(bundle) => (bundle, "of the running agent"),
        // A gateway whose agent does not run is the one that somebody looks at.
        Err(Failure::NotRunning(why)) => {
            (unasked(loaded, by.as_deref(), &format!("{why:#}")), "without the agent")
        }
        Err(failed) => return Err(failed),
    };
    let text = serde_json::to_string_pretty(&bundle)?;
    let doing = || format!("writing {}", to.display());
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut made = made.with_context(doing)?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).with_context(doing)?;
    println!(
        "{}: a bundle {how}, {} bytes, without guests' data and secrets; look at it before you pass it on",
        to.display(),
        text.len()
    );
    Ok(())
}

fn asked(loaded: &Loaded, by: Option<&str>) -> Result<Value, Failure> {
    let Some(socket) = &loaded.config.api.socket else {
        return Ok(unasked(loaded, by, "[api] names no socket, so the agent can't be asked"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let by = by.map(|by| format!("?by={}", Client::segment(by))).unwrap_or_default();
    runtime.block_on(Client::new(socket).get(&format!("/api/diagnose{by}"))).map_err(failure)
}

/// What can be seen without the agent: files alone.
fn unasked(loaded: &Loaded, by: Option<&str>, why: &str) -> Value {
    let folder = &loaded.config.store.dir;
    let mut bundle = bundle::outside(&loaded.file, &loaded.text, folder, by);
    bundle["agent"] = json!(why);
    let journal = || -> anyhow::Result<Value> {
        let reader = Reader::open(&folder.join(DATABASE_FILE), &DatabaseKey::load(&loaded.key_file())?)?;
        let marks = reader.marks()?;
        Ok(marks.iter().map(|m| json!({ "lane": m.lane, "head": m.head, "acknowledged": m.acked })).collect())
    };
    bundle["journal"] = journal().unwrap_or_else(|error| json!(format!("not read: {error:#}")));
    // Guests are in none of it: names are in the vault, which is not opened.
    mask::texts(&mut bundle, &[]);
    bundle
}
