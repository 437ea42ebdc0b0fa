//! The peers: how each is told to do the same work.
//!
//! Every one reads all registers of a device in one request, once a second, and publishes one message for a device when
//! something in it has changed ([`Publish::OnChange`]) or at each poll ([`Publish::Always`]).

pub(crate) mod engawa;
mod naive;
mod node_red;
mod thingsboard;

use crate::sim::field::Sick;
use crate::spawn::Program;
use anyhow::{Context, ensure};
use engawa_stage::process;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// When a device's values are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// When one has changed.
    OnChange,
    /// At each poll.
    Always,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// TCP addresses.
    pub ports: usize,
    /// Devices behind each.
    pub units: usize,
    /// Registers of a device.
    pub registers: usize,
    /// How often each device is read, milliseconds.
    pub period_ms: u32,
    /// Markers set a second.
    pub markers: f64,
    /// Which devices are sick.
    pub sick: Sick,
    /// When values are published.
    pub publish: Publish,
}

impl Load {
    /// How many devices.
    pub fn devices(&self) -> usize {
        self.ports * self.units
    }

    /// Requests a second, where each takes a whole device.
    pub fn wanted(&self) -> f64 {
        let devices = u32::try_from(self.devices()).unwrap_or(u32::MAX);
        f64::from(devices) * 1000.0 / f64::from(self.period_ms)
    }
}

/// Where a run takes place.
pub struct Site<'a> {
    /// The work.
    pub load: Load,
    /// The devices' addresses, in order.
    pub servers: &'a [SocketAddr],
    /// The broker's port on 127.0.0.1.
    pub broker: u16,
    /// The run's folder.
    pub folder: &'a Path,
}

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// The agent.
    Engawa,
    /// The Modbus library alone; it publishes nothing.
    Floor,
    /// A loop of pymodbus and paho, as one writes it in an hour.
    Naive,
    /// Node-RED with its Modbus and filter nodes.
    NodeRed,
    /// ThingsBoard's gateway.
    Thingsboard,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Engawa => "engawa",
            Self::Floor => "tokio-modbus alone",
            Self::Naive => "pymodbus + paho",
            Self::NodeRed => "Node-RED",
            Self::Thingsboard => "ThingsBoard gateway",
        })
    }
}

impl Peer {
    /// Where it must be installed below the folder of the peers; `None` for what is built here.
    pub fn installed(self) -> Option<&'static str> {
        match self {
            Self::Engawa | Self::Floor => None,
            Self::Naive => Some("naive/bin/python"),
            Self::NodeRed => Some("node-red/node_modules/node-red/red.js"),
            Self::Thingsboard => Some("thingsboard/bin/python"),
        }
    }

    /// Writes its configuration; gives its programs, and then those that only stand in for something that it needs and
    /// are not measured.
    ///
    /// # Errors
    /// It is not installed; its configuration can't be written.
    pub fn prepare(self, site: &Site<'_>, peers: &Path) -> anyhow::Result<(Vec<Program>, Vec<Program>)> {
        if let Some(file) = self.installed() {
            let path = peers.join(file);
            ensure!(
                path.exists(),
                "{self} is not installed: {} is missing; `make setup-bench`",
                path.display()
            );
        }
        match self {
            Self::Engawa => Ok((vec![engawa::prepare(site)?], vec![])),
            Self::Floor => {
                let load = &site.load;
                let numbers =
                    [load.units.to_string(), load.registers.to_string(), load.period_ms.to_string()];
                let here = std::env::current_exe().context("finding the running program")?;
                let servers = site.servers.iter().map(ToString::to_string);
                let arguments = ["floor".to_owned()].into_iter().chain(numbers).chain(servers);
                Ok((vec![Program::new(here, arguments)], vec![]))
            }
            Self::Naive => Ok((vec![naive::prepare(site, peers)?], vec![])),
            Self::NodeRed => Ok((vec![node_red::prepare(site, peers)?], vec![])),
            Self::Thingsboard => thingsboard::prepare(site, peers),
        }
    }
}

/// The agent: the one that `ENGAWA` names, as it is shipped, else the one beside this program.
pub(crate) fn agent() -> anyhow::Result<PathBuf> {
    match std::env::var_os("ENGAWA") {
        Some(path) => std::path::absolute(path).context("the agent that ENGAWA names"),
        None => process::program("engawa"),
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
