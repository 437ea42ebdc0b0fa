//! One session: a connection, and what is under way on it.
//!
//! Why it has a patience of its own: a broker that answers pings and nothing else would hold the window for ever.
//!
//! Never: outlives its connection.

use super::{Dialled, End, Target};
use crate::mqtt::desk::ToDesk;
use crate::mqtt::outbox::{Allowed, Outgoing};
use crate::mqtt::survey::{Kept, Survey};
use crate::mqtt::topic::{HouseTopics, matches};
use crate::mqtt::wire::{Delivery, MAX_PACKET, Receipt};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Publications that may wait for their acknowledgement at once.
const WINDOW: usize = 100;
/// Packet ids that the library may use: far more than the window, so that none is in use twice even where a
/// broker acknowledges out of order.
pub(super) const PACKET_IDS: u16 = 2_000;
/// Requests that wait inside the library: more than the window, the acknowledgements (bounded by the desk's
/// queue and window) and the subscriptions together.
pub(super) const REQUESTS: usize = 4_096;
/// Filters in one SUBSCRIBE.
const FILTERS: usize = 64;
/// How long a broker may leave a publication or a subscription without an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type Acknowledgement = BoxFuture<'static, Option<Receipt>>;

/// What a SUBSCRIBE was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Commands and devices.
    Topics,
    /// What the broker keeps of the house.
    Survey,
}

/// See the module.
pub(super) struct Session {
    pub(super) dialled: Dialled,
    /// Handed to the library, not numbered yet.
    pub(super) handed: VecDeque<Outgoing>,
    pub(super) acknowledgements: FuturesOrdered<Acknowledgement>,
    /// The longest packet that goes out.
    pub(super) most: usize,
    patience: Duration,
    /// Numbered, not acknowledged yet, and since when.
    flying: HashMap<u16, (Outgoing, Instant)>,
    greeted: bool,
    /// SUBSCRIBEs whose answer is still to come, in order.
    asked: VecDeque<(Answers, Instant)>,
    refused: usize,
    survey: Option<Survey>,
    told: bool,
}

impl Session {
    pub(super) fn new(dialled: Dialled, patience: Duration) -> Self {
        Self {
            dialled,
            handed: VecDeque::new(),
            acknowledgements: FuturesOrdered::new(),
            most: MAX_PACKET,
            patience,
            flying: HashMap::new(),
            greeted: false,
            asked: VecDeque::new(),
            refused: 0,
            survey: None,
            told: false,
        }
    }

    pub(super) fn greeted(&mut self, most: Option<usize>) {
        self.greeted = true;
        self.most = most.unwrap_or(MAX_PACKET).min(MAX_PACKET);
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// True where another publication may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.greeted && self.handed.len() + self.flying.len() < WINDOW
    }

    /// What may go out.
    pub(super) fn allowed(&self) -> Allowed {
        if self.survey.is_some() { Allowed::Events } else { Allowed::All }
    }

    pub(super) fn subscribe(&mut self, filters: &[String], answers: Answers) -> Result<(), End> {
        let delivery = match answers {
            Answers::Topics => Delivery::AtLeastOnce,
            // What is lost on the way is published again; and a broker has no bound for what waits to be acknowledged.
            Answers::Survey => Delivery::AtMostOnce,
        };
        for chunk in filters.chunks(FILTERS) {
            if self.dialled.wire.subscribe(chunk, delivery).is_err() {
                return Err(End::Lost("a topic can't be subscribed to".to_owned()));
            }
            self.asked.push_back((answers, Instant::now()));
        }
        Ok(())
    }

    pub(super) fn subscribed(&mut self, refused: &[bool]) {
        let Some((answers, _)) = self.asked.pop_front() else { return };
        match (answers, &mut self.survey) {
            (Answers::Topics, _) => self.refused += refused.iter().filter(|refused| **refused).count(),
            // A part of the picture is enough: what is not heard is published.
            (Answers::Survey, Some(survey)) if refused.iter().all(|refused| *refused) => survey.refused(),
            (Answers::Survey, _) => {}
        }
    }

