//! The agent updates itself: it asks the cloud which release it is meant to run, fetches it into the spare slot, waits for a good
//! moment, has its supervisor switch, and judges itself in the trial that follows.
//!
//! Every step is a fact for the house and a row in the journal. What is believed of a release is signed metadata alone; the cloud
//! can withhold a release and can't forge one. Nothing of it is started before the supervisor has read it back.
//!
//! [`trial`], [`clock`] decide, and so does [`engawa_release::conditions`]: pure. [`prepare`] and [`trust`] work with files and
//! block; [`task`] brings it all together. What is remembered over a restart is in [`kept`].
//!
//! Of the system image below the agent it is the same up to the switch: [`installer`] hands what was fetched to the box's own
//! installer, and the judge is below the agent; see [`system`].
//!
//! Never: a version chosen by the gateway itself; a switch while the cloud, which wanted it, can't be asked any more; a
//! byte of a release in the slot that runs.

pub(crate) mod clock;
pub(crate) mod facts;
mod files;
mod installer;
pub(crate) mod kept;
pub(crate) mod prepare;
pub(crate) mod system;
mod task;
pub(crate) mod trial;
pub(crate) mod trust;
mod watch;

use crate::config::{Loaded, UpdateConfig};
use crate::house::Door;
use engawa_link::UpdateLine;
use engawa_model::{CommandKey, UpdateWindow};
use engawa_slots::Supervisor;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;
pub(crate) use watch::Watch;

/// Commands that may wait: the house lets one be open at a time.
const WAITING: usize = 4;
/// What this program was built for.
pub(crate) const TRIPLE: &str = env!("ENGAWA_TARGET");

/// A command to install a release.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) key: CommandKey,
    pub(crate) version: String,
    pub(crate) window: Option<UpdateWindow>,
    pub(crate) from: Option<PathBuf>,
    pub(crate) clock_is_right: bool,
}

/// Where commands to install a release go; without an `[update]` section nowhere.
#[derive(Clone, Default)]
pub(crate) struct Wishes(Option<mpsc::Sender<Wish>>);

impl Wishes {
    /// Hands a command on.
    ///
    /// # Errors
    /// Why there is nobody to take it.
    pub(crate) fn give(&self, wish: Wish) -> Result<(), String> {
        let Some(sender) = &self.0 else {
            return Err("no updater on this box: its configuration has no [update]".to_owned());
        };
        sender.try_send(wish).map_err(|_| "other updates wait already: ask again later".to_owned())
    }
}

/// What the task works with.
pub(crate) struct Updates {
    pub(crate) config: UpdateConfig,
    pub(crate) zone: TimeZone,
    pub(crate) door: Door,
    pub(crate) watch: Watch,
    /// The way to the cloud, where there is one.
    pub(crate) line: Option<Arc<UpdateLine>>,
    /// Whoever started this process, where that is a supervisor.
    pub(crate) supervisor: Option<Supervisor>,
    /// A link that tells whether the cloud can be asked.
    pub(crate) connected: Option<tokio::sync::watch::Receiver<bool>>,
    wishes: tokio::sync::Mutex<mpsc::Receiver<Wish>>,
}

impl Updates {
    /// The task's parts, and where commands go in.
    pub(crate) fn new(
        loaded: &Loaded,
        config: UpdateConfig,
        door: Door,
        watch: Watch,
        line: Option<UpdateLine>,
    ) -> (Self, Wishes) {
        let (sender, wishes) = mpsc::channel(WAITING);
        // The configuration was checked: the zone is known.
        let zone = TimeZone::get(&loaded.config.property.zone).unwrap_or(TimeZone::UTC);
        let connected = line.as_ref().map(UpdateLine::connected);
        let this = Self {
            config,
            zone,
            door,
            watch,
            line: line.map(Arc::new),
            supervisor: Supervisor::from_env(),
            connected,
            wishes: tokio::sync::Mutex::new(wishes),
        };
        (this, Wishes(Some(sender)))
    }
}

/// The slot table, for whoever only looks.
pub(crate) mod slots {
    use engawa_slots::Table;
    use engawa_slots::files::Folder;
    use engawa_slots::store::{Store, StoreFault};
    use std::path::Path;

    /// Reads the table in `dir`; writes nothing.
    pub(crate) fn peek(dir: &Path) -> Result<Table, StoreFault> {
        Store::peek(&Folder::new(dir))
    }
}

/// True where a supervisor has started this process on trial: the store is opened so that the way back stays open.
pub(crate) fn on_trial() -> bool {
    let status = Supervisor::from_env().map(|supervisor| supervisor.status());
    match status {
        Some(Ok(status)) => status.trial.is_some(),
        // Who does not know better keeps the way back open.
        Some(Err(error)) => {
            tracing::warn!(%error, "whether this is a trial is not known: the way back is kept open");
            true
        }
        None => false,
    }
}
