//! Where intents go: each driver has one outlet, and each device belongs to one driver.
//!
//! Why not a plain channel: the house must never wait for a driver that waits for the house. What does not fit into
//! a driver's queue is kept here, one write for each point at most (a newer order has ended the older one), and handed
//! over when there is room.

use engawa_model::{DeviceId, Intent, LinkId, PMS_LINK};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::mpsc;

/// Intents that may wait in a driver's own queue.
const QUEUE: usize = 256;

/// The number of an outlet.
pub(crate) type OutletId = usize;

/// One driver's way in.
struct Outlet {
    name: String,
    sender: Option<mpsc::Sender<Intent>>,
    /// Bounded by the points and postings of the house: see [`Outlet::keep`].
    waiting: VecDeque<Intent>,
}

impl Outlet {
    fn give(&mut self, intent: Intent) {
        self.waiting.retain(|old| !replaces(&intent, old));
        self.waiting.push_back(intent);
        self.flush();
    }

    fn flush(&mut self) {
        let Some(sender) = &self.sender else { return };
        while let Some(intent) = self.waiting.pop_front() {
            match sender.try_send(intent) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(intent)) => {
                    self.waiting.push_front(intent);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    // The driver has gone. It gets all that is owed when it is started again.
                    tracing::debug!(driver = %self.name, "not running: its intents wait for its next start");
                    self.waiting.clear();
                    self.sender = None;
                    return;
                }
            }
        }
    }
}

/// True where `new` makes `old` pointless.
fn replaces(new: &Intent, old: &Intent) -> bool {
    match (new, old) {
        (Intent::WritePoint { point: new, .. }, Intent::WritePoint { point: old, .. }) => new == old,
        (Intent::WithdrawWrite { key: gone, .. }, Intent::WritePoint { key, .. }) => gone == key,
        (Intent::ForgetNote { device: new }, Intent::ForgetNote { device: old }) => new == old,
        (Intent::RequestResync, Intent::RequestResync) => true,
        (Intent::SendRoomStatus { key: new, .. }, Intent::SendRoomStatus { key: old, .. })
        | (Intent::AskPms { key: new, .. }, Intent::AskPms { key: old, .. })
        | (Intent::Upkeep { key: new, .. }, Intent::Upkeep { key: old, .. }) => new == old,
        (Intent::TellWakeUp { id: new, .. }, Intent::TellWakeUp { id: old, .. }) => new == old,
        // Each link has a queue of its own.
        (Intent::AtLink { what: new, .. }, Intent::AtLink { what: old, .. }) => replaces(new, old),
        _ => false,
    }
}

/// All outlets.
#[derive(Default)]
pub(crate) struct Outlets {
    outlets: Vec<Outlet>,
    by_device: BTreeMap<DeviceId, OutletId>,
    /// One a PMS.
    pms: BTreeMap<LinkId, OutletId>,
    /// Whoever looks after the agent itself.
    caretaker: Option<OutletId>,
}

impl Outlets {
    /// An outlet for the driver of `devices`.
    pub(crate) fn add(&mut self, name: &str, devices: impl IntoIterator<Item = DeviceId>) -> OutletId {
        let id = self.outlets.len();
        self.outlets.push(Outlet { name: name.to_owned(), sender: None, waiting: VecDeque::new() });
        self.by_device.extend(devices.into_iter().map(|device| (device, id)));
        id
    }

    /// The outlet for a PMS link.
    pub(crate) fn add_pms(&mut self, link: LinkId) -> OutletId {
        let id = self.add(link.as_str(), []);
        self.pms.insert(link, id);
        id
    }

    /// The outlet for whoever looks after the agent itself.
    pub(crate) fn add_caretaker(&mut self) -> OutletId {
        let id = self.add("upkeep", []);
        self.caretaker = Some(id);
        id
    }

