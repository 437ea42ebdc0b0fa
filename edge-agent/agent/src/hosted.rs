//! The hosted PMS, or the lists of stays in files: what its task is made of.

use crate::config::Loaded;
use crate::house::{Door, Shared};
use crate::outlets::OutletId;
use anyhow::{Context, ensure};
use engawa_model::{ObservationSink, PMS_LINK, PostingState, Property, RoomId};
use engawa_pms::hosted::config::{OfHouse, Secrets};
use engawa_pms::hosted::import::{Reading, Watcher};
use engawa_pms::hosted::{Doubted, Guests, HostedConfig, Machine, Posting, Resume, Shell, Trust};
use engawa_pms::tcp::{Clock, SystemClock};
use jiff::tz::TimeZone;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The systemd credential that goes before the secret's file.
pub(crate) const CREDENTIAL: &str = "engawa-hosted";

/// What every start of the task needs.
#[derive(Clone)]
pub(crate) struct Setup {
    config: HostedConfig,
    zone: TimeZone,
    zone_name: String,
    currency: engawa_model::Currency,
    rooms: Vec<RoomId>,
    secret: PathBuf,
    /// Before the number of a charge: the house, and which of its databases.
    ident: String,
}

impl Setup {
    /// The task of this house, where there is one. `epoch` is the database's.
    pub(crate) fn of(loaded: &Loaded, epoch: u64) -> Option<Self> {
        let property = &loaded.config.property;
        let config = loaded.config.hosted.clone()?;
        Some(Self {
            // The configuration was checked: the zone is known.
            zone: TimeZone::get(&property.zone).unwrap_or(TimeZone::UTC),
            zone_name: property.zone.clone(),
            currency: property.currency,
            rooms: property.rooms.iter().cloned().map(RoomId::new).collect(),
            secret: secret_file(&config, &loaded.config.store.dir),
            // A database that was made anew counts its charges from one again.
            ident: format!("{}-{:08x}", property.id, epoch & 0xffff_ffff),
            config,
        })
    }

    /// Speaks with the system, or watches the lists, until `cancel`.
    pub(crate) async fn run(
        self,
        door: Door,
        shared: Arc<Shared>,
        outlet: OutletId,
        cancel: CancellationToken,
    ) -> anyhow::Result<()> {
        let intents = door.connect(outlet).await?;
        let sink: Arc<dyn ObservationSink> = Arc::new(door);
        let guests = shared.look(|property| {
            Guests::remembered(property.stays().values().map(|stay| (stay.id.clone(), stay.room.clone())))
        });
        if let Some(import) = &self.config.import {
            let folder = import.folder.clone();
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("making the folder {}", folder.display()))?;
            let reading = Reading::new(import, self.zone, self.rooms);
            return Ok(Watcher { folder, reading, guests, sink, intents, clock: SystemClock }
                .run(cancel)
                .await?);
        }
        let secrets = Secrets::of(&read_secret(&self.secret)?);
        let house =
            OfHouse { zone: self.zone.clone(), zone_name: self.zone_name, currency: self.currency, guests };
        let system = self.config.system(house, &secrets)?;
        let resume = shared.look(|property| resume(property, &self.ident));
        let (pace, seed) = (self.config.pace(self.zone), rand::random());
        let machine = Machine::new(SystemClock.now(), system, pace, &self.ident, seed, resume);
        let shell = Shell {
            machine,
            trust: Trust { ca_file: self.config.ca_file, insecure_loopback: self.config.insecure_loopback },
            answer: Duration::from_secs(u64::from(self.config.answer_s)),
            reconnect_max_s: self.config.reconnect_max_s,
            sink,
            intents,
            clock: SystemClock,
            seed,
        };
        Ok(shell.run(cancel).await?)
    }
}

/// What an earlier process left: the link's note, and the charges that are in doubt.
fn resume(property: &Property, ident: &str) -> Resume {
    let doubtful = property.postings().values().filter(|posting| posting.state == PostingState::Doubtful);
    let doubtful = doubtful.map(|posting| Doubted {
        posting: Posting {
            number: posting.number,
            ident: Machine::ident_of(ident, posting.number),
            room: posting.room.clone(),
            stay: posting.stay.clone(),
            amount: posting.amount,
            text: posting.text.clone(),
            outlet: posting.outlet.clone(),
        },
        since: posting.asked,
    });
    let note = property.link_notes().iter().find(|(link, _)| link.as_str() == PMS_LINK);
    Resume { note: note.map(|(_, note)| note.clone()), doubtful: doubtful.collect() }
}

fn secret_file(config: &HostedConfig, store: &Path) -> PathBuf {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(CREDENTIAL));
    handed_over
        .filter(|path| path.exists())
        .or_else(|| config.secret_file.clone())
        .unwrap_or_else(|| store.join("hosted.secret"))
}

fn read_secret(path: &Path) -> anyhow::Result<String> {
    let about = std::fs::metadata(path).with_context(|| {
        format!("the secret of the hosted PMS is missing: write it into {}, mode 0600", path.display())
    })?;
    let mode = about.permissions().mode() & 0o7777;
    ensure!(
        mode & 0o077 == 0,
        "the secret in {} can be read by others (mode {mode:o}): run `chmod 600 {}`",
        path.display(),
        path.display()
    );
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