    /// The news that the connection is up, once.
    pub(super) fn news(&mut self, target: &Target) -> Option<ToDesk> {
        let waiting = self.asked.iter().any(|(answers, _)| *answers == Answers::Topics);
        if self.told || waiting {
            return None;
        }
        self.told = true;
        let mut detail = format!("connected to {}, {}", target.place(), self.dialled.dialect.name());
        if self.refused > 0 {
            tracing::warn!(refused = self.refused, "the broker refuses subscriptions");
            detail = format!("{detail}; it refuses {} subscriptions", self.refused);
        }
        Some(ToDesk::Link { up: true, detail })
    }

    pub(super) fn numbered(&mut self, id: u16) {
        if let Some(outgoing) = self.handed.pop_front() {
            self.flying.insert(id, (outgoing, Instant::now()));
        }
    }

    pub(super) fn acknowledged(&mut self, id: u16) -> Option<Outgoing> {
        self.flying.remove(&id).map(|(outgoing, _)| outgoing)
    }

    /// Subscribes to what the broker keeps, and publishes the mark behind it.
    pub(super) fn survey(&mut self, filters: &[String], topic: &str, survey: Survey) -> Result<(), End> {
        self.subscribe(filters, Answers::Survey)?;
        let mark = survey.mark().as_bytes().to_vec();
        if self.dialled.wire.publish(topic, mark, Delivery::AtMostOnce, false, None).is_err() {
            return Err(End::Lost("the survey's mark can't be sent".to_owned()));
        }
        self.survey = Some(survey);
        Ok(())
    }

    /// True where the message was for a survey, this one or one that is over.
    pub(super) fn surveyed(
        &mut self,
        topics: &HouseTopics,
        topic: &str,
        payload: &[u8],
        retained: bool,
    ) -> bool {
        if !topics.owns(topic) || !topics.state_filters().iter().any(|filter| matches(filter, topic)) {
            return false;
        }
        if let Some(survey) = &mut self.survey {
            survey.hear(topic, payload, retained, Instant::now());
        }
        true
    }

    /// A kept message that is no state of the house, but is expected by the survey.
    pub(super) fn hear_kept(&mut self, topic: &str, payload: &[u8], kept: bool) {
        if let Some(survey) = self.survey.as_mut().filter(|_| kept) {
            survey.hear_foreign(topic, payload, Instant::now());
        }
    }

    /// What was heard, once the survey is over.
    pub(super) fn end_of_survey(&mut self, now: Instant, filters: &[String]) -> Option<Kept> {
        let survey = self.survey.take_if(|survey| survey.over(now))?;
        for filter in filters {
            // Where the library has no room, our own messages come back and are left alone.
            if self.dialled.wire.unsubscribe(filter).is_err() {
                break;
            }
        }
        Some(survey.outcome())
    }

    /// When something is to be looked at without anything happening.
    pub(super) fn wake(&self) -> Option<Instant> {
        let survey = self.survey.as_ref().map(Survey::due);
        survey.into_iter().chain(self.oldest().map(|at| at + self.patience)).min()
    }

    fn oldest(&self) -> Option<Instant> {
        let flying = self.flying.values().map(|(_, since)| *since).min();
        flying.into_iter().chain(self.asked.front().map(|(_, since)| *since)).min()
    }

    /// Why the connection is given up, where the broker has left something without an answer for too long.
    pub(super) fn stuck(&self, now: Instant) -> Option<String> {
        if self.oldest().is_none_or(|oldest| now < oldest + self.patience) {
            return None;
        }
        let what = if self.flying.is_empty() { "a subscription" } else { "a publication" };
        Some(format!("it has left {what} without an answer for {} s", self.patience.as_secs()))
    }

    /// What may or may not have reached the broker, oldest first as far as that is known.
    pub(super) fn unacknowledged(&mut self) -> Vec<Outgoing> {
        let mut flying: Vec<_> = self.flying.drain().collect();
        flying.sort_unstable_by_key(|(id, (_, since))| (*since, *id));
        flying.into_iter().map(|(_, (outgoing, _))| outgoing).chain(self.handed.drain(..)).collect()
    }
}