    /// Connects a driver that has just been started; what waited for it goes first.
    pub(crate) fn connect(&mut self, id: OutletId) -> mpsc::Receiver<Intent> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        if let Some(outlet) = self.outlets.get_mut(id) {
            outlet.sender = Some(sender);
            outlet.flush();
        }
        receiver
    }

    /// True where `intent` goes through `id`.
    pub(crate) fn leads_to(&self, intent: &Intent, id: OutletId) -> bool {
        self.outlet_of(intent) == Some(id)
    }

    fn outlet_of(&self, intent: &Intent) -> Option<OutletId> {
        match intent {
            Intent::WritePoint { point, .. } | Intent::WithdrawWrite { point, .. } => {
                self.by_device.get(&point.device).copied()
            }
            Intent::ForgetNote { device } => self.by_device.get(device).copied(),
            Intent::SendPosting { .. }
            | Intent::SendRoomStatus { .. }
            | Intent::RequestResync
            | Intent::TellWakeUp { .. }
            | Intent::AskPms { .. }
            | Intent::AnswerKey { .. } => self.pms.get(&LinkId::from(PMS_LINK)).copied(),
            // On the house's own topics: see `publishing.rs`.
            Intent::Wake { .. } | Intent::EndWake { .. } | Intent::TellGuest { .. } => None,
            Intent::AtLink { link, .. } => self.pms.get(link).copied(),
            Intent::Upkeep { .. } => self.caretaker,
        }
    }

    /// Hands `intent` to its driver; never waits.
    pub(crate) fn give(&mut self, intent: Intent) {
        if matches!(intent, Intent::Wake { .. } | Intent::EndWake { .. } | Intent::TellGuest { .. }) {
            return;
        }
        match self.outlet_of(&intent).and_then(|id| self.outlets.get_mut(id)) {
            Some(outlet) => outlet.give(intent),
            None => tracing::warn!(?intent, "no driver for this: is the device or the PMS still configured?"),
        }
    }

    /// Hands over what has waited. True where something still waits.
    pub(crate) fn flush(&mut self) -> bool {
        for outlet in &mut self.outlets {
            outlet.flush();
        }
        self.outlets.iter().any(|outlet| outlet.sender.is_some() && !outlet.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{CommandKey, PointId, Timestamp, Value};

    fn write(point: &str, key: &str) -> Intent {
        Intent::WritePoint {
            key: CommandKey::from(key),
            point: PointId::new("t", point),
            value: Value::Float(21.0),
            expires: Timestamp::MAX,
        }
    }

    #[test]
    fn what_does_not_fit_waits_and_only_the_newest_write_of_a_point() {
        let mut outlets = Outlets::default();
        let id = outlets.add("bus", [DeviceId::from("t")]);
        let mut queue = outlets.connect(id);
        for n in 0..QUEUE {
            outlets.give(write(&format!("p{n}"), "first"));
        }
        for key in ["a", "b", "c"] {
            outlets.give(write("q", key));
        }
        assert!(outlets.flush(), "the queue is full");
        for _ in 0..QUEUE {
            queue.try_recv().unwrap();
        }
        assert!(!outlets.flush());
        assert_eq!(queue.try_recv().unwrap(), write("q", "c"));
        assert!(queue.try_recv().is_err());
    }

    #[test]
    fn an_intent_before_the_first_start_waits_for_it() {
        let mut outlets = Outlets::default();
        let id = outlets.add("bus", [DeviceId::from("t")]);
        outlets.give(write("p", "k"));
        assert!(!outlets.flush(), "nobody is there to wait for");
        assert_eq!(outlets.connect(id).try_recv().unwrap(), write("p", "k"));
    }

    #[test]
    fn each_pms_gets_its_own_and_no_other() {
        let mut outlets = Outlets::default();
        let (first, second) = (outlets.add_pms(PMS_LINK.into()), outlets.add_pms("pms-villas".into()));
        let at = |link: &str| Intent::AtLink { link: link.into(), what: Box::new(Intent::RequestResync) };
        for intent in [Intent::RequestResync, at("pms-villas"), at("pms-villas"), at("pms-gone")] {
            outlets.give(intent);
        }
        let mut queue = outlets.connect(first);
        assert_eq!((queue.try_recv().ok(), queue.try_recv().ok()), (Some(Intent::RequestResync), None));
        let mut queue = outlets.connect(second);
        assert_eq!((queue.try_recv().ok(), queue.try_recv().ok()), (Some(at("pms-villas")), None));
    }

    #[test]
    fn a_driver_that_has_gone_keeps_nothing() {
        let mut outlets = Outlets::default();
        let id = outlets.add("bus", [DeviceId::from("t")]);
        drop(outlets.connect(id));
        outlets.give(write("p", "k"));
        assert!(outlets.connect(id).try_recv().is_err(), "the house gives what is owed again by itself");
    }
}
