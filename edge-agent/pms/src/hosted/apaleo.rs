//! Apaleo, by its booking, inventory and finance APIs (apaleo.dev, api.apaleo.com/swagger).
//!
//! Tokens come from client credentials. Lists have pages of at most 200; an empty one is 204. A stay is a reservation
//! that is `InHouse` and has a unit. A charge goes to the main folio of its reservation, with an `Idempotency-Key` and
//! our identifier as its receipt, by which it is found among the folio's charges. Webhooks need an address in the
//! internet, which a gateway does not have: changes are polled.

mod shapes;
#[cfg(test)]
mod tests;

use super::config::{ApaleoConfig, OfHouse};
use super::guests::{self, Arrivals, Due, Known, Present};
use super::request::{basic, segment, with_query};
use super::{Answer, Fault, HostedPms, Job, Limit, Outcome, Posting, Request, Secret, Step};
use engawa_model::{Fact, GuestRecord, RoomId, StayId, Timestamp};
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde_json::json;
use shapes::{Charged, Folios, Guest, Property, Reservation, Reservations, Token, Units};
use std::collections::BTreeMap;

/// Items of a page, the most that is allowed.
const PAGE: usize = 200;
/// Reservations that are asked for one by one when a list does not have them.
const MOST_MISSING: usize = 200;
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);
/// A token is renewed this long before it ends.
const EARLY: SignedDuration = SignedDuration::from_mins(2);

/// The adapter.
pub struct Apaleo {
    config: ApaleoConfig,
    secret: Secret,
    house: OfHouse,
    token: Option<(Secret, Timestamp)>,
    units: BTreeMap<RoomId, String>,
    arrivals: Arrivals,
    doing: Doing,
}

enum Doing {
    Nothing,
    Opening,
    Gathering(Gather),
    FindingFolio(Posting),
    Charging,
    Looking(Posting),
    Updating,
}

struct Gather {
    phase: Phase,
    between: Option<(Timestamp, Timestamp)>,
    page: u32,
    units: BTreeMap<RoomId, String>,
    found: BTreeMap<String, Reservation>,
    missing: Vec<String>,
    /// When a reservation begins that is told as expected.
    due_between: (Timestamp, Timestamp),
    due: BTreeMap<String, Reservation>,
}

#[derive(Clone, Copy)]
enum Phase {
    Units,
    Stays,
    /// Those that are expected; of a list only.
    Due,
    Missing,
}

impl Apaleo {
    /// The adapter of one house.
    pub fn new(config: ApaleoConfig, secret: Secret, house: OfHouse) -> Self {
        Self {
            config,
            secret,
            house,
            token: None,
            units: BTreeMap::new(),
            arrivals: Arrivals::default(),
            doing: Doing::Nothing,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.config.url.trim_end_matches('/'))
    }

    fn gather_next(&self, gather: &Gather) -> Option<Request> {
        let page = gather.page.to_string();
        let size = PAGE.to_string();
        let paged = [("pageNumber", page.as_str()), ("pageSize", size.as_str())];
        let property = self.config.property.as_str();
        Some(match gather.phase {
            Phase::Units => {
                let mut fields = vec![("propertyId", property)];
                fields.extend(paged);
                Request::get("inventory/units", with_query(&self.url("inventory/v1/units"), &fields))
            }
            Phase::Stays => {
                let mut fields = vec![("propertyIds", property)];
                let between = gather.between.map(|(from, to)| (from.to_string(), to.to_string()));
                match &between {
                    None => fields.push(("status", "InHouse")),
                    Some((from, to)) => {
                        fields.extend([("dateFilter", "Modification"), ("from", from), ("to", to)]);
                    }
                }
                fields.extend(paged);
                let url = with_query(&self.url("booking/v1/reservations"), &fields);
                Request::get("booking/reservations", url)
            }
            Phase::Due => {
                let (from, to) = gather.due_between;
                let (from, to) = (from.to_string(), to.to_string());
                let mut fields = vec![("propertyIds", property), ("status", "Confirmed")];
                fields.extend([("dateFilter", "Arrival"), ("from", from.as_str()), ("to", to.as_str())]);
                fields.extend(paged);
                let url = with_query(&self.url("booking/v1/reservations"), &fields);
                Request::get("booking/reservations", url)
            }
            Phase::Missing => {
                let id = gather.missing.last()?;
                let url = self.url(&format!("booking/v1/reservations/{}", segment(id)));
                Request::get("booking/reservation", url)
            }
        })
    }

