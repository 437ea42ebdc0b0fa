//! A list, or changes, page by page: rooms, reservations, those that are missing, and who they belong to.

use super::super::guests::{self, Due, Known, Present};
use super::super::{Answer, Fault, Outcome, Request, Step};
use super::shapes::{Companionships, Customer, Customers, Reservation, Reservations, Resources};
use super::{CHUNK, Doing, Mews, PAGE};
use engawa_model::{Fact, GuestRecord, RoomId, StayId, Timestamp};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A list, or changes, on their way.
pub(super) struct Gather {
    /// The whole house.
    pub(super) whole: bool,
    pub(super) phase: Phase,
    /// The interval of changes.
    pub(super) between: Option<(Timestamp, Timestamp)>,
    pub(super) pages: u32,
    pub(super) cursor: Option<String>,
    pub(super) rooms: BTreeMap<String, RoomId>,
    pub(super) found: BTreeMap<String, Reservation>,
    /// When a reservation begins that is told as expected.
    pub(super) due_between: (Timestamp, Timestamp),
    /// Those that do.
    pub(super) due: BTreeMap<String, Reservation>,
    /// Who accompanies whom: reservation and customer.
    pub(super) companions: BTreeMap<String, BTreeSet<String>>,
    /// Identifiers that are still to be asked for in this phase.
    pub(super) ids: Vec<String>,
    pub(super) customers: BTreeMap<String, Customer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Rooms,
    Stays,
    /// Those that the house knows and the list did not have.
    Missing,
    /// Those that are expected.
    Due,
    Companions,
    Customers,
}

impl Mews {
    /// The next request of what is gathered; `None` when all is there.
    pub(super) fn gather_next(&self, gather: &mut Gather) -> Option<Request> {
        loop {
            let chunk: Vec<String> = gather.ids.iter().take(CHUNK).cloned().collect();
            let mut limit = json!({ "Count": PAGE });
            if let Some(cursor) = &gather.cursor {
                limit["Cursor"] = json!(cursor);
            }
            let body = match gather.phase {
                Phase::Rooms if gather.whole => Some((
                    "resources/getAll",
                    json!({ "Extent": { "Resources": true }, "Limitation": limit }),
                )),
                Phase::Rooms if !chunk.is_empty() => Some((
                    "resources/getAll",
                    json!({ "Extent": { "Resources": true }, "ResourceIds": chunk, "Limitation": limit }),
                )),
                Phase::Stays => {
                    let mut body = json!({ "Limitation": limit });
                    match gather.between {
                        None => body["States"] = json!(["Started"]),
                        Some((start, end)) => {
                            body["UpdatedUtc"] = json!({ "StartUtc": start, "EndUtc": end });
                        }
                    }
                    if !self.config.services.is_empty() {
                        body["ServiceIds"] = json!(self.config.services);
                    }
                    Some(("reservations/getAll/2023-06-06", body))
                }
                Phase::Missing if !chunk.is_empty() => Some((
                    "reservations/getAll/2023-06-06",
                    json!({ "ReservationIds": chunk, "Limitation": limit }),
                )),
                Phase::Due => {
                    let (start, end) = gather.due_between;
                    let mut body = json!({
                        "States": ["Confirmed"],
                        "ScheduledStartUtc": { "StartUtc": start, "EndUtc": end },
                        "Limitation": limit,
                    });
                    if !self.config.services.is_empty() {
                        body["ServiceIds"] = json!(self.config.services);
                    }
                    Some(("reservations/getAll/2023-06-06", body))
                }
                Phase::Companions if !chunk.is_empty() => {
                    Some(("companionships/getAll", json!({ "ReservationIds": chunk, "Limitation": limit })))
                }
                Phase::Customers if !chunk.is_empty() => Some((
                    "customers/getAll",
                    json!({ "CustomerIds": chunk, "Extent": { "Customers": true }, "Limitation": limit }),
                )),
                _ => None,
            };
            if let Some((operation, mut body)) = body {
                if let Some(enterprise) = &self.config.enterprise {
                    body["EnterpriseIds"] = json!([enterprise]);
                }
                return Some(self.call(operation, body));
            }
            // Nothing to ask in this phase.
            if !self.next_phase(gather) {
                return None;
            }
        }
    }

