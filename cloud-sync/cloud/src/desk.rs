//! What the command line asks of a cloud, on whichever database it has.

use crate::lock;
use crate::setup;
use anyhow::Context;
use engawa_cloud::bundles::Bundle;
use engawa_cloud::commands::Sent;
use engawa_cloud::house_settings::{Entry as SettingEntry, Setting};
use engawa_cloud::postgres::{self, Address};
use engawa_cloud::store::listing::{self, Command, Entry, Gateway, LogFilter, Room};
use engawa_cloud::store::{self, DATABASE_FILE, StoreError, bundles, commands, gateways};
use engawa_link::pki::CertificateAuthority;
use engawa_model::settings::SettingValue;
use engawa_model::{Action, CommandKey, Timestamp};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Asks PostgreSQL.
macro_rules! ask {
    ($runtime:expr, $store:expr, $client:ident => $question:expr) => {
        $runtime.block_on(async {
            #[allow(unused_mut, reason = "some questions write")]
            let mut $client = $store.client().await?;
            Ok($question.await?)
        })
    };
}

mod rollouts;
mod trust;

pub(crate) use trust::TakenOver;

/// Where a cloud is: its folder, and its database where that is not in the folder.
#[derive(clap::Args)]
pub(crate) struct Home {
    /// The cloud's folder, as `init` made it.
    #[arg(long, global = true, env = "ENGAWA_CLOUD_DIR", default_value = "/var/lib/engawa-cloud", value_hint = clap::ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// A PostgreSQL database in place of the SQLite file in the folder, such as
    /// postgres://engawa@db.example/engawa?sslmode=verify-full. Better in the environment where it has a password.
    #[arg(long, global = true, env = "ENGAWA_CLOUD_DATABASE", hide_env_values = true, value_name = "URL")]
    pub(crate) database: Option<String>,
}

impl Home {
    /// The address of the PostgreSQL database, where there is one.
    pub(crate) fn address(&self) -> anyhow::Result<Option<Address>> {
        if self.database.as_deref().is_some_and(|url| url.trim().is_empty()) {
            anyhow::bail!(
                "--database or ENGAWA_CLOUD_DATABASE is empty: unset it for the SQLite file in the folder, or name a database, such as postgres://engawa@db.example/engawa"
            );
        }
        Ok(self.database.as_deref().map(Address::parse).transpose()?)
    }

    /// The database, to be asked.
    pub(crate) fn desk(&self) -> anyhow::Result<Desk> {
        let Some(address) = self.address()? else { return Ok(Desk::File(self.dir.clone())) };
        let runtime = runtime()?;
        let told = address.to_string();
        let store = runtime.block_on(postgres::Store::open(address)).context(told)?;
        Ok(Desk::Postgres(runtime, Box::new(store)))
    }
}

/// A runtime for a command that asks a few questions.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}

/// Makes PostgreSQL's schema for a new cloud. A database is one cloud's: the authority of another would lock its gateways
/// out.
pub(crate) fn make(
    address: Address,
    authority: &CertificateAuthority,
    settings: &[(&str, u32)],
) -> anyhow::Result<()> {
    let told = address.to_string();
    let making = async {
        let store = postgres::Store::new(address)?;
        let found = postgres::migrations::migrate_to(&store, postgres::migrations::LATEST).await?;
        let client = store.client().await?;
        let claimed = !postgres::listing::gateways(&client).await?.is_empty();
        if found > 0 && claimed {
            anyhow::bail!(
                "there is a cloud in it already: for one more replica of it copy the folder of another, ca.key and all"
            );
        }
        postgres::authority::begin(&client, authority).await?;
        for (key, value) in settings {
            postgres::settings::set(&client, key, *value).await?;
        }
        Ok(())
    };
    runtime()?.block_on(making).context(told)
}

/// A cloud's database.
pub(crate) enum Desk {
    /// SQLite, in this folder.
    File(PathBuf),
    /// PostgreSQL.
    Postgres(Runtime, Box<postgres::Store>),
}

fn reader(dir: &Path) -> Result<rusqlite::Connection, StoreError> {
    store::open_reader(&dir.join(DATABASE_FILE))
}

fn write<T>(
    dir: &Path,
    work: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError>,
) -> anyhow::Result<T> {
    Ok(store::write(&mut store::open(&dir.join(DATABASE_FILE))?, work)?)
}

impl Desk {
    /// Notes a claim; true where the gateway is enrolled already.
    pub(crate) fn claim(&self, claim: &setup::Claim<'_>) -> anyhow::Result<bool> {
        let setup::Claim { property, gateway, name, secret, now, expires } = *claim;
        match self {
            Self::File(dir) => write(dir, |connection| {
                let enrolled = gateways::admitted(connection, gateway)?;
                gateways::claim(connection, property, gateway, name, secret, now, expires)?;
                Ok(enrolled)
            }),
            Self::Postgres(runtime, store) => ask!(runtime, store, client =>
                postgres::gateways::claim(&mut client, property, gateway, name, secret, now, expires)),
        }
    }

