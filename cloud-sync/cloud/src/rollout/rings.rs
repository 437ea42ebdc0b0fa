//! Who is in which ring. Pure: the same rows give the same rings, on every replica.

use super::plan::{Kind, Release, WHOLE, Who};
use super::state::{Fleet, Member, Rollout, Row, Software};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Why a gateway that the cohort means does not get the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It has never asked: its agent is too old, or it was never connected.
    Silent,
    /// The release has nothing for its machine.
    Unfit,
    /// It has it, or a newer one.
    HasIt,
    /// It went below what it may install.
    BelowFloor,
    /// The version is blocked for it.
    Blocked,
}

/// A gateway's place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The gateway; `None`: it is not enrolled any more.
    pub member: Option<&'a Member>,
    /// Its turn, where it has had it.
    pub row: Option<&'a Row>,
}

/// The cohort, as it is now.
#[derive(Debug, Default)]
pub struct Rings<'a> {
    /// The places of each ring, in the order in which their turns come.
    pub rings: Vec<Vec<(&'a str, Place<'a>)>>,
    /// Those that no ring has.
    pub unplaced: usize,
    /// Those that the cohort means, and why they don't get it.
    pub outside: Vec<(&'a str, Outside)>,
}

/// The order of gateways: of a hash of their names, the same in every rollout.
fn order(gateway: &str) -> [u8; 8] {
    let digest = Sha256::digest(gateway.as_bytes());
    // A SHA-256 has 32 bytes.
    digest.first_chunk::<8>().copied().unwrap_or_default()
}

/// True where the box has this release.
pub fn has(software: &Software, kind: Kind, version: &str, number: u64) -> bool {
    match kind {
        Kind::Application => software.number == number && software.version == version,
        Kind::System => {
            software.system == version && (software.system_number == number || software.system_number == 0)
        }
    }
}

fn outside(release: &Release, member: &Member, blocked: &dyn Fn(&str) -> bool) -> Result<(), Outside> {
    let software = member.software.as_ref().ok_or(Outside::Silent)?;
    let variant = release.variant(software).ok_or(Outside::Unfit)?;
    let newer = software.installed(release.kind) >= variant.number;
    if newer || has(software, release.kind, &release.version, variant.number) {
        Err(Outside::HasIt)
    } else if release.kind == Kind::Application && variant.number < software.floor {
        Err(Outside::BelowFloor)
    } else if blocked(&member.gateway) {
        Err(Outside::Blocked)
    } else {
        Ok(())
    }
}

/// Places every gateway of the cohort. Who has had its turn stays in its ring, whatever has become of the others.
pub fn place<'a>(rollout: &'a Rollout, fleet: &'a Fleet) -> Rings<'a> {
    let (plan, release) = (&rollout.plan, &rollout.plan.release);
    let blocked: BTreeSet<&str> = fleet
        .blocks
        .iter()
        .filter(|block| block.kind == release.kind && block.version == release.version)
        .map(|block| block.gateway.as_str())
        .collect();
    let is_blocked = |gateway: &str| blocked.contains("") || blocked.contains(gateway);
    static NONE: BTreeMap<String, Row> = BTreeMap::new();
    let rows = fleet.rows.get(&rollout.id).unwrap_or(&NONE);

    let mut placed = Rings { rings: vec![Vec::new(); plan.rings.len()], ..Rings::default() };
    let last = plan.rings.len().saturating_sub(1);
    for (gateway, row) in rows {
        let ring = usize::try_from(row.ring).unwrap_or(last).min(last);
        if let Some(places) = placed.rings.get_mut(ring) {
            places.push((gateway, Place { member: fleet.members.get(gateway), row: Some(row) }));
        }
    }
    let mut open: Vec<(&str, &Member)> = Vec::new();
    for (gateway, member) in &fleet.members {
        if rows.contains_key(gateway) || !plan.cohort.means(member) {
            continue;
        }
        match outside(release, member, &is_blocked) {
            Ok(()) => open.push((gateway, member)),
            Err(why) => placed.outside.push((gateway, why)),
        }
    }
    open.sort_by_cached_key(|(gateway, _)| (order(gateway), *gateway));
    let whole = rows.len() + open.len();

    let mut before = 0;
    for (ring, places) in plan.rings.iter().zip(&mut placed.rings) {
        let (mut taken, mut rest) = (Vec::new(), Vec::new());
        match &ring.who {
            Who::Label(label) => {
                (taken, rest) = open.into_iter().partition(|(_, member)| member.labels.contains(label));
            }
            Who::Share(share) => {
                let upto = (whole * usize::try_from(*share).unwrap_or(0)).div_ceil(WHOLE as usize);
                let room = upto.saturating_sub(before + places.len());
                for (n, gateway) in open.into_iter().enumerate() {
                    if n < room { taken.push(gateway) } else { rest.push(gateway) }
                }
            }
        }
        places.extend(taken.into_iter().map(|(id, member)| (id, Place { member: Some(member), row: None })));
        before += places.len();
        open = rest;
    }
    placed.unplaced = open.len();
    placed
}