    fn gathered(&mut self, mut gather: Gather, answer: &Answer) -> Result<Step, Fault> {
        let (operation, count) = match gather.phase {
            Phase::Units => {
                let page: Units = list(answer, "inventory/units")?;
                let count = page.units.len();
                gather.units.extend(page.units.into_iter().map(|unit| (RoomId::new(unit.name), unit.id)));
                ("inventory/units", count)
            }
            Phase::Stays => {
                let page: Reservations = list(answer, "booking/reservations")?;
                let count = page.reservations.len();
                gather.found.extend(page.reservations.into_iter().map(|one| (one.id.clone(), one)));
                ("booking/reservations", count)
            }
            Phase::Due => {
                let page: Reservations = list(answer, "booking/reservations")?;
                let count = page.reservations.len();
                gather.due.extend(page.reservations.into_iter().map(|one| (one.id.clone(), one)));
                ("booking/reservations", count)
            }
            Phase::Missing => {
                // 404: it is not there at all, so nobody of it is in the house.
                if answer.status != 404 {
                    let one: Reservation = answer.read("booking/reservation")?;
                    gather.found.insert(one.id.clone(), one);
                }
                gather.missing.pop();
                ("booking/reservation", 0)
            }
        };
        if guests::has_no_end(gather.page, [gather.found.len(), gather.due.len()]) {
            return Err(Fault::Senseless { operation, why: "the list has no end" });
        }
        if count >= PAGE {
            gather.page += 1;
        } else {
            gather.page = 1;
            gather.phase = match (gather.phase, gather.between) {
                (Phase::Units, _) => Phase::Stays,
                (Phase::Stays, None) => Phase::Due,
                // Of changes nobody is missing.
                (Phase::Stays, Some(_)) | (Phase::Missing, _) => Phase::Missing,
                (Phase::Due, _) => {
                    let listed: Vec<StayId> =
                        gather.found.keys().map(|id| StayId::from(id.as_str())).collect();
                    let missing = self.house.guests.missing(&listed).take(MOST_MISSING);
                    gather.missing = missing.map(|stay| stay.as_str().to_owned()).collect();
                    Phase::Missing
                }
            };
        }
        match self.gather_next(&gather) {
            Some(request) => {
                self.doing = Doing::Gathering(gather);
                Ok(Step::Ask(request))
            }
            None => Ok(Step::Done(Outcome::Told(self.tell(gather)))),
        }
    }