    /// Turns a gateway out.
    pub(crate) fn revoke(&self, gateway: &str, now: i64) -> anyhow::Result<()> {
        match self {
            Self::File(dir) => write(dir, |connection| gateways::revoke(connection, gateway, now)),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::gateways::revoke(&mut client, gateway, now))
            }
        }
    }

    /// Sees that the gateway exists, where one is named.
    pub(crate) fn require(&self, gateway: Option<&str>) -> anyhow::Result<()> {
        let Some(gateway) = gateway else { return Ok(()) };
        let there: bool = match self {
            Self::File(dir) => listing::gateway_exists(&reader(dir)?, gateway)?,
            Self::Postgres(runtime, store) => {
                let asked: anyhow::Result<bool> =
                    ask!(runtime, store, client => postgres::listing::gateway_exists(&client, gateway));
                asked?
            }
        };
        if !there {
            anyhow::bail!("there is no gateway `{gateway}` here: `engawa-cloud gateways` lists them");
        }
        Ok(())
    }

    /// All gateways.
    pub(crate) fn gateways(&self) -> anyhow::Result<Vec<Gateway>> {
        match self {
            Self::File(dir) => {
                let mut gateways = listing::gateways(&reader(dir)?)?;
                if !lock::is_served(dir) {
                    // A `serve` that was killed could not note that everybody has gone.
                    gateways.iter_mut().for_each(|gateway| gateway.connected = false);
                }
                Ok(gateways)
            }
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::listing::gateways(&client))
            }
        }
    }

    /// The rooms, of one gateway or of all.
    pub(crate) fn rooms(&self, gateway: Option<&str>) -> anyhow::Result<Vec<Room>> {
        match self {
            Self::File(dir) => Ok(listing::rooms(&reader(dir)?, gateway)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::listing::rooms(&client, gateway))
            }
        }
    }

    /// The newest journal rows.
    pub(crate) fn log(&self, filter: &LogFilter) -> anyhow::Result<Vec<Entry>> {
        match self {
            Self::File(dir) => Ok(listing::log(&reader(dir)?, filter)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::listing::log(&client, filter))
            }
        }
    }

    /// True where many replicas may serve it, each with a folder of its own.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }

    /// True where a process serves the cloud.
    pub(crate) fn is_served(&self) -> anyhow::Result<bool> {
        match self {
            Self::File(dir) => Ok(lock::is_served(dir)),
            Self::Postgres(runtime, store) => ask!(runtime, store, client => postgres::Replica::any(&client)),
        }
    }

    /// The newest commands.
    pub(crate) fn commands(&self, gateway: Option<&str>, limit: u32) -> anyhow::Result<Vec<Command>> {
        match self {
            Self::File(dir) => Ok(listing::commands(&reader(dir)?, gateway, limit)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::listing::commands(&client, gateway, limit))
            }
        }
    }

    /// One command.
    pub(crate) fn command(&self, gateway: &str, seq: u64) -> anyhow::Result<Option<Command>> {
        match self {
            Self::File(dir) => Ok(listing::command(&reader(dir)?, gateway, seq)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::listing::command(&client, gateway, seq))
            }
        }
    }

    /// The bundles of one gateway or of all, newest first.
    pub(crate) fn bundles(&self, gateway: Option<&str>) -> anyhow::Result<Vec<Bundle>> {
        match self {
            Self::File(dir) => Ok(bundles::list(&reader(dir)?, gateway)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::bundles::list(&client, gateway))
            }
        }
    }

    /// The pieces of one, in order: number, whether it is sound, bytes.
    pub(crate) fn bundle_pieces(
        &self,
        gateway: &str,
        key: &str,
    ) -> anyhow::Result<Vec<(u32, bool, Vec<u8>)>> {
        match self {
            Self::File(dir) => Ok(bundles::pieces(&reader(dir)?, gateway, key)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::bundles::pieces(&client, gateway, key))
            }
        }
    }

    /// Stores a command.
    pub(crate) fn send(
        &self,
        gateway: &str,
        key: &CommandKey,
        action: &Action,
        now: Timestamp,
        expires: Timestamp,
    ) -> anyhow::Result<Sent> {
        match self {
            Self::File(dir) => {
                write(dir, |connection| commands::send(connection, gateway, key, action, now, expires))
            }
            Self::Postgres(runtime, store) => ask!(runtime, store, client =>
                postgres::commands::send(&mut client, gateway, key, action, now, expires)),
        }
    }

    /// The gateways that a name or a property means.
    pub(crate) fn gateways_of(&self, target: &str) -> anyhow::Result<Vec<String>> {
        match self {
            Self::File(dir) => Ok(store::house_settings::gateways_of(&reader(dir)?, target)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::house_settings::gateways_of(&client, target))
            }
        }
    }

    /// What is known of a gateway's settings.
    pub(crate) fn settings(&self, gateway: &str) -> anyhow::Result<Vec<Setting>> {
        match self {
            Self::File(dir) => Ok(store::house_settings::list(&reader(dir)?, gateway)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::house_settings::list(&client, gateway))
            }
        }
    }

    /// Changes a setting of a gateway.
    pub(crate) fn set_setting(
        &self,
        gateway: &str,
        stay: &str,
        name: &str,
        value: Option<SettingValue>,
        by: &str,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        match self {
            Self::File(dir) => write(dir, |connection| {
                store::house_settings::set(connection, gateway, stay, name, value, by, now)
            }),
            Self::Postgres(runtime, store) => ask!(runtime, store, client =>
                postgres::house_settings::set(&mut client, gateway, stay, name, value, by, now)),
        }
    }

    /// The newest entries of a gateway's log of settings.
    pub(crate) fn setting_log(
        &self,
        gateway: &str,
        name: Option<&str>,
        limit: u32,
    ) -> anyhow::Result<Vec<SettingEntry>> {
        match self {
            Self::File(dir) => Ok(store::house_settings::log(&reader(dir)?, gateway, name, limit)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::house_settings::log(&client, gateway, name, limit))
            }
        }
    }
}
