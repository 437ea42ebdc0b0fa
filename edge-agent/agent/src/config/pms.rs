//! The house's PMS: one `[pms]`, or several `[[pms]]`, and which of them has which rooms.

use super::check::suggest;
use super::{Config, RoomConfig};
use engawa_diag::{Doc, Path, Report};
use engawa_model::{LinkId, RoomId};
use engawa_pms::PmsConfig;
use engawa_pms::link::{RoomNumbers, link_id};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// `[pms]` or `[[pms]]`.
#[derive(Debug)]
pub(crate) struct PmsTables {
    pub(crate) links: Vec<PmsConfig>,
    /// True for `[[pms]]`: faults name the table's place.
    many: bool,
}

impl<'de> Deserialize<'de> for PmsTables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tables)
    }
}

impl PmsTables {
    /// True for `[[pms]]`.
    pub(super) fn is_many(&self) -> bool {
        self.many
    }
}

struct Tables;

impl<'de> Visitor<'de> for Tables {
    type Value = PmsTables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table [pms], or several [[pms]]")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PmsTables, A::Error> {
        let link = PmsConfig::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PmsTables { links: vec![link], many: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<PmsTables, A::Error> {
        let links = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
        Ok(PmsTables { links, many: true })
    }
}

impl Config {
    /// The PMS in the order of the file.
    pub(crate) fn pms_tables(&self) -> &[PmsConfig] {
        self.pms.as_ref().map_or(&[], |tables| &tables.links)
    }

    /// The PMS, each with its rooms where they must be told apart.
    pub(crate) fn pms_links(&self) -> Vec<PmsConfig> {
        let tables = self.pms_tables();
        let renamed = self.room.iter().any(|room| room.pms_room.is_some());
        let with_rooms = |link: &PmsConfig| {
            let mut link = link.clone();
            if tables.len() > 1 || renamed {
                let rooms = self.property.rooms.iter().filter(|room| self.has_room(&link, room));
                link.rooms = RoomNumbers::of(rooms.map(|room| (self.pms_number(room), room.clone())));
            }
            link
        };
        tables.iter().map(with_rooms).collect()
    }

    /// The links of the house, the one that has the rooms which name none first; and the rooms that name another.
    pub(crate) fn pms_of_rooms(&self) -> (Vec<LinkId>, BTreeMap<RoomId, LinkId>) {
        let links = self.pms_tables().iter().map(|link| link_id(link.name.as_deref())).collect();
        let named = self.room.iter().filter_map(|room| Some((room, room.pms.as_deref()?)));
        let rooms = named.map(|(room, pms)| (RoomId::new(room.id.clone()), link_id(Some(pms)))).collect();
        (links, rooms)
    }

    /// The PMS links of the house, hosted ones and lists too.
    pub(crate) fn pms_link_ids(&self) -> Vec<LinkId> {
        let hosted = self.hosted.iter().map(|_| link_id(None));
        self.pms_tables().iter().map(|link| link_id(link.name.as_deref())).chain(hosted).collect()
    }

    fn room_config(&self, room: &str) -> Option<&RoomConfig> {
        self.room.iter().find(|config| config.id == room)
    }

    /// The room's number at its PMS.
    fn pms_number(&self, room: &str) -> String {
        let config = self.room_config(room);
        config.and_then(|config| config.pms_room.clone()).unwrap_or_else(|| room.to_owned())
    }

