//! What the command line asks and changes of certificates, fences, regions, settings and erasures.

use super::{Desk, reader, write};
use engawa_cloud::erasure::Report;
use engawa_cloud::postgres;
use engawa_cloud::store::{self, DATABASE_FILE, erasure, settings, trust};
use engawa_cloud::trust::{Certificate, Hanging};
use engawa_link::pki::CertificateAuthority;
use engawa_model::{Erasure, Timestamp};
use std::cell::RefCell;

/// Tombstones that were taken over from a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TakenOver {
    pub(crate) taken: usize,
    /// Of gateways that this database does not know.
    pub(crate) strange: usize,
    /// `None`: a running `serve` is at it.
    pub(crate) applied: Option<usize>,
}

fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

impl Desk {
    /// Lets a fenced gateway talk again; gives why it was fenced.
    pub(crate) fn unfence(&self, gateway: &str) -> anyhow::Result<String> {
        match self {
            Self::File(dir) => write(dir, |connection| trust::unfence(connection, gateway)),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::trust::unfence(&mut client, gateway))
            }
        }
    }

    /// The newest certificates, of one gateway or of all.
    pub(crate) fn certificates(&self, gateway: Option<&str>, limit: u32) -> anyhow::Result<Vec<Certificate>> {
        match self {
            Self::File(dir) => Ok(trust::certificates(&reader(dir)?, gateway, limit)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::trust::certificates(&client, gateway, limit))
            }
        }
    }

    /// Revokes one certificate.
    pub(crate) fn revoke_certificate(&self, gateway: &str, serial: &str) -> anyhow::Result<()> {
        match self {
            Self::File(dir) => {
                write(dir, |connection| trust::revoke_certificate(connection, gateway, serial, now()))
            }
            Self::Postgres(runtime, store) => ask!(runtime, store, client =>
                postgres::trust::revoke_certificate(&mut client, gateway, serial, now())),
        }
    }

    /// The gateways that hang on another authority than the one of this pin.
    pub(crate) fn hanging(&self, authority: [u8; 32]) -> anyhow::Result<Vec<Hanging>> {
        match self {
            Self::File(dir) => Ok(trust::hanging(&reader(dir)?, authority)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::trust::hanging(&client, authority))
            }
        }
    }

    /// Replicas that serve and do not have the authority of this pin yet.
    pub(crate) fn lagging(&self, authority: [u8; 32]) -> anyhow::Result<Vec<String>> {
        match self {
            Self::File(_) => Ok(Vec::new()),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::authority::lagging(&client, authority))
            }
        }
    }

    /// True where the next authority signs: on PostgreSQL once every replica that serves has it.
    pub(crate) fn next_signs(&self, authority: &CertificateAuthority) -> anyhow::Result<bool> {
        let Self::Postgres(runtime, store) = self else { return Ok(true) };
        let agreed: anyhow::Result<_> = ask!(runtime, store, client =>
            postgres::authority::agree(&client, "", authority, None));
        Ok(agreed?.signing == data_encoding::HEXLOWER.encode(&authority.signing_pin()))
    }

    /// Drops claim codes that are not used yet; gives how many.
    pub(crate) fn drop_open_claims(&self) -> anyhow::Result<usize> {
        match self {
            Self::File(dir) => write(dir, trust::drop_open_claims),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::trust::drop_open_claims(&client))
            }
        }
    }

    /// The directory of regions.
    pub(crate) fn regions(&self) -> anyhow::Result<Vec<(String, String)>> {
        match self {
            Self::File(dir) => Ok(settings::regions(&reader(dir)?)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::settings::regions(&client))
            }
        }
    }

    /// Notes where regions' clouds are, all or none.
    pub(crate) fn set_regions(&self, directory: &[(String, String)]) -> anyhow::Result<()> {
        match self {
            Self::File(dir) => write(dir, |connection| {
                directory.iter().try_for_each(|(region, to)| settings::set_region(connection, region, to))
            }),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::settings::set_regions(&client, directory))
            }
        }
    }

    /// Forgets a region; true where it was known.
    pub(crate) fn remove_region(&self, region: &str) -> anyhow::Result<bool> {
        match self {
            Self::File(dir) => write(dir, |connection| settings::remove_region(connection, region)),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::settings::remove_region(&client, region))
            }
        }
    }

    /// The value of a setting.
    pub(crate) fn setting(&self, key: &str) -> anyhow::Result<f64> {
        match self {
            Self::File(dir) => Ok(settings::setting(&reader(dir)?, key)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::settings::setting(&client, key))
            }
        }
    }

    /// Changes a setting.
    pub(crate) fn set(&self, key: &str, value: u32) -> anyhow::Result<()> {
        match self {
            Self::File(dir) => write(dir, |connection| settings::set(connection, key, value)),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::settings::set(&client, key, value))
            }
        }
    }

    /// What became of tombstones.
    pub(crate) fn erasures(&self, gateway: Option<&str>, stay: Option<&str>) -> anyhow::Result<Vec<Report>> {
        match self {
            Self::File(dir) => Ok(erasure::report(&reader(dir)?, gateway, stay)?),
            Self::Postgres(runtime, store) => {
                ask!(runtime, store, client => postgres::erasure::report(&client, gateway, stay))
            }
        }
    }

    /// Takes tombstones over (whose signatures fit) and applies them.
    pub(crate) fn take_over(&self, tombstones: &[(String, Erasure)]) -> anyhow::Result<TakenOver> {
        match self {
            Self::File(dir) => {
                let path = dir.join(DATABASE_FILE);
                let mut connection = store::open(&path)?;
                let mut over = TakenOver::default();
                for (gateway, tombstone) in tombstones {
                    let known = store::write(&mut connection, |connection| {
                        if !store::listing::gateway_exists(connection, gateway)? {
                            return Ok(false);
                        }
                        erasure::received(connection, gateway, tombstone, now()).map(|()| true)
                    })?;
                    if known { over.taken += 1 } else { over.strange += 1 }
                }
                let (reader, connection) = (store::open_reader(&path)?, RefCell::new(connection));
                let write = |work| store::write(&mut connection.borrow_mut(), work);
                over.applied = Some(erasure::sweep(&reader, &write, now())?);
                Ok(over)
            }
            Self::Postgres(runtime, store) => runtime.block_on(async {
                let mut over = TakenOver::default();
                for (gateway, tombstone) in tombstones {
                    let mut client = store.client().await?;
                    let known = postgres::erasure::received(&mut client, gateway, tombstone, now()).await?;
                    if known { over.taken += 1 } else { over.strange += 1 }
                }
                over.applied = postgres::erasure::sweep(store, now()).await?;
                Ok(over)
            }),
        }
    }
}
