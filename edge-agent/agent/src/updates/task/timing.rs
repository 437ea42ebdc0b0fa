//! What time it is: who is heard, and what is remembered of it.

use super::super::clock::{By, Clock, Heard, Now, Over};
use super::super::files;
use super::{Run, blocking, said};
use engawa_model::Timestamp;
use engawa_slots::Status;
use std::path::Path;

/// systemd's sign that the clock was set from the network (systemd-timesyncd.service(8)).
const CLOCK_IS_SET: &str = "/run/systemd/timesync/synchronized";
/// The time is written down again when it has moved so far, seconds: a memory card wears.
const MOVED_S: i64 = 3600;

impl Run<'_> {
    /// Bounds the time by what was signed: when what runs was built, when the timestamp that is known was signed, and
    /// when what is trusted expires.
    pub(super) async fn bound_time(&mut self, running: &Status) -> anyhow::Result<()> {
        let (trust, slot) = (self.places.trust.clone(), self.places.dir.join(running.slot.name()));
        let (built, known) = blocking(move || (built(&slot), trust.known())).await?;
        let known =
            known.inspect_err(|error| tracing::warn!(%error, "what is trusted says nothing of the time"));
        let (until, signed_at) =
            known.map_or((Timestamp::MAX, None), |known| (known.expires, known.signed_at));
        let said = said(&self.kept);
        let over = Over {
            signed: built.unwrap_or(said.signed),
            said: signed_at.map_or(said.said, |at| said.said.max(at)),
            ..said
        };
        self.trusted_until = until;
        self.clock = Clock::new(over.bounded(until));
        Ok(())
    }

    pub(super) fn now(&mut self) -> Now {
        let mono = self.started.elapsed();
        if Path::new(CLOCK_IS_SET).exists() {
            self.clock.confirm(By::System, Timestamp::now(), mono);
        }
        let now = self.clock.now(Timestamp::now(), mono);
        match now.off {
            Some(off) if !self.said_off => {
                self.said_off = true;
                tracing::warn!(seconds = off.as_secs(), "the system's clock is off, or was turned");
            }
            None => self.said_off = false,
            Some(_) => {}
        }
        now
    }

    /// The cloud says that it is `at`.
    pub(super) fn cloud_says(&mut self, at: Timestamp) -> anyhow::Result<()> {
        match self.clock.confirm(By::Cloud, at, self.started.elapsed()) {
            Heard::Over { since } => {
                tracing::warn!(%at, %since, "the cloud says a time that is over: its clock is not believed");
            }
            Heard::Earlier { said } => {
                tracing::warn!(%at, %said, "the cloud, or the network, was wrong about the time before: it says an earlier one");
            }
            Heard::Believed => {}
        }
        self.keep_time()
    }

    /// A person has looked at the clock: the error says why it is not right.
    pub(super) fn person_says(&mut self, at: Timestamp) -> anyhow::Result<Result<(), String>> {
        match self.clock.confirm(By::Person, at, self.started.elapsed()) {
            Heard::Over { since } => Ok(Err(format!(
                "the gateway's clock is not right: it says {at}, and what runs here was built at {since}; set it (date), and say \
                 --clock-is-right again"
            ))),
            Heard::Earlier { said } => {
                tracing::warn!(%at, %said, "a person says that it is earlier than cloud or network have said");
                self.keep_time().map(Ok)
            }
            Heard::Believed => self.keep_time().map(Ok),
        }
    }

    /// Remembers what is known to be over, where that has moved much or was taken back.
    pub(super) fn keep_time(&mut self) -> anyhow::Result<()> {
        let over = self.clock.over().bounded(self.trusted_until);
        let moved = |kept: Option<Timestamp>, now: Timestamp| {
            let moved = now.as_second() - kept.unwrap_or(Timestamp::UNIX_EPOCH).as_second();
            !(0..MOVED_S).contains(&moved)
        };
        if !moved(self.kept.time, over.said) && !moved(self.kept.agreed, over.agreed) {
            return Ok(());
        }
        (self.kept.time, self.kept.agreed) = (Some(over.said), Some(over.agreed));
        self.save()
    }
}

/// When the release in a slot was built.
fn built(slot: &Path) -> Option<Timestamp> {
    let bytes = files::read(&slot.join(engawa_slots::MANIFEST)).ok().flatten()?;
    let manifest = engawa_release::Manifest::read(&bytes).ok()?;
    Timestamp::from_second(manifest.built).ok()
}