    fn has_room(&self, link: &PmsConfig, room: &str) -> bool {
        match self.room_config(room).and_then(|config| config.pms.as_ref()) {
            Some(name) => link.name.as_ref() == Some(name),
            None => self.pms_tables().first().is_some_and(|first| first.name == link.name),
        }
    }
}

/// What is wrong with the links, and with the rooms that name them.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let all = Path::root().key("pms");
    let many = config.pms.as_ref().is_some_and(|tables| tables.many);
    let (mut names, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (n, link) in config.pms_tables().iter().enumerate() {
        let here = if many { all.index(n) } else { all.clone() };
        for (field, fault) in link.validate() {
            // A fault of one entry names it after a dot.
            let place = field.split('.').fold(here.clone(), |place, key| place.key(key));
            if !doc.is_hole(&place) {
                report.push(doc.fault(&place, fault));
            }
        }
        let (key, address) = match &link.serial {
            Some(serial) => ("serial", serial.port.clone()),
            None => ("address", link.address.to_lowercase()),
        };
        if let Some((first, first_key)) = places.insert(address, (n, key))
            && many
        {
            let place = here.key(key);
            let of_first = all.index(first).key(first_key);
            let fault = match &link.serial {
                Some(serial) => doc.fault_at_key(&place, format!("two PMS at {}", serial.port)),
                None => doc.fault(&place, format!("two PMS at {}", link.address)),
            };
            report.push(fault.related(doc.span_of(&of_first), "the first is here").help(
                "a PMS's port has one client: the two links would take it from each other; each PMS has its own",
            ));
        }
        let Some(first) = names.insert(link.name.as_deref(), n) else { continue };
        let related = "first here";
        report.push(match &link.name {
            Some(name) => doc
                .fault(&here.key("name"), format!("PMS `{name}` is there twice"))
                .label("each name once")
                .related(doc.span_of(&all.index(first).key("name")), related),
            None => doc
                .fault_at_key(&here, "a second PMS without a name")
                .related(doc.span_of(&all.index(first)), related)
                .help("add `name`, such as \"villas\"; it goes before this PMS's reservation numbers"),
        });
    }
    rooms(config, doc, report);
}

/// What is wrong with the guard of lists.
pub(super) fn check_guard(config: &Config, doc: &Doc, report: &mut Report) {
    let all = Path::root().key("list_guard");
    let guard = config.list_guard;
    if !(1..=100).contains(&guard.percent) {
        report.push(
            doc.fault(&all.key("percent"), format!("{} percent of the house can't be meant", guard.percent))
                .label("expected 1 to 100")
                .help("a list that would check out more than this part waits for staff; 100 believes every list"),
        );
    }
    if guard.at_least == 0 {
        report.push(
            doc.fault(&all.key("at_least"), "an empty house has nobody to guard")
                .label("expected 1 or more")
                .help("with fewer stays than this every list is believed"),
        );
    }
}

fn rooms(config: &Config, doc: &Doc, report: &mut Report) {
    let all = Path::root().key("room");
    let (mut ids, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for room in &config.property.rooms {
        let pms = config.room_config(room).and_then(|config| config.pms.as_deref());
        let first = config.pms_tables().first().and_then(|link| link.name.as_deref());
        numbers.entry((pms.or(first), config.pms_number(room))).or_insert_with(Vec::new).push(room);
    }
    for (n, room) in config.room.iter().enumerate() {
        let here = all.index(n);
        if let Some(first) = ids.insert(&room.id, n) {
            report.push(
                doc.fault(&here.key("id"), format!("room `{}` is told of twice", room.id))
                    .label("each room once")
                    .related(doc.span_of(&all.index(first).key("id")), "first here"),
            );
        } else if !config.property.rooms.contains(&room.id) {
            let fault = doc
                .fault(&here.key("id"), format!("there is no room `{}`", room.id))
                .label("not in property.rooms");
            let known = config.property.rooms.iter().map(String::as_str);
            report.push(suggest(fault, &room.id, known, "add it to property.rooms"));
        }
        let names = || config.pms_tables().iter().filter_map(|link| link.name.as_deref());
        if let Some(pms) = room.pms.as_deref().filter(|pms| !names().any(|name| name == *pms)) {
            let fault = doc.fault(&here.key("pms"), format!("there is no PMS `{pms}`"));
            report.push(suggest(fault, pms, names(), "add a [[pms]] with this name"));
        }
        if room
            .pms_room
            .as_ref()
            .is_some_and(|number| number.is_empty() || number.chars().any(char::is_control))
        {
            report.push(
                doc.fault(&here.key("pms_room"), "this can't be a room's number")
                    .label("expected it as the PMS writes it"),
            );
        }
    }
    for ((pms, number), rooms) in numbers.iter().filter(|(_, rooms)| rooms.len() > 1) {
        let last = config.room.iter().rposition(|room| rooms.contains(&&room.id));
        let place = last.map_or_else(|| Path::root().key("property").key("rooms"), |n| all.index(n));
        let of = pms.map_or_else(|| "the PMS".to_owned(), |name| format!("PMS `{name}`"));
        let rooms = rooms.iter().map(|room| format!("`{room}`")).collect::<Vec<_>>().join(" and ");
        if config.property.rooms.iter().collect::<std::collections::BTreeSet<_>>().len()
            == config.property.rooms.len()
        {
            report.push(
                doc.fault(&place, format!("rooms {rooms} are both `{number}` at {of}"))
                    .help("a room's number at its PMS is its id, or its `pms_room`"),
            );
        }
    }
}