    fn tell(&mut self, gather: Gather) -> Vec<Fact> {
        let whole = gather.between.is_none();
        if whole {
            self.units = gather.units;
        }
        let (mut present, mut left, mut facts) = (Vec::new(), Vec::new(), Vec::new());
        for (id, one) in gather.found {
            let stay = StayId::new(id);
            let room = one.unit.as_ref().map(|unit| RoomId::from(unit.name.as_str()));
            match (one.status.as_str(), room) {
                ("InHouse", Some(room)) => {
                    let guest = self.guest(&one);
                    present.push(Present { stay, known: Known { room, account: None }, guest });
                }
                ("InHouse", None) => facts.push(Fact::PmsRefused { why: "no-room".to_owned() }),
                _ => left.push(stay),
            }
        }
        if whole {
            facts.extend(self.house.guests.list(present, &left));
            let due = gather.due.into_values().filter_map(|one| {
                let room = RoomId::new(one.unit?.name);
                let date = guests::day(one.arrival, &self.house.zone);
                Some((StayId::new(one.id), Due { room, date, eta: one.arrival, vip: None }))
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

    fn guest(&self, one: &Reservation) -> GuestRecord {
        let text = |field: fn(&Guest) -> &Option<String>| {
            one.primary_guest.as_ref().and_then(|guest| guests::personal(field(guest).as_deref()))
        };
        let language = one.primary_guest.as_ref().and_then(|guest| guest.preferred_language.as_deref());
        GuestRecord {
            name: text(|guest| &guest.last_name),
            first_name: text(|guest| &guest.first_name),
            title: text(|guest| &guest.title),
            language: guests::language(language),
            arrival: guests::day(one.arrival, &self.house.zone),
            departure: guests::day(one.departure, &self.house.zone),
            vip: None,
            phone: text(|guest| &guest.phone),
            email: text(|guest| &guest.email),
            group: None,
            no_post: None,
        }
    }

    fn stay_of(&self, posting: &Posting) -> Option<StayId> {
        posting.stay.clone().or_else(|| self.house.guests.only_in(&posting.room).cloned())
    }

    fn folios(&self, stay: &StayId, charges: bool) -> Request {
        let mut fields = vec![("reservationIds", stay.as_str()), ("pageSize", "200")];
        if charges {
            fields.push(("expand", "charges"));
        }
        Request::get("finance/folios", with_query(&self.url("finance/v1/folios"), &fields))
    }

    fn charge(&self, posting: &Posting, folio: &str) -> Request {
        let body = json!({
            "serviceType": self.config.service_type,
            "vatType": self.config.vat_type,
            "name": posting.text,
            "amount": {
                "amount": guests::decimal(&posting.amount),
                "currency": posting.amount.currency.code(),
            },
            "receipt": posting.ident,
        });
        let url = self.url(&format!("finance/v1/folio-actions/{}/charges", segment(folio)));
        Request::json("finance/charges", "POST", url, &body)
            .with("idempotency-key", posting.ident.as_str())
            .once()
    }

    fn agree(&self, property: &Property) -> Result<(), Fault> {
        if property.time_zone != self.house.zone_name {
            return Err(Fault::Mismatch(format!(
                "its property is in the time zone {}, and property.zone is {}",
                property.time_zone, self.house.zone_name
            )));
        }
        match property.currency_code.as_deref() {
            Some(code) if code != self.house.currency.code() => Err(Fault::Mismatch(format!(
                "its property accounts in {code}, and property.currency is {}",
                self.house.currency
            ))),
            _ => Ok(()),
        }
    }
}

/// A page; 204 is an empty one.
fn list<T: DeserializeOwned + Default>(answer: &Answer, operation: &'static str) -> Result<T, Fault> {
    if answer.status == 204 { Ok(T::default()) } else { answer.read(operation) }
}

fn refused(status: &'static str, reason: String) -> Step {
    Step::Done(Outcome::Refused { status, reason })
}

impl HostedPms for Apaleo {
    fn name(&self) -> &'static str {
        "Apaleo"
    }

    /// Its limits are by client and endpoint and not told as one number: a gateway needs far less than this.
    fn limit(&self) -> Limit {
        Limit { requests: 60, seconds: 30 }
    }

    fn sign_in(&self, now: Timestamp) -> Option<Request> {
        if self.token.as_ref().is_some_and(|(_, ends)| *ends > now) {
            return None;
        }
        let url = format!("{}/connect/token", self.config.identity_url.trim_end_matches('/'));
        let request = Request::form("connect/token", url, &[("grant_type", "client_credentials")]);
        Some(request.with("authorization", basic(&self.config.client_id, &self.secret)))
    }

    fn signed_in(&mut self, now: Timestamp, answer: &Answer) -> Result<(), Fault> {
        let token: Token = answer.read("connect/token")?;
        let lasts = SignedDuration::from_secs(i64::from(token.expires_in)) - EARLY;
        let lasts = lasts.max(SignedDuration::from_secs(30));
        self.token =
            Some((Secret::new(token.access_token), now.checked_add(lasts).unwrap_or(Timestamp::MAX)));
        Ok(())
    }

    fn forget_token(&mut self) -> bool {
        self.token.take().is_some()
    }

    fn authorize(&self, request: &mut Request) {
        if let Some((token, _)) = &self.token {
            request.headers.push(("authorization", format!("Bearer {}", token.reveal())));
        }
    }

    fn start(&mut self, now: Timestamp, job: &Job) -> Result<Step, Fault> {
        let (doing, request) = match job {
            Job::Open => {
                let path = format!("inventory/v1/properties/{}", segment(&self.config.property));
                (Doing::Opening, Request::get("inventory/property", self.url(&path)))
            }
            Job::List | Job::Changes { .. } => {
                let between = match job {
                    Job::Changes { since, until } => {
                        Some((since.checked_sub(OVERLAP).unwrap_or(*since), *until))
                    }
                    _ => None,
                };
                let phase = if between.is_none() { Phase::Units } else { Phase::Stays };
                let gather = Gather {
                    phase,
                    between,
                    page: 1,
                    units: BTreeMap::new(),
                    found: BTreeMap::new(),
                    missing: Vec::new(),
                    due_between: (
                        now.checked_sub(guests::LATE).unwrap_or(now),
                        now.checked_add(guests::AHEAD).unwrap_or(now),
                    ),
                    due: BTreeMap::new(),
                };
                // The first phase always asks.
                let Some(request) = self.gather_next(&gather) else {
                    return Ok(Step::Done(Outcome::Told(Vec::new())));
                };
                (Doing::Gathering(gather), request)
            }
            Job::Post(posting) => {
                let Some(stay) = self.stay_of(posting) else {
                    let reason = format!("room {} has no stay, or several: name the stay", posting.room);
                    return Ok(refused("NG", reason));
                };
                (Doing::FindingFolio(posting.clone()), self.folios(&stay, false))
            }
            Job::LookUp { posting, .. } => {
                let Some(stay) = self.stay_of(posting) else {
                    return Ok(Step::Done(Outcome::CannotLookUp));
                };
                (Doing::Looking(posting.clone()), self.folios(&stay, true))
            }
            Job::Status { room, status } => {
                let Some(unit) = self.units.get(room) else {
                    return Ok(refused("NG", format!("Apaleo has no unit {room}")));
                };
                let Some(condition) = condition_of(status) else {
                    return Ok(refused("NF", format!("Apaleo has no place for `{status}`")));
                };
                let url = self.url(&format!("inventory/v1/units/{}", segment(unit)));
                let patch = json!([{ "op": "replace", "path": "/condition", "value": condition }]);
                let mut request = Request::json("inventory/unit", "PATCH", url, &patch);
                if let Some((kind, _)) = &mut request.body {
                    *kind = "application/json-patch+json";
                }
                (Doing::Updating, request)
            }
        };
        self.doing = doing;
        Ok(Step::Ask(request))
    }

    fn answered(&mut self, _: Timestamp, answer: &Answer) -> Result<Step, Fault> {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => Ok(Step::Done(Outcome::Done)),
            Doing::Opening => {
                self.agree(&answer.read("inventory/property")?)?;
                Ok(Step::Done(Outcome::Done))
            }
            Doing::Gathering(gather) => self.gathered(gather, answer),
            Doing::FindingFolio(posting) => {
                let folios = list::<Folios>(answer, "finance/folios")?.folios;
                let main = folios.iter().find(|folio| folio.is_main_folio).or(folios.first());
                let Some(folio) = main else {
                    return Ok(refused("NG", "the reservation has no folio".to_owned()));
                };
                let request = self.charge(&posting, &folio.id);
                self.doing = Doing::Charging;
                Ok(Step::Ask(request))
            }
            Doing::Charging => answer.read::<Charged>("finance/charges").map(|_| Step::Done(Outcome::Done)),
            Doing::Looking(posting) => {
                let folios = list::<Folios>(answer, "finance/folios")?.folios;
                let mut charges = folios.iter().flat_map(|folio| &folio.charges);
                let found = charges.any(|charge| charge.receipt.as_ref() == Some(&posting.ident));
                Ok(Step::Done(Outcome::Found(found)))
            }
            Doing::Updating => {
                answer.check("inventory/unit")?;
                Ok(Step::Done(Outcome::Done))
            }
        }
    }
}

/// A housekeeping status as Apaleo has it. `Clean` is its word for ready; what waits for an inspection has its own.
fn condition_of(status: &str) -> Option<&'static str> {
    Some(match status {
        "dirty-vacant" | "dirty-occupied" => "Dirty",
        "clean-vacant" | "clean-occupied" => "CleanToBeInspected",
        "inspected-vacant" | "inspected-occupied" => "Clean",
        _ => return None,
    })
}
