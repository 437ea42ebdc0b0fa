//! The house behind the link: model and encrypted store, as the agent puts them together, and the facts that a
//! case may demand of it.

use super::case::{Case, pairs};
use engawa_model::{
    Action, Change, Command, CommandKey, CommandOutcome, CommandSource, Currency, Fact, Intent, LinkId,
    Money, Observation, PMS_LINK, PostingNumber, PostingState, Property, PropertyId, PropertySpec, RoomId,
    RoomSpec, StayId, Timestamp,
};
use engawa_store::{Batch, DatabaseKey, Durability, Limits, Store};
use std::path::Path;

pub(crate) struct Home {
    dir: tempfile::TempDir,
    spec: PropertySpec,
    open: Option<(Store, Property)>,
    events: (u32, u32),
    asked: u32,
}

impl Home {
    pub(crate) fn new(case: &Case) -> Self {
        let rooms = case.site["rooms"].split(',').map(|id| RoomSpec { id: RoomId::from(id) }).collect();
        let spec = PropertySpec {
            id: PropertyId::from("case"),
            zone: case.site.get("zone").cloned().unwrap_or_else(|| "UTC".to_owned()),
            currency: Currency::new(case.site.get("currency").map_or("EUR", String::as_str)).unwrap(),
            climate: engawa_model::testing::climate(),
            rooms,
            devices: vec![],
            resync_every_s: 3600,
            order_ttl_s: 3600,
        };
        let mut home = Self { dir: tempfile::tempdir().unwrap(), spec, open: None, events: (0, 0), asked: 0 };
        home.start();
        home
    }

    fn start(&mut self) {
        let key = DatabaseKey::load_or_create(&self.dir.path().join("key")).unwrap();
        let store = Store::open(self.dir.path(), &key, Limits::default()).unwrap();
        let property = store.load(self.spec.clone()).unwrap().unwrap();
        self.open = Some((store, property));
    }

    /// The process dies: nothing is closed, memory is gone, the files are opened again.
    pub(crate) fn kill(&mut self, now: Timestamp) -> Vec<Intent> {
        self.open = None;
        self.start();
        let clean = self.open.as_ref().unwrap().0.was_closed();
        self.observe(&Observation::new(now, Fact::Started { clean }))
    }

    /// Applies and commits; the intents come back only then.
    pub(crate) fn observe(&mut self, observation: &Observation) -> Vec<Intent> {
        let (store, property) = self.open.as_mut().unwrap();
        let applied = property.apply(observation);
        for change in &applied.changes {
            match change {
                Change::CheckedIn { .. } => self.events.0 += 1,
                Change::CheckedOut { .. } => self.events.1 += 1,
                _ => {}
            }
        }
        let changes = applied.changes.into_iter().map(|change| (observation.at, change)).collect();
        let batch = Batch { changes, touched: applied.touched, ..Batch::default() };
        store.commit(property, &batch, observation.at, Durability::Now).unwrap();
        applied.intents
    }

    pub(crate) fn property(&self) -> &Property {
        &self.open.as_ref().unwrap().1
    }

    /// `post …`, `status …`, `service …`, `resync` as a command.
    pub(crate) fn command(&mut self, text: &str) -> Fact {
        if let Some(action) = text.strip_prefix("json ") {
            return self.asked(serde_json::from_str(action).unwrap());
        }
        let args = pairs(text);
        let room = || RoomId::new(args["room"].clone());
        let last = || text.rsplit(' ').next().unwrap().to_owned();
        let action = match text.split(' ').next().unwrap() {
            "post" => Action::Post {
                room: room(),
                stay: args.get("stay").map(|stay| StayId::new(stay.clone())),
                amount: Money { minor: args["amount"].parse().unwrap(), currency: self.spec.currency },
                text: args["text"].clone(),
                outlet: args.get("outlet").cloned(),
            },
            "status" => Action::RoomStatus { room: room(), status: last() },
            "service" => Action::Service { room: room(), sign: last() },
            "resync" => Action::Resync,
            other => panic!("unknown request `{other}`"),
        };
        self.asked(action)
    }

    fn asked(&mut self, action: Action) -> Fact {
        self.asked += 1;
        let key = format!("case-{}", self.asked).as_str().into();
        Fact::Asked { command: Command { key, source: CommandSource::Local, expires: None, action } }
    }

    /// The `n`th command that was asked.
    fn command_end(&self, n: &str) -> String {
        let record = &self.property().commands()[&CommandKey::new(format!("case-{n}"))];
        match &record.ended {
            None => "open".to_owned(),
            Some((_, CommandOutcome::Refused { reason })) => format!("refused {reason}"),
            Some((_, CommandOutcome::Doubtful { .. })) => "doubtful".to_owned(),
            Some((_, outcome)) => format!("{outcome:?}").to_lowercase(),
        }
    }

