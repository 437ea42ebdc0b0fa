//! The agent, as an installer would configure it for these devices.

use super::{Publish, Site, agent, write};
use crate::spawn::Program;
use anyhow::Context;
use engawa_stage::process;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Devices of a room: a thermostat, a meter, sensors and a lock.
const DEVICES_OF_A_ROOM: usize = 4;

/// Writes configuration and profile.
pub(super) fn prepare(site: &Site<'_>) -> anyhow::Result<Program> {
    let config = site.folder.join("engawa.toml");
    let folder = site.folder.join("profiles");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    write(&folder.join("b.toml"), &profile(site))?;
    write(&config, &configuration(site))?;
    process::run(&agent()?, ["check".into(), config.as_os_str().to_owned()])
        .context("the agent refuses the bench's configuration")?;
    running(&config)
}

/// The agent with the configuration `config`, as its unit in `deploy/systemd` starts it.
///
/// # Errors
/// It has not been built.
pub(crate) fn running(config: &Path) -> anyhow::Result<Program> {
    let mut program = Program::new(agent()?, ["run".as_ref(), config.as_os_str()]);
    program.variables.push("GLIBC_TUNABLES=glibc.malloc.arena_max=1".into());
    Ok(program)
}

fn profile(site: &Site<'_>) -> String {
    let mut text = String::from(
        "[profile]\nname = \"b\"\nmake = \"Field bench\"\nmodel = \"Block of registers\"\n\
         kind = \"sensors\"\nprotocol = \"modbus\"\n\
         sources = [\"the field bench's own description: holding registers from 0 on\"]\n\n[modbus]\n",
    );
    // Writing to a String can't fail.
    let _ = writeln!(text, "interval_ms = {}\nmax_in_flight = 4", site.load.period_ms);
    for address in 0..site.load.registers {
        let _ = write!(
            text,
            "\n[[modbus.points]]\nname = \"r{address}\"\ntable = \"holding\"\naddress = {address}\ntype = \"u16\"\n"
        );
        // A point that is told at each poll brings the device's document along.
        if address == 0 && site.load.publish == Publish::Always {
            let _ = writeln!(text, "heartbeat_ms = {}", site.load.period_ms);
        }
    }
    text
}

fn configuration(site: &Site<'_>) -> String {
    let load = &site.load;
    let quoted = |path: PathBuf| toml::Value::from(path.display().to_string()).to_string();
    let rooms: Vec<_> =
        (0..load.devices().div_ceil(DEVICES_OF_A_ROOM)).map(|room| format!("\"{room}\"")).collect();
    let mut text = String::from("profiles = \"profiles\"\n");
    // Inline tables, short names, and nothing that could be left out: a configuration has at most 8 MiB, and 16,000
    // devices come near it.
    text.push_str("bus = [\n");
    for (n, server) in site.servers.iter().enumerate() {
        let _ = writeln!(text, "{{id=\"b{n}\",address=\"{server}\"}},");
    }
    text.push_str("]\ndevice = [\n");
    for device in 0..load.devices() {
        let (room, bus, unit) = (device / DEVICES_OF_A_ROOM, device / load.units, device % load.units + 1);
        let _ =
            writeln!(text, "{{id=\"d{device}\",room=\"{room}\",profile=\"b\",bus=\"b{bus}\",unit={unit}}},");
    }
    let _ = write!(
        text,
        "]\n\n[property]\nid = \"bench\"\nname = \"Field bench\"\nzone = \"Europe/Berlin\"\n\
         currency = \"EUR\"\nrooms = [{}]\n\n[climate]\ncomfort_c = 22.0\neco_heating_c = 18.0\n\
         eco_cooling_c = 26.0\n\n[store]\ndir = {}\n\n[mqtt]\nbroker = \"mqtt://127.0.0.1:{}\"\nvalues = \"devices\"\n",
        rooms.join(", "),
        quoted(site.folder.join("agent")),
        site.broker,
    );
    let _ = write!(text, "\n[api]\nsocket = {}\n", quoted(site.folder.join("engawa.sock")));
    text
}
