//! A diagnostics bundle: what whoever looks for a fault wants to know, without anybody's data and without secrets.
//!
//! Bounds: each list has one, and where the whole is too large its longest parts go, which is said in it.

use super::mask;
use crate::config::Loaded;
use crate::logging::Logging;
use anyhow::{Context, bail};
use data_encoding::{BASE64, HEXLOWER};
use engawa_api::{Health, HouseView};
use engawa_model::{BUNDLE_PIECE, BundlePiece, DeviceState, MOST_BUNDLE, Property, Timestamp};
use engawa_store::LaneMarks;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Sick devices, commands and alerts that are shown.
const MOST_DEVICES: usize = 200;
const MOST_COMMANDS: usize = 50;
const MOST_ALERTS: usize = 100;
/// The most of the configuration that is shown, bytes.
const MOST_CONFIGURATION: usize = 256 << 10;
/// What goes where the whole is too large, the first first.
const CAN_GO: [&str; 5] = ["log", "configuration", "devices_unwell", "buses", "commands"];
/// How hard it is compressed: some hundred KiB of text, once.
const LEVEL: i32 = 9;

/// What a bundle is made of beside the picture of the house.
pub(crate) struct Diagnosis {
    pub(crate) file: PathBuf,
    /// The configuration as it was read last, and what in it waits for a restart.
    pub(crate) read: Mutex<(String, Vec<String>)>,
    pub(crate) folder: PathBuf,
    pub(crate) logging: Logging,
}

/// A bundle ready to travel.
pub(crate) struct Packed {
    pub(crate) bytes: usize,
    pub(crate) pieces: Vec<BundlePiece>,
}

impl Diagnosis {
    /// With what the agent has started from.
    pub(crate) fn new(loaded: &Loaded, logging: Logging) -> Self {
        let (file, text) = (loaded.file.clone(), loaded.text.clone());
        let read = Mutex::new((text, vec![]));
        Self { file, read, folder: loaded.config.store.dir.clone(), logging }
    }

    /// The configuration was read again; `waiting` names what in it comes with the next start.
    pub(crate) fn read_again(&self, text: String, waiting: Vec<String>) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = (text, waiting);
    }

    /// The parts that need no house: release, machine, configuration, log.
    pub(crate) fn parts(&self, by: Option<&str>) -> Value {
        let (text, waiting) = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all = outside(&self.file, &text, &self.folder, by);
        all["configuration_waits_for_restart"] = json!(waiting);
        all["log"] = json!(self.logging.last());
        all
    }

    /// Masks what is left to mask, packs the bundle, and cuts it into pieces.
    ///
    /// # Errors
    /// It is too large even without what can go.
    pub(crate) fn pack(mut bundle: Value, personal: &[String]) -> anyhow::Result<Packed> {
        mask::texts(&mut bundle, personal);
        let mut can_go = CAN_GO.into_iter();
        let packed = loop {
            let packed = zstd::bulk::compress(bundle.to_string().as_bytes(), LEVEL)
                .context("packing the diagnostics bundle")?;
            if packed.len() <= MOST_BUNDLE {
                break packed;
            }
            let Some(part) = can_go.next() else {
                bail!("the diagnostics bundle has {} bytes; the most is {MOST_BUNDLE}", packed.len());
            };
            bundle[part] = json!("left out: the bundle was too large");
        };
        let sha256 = HEXLOWER.encode(&Sha256::digest(&packed));
        // At most MOST_BUNDLE / BUNDLE_PIECE pieces.
        let of = u32::try_from(packed.len().div_ceil(BUNDLE_PIECE)).unwrap_or(u32::MAX);
        let piece = |(data, number): (&[u8], u32)| BundlePiece {
            number,
            of,
            bytes: packed.len() as u64,
            sha256: sha256.clone(),
            piece_sha256: HEXLOWER.encode(&Sha256::digest(data)),
            data: Some(BASE64.encode(data)),
        };
        let pieces = packed.chunks(BUNDLE_PIECE).zip(1..).map(piece).collect();
        Ok(Packed { bytes: packed.len(), pieces })
    }
}

