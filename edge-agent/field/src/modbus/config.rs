//! One bus, as configured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The baud rate where none is given (serial line guide V1.02, section 2.2).
const BAUD: u32 = 19_200;

/// A Modbus connection: one device, or many behind a gateway or on a serial line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// Its name.
    pub id: String,
    /// Where it is, `host:port`; 502 is the usual port, 802 with TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Another way to the same devices, `host:port`, for when the first does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
    /// How frames look in the TCP stream.
    #[serde(default)]
    pub framing: Framing,
    /// Modbus/TCP Security: mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// A serial port instead of an address, such as `/dev/ttyUSB0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Bits a second of the serial port; 19200 where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baud: Option<u32>,
    /// Parity of the serial port; even where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parity: Option<Parity>,
    /// Stop bits of the serial port, 1 or 2; 1 where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_bits: Option<u8>,
    /// RTU: a pause between an answer and the next request, ms, for devices that want one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turnaround_ms: Option<u32>,
    /// How long a device may take to answer, ms.
    #[serde(default = "second")]
    pub timeout_ms: u32,
}

/// How frames look in a TCP stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Modbus TCP.
    #[default]
    Tcp,
    /// RTU frames, as on a serial line: simple serial servers pass on bytes.
    Rtu,
}

/// Parity of a serial port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// Even, the standard.
    #[default]
    Even,
    /// Odd.
    Odd,
    /// None; the standard wants two stop bits then.
    None,
}

/// Certificates of Modbus/TCP Security, PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The authority that signed the device's certificate.
    pub ca_file: String,
    /// Our certificate, with those between it and its authority behind it.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// The name in the device's certificate, where it is not the host of `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

const fn second() -> u32 {
    1000
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            address: None,
            standby: None,
            framing: Framing::default(),
            tls: None,
            serial: None,
            baud: None,
            parity: None,
            stop_bits: None,
            turnaround_ms: None,
            timeout_ms: second(),
        }
    }
}

impl BusConfig {
    /// A Modbus TCP connection with nothing else set.
    pub fn tcp(id: impl Into<String>, address: impl Into<String>) -> Self {
        Self { id: id.into(), address: Some(address.into()), ..Self::default() }
    }

    /// An RTU line on a serial port with nothing else set.
    pub fn serial(id: impl Into<String>, port: impl Into<String>) -> Self {
        Self { id: id.into(), serial: Some(port.into()), ..Self::default() }
    }

    pub(crate) fn baud_or_default(&self) -> u32 {
        self.baud.unwrap_or(BAUD)
    }

    pub(crate) fn turnaround(&self) -> Duration {
        Duration::from_millis(u64::from(self.turnaround_ms.unwrap_or_default()))
    }

    /// How many registers may be read along and thrown away before a second request would be cheaper. On a serial line
    /// a request costs its frame, the head of its answer and twice the silence (8, 5 and 7 characters) and the pauses; a
    /// register costs two characters. In a network only the round trip counts, and a frame holds 125 registers.
    pub(crate) fn gap_worth(&self) -> u16 {
        if self.serial.is_none() {
            return 125;
        }
        let character_us = 11_000_000 / u64::from(self.baud_or_default().max(1));
        let pause = u64::from(self.turnaround_ms.unwrap_or_default()) * 1000 / character_us.max(1);
        u16::try_from((20 + pause) / 2).unwrap_or(u16::MAX)
    }

    /// Where it is, for people: `10.0.0.5:502`, `/dev/ttyS1 at 9600 8E1`.
    pub fn place(&self) -> String {
        let Some(port) = &self.serial else { return self.address.clone().unwrap_or_default() };
        let parity = match self.parity.unwrap_or_default() {
            Parity::Even => 'E',
            Parity::Odd => 'O',
            Parity::None => 'N',
        };
        format!("{port} at {} 8{parity}{}", self.baud_or_default(), self.stop_bits.unwrap_or(1))
    }