    /// Goes on to the next phase; false after the last.
    fn next_phase(&self, gather: &mut Gather) -> bool {
        gather.cursor = None;
        gather.ids.clear();
        gather.phase = match (gather.phase, gather.whole) {
            (Phase::Rooms, true) => Phase::Stays,
            (Phase::Stays, true) => {
                let listed: Vec<StayId> = gather.found.keys().map(|id| StayId::from(id.as_str())).collect();
                // A stay of another system's numbers is none that could be asked for.
                let missing = self.house.guests.missing(&listed).filter(|stay| is_uuid(stay.as_str()));
                gather.ids = missing.map(|stay| stay.as_str().to_owned()).collect();
                Phase::Missing
            }
            (Phase::Stays, false) => {
                let used: BTreeSet<&String> = started(&gather.found).filter_map(room_of).collect();
                gather.ids = used.into_iter().filter(|id| !self.rooms.contains_key(*id)).cloned().collect();
                Phase::Rooms
            }
            (Phase::Missing, _) => Phase::Due,
            (Phase::Due, _) | (Phase::Rooms, false) => {
                gather.ids = started(&gather.found).map(|one| one.id.clone()).collect();
                Phase::Companions
            }
            (Phase::Companions, _) => {
                let mut owners: BTreeSet<&String> = started(&gather.found)
                    .filter(|one| one.account_type.as_deref().is_none_or(|kind| kind == "Customer"))
                    .filter_map(|one| one.account_id.as_ref())
                    .collect();
                owners.extend(gather.companions.values().flatten());
                gather.ids = owners.into_iter().cloned().collect();
                Phase::Customers
            }
            (Phase::Customers, _) => return false,
        };
        true
    }

    /// A page has come.
    pub(super) fn gathered(&mut self, mut gather: Box<Gather>, answer: &Answer) -> Result<Step, Fault> {
        gather.pages += 1;
        let (operation, count, cursor) = match gather.phase {
            Phase::Rooms => {
                let page: Resources = answer.read("resources/getAll")?;
                let count = page.resources.len();
                let rooms = page.resources.into_iter().map(|one| (one.id, RoomId::new(one.name)));
                gather.rooms.extend(rooms);
                ("resources/getAll", count, page.cursor)
            }
            Phase::Stays | Phase::Missing => {
                let page: Reservations = answer.read("reservations/getAll")?;
                let count = page.reservations.len();
                gather.found.extend(page.reservations.into_iter().map(|one| (one.id.clone(), one)));
                ("reservations/getAll", count, page.cursor)
            }
            Phase::Due => {
                let page: Reservations = answer.read("reservations/getAll")?;
                let count = page.reservations.len();
                gather.due.extend(page.reservations.into_iter().map(|one| (one.id.clone(), one)));
                ("reservations/getAll", count, page.cursor)
            }
            Phase::Companions => {
                let page: Companionships = answer.read("companionships/getAll")?;
                let count = page.companionships.len();
                for one in page.companionships {
                    if let Some(reservation) = one.reservation_id {
                        gather.companions.entry(reservation).or_default().insert(one.customer_id);
                    }
                }
                ("companionships/getAll", count, page.cursor)
            }
            Phase::Customers => {
                let page: Customers = answer.read("customers/getAll")?;
                let count = page.customers.len();
                gather.customers.extend(page.customers.into_iter().map(|one| (one.id.clone(), one)));
                ("customers/getAll", count, page.cursor)
            }
        };
        if guests::has_no_end(gather.pages, [gather.found.len(), gather.due.len()]) {
            return Err(Fault::Senseless { operation, why: "the list has no end" });
        }
        // The cursor comes with the last page, too: a page that is not full is the last.
        if count >= PAGE && cursor.is_some() {
            if cursor == gather.cursor {
                return Err(Fault::Senseless { operation, why: "its cursor does not move" });
            }
            gather.cursor = cursor;
        } else {
            gather.cursor = None;
            let asked = gather.ids.len().min(CHUNK);
            gather.ids.drain(..asked);
            if gather.ids.is_empty() && !self.next_phase(&mut gather) {
                return Ok(Step::Done(Outcome::Told(self.tell(*gather))));
            }
        }
        match self.gather_next(&mut gather) {
            Some(request) => {
                self.doing = Doing::Gathering(gather);
                Ok(Step::Ask(request))
            }
            None => Ok(Step::Done(Outcome::Told(self.tell(*gather)))),
        }
    }