/// What can be said without a running agent.
pub(crate) fn outside(file: &Path, text: &str, folder: &Path, by: Option<&str>) -> Value {
    let configuration = match mask::configuration(text) {
        Ok(shown) => shown.chars().take(MOST_CONFIGURATION).collect(),
        Err(_) => "not shown: it is no TOML".to_owned(),
    };
    let on_disk = std::fs::read_to_string(file);
    json!({
        "bundle": 1,
        "made": Timestamp::now(),
        "asked_by": by,
        "release": env!("CARGO_PKG_VERSION"),
        "machine": machine(folder),
        "configuration": configuration,
        "configuration_file": file.display().to_string(),
        "configuration_as_on_disk": on_disk.is_ok_and(|on_disk| on_disk == text),
    })
}

/// The picture of the house, without its guests.
pub(crate) fn inside(property: &Property, view: &HouseView, health: &Health, marks: &[LaneMarks]) -> Value {
    let view = view.without_personal_data();
    let unwell = view.devices.iter().filter(|device| device.state == DeviceState::Unwell);
    let mut commands: Vec<_> = property.commands().values().collect();
    commands.sort_by_key(|record| std::cmp::Reverse(record.asked));
    let commands = commands.into_iter().take(MOST_COMMANDS).map(|record| {
        let action = serde_json::to_value(&record.command.action).unwrap_or_default();
        json!({
            "key": record.command.key,
            "do": action.get("do"),
            "source": record.command.source,
            "asked": record.asked,
            "ended": record.ended,
        })
    });
    let lane = |mark: &LaneMarks| json!({ "lane": mark.lane, "head": mark.head, "acknowledged": mark.acked, "bytes": mark.bytes });
    json!({
        "status": view.status(),
        "health": health,
        "links": view.links,
        "journal": marks.iter().map(lane).collect::<Vec<_>>(),
        "alerts": view.alerts.iter().take(MOST_ALERTS).collect::<Vec<_>>(),
        "counters": view.counters,
        "devices_unwell": unwell.take(MOST_DEVICES).collect::<Vec<_>>(),
        "commands": commands.collect::<Vec<_>>(),
    })
}

/// The machine, as far as it can be seen from within the service's walls.
fn machine(folder: &Path) -> Value {
    let word = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let lines = |path: &str, names: &[&str]| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let shown = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        shown.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let disk = rustix::fs::statvfs(folder).ok().map(|disk| {
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        json!({ "total": bytes(disk.f_blocks), "free": bytes(disk.f_bavail), "free_inodes": disk.f_favail })
    });
    json!({
        "kernel": word("/proc/sys/kernel/osrelease"),
        "system": lines("/etc/os-release", &["PRETTY_NAME="]),
        "architecture": std::env::consts::ARCH,
        "processors": std::thread::available_parallelism().ok(),
        "load": word("/proc/loadavg"),
        "memory": lines("/proc/meminfo", &["MemTotal:", "MemAvailable:", "SwapFree:"]),
        "process": lines("/proc/self/status", &["VmRSS:", "VmHWM:", "Threads:"]),
        "disk": disk,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_loses_its_longest_parts_and_says_so() {
        // Noise that no compressor makes small.
        let mut state = 7_u64;
        let mut noise = |length: usize| -> String {
            std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
            })
            .take(length)
            .collect()
        };
        let bundle = json!({ "release": "1", "log": noise(400_000), "configuration": noise(1000) });
        let packed = Diagnosis::pack(bundle, &[]).unwrap();
        let whole: Vec<u8> = packed
            .pieces
            .iter()
            .flat_map(|piece| BASE64.decode(piece.data.as_ref().unwrap().as_bytes()).unwrap())
            .collect();
        assert_eq!((whole.len(), packed.pieces[0].bytes), (packed.bytes, packed.bytes as u64));
        let text = String::from_utf8(zstd::bulk::decompress(&whole, 1 << 24).unwrap()).unwrap();
        let bundle: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bundle["log"], "left out: the bundle was too large");
        assert_eq!(bundle["configuration"].as_str().unwrap().len(), 1000);
        assert!(Diagnosis::pack(json!({ "else": noise(600_000) }), &[]).is_err());
    }
}
