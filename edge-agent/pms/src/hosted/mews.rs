//! Mews, by its Connector API (docs.mews.com/connector-api).
//!
//! Tokens go in each request's body. Lists have cursors. A stay is a reservation that is `Started` and has a room; its
//! name is that of the account which owns it. Each companion is a stay of its own in the same room, `reservation+customer`.
//! Confirmed reservations with a room are told as expected. Charges are orders whose item carries our identifier
//! (`ExternalIdentifier`), by which it is found among the order items of its service. The WebSocket's events are hints.
//!
//! Never: `Processed` read as "in the house" (it is "checked out"); a list believed whose missing guests were not asked
//! for one by one.

mod gather;
mod shapes;
#[cfg(test)]
mod tests;

use super::config::{MewsConfig, OfHouse};
use super::guests;
use super::{Answer, Fault, Feed, Heard, HostedPms, Job, Limit, Outcome, Posting, Request, Secret, Step};
use engawa_model::{RoomId, Timestamp};
use gather::{Gather, Phase};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shapes::{Configuration, Message, Order, OrderItems};
use std::collections::{BTreeMap, BTreeSet};

/// Items of a page; at most 1,000 are allowed.
const PAGE: usize = 500;
/// Identifiers in one request: fewer than a page holds, so that their answer is always one page.
const CHUNK: usize = 400;
/// How far changes overlap with those of the last question.
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);

/// The adapter.
pub struct Mews {
    config: MewsConfig,
    client: Secret,
    access: Secret,
    house: OfHouse,
    rooms: BTreeMap<String, RoomId>,
    gross: bool,
    arrivals: guests::Arrivals,
    doing: Doing,
}

/// What the next answer is about.
enum Doing {
    Nothing,
    Opening,
    Gathering(Box<Gather>),
    Ordering,
    Looking { posting: Posting, between: (Timestamp, Timestamp), pages: u32 },
    Updating,
}

impl Mews {
    /// The adapter of one house.
    pub fn new(config: MewsConfig, client: Secret, access: Secret, house: OfHouse) -> Self {
        Self {
            config,
            client,
            access,
            house,
            rooms: BTreeMap::new(),
            gross: true,
            arrivals: guests::Arrivals::default(),
            doing: Doing::Nothing,
        }
    }

    fn call(&self, operation: &'static str, mut body: Value) -> Request {
        body["ClientToken"] = json!(self.client.reveal());
        body["AccessToken"] = json!(self.access.reveal());
        body["Client"] = json!(concat!("Engawa ", env!("CARGO_PKG_VERSION")));
        let base = self.config.url.trim_end_matches('/');
        Request::json(operation, "POST", format!("{base}/api/connector/v1/{operation}"), &body)
    }

    /// The order of a charge, or why there can't be one.
    fn order(&self, posting: &Posting) -> Result<Request, Outcome> {
        let refused = |status, reason: String| Outcome::Refused { status, reason };
        let own = posting.outlet.as_ref().and_then(|outlet| self.config.outlets.get(outlet));
        let Some(service) = own.or(self.config.charge_service.as_ref()) else {
            return Err(refused(
                "NF",
                "no service is configured for charges: set charge_service in [hosted.mews]".to_owned(),
            ));
        };
        let stay = posting.stay.as_ref().or_else(|| self.house.guests.only_in(&posting.room));
        let known = stay.and_then(|stay| Some((stay, self.house.guests.get(stay)?.account.as_ref()?)));
        let Some((stay, account)) = known else {
            let reason = format!("room {} has no stay of that name, or several: name the stay", posting.room);
            return Err(refused("NG", reason));
        };
        let value = if self.gross { "GrossValue" } else { "NetValue" };
        let mut amount =
            json!({ "Currency": posting.amount.currency.code(), "TaxCodes": self.config.tax_codes });
        amount[value] = json!(guests::decimal(&posting.amount));
        let mut item = json!({
            "Name": posting.text,
            "UnitCount": 1,
            "UnitAmount": amount,
            "ExternalIdentifier": posting.ident,
        });
        if let Some(category) = &self.config.accounting_category {
            item["AccountingCategoryId"] = json!(category);
        }
        let mut body = json!({
            "ServiceId": service,
            "AccountId": account,
            "LinkedReservationId": guests::reservation(stay),
            "Items": [item],
        });
        if let Some(enterprise) = &self.config.enterprise {
            body["EnterpriseId"] = json!(enterprise);
        }
        Ok(self.call("orders/add", body).once())
    }