    /// What is wrong: field and fault.
    pub fn validate(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.id.is_empty()
            || self.id.len() > 64
            || self.id.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        {
            faults.push((
                "id",
                format!("`{}` can't name a bus; expected letters, digits, `-`, `_` or `.`", self.id),
            ));
        }
        match (&self.address, &self.serial) {
            (None, None) => faults.push((
                "id",
                "the bus is nowhere; add `address = \"192.168.10.5:502\"` or `serial = \"/dev/ttyUSB0\"`"
                    .to_owned(),
            )),
            (Some(_), Some(_)) => faults.push((
                "serial",
                "a bus is on a serial port or at an address, not both; two buses are two [[bus]]".to_owned(),
            )),
            (Some(_), None) => self.network(&mut faults),
            (None, Some(port)) => self.port(port, &mut faults),
        }
        if self.turnaround_ms.is_some_and(|pause| pause > 5000) {
            let pause = self.turnaround_ms.unwrap_or_default();
            faults.push(("turnaround_ms", format!("{pause} ms can't be meant; expected up to 5000")));
        }
        if !(10..=60_000).contains(&self.timeout_ms) {
            faults
                .push(("timeout_ms", format!("{} ms can't be meant; expected 10 to 60000", self.timeout_ms)));
        }
        faults
    }

    fn network(&self, faults: &mut Vec<(&'static str, String)>) {
        let places =
            [("address", &self.address, "192.168.10.5:502"), ("standby", &self.standby, "192.168.10.6:502")];
        for (field, address, example) in places {
            if let Some(address) = address.as_ref().filter(|address| !is_address(address)) {
                faults.push((
                    field,
                    format!("`{address}` is not `host:port`; expected for example `{example}`"),
                ));
            }
        }
        if self.standby.is_some() && self.standby == self.address {
            faults.push(("standby", "the standby is the address itself; expected another host".to_owned()));
        }
        let of_a_port = [
            ("baud", self.baud.is_some()),
            ("parity", self.parity.is_some()),
            ("stop_bits", self.stop_bits.is_some()),
        ];
        for (field, _) in of_a_port.into_iter().filter(|(_, given)| *given) {
            faults.push((field, format!("`{field}` is for `serial`; a bus at an address has none")));
        }
        if self.turnaround_ms.is_some() && self.framing == Framing::Tcp {
            faults.push((
                "turnaround_ms",
                "`turnaround_ms` is for RTU; a pause for a Modbus TCP device is `pause_ms` of its profile"
                    .to_owned(),
            ));
        }
        if let Some(tls) = &self.tls {
            if self.framing == Framing::Rtu {
                faults.push((
                    "tls",
                    "Modbus/TCP Security has no RTU frames; leave out `framing` or `tls`".to_owned(),
                ));
            }
            let files =
                [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)];
            for (field, _) in files.into_iter().filter(|(_, file)| file.is_empty()) {
                faults.push(("tls", format!("`{field}` is empty; expected a PEM file")));
            }
        }
    }

    fn port(&self, port: &str, faults: &mut Vec<(&'static str, String)>) {
        if !port.starts_with('/') {
            faults.push(("serial", format!("`{port}` is no port; expected for example `/dev/ttyUSB0`")));
        }
        let baud = self.baud_or_default();
        if !(1200..=921_600).contains(&baud) {
            faults.push(("baud", format!("{baud} baud can't be meant; expected 1200 to 921600")));
        }
        if let Some(bits) = self.stop_bits.filter(|bits| !matches!(bits, 1 | 2)) {
            faults.push(("stop_bits", format!("{bits} stop bits can't be; expected 1 or 2")));
        }
        let of_an_address = [
            ("standby", self.standby.is_some()),
            ("tls", self.tls.is_some()),
            ("framing", self.framing != Framing::Tcp),
        ];
        for (field, _) in of_an_address.into_iter().filter(|(_, given)| *given) {
            faults.push((field, format!("`{field}` is for `address`; a serial port has none")));
        }
    }
}

fn is_address(address: &str) -> bool {
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(' '));
    parts.and_then(|(_, port)| port.parse::<u16>().ok()).is_some_and(|port| port != 0)
}
