//! A line as the command line names it: an address, a serial port, or a bus of the configuration.

use crate::config;
use clap::{Args, ValueEnum, ValueHint};
use engawa_field::modbus::BusConfig;
use serde_json::json;
use std::path::PathBuf;

/// Which line. The command that has these arguments makes the group `line` of them.
#[derive(Args)]
pub(crate) struct LineArgs {
    /// Modbus TCP.
    #[arg(long, value_name = "HOST:PORT", group = "line", value_hint = ValueHint::Hostname)]
    tcp: Option<String>,
    /// RTU frames over TCP, as simple serial servers pass them on.
    #[arg(long, value_name = "HOST:PORT", group = "line", value_hint = ValueHint::Hostname)]
    rtu_tcp: Option<String>,
    /// A serial line.
    #[arg(long, value_name = "DEVICE", group = "line", value_hint = ValueHint::FilePath)]
    serial: Option<String>,
    /// A bus of the configuration.
    #[arg(long, value_name = "ID", group = "line")]
    bus: Option<String>,
    /// The configuration that has the bus (or the device).
    #[arg(long, value_name = "FILE", env = "ENGAWA_CONFIG", default_value = "/etc/engawa/engawa.toml",
        value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,
    /// The speed of the serial line.
    #[arg(long, default_value_t = 19200, value_parser = clap::value_parser!(u32).range(1200..=921_600))]
    baud: u32,
    /// The parity of the serial line.
    #[arg(long, value_enum, default_value_t = Parity::Even)]
    parity: Parity,
    /// The stop bits of the serial line; 1, or 2 without parity, where absent.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    stop_bits: Option<u8>,
}

/// The parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Parity {
    Even,
    Odd,
    None,
}

impl LineArgs {
    /// True where a line is named.
    pub(crate) const fn is_given(&self) -> bool {
        self.tcp.is_some() || self.rtu_tcp.is_some() || self.serial.is_some() || self.bus.is_some()
    }

    /// The line, as a [[bus]] of a configuration says it.
    ///
    /// # Errors
    /// In plain words: what can't be used, or a configuration without this bus. Reports of its faults have been shown.
    pub(crate) fn bus(&self, timeout_ms: u32) -> Result<BusConfig, String> {
        if let Some(id) = &self.bus {
            return self.configured(id, timeout_ms);
        }
        let mut bus = json!({ "id": "line", "timeout_ms": timeout_ms });
        if let Some(address) = &self.tcp {
            bus["address"] = json!(address);
        }
        if let Some(address) = &self.rtu_tcp {
            bus["address"] = json!(address);
            bus["framing"] = json!("rtu");
        }
        if let Some(device) = &self.serial {
            bus["serial"] = json!(device);
            bus["baud"] = json!(self.baud);
            bus["parity"] = json!(match self.parity {
                Parity::Even => "even",
                Parity::Odd => "odd",
                Parity::None => "none",
            });
            // Without parity the standard wants two: a character then has as many bits as with it.
            let usual = (self.parity == Parity::None).then_some(2);
            if let Some(bits) = self.stop_bits.or(usual) {
                bus["stop_bits"] = json!(bits);
            }
        }
        let bus: BusConfig = serde_json::from_value(bus)
            .map_err(|error| format!("this kind of line can't be used: {error}"))?;
        match bus.validate().into_iter().next() {
            Some((_, fault)) => Err(fault),
            None => Ok(bus),
        }
    }

    fn configured(&self, id: &str, timeout_ms: u32) -> Result<BusConfig, String> {
        let loaded = config::load(&self.config).map_err(|reports| {
            crate::cli::show(&reports);
            format!("{} can't be used", self.config.display())
        })?;
        let mut buses = loaded.buses().into_iter().map(|(bus, _)| bus);
        match buses.find(|bus| bus.id == id) {
            Some(bus) => Ok(BusConfig { timeout_ms, ..bus }),
            None => {
                let names = loaded.buses().into_iter().map(|(bus, _)| bus.id).collect::<Vec<_>>().join(", ");
                let there =
                    if names.is_empty() { "it has none".to_owned() } else { format!("it has: {names}") };
                Err(format!("{} has no bus `{id}`; {there}", self.config.display()))
            }
        }
    }
}