    /// What the front desk knows.
    fn desk(&self, words: &[&str]) -> Option<String> {
        let property = self.property();
        let stay = |id: &str| StayId::from(id);
        Some(match words {
            ["messages", id, ..] => {
                let messages = property.messages(&stay(id));
                let ids = messages.iter().map(|message| message.id.clone()).collect::<Vec<_>>();
                if ids.is_empty() { "none".to_owned() } else { ids.join(",") }
            }
            ["bill", id, ..] => property.bill(&stay(id)).map_or_else(String::new, |bill| {
                let balance = bill.balance.map_or("unknown".to_owned(), |money| money.minor.to_string());
                format!("{} {balance}", bill.lines.len())
            }),
            ["found", n, ..] => {
                let key = CommandKey::new(format!("case-{n}"));
                let guests = property.guests_found(&key).iter();
                guests.map(|guest| format!("{}:{}", guest.room, guest.stay)).collect::<Vec<_>>().join(",")
            }
            ["place", n, ..] => {
                let key = CommandKey::new(format!("case-{n}"));
                property.place_found(&key).map(|(place, _)| place.reveal().clone()).unwrap_or_default()
            }
            ["keys-wanted", ..] => property.keys_wanted().count().to_string(),
            ["status", room, ..] => property.rooms()[&RoomId::from(*room)].status.clone().unwrap_or_default(),
            ["pms-version", ..] => property.pms_description().pms_version.clone().unwrap_or_default(),
            _ => return None,
        })
    }

    /// What is wrong with the demanded fact; `Ok` if it holds.
    pub(crate) fn holds(&self, fact: &str) -> Result<(), String> {
        let property = self.property();
        let words: Vec<&str> = fact.split(' ').collect();
        let same = |is: String, wanted: &str| if is == wanted { Ok(()) } else { Err(format!("it is {is}")) };
        match words[..] {
            ["command", n, ..] => {
                let (is, wanted) = (self.command_end(n), words[2..].join(" "));
                if is.starts_with(&wanted) { Ok(()) } else { Err(format!("it is {is}")) }
            }
            _ if self.desk(&words).is_some() => {
                let named = if matches!(words[0], "keys-wanted" | "pms-version") { 1 } else { 2 };
                same(self.desk(&words).unwrap_or_default(), &words[named..].join(" "))
            }
            ["link", wanted] => {
                let link = property.links().get(&LinkId::from(PMS_LINK));
                let is = match link {
                    Some(link) if link.up && link.detail == "resync" => "resync",
                    Some(link) if link.up => "up",
                    _ => "down",
                };
                same(is.to_owned(), wanted)
            }
            ["room", room, "vacant"] => same(self.stays(room), ""),
            ["room", room, "stays", wanted] => same(self.stays(room), wanted),
            ["room", room, flag, wanted] => {
                let flags = &property.rooms()[&RoomId::from(room)].flags;
                let on = if flag == "do-not-disturb" { flags.do_not_disturb } else { flags.message_light };
                same(if on == Some(true) { "yes" } else { "no" }.to_owned(), wanted)
            }
            ["no", "stay", stay] => {
                let there = property.stays().contains_key(&StayId::from(stay));
                if there { Err("it is there".to_owned()) } else { Ok(()) }
            }
            ["stay", id, ..] => {
                let stay = property.stays().get(&StayId::from(id)).ok_or("no such stay")?;
                pairs(fact).iter().try_for_each(|(field, wanted)| {
                    let is = match field.as_str() {
                        "room" => stay.room.to_string(),
                        "lang" => stay.language.clone().unwrap_or_default(),
                        "name" => stay.name.as_ref().map(|name| name.reveal().clone()).unwrap_or_default(),
                        "phone" => {
                            stay.phone.as_ref().map(|phone| phone.reveal().clone()).unwrap_or_default()
                        }
                        "group" => stay.group.clone().unwrap_or_default(),
                        "departure" => stay.departure.map(|date| date.to_string()).unwrap_or_default(),
                        other => return Err(format!("unknown field `{other}`")),
                    };
                    same(is, wanted)
                })
            }
            ["posting", number, state, ref answer @ ..] => {
                let posting =
                    property.postings().get(&PostingNumber(number.parse().unwrap())).ok_or("no posting")?;
                let is = match posting.state {
                    PostingState::Pending => "pending",
                    PostingState::InFlight => "in-flight",
                    PostingState::Posted => "posted",
                    PostingState::Refused => "refused",
                    PostingState::Doubtful => "doubtful",
                };
                same(is.to_owned(), state)?;
                answer.iter().try_for_each(|wanted| same(posting.answer.clone().unwrap_or_default(), wanted))
            }
            ["events", ..] => {
                let wanted = pairs(fact);
                same(self.events.0.to_string(), &wanted["check-in"])?;
                same(self.events.1.to_string(), &wanted["check-out"])
            }
            ["counted", counter] => {
                let (name, wanted) = counter.split_once('=').unwrap();
                same(property.counters().get(name).copied().unwrap_or(0).to_string(), wanted)
            }
            ["business-date", wanted] => {
                same(property.business_date().map(|date| date.to_string()).unwrap_or_default(), wanted)
            }
            ["nowhere", ..] => nowhere(self.dir.path(), fact.split_once(' ').unwrap().1, property),
            _ => Err("unknown kind of fact".to_owned()),
        }
    }

    fn stays(&self, room: &str) -> String {
        let room = RoomId::from(room);
        self.property().stays_in(&room).map(|stay| stay.id.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// The text is in no file that was written, nor (the files being encrypted) in any document that was put into them.
fn nowhere(dir: &Path, text: &str, property: &Property) -> Result<(), String> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if has(&std::fs::read(&path).unwrap()) {
            return Err(format!("it is in {}", path.display()));
        }
    }
    match property.entities().iter().find(|entity| property.save(entity).is_some_and(|body| has(&body))) {
        Some(entity) => Err(format!("it is stored as {}", entity.kind())),
        None => Ok(()),
    }
}
