//! A wanted release on its way into the spare slot. Blocks: not for the threads of the runtime.

use super::kept::Wanted;
use super::trust::{Trust, TrustError};
use engawa_model::Timestamp;
use engawa_release::{Digest, Kind};
use engawa_slots::{AskError, Slot, Supervisor};
use engawa_update::{FetchError, InstallError, Limits, Progress, Release, Source, weigh};
use std::path::{Path, PathBuf};

/// What a release of the agent is called.
const NAME: &str = "engawa";

/// By so much the clock of whoever built a release may be ahead, seconds.
const CLOCKS_S: i64 = 86_400;

/// Why there is nothing to switch to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It may be there later: the line is down, somebody is at work in the slot.
    Later(String),
    /// The source lacks what it should have. A replica of the cloud may have it later; a stick won't.
    Lacking(String),
    /// It is not to be trusted, or not for this gateway.
    Refused(String),
    /// It could not be fetched or written, and won't be without somebody's help.
    Failed(String),
}

impl From<TrustError> for Stop {
    fn from(error: TrustError) -> Self {
        match error {
            error if error.is_passing() => Self::Later(in_words(&error)),
            error if error.is_lacking() => Self::Lacking(in_words(&error)),
            // A disk that is full now need not be so later.
            TrustError::Keep { .. } => Self::Later(in_words(&error)),
            error => Self::Refused(in_words(&error)),
        }
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        match error {
            error if error.is_passing() => Self::Later(in_words(&error)),
            FetchError::Absent(_) => Self::Lacking(in_words(&error)),
            error => Self::Refused(in_words(&error)),
        }
    }
}

impl From<InstallError> for Stop {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Fetch(error) => error.into(),
            error if error.is_passing() => Self::Later(in_words(&error)),
            error => Self::Failed(in_words(&error)),
        }
    }
}

impl From<AskError> for Stop {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(_) => Self::Failed(error.to_string()),
            // It can't be reached, or has a reason that passes: a try that is answered, a disk that is full or does not read.
            error => Self::Later(error.to_string()),
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

/// What this gateway takes.
#[derive(Clone, Debug)]
pub(crate) struct Fits {
    /// What it runs on.
    pub(crate) triple: String,
    /// Which board it is.
    pub(crate) hardware: String,
    /// Nothing with a lower number.
    pub(crate) floor: u64,
    /// The number of what runs: a rollout brings no older one, but on a way back.
    pub(crate) running: u64,
}

impl Fits {
    /// Why a release is not for this gateway.
    pub(crate) fn refusal(&self, release: &Release, wanted: &Wanted) -> Option<String> {
        let manifest = &release.manifest;
        if manifest.kind != Kind::Application || manifest.name != NAME {
            return Some(format!(
                "{} is a release of {} ({}): the agent installs its own alone",
                release.path,
                manifest.name,
                manifest.kind.as_str()
            ));
        }
        if manifest.version != wanted.version {
            return Some(format!(
                "{} is version {}, {} is wanted",
                release.path, manifest.version, wanted.version
            ));
        }
        if wanted.number != 0 && manifest.number != wanted.number {
            let (is, wanted) = (manifest.number, wanted.number);
            return Some(format!("its release counter is {is}, and {wanted} was announced"));
        }
        if manifest.number < self.floor {
            return Some(format!(
                "its release counter {} is below {}, which a confirmed release has set: older ones are never installed again",
                manifest.number, self.floor
            ));
        }
        if wanted.rollout().is_some() && !wanted.is_back() && manifest.number < self.running {
            return Some(format!(
                "its release counter {} is below {}, which runs: the rollout is older, and is no way back",
                manifest.number, self.running
            ));
        }
        if !manifest.is_for(&self.triple, &self.hardware) {
            let boards = match manifest.hardware.as_slice() {
                [] => "any board".to_owned(),
                boards => boards.join(", "),
            };
            let board = match self.hardware.as_str() {
                "" => "a board that [update] hardware does not name",
                board => board,
            };
            return Some(format!(
                "it is for {} on {boards}; this gateway is {} on {board}",
                manifest.triple, self.triple
            ));
        }
        None
    }
}

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The folder of the slots.
    pub(crate) dir: PathBuf,
    /// What releases are trusted by.
    pub(crate) trust: Trust,
    /// Bounds of an installation.
    pub(crate) limits: Limits,
}

