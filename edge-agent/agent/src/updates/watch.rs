//! How the house is now, for the judge of a trial.

use super::trial::{Link, State};
use crate::house::Shared;
use crate::supervisor::Supervisor;
use engawa_field::modbus::Tally;
use engawa_model::DeviceState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where the state of the house is read.
#[derive(Clone)]
pub(crate) struct Watch {
    /// The live picture.
    pub(crate) shared: Arc<Shared>,
    /// The counts of the buses.
    pub(crate) tallies: Vec<Arc<Tally>>,
    /// The tasks.
    pub(crate) tasks: Supervisor,
}

impl Watch {
    /// Of the running house.
    pub(crate) fn new(shared: Arc<Shared>, tallies: Vec<Arc<Tally>>, tasks: Supervisor) -> Self {
        Self { shared, tallies, tasks }
    }

    /// How it is.
    pub(crate) fn look(&self) -> State {
        let reports: Vec<_> = self.tallies.iter().map(|tally| tally.report()).collect();
        let links = self.shared.look(|property| {
            let unwell =
                |device| property.devices().get(device).is_none_or(|it| it.state != DeviceState::Well);
            let answered: BTreeMap<String, usize> = reports
                .iter()
                .map(|bus| {
                    // What a device said before this start is in the picture, too: only what was read since counts.
                    let well: BTreeSet<_> = bus
                        .units
                        .iter()
                        .filter(|unit| unit.values > 0 && !unwell(&unit.device))
                        .map(|unit| &unit.device)
                        .collect();
                    (crate::run::bus_link(&bus.bus), well.len())
                })
                .collect();
            let link = |(id, health): (&engawa_model::LinkId, &engawa_model::LinkHealth)| {
                let answered = answered.get(id.as_str()).copied().unwrap_or(0);
                (id.to_string(), Link { up: health.up, detail: health.detail.clone(), answered })
            };
            property.links().iter().map(link).collect()
        });
        let (commits, commit_p99_ms) = self.shared.pace.within(99);
        let (_, commit_p90_ms) = self.shared.pace.within(90);
        let tasks = self.tasks.states();
        let down =
            tasks.iter().filter_map(|(name, state)| Some((name.clone(), state.down.clone()?))).collect();
        let failed = tasks.into_iter().filter(|(_, state)| state.failures > 0);
        let failures =
            failed.map(|(name, state)| (name, (state.failures, state.down.unwrap_or_default()))).collect();
        State {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            links,
            commits,
            commit_p90_ms,
            commit_p99_ms,
            memory_kib: memory_kib().unwrap_or(0),
            failures,
            down,
        }
    }
}

/// Memory resident, KiB (proc(5), /proc/self/status).
pub(crate) fn memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