    fn look(&self, (since, until): (Timestamp, Timestamp), cursor: Option<&str>) -> Request {
        let mut services: BTreeSet<&String> = self.config.outlets.values().collect();
        services.extend(&self.config.charge_service);
        let mut limit = json!({ "Count": PAGE });
        if let Some(cursor) = cursor {
            limit["Cursor"] = json!(cursor);
        }
        let start = since.checked_sub(OVERLAP).unwrap_or(since);
        let mut body = json!({
            "ServiceIds": services,
            "CreatedUtc": { "StartUtc": start, "EndUtc": until },
            "Limitation": limit,
        });
        if let Some(enterprise) = &self.config.enterprise {
            body["EnterpriseIds"] = json!([enterprise]);
        }
        self.call("orderItems/getAll", body)
    }

    fn agree(&mut self, configuration: &Configuration) -> Result<(), Fault> {
        let enterprise = &configuration.enterprise;
        if enterprise.time_zone_identifier != self.house.zone_name {
            return Err(Fault::Mismatch(format!(
                "its property is in the time zone {}, and property.zone is {}",
                enterprise.time_zone_identifier, self.house.zone_name
            )));
        }
        let default = enterprise.currencies.iter().find(|one| one.is_default);
        if let Some(currency) = default.map(|one| one.currency.as_str())
            && currency != self.house.currency.code()
        {
            return Err(Fault::Mismatch(format!(
                "its property accounts in {currency}, and property.currency is {}",
                self.house.currency
            )));
        }
        self.gross = enterprise.pricing.as_deref() != Some("Net");
        Ok(())
    }
}

