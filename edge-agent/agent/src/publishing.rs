//! Where the house is published, and in which form at each broker; and the events that wait for each.
//!
//! State goes out after its commit and is told again from the picture. Events are stored in the transaction of what
//! caused them, also for a broker whose task is not running, and deleted when that broker has acknowledged them.
//!
//! Never: waits for a broker.

use crate::outlets::OutletId;
use engawa_field::mqtt::documents::device_values;
use engawa_field::mqtt::{Publication, Publisher, ValueTopics, house};
use engawa_model::{Change, DeskEvent, DeviceId, Intent, LinkId, Property};
use engawa_store::Event;
use std::collections::{BTreeMap, BTreeSet};

/// The brokers. Bounded by the configuration.
#[derive(Default)]
pub(crate) struct Publishing {
    /// The links to all.
    links: Vec<LinkId>,
    /// Those whose tasks have started.
    brokers: BTreeMap<OutletId, (Publisher, ValueTopics)>,
}

/// What is to be published once a transaction is durable: for each form that is in use.
#[derive(Default)]
pub(crate) struct Published {
    forms: BTreeMap<ValueTopics, Form>,
}

#[derive(Default)]
struct Form {
    publications: Vec<Publication>,
    /// Devices whose documents have changed.
    documents: BTreeSet<DeviceId>,
}

impl Publishing {
    /// The house is published where these links lead.
    pub(crate) fn at(links: Vec<LinkId>) -> Self {
        Self { links, brokers: BTreeMap::new() }
    }

    /// The events that follow from `change`, for each broker.
    pub(crate) fn events(&self, property: &Property, change: &Change) -> Vec<Event> {
        let Change::CommandEnded { .. } = change else { return vec![] };
        let said = house::publications(property, change, ValueTopics::default());
        let said = said.into_iter().filter(|publication| !publication.retain);
        said.flat_map(|Publication { topic, payload, .. }| {
            let event = move |link: &LinkId| Event {
                broker: link.to_string(),
                topic: topic.clone(),
                payload: payload.clone(),
            };
            self.links.iter().map(event).collect::<Vec<_>>()
        })
        .collect()
    }

    /// The answer to a command of MQTT that was refused before the house took it, for each broker.
    pub(crate) fn answer(&self, property: &Property, ended: &Change) -> Vec<Event> {
        let Some(Publication { topic, payload, .. }) = house::answer(property, ended) else { return vec![] };
        let event = |link: &LinkId| Event {
            broker: link.to_string(),
            topic: topic.clone(),
            payload: payload.clone(),
        };
        self.links.iter().map(event).collect()
    }

    /// There are new events in the store.
    pub(crate) fn remind(&self) {
        self.brokers.values().for_each(|(publisher, _)| publisher.remind());
    }

    /// The task of `broker` has started: what changes is published through this from now on.
    pub(crate) fn start(&mut self, broker: OutletId, publisher: Publisher, values: ValueTopics) {
        self.brokers.insert(broker, (publisher, values));
    }

    /// Nothing yet, in the forms that are in use.
    pub(crate) fn begin(&self) -> Published {
        let forms = self.brokers.values().map(|(_, values)| (*values, Form::default()));
        Published { forms: forms.collect() }
    }

    /// Lets out what was published; never waits.
    pub(crate) fn let_out(&self, published: Published) {
        for (form, Form { publications, .. }) in published.forms {
            let mut at =
                self.brokers.values().filter(|(_, values)| *values == form).map(|(publisher, _)| publisher);
            let Some(first) = at.next() else { continue };
            for other in at {
                publications.iter().for_each(|publication| other.publish(publication.clone()));
            }
            publications.into_iter().for_each(|publication| first.publish(publication));
        }
    }
}

impl Published {
    /// What follows from `change`; `property` is the picture after it.
    pub(crate) fn add(&mut self, property: &Property, change: &Change) {
        for (values, form) in &mut self.forms {
            let state = house::publications(property, change, *values);
            // A wanted key is void before it could be told late: it is no event that the store keeps.
            let key = matches!(change, Change::Desk { what: DeskEvent::KeyAsked { .. } });
            form.publications.extend(state.into_iter().filter(|publication| publication.retain || key));
            if let Change::Reported { point, .. } = change
                && values.devices()
            {
                form.documents.insert(point.device.clone());
            }
        }
    }

    /// What `intent` needs on the house's topics; `property` is the picture after it.
    pub(crate) fn carry_out(&mut self, property: &Property, intent: &Intent) {
        let Some(publication) = house::carried_out(property, intent) else { return };
        self.forms.values_mut().for_each(|form| form.publications.push(publication.clone()));
    }

    /// The group is complete: documents show all of it.
    pub(crate) fn complete(&mut self, property: &Property) {
        for form in self.forms.values_mut() {
            let documents = form.documents.iter().filter_map(|device| device_values(property, device));
            form.publications.extend(documents);
        }
    }
}