    /// All is there: the facts.
    fn tell(&mut self, gather: Gather) -> Vec<Fact> {
        if gather.whole {
            self.rooms = gather.rooms;
        } else {
            self.rooms.extend(gather.rooms);
        }
        let (mut present, mut left, mut facts) = (Vec::new(), Vec::new(), Vec::new());
        for (id, one) in gather.found {
            let stay = StayId::new(id.clone());
            if one.state != "Started" {
                left.extend(self.house.guests.companions(&stay));
                left.push(stay);
                continue;
            }
            let Some(room) = room_of(&one).and_then(|id| self.rooms.get(id)) else {
                facts.push(Fact::PmsRefused { why: "no-room".to_owned() });
                continue;
            };
            let customer = one.account_id.as_ref().and_then(|id| gather.customers.get(id));
            let guest = self.guest(&one, customer);
            // Who travels alone is their own companion in some hotels.
            let owner = one.account_id.clone();
            let with = gather.companions.get(&id).into_iter().flatten();
            let with: Vec<&String> = with.filter(|person| Some(*person) != owner.as_ref()).collect();
            for person in &with {
                present.push(Present {
                    stay: guests::companion(&id, person),
                    known: Known { room: room.clone(), account: Some((*person).clone()) },
                    guest: self.guest(&one, gather.customers.get(*person)),
                });
            }
            let here: BTreeSet<StayId> = with.iter().map(|person| guests::companion(&id, person)).collect();
            left.extend(self.house.guests.companions(&stay).into_iter().filter(|one| !here.contains(one)));
            present.push(Present {
                stay,
                known: Known { room: room.clone(), account: one.account_id },
                guest,
            });
        }
        if gather.whole {
            facts.extend(self.house.guests.list(present, &left));
            let due = gather.due.into_values().filter_map(|one| {
                let room = self.rooms.get(room_of(&one)?)?.clone();
                let eta = one.scheduled_start_utc;
                Some((
                    StayId::new(one.id),
                    Due { room, date: guests::day(eta, &self.house.zone), eta, vip: None },
                ))
            });
            let due: BTreeMap<StayId, Due> = due.collect();
            facts.extend(self.arrivals.replace(due, &self.house.guests));
        } else {
            for stay in &left {
                facts.extend(self.house.guests.gone(stay));
            }
            for one in present {
                facts.push(self.house.guests.seen(one, false));
            }
        }
        facts
    }

    fn guest(&self, one: &Reservation, customer: Option<&Customer>) -> GuestRecord {
        let text = |field: fn(&Customer) -> &Option<String>| {
            customer.and_then(|customer| guests::personal(field(customer).as_deref()))
        };
        let arrival = one.actual_start_utc.or(one.scheduled_start_utc);
        let important = |customer: &Customer| {
            let classes = customer.classifications.as_deref().unwrap_or_default();
            classes.iter().any(|class| class.ends_with("Important")).then(|| "VIP".to_owned())
        };
        GuestRecord {
            name: text(|customer| &customer.last_name),
            first_name: text(|customer| &customer.first_name),
            title: text(|customer| &customer.title),
            language: customer.and_then(|customer| guests::language(customer.language_code.as_deref())),
            arrival: guests::day(arrival, &self.house.zone),
            departure: guests::day(one.scheduled_end_utc, &self.house.zone),
            vip: customer.and_then(important),
            phone: text(|customer| &customer.phone),
            email: text(|customer| &customer.email),
            group: None,
            no_post: None,
        }
    }
}

fn started(found: &BTreeMap<String, Reservation>) -> impl Iterator<Item = &Reservation> {
    found.values().filter(|one| one.state == "Started")
}

fn room_of(one: &Reservation) -> Option<&String> {
    one.assigned_resource_id.as_ref()
}

/// As Mews writes its identifiers.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(n, b)| match n {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
