//! Found devices: what they told is kept until somebody places them, or they take it back.

use super::{Applied, Entity, Property};
use crate::ids::FoundId;
use crate::{Change, Found, FoundAbout, FoundEntity, Timestamp};
use jiff::SignedDuration;

/// Found devices that wait; beyond it the one that was not heard of for longest drops out and is counted.
const MOST: usize = 1_000;
/// What one of them may tell, bytes; what comes beyond is not taken, and counted.
const MOST_BYTES: usize = 32 * 1024;
/// A device that tells the same again is written down again this often.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

impl Property {
    pub(super) fn found_device(
        &mut self,
        at: Timestamp,
        id: &FoundId,
        about: &FoundAbout,
        source: &str,
        entities: &[FoundEntity],
        out: &mut Applied,
    ) {
        // A source that now speaks of another device (a firmware that was changed) has left the first.
        self.found_gone_but(source, Some(id), out);
        let new = !self.found.contains_key(id);
        if new && self.found.len() >= MOST {
            self.drop_oldest_found(out);
        }
        let found = self.found.entry(id.clone()).or_insert_with(|| Found {
            about: about.clone(),
            first: at,
            last: at,
            sources: Default::default(),
        });
        let before = found.sources.get(source);
        let same = before.is_some_and(|known| known == entities) && found.about == *about;
        if same && at.duration_since(found.last) < AGAIN {
            return;
        }
        if !same {
            let held = before.cloned();
            found.sources.insert(source.to_owned(), entities.to_vec());
            if found.size() > MOST_BYTES {
                match held {
                    Some(held) => found.sources.insert(source.to_owned(), held),
                    None => found.sources.remove(source),
                };
                if found.sources.is_empty() {
                    self.found.remove(id);
                }
                return self.count("found-too-large");
            }
            found.about = about.clone();
        }
        found.last = at;
        out.touched.insert(Entity::Found(id.clone()));
        if new {
            out.changes.push(Change::DeviceFound {
                id: id.clone(),
                name: about.name.clone(),
                make: about.make.clone(),
                model: about.model.clone(),
            });
        }
    }

    pub(super) fn found_gone(&mut self, source: &str, out: &mut Applied) {
        self.found_gone_but(source, None, out);
    }

    /// `source` is gone from every device but `but`.
    fn found_gone_but(&mut self, source: &str, but: Option<&FoundId>, out: &mut Applied) {
        let of =
            self.found.iter_mut().find(|(id, found)| Some(*id) != but && found.sources.contains_key(source));
        let Some((id, found)) = of else { return };
        let id = id.clone();
        found.sources.remove(source);
        let gone = found.sources.is_empty();
        out.touched.insert(Entity::Found(id.clone()));
        if gone {
            self.found.remove(&id);
            out.changes.push(Change::DeviceFoundGone { id });
        }
    }

    fn drop_oldest_found(&mut self, out: &mut Applied) {
        let oldest = self.found.iter().min_by_key(|(id, found)| (found.last, *id)).map(|(id, _)| id.clone());
        let Some(id) = oldest else { return };
        self.found.remove(&id);
        self.count("found-dropped");
        out.touched.insert(Entity::Found(id.clone()));
        out.changes.push(Change::DeviceFoundGone { id });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fact, Observation, PropertySpec};

    fn spec() -> PropertySpec {
        PropertySpec { zone: "Europe/Berlin".into(), ..crate::testing::house(["101"]) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn entity(name: &str, config: &str) -> FoundEntity {
        FoundEntity { kind: "sensor".into(), name: name.into(), problem: None, config: config.into() }
    }

    fn found(id: &str, source: &str, entities: Vec<FoundEntity>) -> Fact {
        let about = FoundAbout { name: format!("Device {id}"), ..FoundAbout::default() };
        Fact::DeviceFound { id: id.into(), about, source: source.into(), entities }
    }

    fn apply(property: &mut Property, second: i64, fact: Fact) -> Applied {
        property.apply(&Observation::new(at(second), fact))
    }

    #[test]
    fn a_device_is_found_once_grows_with_its_sources_and_goes_with_the_last() {
        let mut property = Property::new(spec());
        let first = apply(&mut property, 0, found("a", "s/1", vec![entity("t", "{}")]));
        assert!(matches!(&*first.changes, [Change::DeviceFound { name, .. }] if name == "Device a"));
        assert!(first.touched.contains(&Entity::Found("a".into())));
        let again = apply(&mut property, 10, found("a", "s/1", vec![entity("t", "{}")]));
        assert!(again.changes.is_empty() && again.touched.is_empty());
        let later = apply(&mut property, 3600, found("a", "s/1", vec![entity("t", "{}")]));
        assert!(later.changes.is_empty() && later.touched.len() == 1, "seen again, an hour later");
        let more = apply(&mut property, 3601, found("a", "s/2", vec![entity("h", "{}")]));
        assert!(more.changes.is_empty() && more.touched.len() == 1);
        let device = &property.found()[&"a".into()];
        assert_eq!(device.entities().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["t", "h"]);
        assert_eq!((device.first, device.last), (at(0), at(3601)));
        assert!(apply(&mut property, 3602, Fact::FoundGone { source: "s/1".into() }).changes.is_empty());
        let gone = apply(&mut property, 3603, Fact::FoundGone { source: "s/2".into() });
        assert!(matches!(&*gone.changes, [Change::DeviceFoundGone { .. }]));
        assert_eq!(property.save(&Entity::Found("a".into())), None);
        assert!(apply(&mut property, 3604, Fact::FoundGone { source: "s/2".into() }).touched.is_empty());
    }

    #[test]
    fn a_source_that_speaks_of_another_device_leaves_the_first() {
        let mut property = Property::new(spec());
        apply(&mut property, 0, found("a", "s/1", vec![entity("t", "{}")]));
        let other = apply(&mut property, 1, found("b", "s/1", vec![entity("t", "{}")]));
        assert!(matches!(&*other.changes, [Change::DeviceFoundGone { .. }, Change::DeviceFound { .. }]));
        assert_eq!(property.found().len(), 1);
    }

    #[test]
    fn found_devices_survive_a_restart() {
        let mut property = Property::new(spec());
        apply(&mut property, 0, found("0x00/1", "s/1", vec![entity("t", "{\"a\":1}")]));
        let id = Entity::Found("0x00/1".into());
        let body = property.save(&id).unwrap();
        let restored = Property::restore(spec(), [(id.kind(), id.key().as_str(), body.as_slice())]).unwrap();
        assert_eq!(restored.found(), property.found());
        assert!(restored.entities().contains(&id));
    }

    #[test]
    fn there_is_a_bound_to_how_many_wait_and_to_what_one_tells() {
        let mut property = Property::new(spec());
        for n in 0..=MOST {
            let second = i64::try_from(n).unwrap();
            apply(&mut property, second, found(&format!("d{n}"), &format!("s/{n}"), vec![entity("t", "{}")]));
        }
        assert_eq!(property.found().len(), MOST);
        assert!(!property.found().contains_key(&"d0".into()), "the one that was not heard of for longest");
        assert_eq!(property.counters()["found-dropped"], 1);
        let long = "x".repeat(MOST_BYTES);
        let refused = apply(&mut property, 2000, found("d1", "s/long", vec![entity("t", &long)]));
        assert!(refused.changes.is_empty() && property.found()[&"d1".into()].sources.len() == 1);
        apply(&mut property, 2001, found("d1", "s/1", vec![entity("t", &long)]));
        assert_eq!(property.found()[&"d1".into()].sources["s/1"][0].config, "{}");
        assert_eq!(property.counters()["found-too-large"], 2);
    }
}
