//! What the supervisor starts: it says that it is ready, beats, and does what it is ordered to.

use crate::supervised::{ORDERS, STARTED};
use anyhow::{Context as _, Result};
use engawa_slots::Supervisor;
use sd_notify::NotifyState;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// `program` is the file that was started, in its slot.
pub(crate) fn run(program: &str) -> Result<()> {
    let slot = Path::new(program).parent().context("a program without a folder")?;
    let number = number_of(slot)?;
    let order = Path::new(ORDERS).join(number.to_string());
    let mut started = fs::OpenOptions::new().create(true).append(true).open(STARTED)?;
    // In one piece: it is read meanwhile.
    started.write_all(format!("{number} {}\n", slot.display()).as_bytes())?;
    if read(&order) == "crash" {
        std::process::abort();
    }
    sd_notify::notify(&[NotifyState::Ready])?;
    loop {
        sd_notify::notify(&[NotifyState::Watchdog])?;
        let supervisor = Supervisor::from_env().context("no supervisor in the environment")?;
        let done = match read(&order).as_str() {
            "healthy" => Some(supervisor.healthy()),
            "unwell" => Some(supervisor.unwell("it was told to be")),
            _ => None,
        };
        if let Some(done) = done {
            fs::write(
                order.with_extension("done"),
                done.map_or_else(|why| why.to_string(), |()| "ok".to_owned()),
            )?;
            fs::remove_file(&order)?;
        }
        crate::supervised::pause();
    }
}

fn read(order: &Path) -> String {
    fs::read_to_string(order).unwrap_or_default()
}

fn number_of(slot: &Path) -> Result<u64> {
    let manifest = engawa_release::Manifest::read(&fs::read(slot.join(engawa_slots::MANIFEST))?)?;
    Ok(manifest.number)
}