impl HostedPms for Mews {
    fn name(&self) -> &'static str {
        "Mews"
    }

    /// 200 in 30 s for one access token (guidelines, requests); we keep below, for others may use the same token.
    fn limit(&self) -> Limit {
        Limit { requests: 150, seconds: 30 }
    }

    fn start(&mut self, now: Timestamp, job: &Job) -> Result<Step, Fault> {
        let (doing, request) = match job {
            Job::Open => {
                let mut body = json!({});
                if let Some(enterprise) = &self.config.enterprise {
                    body["EnterpriseId"] = json!(enterprise);
                }
                (Doing::Opening, self.call("configuration/get", body))
            }
            Job::List | Job::Changes { .. } => {
                let between = match job {
                    Job::Changes { since, until } => {
                        Some((since.checked_sub(OVERLAP).unwrap_or(*since), *until))
                    }
                    _ => None,
                };
                let whole = between.is_none();
                let phase = if whole { Phase::Rooms } else { Phase::Stays };
                let mut gather = Box::new(Gather {
                    whole,
                    phase,
                    between,
                    pages: 0,
                    cursor: None,
                    rooms: BTreeMap::new(),
                    due_between: (
                        now.checked_sub(guests::LATE).unwrap_or(now),
                        now.checked_add(guests::AHEAD).unwrap_or(now),
                    ),
                    due: BTreeMap::new(),
                    companions: BTreeMap::new(),
                    found: BTreeMap::new(),
                    ids: Vec::new(),
                    customers: BTreeMap::new(),
                });
                // The first phase always asks.
                let Some(request) = self.gather_next(&mut gather) else {
                    return Ok(Step::Done(Outcome::Told(Vec::new())));
                };
                (Doing::Gathering(gather), request)
            }
            Job::Post(posting) => match self.order(posting) {
                Ok(request) => (Doing::Ordering, request),
                Err(outcome) => return Ok(Step::Done(outcome)),
            },
            Job::LookUp { posting, since, until } => {
                let between = (*since, until.checked_add(OVERLAP).unwrap_or(*until));
                let request = self.look(between, None);
                (Doing::Looking { posting: posting.clone(), between, pages: 1 }, request)
            }
            Job::Status { room, status } => {
                let Some((id, _)) = self.rooms.iter().find(|(_, name)| *name == room) else {
                    let reason = format!("Mews has no room {room}");
                    return Ok(Step::Done(Outcome::Refused { status: "NG", reason }));
                };
                let Some(state) = state_of(status) else {
                    let reason = format!("Mews has no place for `{status}`");
                    return Ok(Step::Done(Outcome::Refused { status: "NF", reason }));
                };
                let update = json!({ "ResourceId": id, "State": { "Value": state } });
                (Doing::Updating, self.call("resources/update", json!({ "ResourceUpdates": [update] })))
            }
        };
        self.doing = doing;
        Ok(Step::Ask(request))
    }

    fn answered(&mut self, _: Timestamp, answer: &Answer) -> Result<Step, Fault> {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => Ok(Step::Done(Outcome::Done)),
            Doing::Opening => {
                self.agree(&answer.read("configuration/get")?)?;
                Ok(Step::Done(Outcome::Done))
            }
            Doing::Gathering(gather) => self.gathered(gather, answer),
            Doing::Ordering => answer.read::<Order>("orders/add").map(|_| Step::Done(Outcome::Done)),
            Doing::Looking { posting, between, pages } => {
                let page: OrderItems = answer.read("orderItems/getAll")?;
                let ours = |item: &shapes::OrderItem| {
                    item.external_identifier.as_ref() == Some(&posting.ident) && item.canceled_utc.is_none()
                };
                if page.order_items.iter().any(ours) {
                    return Ok(Step::Done(Outcome::Found(true)));
                }
                match page.cursor.filter(|_| page.order_items.len() >= PAGE) {
                    None => Ok(Step::Done(Outcome::Found(false))),
                    Some(_) if pages >= guests::MOST_PAGES => {
                        Err(Fault::Senseless { operation: "orderItems/getAll", why: "the list has no end" })
                    }
                    Some(cursor) => {
                        let request = self.look(between, Some(&cursor));
                        self.doing = Doing::Looking { posting, between, pages: pages + 1 };
                        Ok(Step::Ask(request))
                    }
                }
            }
            Doing::Updating => {
                answer.check("resources/update")?;
                Ok(Step::Done(Outcome::Done))
            }
        }
    }

    fn feed(&self, _: Timestamp, _: Option<&str>) -> Option<Feed> {
        let base = self.config.events.trim_end_matches('/');
        let cookie = format!("ClientToken={}; AccessToken={}", self.client.reveal(), self.access.reveal());
        (!base.is_empty()).then(|| Feed {
            url: format!("{base}/ws/connector"),
            headers: vec![("cookie", cookie)],
            protocol: None,
            pause_s: 0,
            ping: None,
        })
    }

    fn feed_heard(&mut self, _: Timestamp, text: &str) -> Result<Heard, Fault> {
        let answer = Answer { status: 200, retry_after_s: None, date: None, body: text.as_bytes().to_vec() };
        let message: Message = answer.read("ws/connector")?;
        let changed = message.events.iter().any(|event| matches!(&*event.kind, "Reservation" | "Resource"));
        Ok(Heard { changed, ..Heard::default() })
    }
}

/// A housekeeping status as Mews has it: whether the room is occupied it knows itself.
fn state_of(status: &str) -> Option<&'static str> {
    Some(match status {
        "dirty-vacant" | "dirty-occupied" => "Dirty",
        "clean-vacant" | "clean-occupied" => "Clean",
        "inspected-vacant" | "inspected-occupied" => "Inspected",
        _ => return None,
    })
}
