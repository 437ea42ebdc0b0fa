//! The house under test: the real link machine and model, a disk in memory, and the auditor of its journal.

use crate::audit::Auditor;
use crate::flaw::Flaw;
use crate::pms::ROOMS;
use engawa_model::{
    Action, Change, Command, CommandSource, Currency, Entity, Fact, Intent, Observation, Property,
    PropertyId, PropertySpec, RoomId, RoomSpec, StayEnd, Timestamp,
};
use engawa_pms::PmsConfig;
use engawa_pms::link::{Link, Out};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// The gateway.
pub(crate) struct House {
    spec: PropertySpec,
    pub(crate) property: Property,
    link: Link,
    pub(crate) now: Timestamp,
    pub(crate) connected: bool,
    disk: BTreeMap<(&'static str, String), Vec<u8>>,
    /// What was changed since the last commit.
    touched: BTreeSet<Entity>,
    changes: Vec<Change>,
    intents: Vec<Intent>,
    pub(crate) auditor: Auditor,
    /// Frames for the PMS.
    pub(crate) sent: Vec<Vec<u8>>,
    commands: u32,
    flaw: Option<Flaw>,
}

fn link() -> Link {
    Link::new(PmsConfig::new("pms:5010"), TimeZone::UTC)
}

impl House {
    /// An empty house that is not connected. `None` only if the currency's code were wrong.
    pub(crate) fn new(now: Timestamp, flaw: Option<Flaw>) -> Option<Self> {
        let spec = PropertySpec {
            id: PropertyId::from("days"),
            currency: Currency::new("EUR")?,
            rooms: ROOMS.iter().map(|room| RoomSpec { id: RoomId::from(*room) }).collect(),
            ..engawa_model::testing::house([])
        };
        Some(Self {
            property: Property::new(spec.clone()),
            spec,
            link: link(),
            now,
            connected: false,
            disk: BTreeMap::new(),
            touched: BTreeSet::new(),
            changes: Vec::new(),
            intents: Vec::new(),
            auditor: Auditor::default(),
            sent: Vec::new(),
            commands: 0,
            flaw,
        })
    }

    pub(crate) fn alive(&self) -> bool {
        self.connected && self.link.is_alive()
    }

    pub(crate) fn connect(&mut self) -> Result<(), String> {
        self.link.on_connected(self.now);
        self.connected = true;
        self.drain()
    }

    pub(crate) fn disconnect(&mut self) -> Result<(), String> {
        self.link.on_closed("the connection broke");
        self.connected = false;
        self.drain()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.link.on_bytes(self.now, bytes);
        self.drain()
    }

    /// Staff ask for the list. `accept`: they have looked, and it is right.
    pub(crate) fn ask_for_list(&mut self, accept: bool) -> Result<(), String> {
        self.commands += 1;
        let command = Command {
            key: format!("staff-{}-{}", self.now.as_millisecond(), self.commands).as_str().into(),
            source: CommandSource::Local,
            expires: None,
            action: if accept { Action::AskList { link: None, accept } } else { Action::Resync },
        };
        self.observe(Fact::Asked { command })
    }

    /// When something is due by itself.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        let link = self.link.wake_at().filter(|_| self.connected);
        [link, self.property.next_wake()].into_iter().flatten().min()
    }

    pub(crate) fn wake(&mut self, at: Timestamp) -> Result<(), String> {
        self.now = self.now.max(at);
        if self.connected {
            self.link.on_wake(self.now);
            self.drain()?;
        }
        self.observe(Fact::Tick)
    }

    fn drain(&mut self) -> Result<(), String> {
        while let Some(out) = self.link.poll() {
            match out {
                Out::Send(frame) => self.sent.push(frame),
                Out::Observe(fact) => match self.flaw {
                    None => self.observe(fact)?,
                    Some(flaw) => {
                        for twisted in flaw.twist(fact.clone(), &self.property) {
                            self.take(&fact, twisted)?;
                        }
                    }
                },
                Out::Close => {
                    self.connected = false;
                    self.link.on_closed("the link gave up");
                }
            }
        }
        Ok(())
    }

    /// Tells the model; what follows waits for the commit.
    fn observe(&mut self, fact: Fact) -> Result<(), String> {
        self.take(&fact.clone(), fact)
    }

    /// `fact` is what happened, `taken` what the model is told of it.
    fn take(&mut self, fact: &Fact, taken: Fact) -> Result<(), String> {
        // Observations of one burst share a millisecond, as those of a real one do.
        let applied = self.property.apply(&Observation::new(self.now, taken));
        for change in &applied.changes {
            follows(fact, change)?;
        }
        self.touched.extend(applied.touched);
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents);
        Ok(())
    }

    /// Puts what has changed on the disk and the journal, then does what is wanted.
    pub(crate) fn commit(&mut self) -> Result<(), String> {
        // What is done brings facts, and these may want more; a house that never comes to rest is a fault of its own.
        for _ in 0..100 {
            for entity in std::mem::take(&mut self.touched) {
                let key = (entity.kind(), entity.key());
                match self.property.save(&entity) {
                    Some(body) => drop(self.disk.insert(key, body)),
                    None => drop(self.disk.remove(&key)),
                }
            }
            for change in std::mem::take(&mut self.changes) {
                self.auditor.read(&change)?;
            }
            let intents = std::mem::take(&mut self.intents);
            if intents.is_empty() {
                return self.audited();
            }
            for intent in intents {
                self.link.on_intent(self.now, &intent);
                self.drain()?;
            }
        }
        Err("the house wants ever more".to_owned())
    }

    /// The journal and the picture tell the same.
    fn audited(&self) -> Result<(), String> {
        let picture: Vec<_> = self.property.stays().values().map(|stay| (&stay.id, &stay.room)).collect();
        let journal: Vec<_> = self.auditor.inside().iter().collect();
        if picture == journal {
            Ok(())
        } else {
            Err(format!("the journal tells {journal:?}, the picture {picture:?}"))
        }
    }

    /// True where a kill would lose something.
    pub(crate) fn owes_the_disk(&self) -> bool {
        !self.touched.is_empty() || !self.changes.is_empty() || !self.intents.is_empty()
    }

    /// The process is killed and starts again from its disk.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        self.touched.clear();
        self.changes.clear();
        self.intents.clear();
        self.sent.clear();
        self.link = link();
        self.connected = false;
        let rows = self.disk.iter().map(|((kind, key), body)| (*kind, key.as_str(), body.as_slice()));
        self.property = Property::restore(self.spec.clone(), rows).map_err(|error| error.to_string())?;
        self.observe(Fact::Started { clean: false })?;
        self.commit()
    }

    pub(crate) fn pass(&mut self, time: SignedDuration) {
        self.now = self.now.checked_add(time).unwrap_or(self.now);
    }
}

/// Nobody comes, goes or moves for another reason than a record that says so.
fn follows(fact: &Fact, change: &Change) -> Result<(), String> {
    let sound = match change {
        Change::CheckedIn { .. } | Change::Moved { .. } => matches!(fact, Fact::GuestSeen { .. }),
        Change::CheckedOut { reason: StayEnd::MissingInList, .. } => matches!(fact, Fact::ResyncDone),
        Change::CheckedOut { .. } => matches!(fact, Fact::GuestGone { listed: false, .. }),
        Change::BusinessDate { .. } => matches!(fact, Fact::PmsDate { .. } | Fact::NightAuditDone { .. }),
        _ => true,
    };
    if sound { Ok(()) } else { Err(format!("{change:?} follows from {fact:?}")) }
}
