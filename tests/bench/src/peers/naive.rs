//! The loop that one writes in an hour: pymodbus and paho.

use super::{Publish, Site, write};
use crate::spawn::Program;
use std::path::Path;

const PROGRAM: &str = include_str!("../../peers/naive.py");

/// Writes the program.
pub(super) fn prepare(site: &Site<'_>, peers: &Path) -> anyhow::Result<Program> {
    let (load, file) = (&site.load, site.folder.join("naive.py"));
    write(&file, PROGRAM)?;
    let always = match load.publish {
        Publish::OnChange => "change",
        Publish::Always => "always",
    };
    let numbers = [
        site.broker.to_string(),
        load.units.to_string(),
        load.registers.to_string(),
        load.period_ms.to_string(),
    ];
    let servers = site.servers.iter().map(|server| server.port().to_string());
    let arguments = [file.display().to_string(), always.to_owned()].into_iter().chain(numbers).chain(servers);
    Ok(Program::new(peers.join("naive/bin/python"), arguments))
}
