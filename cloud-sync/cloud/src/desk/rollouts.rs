//! Rollouts, as the command line asks for them.

use super::{Desk, postgres, reader, store, write};
use engawa_cloud::rollout::state::{Block, Entry, Fleet, Write};
use engawa_cloud::store::StoreError;
use store::rollouts;

impl Desk {
    /// What rollouts are decided from; the turns of `of`, or (`None`) of all.
    pub(crate) fn fleet(&self, of: Option<&str>) -> anyhow::Result<Fleet> {
        match self {
            Self::File(dir) => {
                let mut fleet = rollouts::fleet(&reader(dir)?, of)?;
                if !crate::lock::is_served(dir) {
                    // A `serve` that was killed could not note that everybody has gone.
                    fleet.members.values_mut().for_each(|member| member.connected = false);
                }
                Ok(fleet)
            }
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::rollouts::fleet(&client, of))
            }
        }
    }

    /// Decides and stores, with nothing moving meanwhile.
    pub(crate) fn rollout_act<T>(
        &self,
        of: Option<&str>,
        act: impl FnOnce(&Fleet) -> Result<(T, Vec<Write>), StoreError>,
    ) -> anyhow::Result<T> {
        match self {
            Self::File(dir) => write(dir, |connection| {
                let (value, writes) = act(&rollouts::fleet(connection, of)?)?;
                rollouts::apply(connection, &writes)?;
                Ok(value)
            }),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::rollouts::act(&mut client, of, act))
            }
        }
    }

    /// Versions that are not offered.
    pub(crate) fn blocked_versions(&self) -> anyhow::Result<Vec<Block>> {
        match self {
            Self::File(dir) => Ok(rollouts::blocks(&reader(dir)?, None)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::rollouts::blocks(&client, None))
            }
        }
    }

    /// Enters publications into the audit, each once.
    pub(crate) fn publications(&self, entries: &[(String, Entry)]) -> anyhow::Result<()> {
        match self {
            Self::File(dir) => write(dir, |connection| rollouts::publications(connection, entries)),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::rollouts::publications(&client, entries))
            }
        }
    }

    /// The audit, newest first.
    pub(crate) fn rollout_log(
        &self,
        id: Option<&str>,
        gateway: Option<&str>,
        limit: u32,
    ) -> anyhow::Result<Vec<Entry>> {
        match self {
            Self::File(dir) => Ok(rollouts::log(&reader(dir)?, id, gateway, limit)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::rollouts::log(&client, id, gateway, limit))
            }
        }
    }
}