impl Places {
    fn slot(&self, slot: Slot) -> PathBuf {
        self.dir.join(slot.name())
    }
}

/// A release that lies complete in the spare slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The SHA-256 of its manifest.
    pub(crate) manifest: Digest,
    /// Its release counter.
    pub(crate) number: u64,
    /// Bytes that came for it in this run.
    pub(crate) fetched: u64,
}

/// The release that is wanted, verified by signed metadata of `now`. Nothing is written but metadata.
pub(crate) fn verified(
    places: &Places,
    source: &mut dyn Source,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Release, Stop> {
    let mut client = places.trust.refresh(source, now, true)?;
    let (target, sha256) = places.trust.target(&mut client, source, &wanted.target, true)?;
    let place = (target.length, sha256);
    Ok(Release::fetch_begun(source, &wanted.target, place, &places.trust.begun())?)
}

/// The release that is wanted, verified, and for this gateway.
pub(crate) fn find(
    places: &Places,
    source: &mut dyn Source,
    wanted: &Wanted,
    fits: &Fits,
    now: Timestamp,
) -> Result<Release, Stop> {
    let release = verified(places, source, wanted, now)?;
    match fits.refusal(&release, wanted).or_else(|| from_later(release.manifest.built, now)) {
        Some(why) => Err(Stop::Refused(why)),
        None => Ok(release),
    }
}

/// Why a release that was `built` then is not installed `now`: once it runs nothing is earlier, and nobody talks the gateway out of
/// that.
fn from_later(built: i64, now: Timestamp) -> Option<String> {
    let ahead = built.saturating_sub(now.as_second());
    (ahead > CLOCKS_S).then(|| {
        let at = Timestamp::from_second(built).map_or_else(|_| "at no time".to_owned(), |at| at.to_string());
        format!(
            "it says that it was built {at}, and it is {now:.0}: from then on the gateway would know no other time; release it again, with the time it was built"
        )
    })
}

/// Makes the spare slot what `release` says. `watch` hears how far it is, and stops it by `false`.
pub(crate) fn lay(
    places: &Places,
    source: &mut dyn Source,
    release: &Release,
    supervisor: &Supervisor,
    running: Slot,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Ready, Stop> {
    let seed = places.slot(running);
    let seeds: [&Path; 1] = [&seed];
    let slot = places.slot(running.other());
    // Without room for it the release that lies there stays the way back.
    let weighed = weigh(release, &slot, &seeds, places.limits)?;
    // From here on nothing in it is started, whatever happens.
    let spare = supervisor.begin()?;
    if spare == running {
        return Err(Stop::Later(format!(
            "the supervisor calls slot {spare} the spare one, from which this runs"
        )));
    }
    let installed = weighed.install(source, watch)?;
    for why in &installed.refused {
        tracing::warn!(%why, "a patch was of no use");
    }
    Ok(Ready { manifest: installed.manifest, number: release.manifest.number, fetched: installed.fetched })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_later_is_not_installed() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        for built in [i64::MIN, 0, 1_790_000_000, 1_790_086_400] {
            assert_eq!(from_later(built, now), None, "{built}");
        }
        let why = from_later(1_790_086_401, now).unwrap();
        assert!(why.contains("built 2026-09-22T14:13:21Z, and it is 2026-09-21"), "{why}");
        assert!(from_later(i64::MAX, now).unwrap().contains("at no time"), "milliseconds, say");
    }

    #[test]
    fn what_the_supervisor_can_not_do_yet_is_no_failure() {
        let later = AskError::Later("another try is being answered".to_owned());
        assert!(matches!(Stop::from(later), Stop::Later(why) if why.contains("another try")));
        let refused = AskError::Refused("slot b is not complete".to_owned());
        assert_eq!(
            Stop::from(refused),
            Stop::Failed("the supervisor refuses: slot b is not complete".to_owned())
        );
    }
}
