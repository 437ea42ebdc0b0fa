//! Which versions somebody has, may get, or may go back to. Pure.

use super::plan::Kind;
use super::state::{Fleet, State, Step};
use std::collections::BTreeSet;

/// Versions that must stay in the repository: what gateways run, what rollouts that have not ended are about, and what their
/// gateways came from; of ended ones what is still told, and what whoever has their version would go back to.
pub fn in_use(fleet: &Fleet) -> BTreeSet<(Kind, String)> {
    let mut all = BTreeSet::new();
    let software = |gateway: &str| fleet.members.get(gateway).and_then(|member| member.software.as_ref());
    for software in fleet.members.values().filter_map(|member| member.software.as_ref()) {
        all.insert((Kind::Application, software.version.clone()));
        all.insert((Kind::System, software.system.clone()));
    }
    for rollout in fleet.rollouts.values() {
        let (kind, version) = (rollout.plan.release.kind, &rollout.plan.release.version);
        let over = matches!(rollout.state, State::Done | State::Aborted);
        if !over {
            all.insert((kind, version.clone()));
        }
        for row in fleet.rows_of(&rollout.id) {
            let open = !row.step.is_end() || matches!(row.step, Step::Away | Step::Refused);
            let has = software(&row.gateway).is_some_and(|software| match kind {
                Kind::Application => software.version == row.version,
                Kind::System => software.system == row.version,
            });
            if !over || open {
                all.insert((kind, row.version.clone()));
            }
            if !over || open || has {
                all.insert((kind, row.from_version.clone()));
            }
        }
    }
    all.retain(|(_, version)| !version.is_empty());
    all
}
