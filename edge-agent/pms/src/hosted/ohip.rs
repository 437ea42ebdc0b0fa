//! OPERA Cloud, by the Oracle Hospitality Integration Platform (github.com/oracle/hospitality-api-docs; Streaming API
//! Implementation Guide).
//!
//! Tokens come from client credentials with the application key. A stay is a reservation that is in the house and has a
//! room; OPERA's list has no "changed since", so a change is a new list, and the business events of the chain (see
//! [`stream`]) say when one is worth asking for. Charges carry our identifier as `postingReference`, by which they are
//! found among the postings of the folio.
//!
//! Not tried against Oracle: an account there needs a contract. What is here follows the published descriptions.

mod shapes;
mod stream;
#[cfg(test)]
mod tests;

use super::config::{OfHouse, OhipConfig};
use super::guests::{self, Arrivals, Due, Known, Present};
use super::request::{basic, segment, with_query};
use super::{Answer, Fault, Feed, Heard, HostedPms, Job, Limit, Outcome, Posting, Request, Secret, Step};
use engawa_model::{Date, Fact, GuestRecord, RoomId, StayId, Timestamp};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shapes::{Guest, Page, Reservation, Reservations, Token};
use std::collections::BTreeMap;
use stream::Stream;

const PAGE: usize = 200;
/// Reservations that are asked for by number in one request.
const CHUNK: usize = 50;
const EARLY: SignedDuration = SignedDuration::from_mins(10);

/// The adapter.
pub struct Ohip {
    config: OhipConfig,
    secret: Secret,
    house: OfHouse,
    token: Option<(Secret, Timestamp)>,
    stream: Option<Stream>,
    arrivals: Arrivals,
    doing: Doing,
}

enum Doing {
    Nothing,
    Opening,
    Gathering(Gather),
    Charging,
    Looking(Posting),
    Updating,
}

struct Gather {
    /// The whole house; else only what differs is told.
    whole: bool,
    offset: usize,
    pages: u32,
    missing: Option<Vec<String>>,
    found: BTreeMap<String, Reservation>,
    /// Arrivals of these days come last, where the whole house is told; then none.
    due_days: Option<(Date, Date)>,
    /// True once they are asked for.
    asks_due: bool,
    due: BTreeMap<String, Reservation>,
}

impl Ohip {
    /// The adapter of one house.
    pub fn new(config: OhipConfig, secret: Secret, house: OfHouse) -> Self {
        let stream = config.chain.as_deref().map(|chain| Stream::new(chain, &config.hotel));
        Self {
            config,
            secret,
            house,
            token: None,
            stream,
            arrivals: Arrivals::default(),
            doing: Doing::Nothing,
        }
    }

    fn url(&self, module: &str, path: &str) -> String {
        let base = self.config.url.trim_end_matches('/');
        format!("{base}/{module}/hotels/{}/{path}", segment(&self.config.hotel))
    }

    fn gather_next(&self, gather: &Gather) -> Option<Request> {
        let offset = gather.offset.to_string();
        let limit = PAGE.to_string();
        let days;
        let mut fields = vec![("limit", limit.as_str()), ("offset", offset.as_str())];
        match &gather.missing {
            None => fields.push(("searchType", "InHouse")),
            Some(ids) if ids.is_empty() => {
                let (from, to) = gather.due_days.filter(|_| gather.asks_due)?;
                days = (from.to_string(), to.to_string());
                fields.extend([("arrivalStartDate", days.0.as_str()), ("arrivalEndDate", days.1.as_str())]);
            }
            Some(ids) => {
                fields.extend(ids.iter().take(CHUNK).map(|id| ("reservationIdList", id.as_str())));
            }
        }
        let url = with_query(&self.url("rsv/v1", "reservations"), &fields);
        Some(Request::get("reservations", url))
    }

    fn gathered(&mut self, mut gather: Gather, answer: &Answer) -> Result<Step, Fault> {
        let operation = "reservations";
        // 204: nobody.
        let page = if answer.status == 204 {
            Reservations { reservation_info: Vec::new(), has_more: false }
        } else {
            answer.read::<Page>(operation)?.reservations
        };
        gather.pages += 1;
        let count = page.reservation_info.len();
        for one in page.reservation_info {
            let Some(number) = one.number().map(str::to_owned) else {
                return Err(Fault::Senseless { operation, why: "a reservation has no number" });
            };
            if gather.asks_due {
                gather.due.insert(number, one)
            } else {
                gather.found.insert(number, one)
            };
        }
        let stands = page.has_more && count == 0;
        if stands || guests::has_no_end(gather.pages, [gather.found.len(), gather.due.len()]) {
            return Err(Fault::Senseless { operation, why: "the list has no end" });
        }
        if page.has_more {
            gather.offset += count;
        } else {
            gather.offset = 0;
            if gather.asks_due {
                gather.due_days = None;
            } else if let Some(ids) = &mut gather.missing {
                ids.drain(..ids.len().min(CHUNK));
            } else {
                let listed: Vec<StayId> = gather.found.keys().map(|id| StayId::from(id.as_str())).collect();
                let missing = self.house.guests.missing(&listed);
                // A stay of another system's numbers is none that could be asked for.
                let numbers = missing.filter(|stay| stay.as_str().bytes().all(|b| b.is_ascii_digit()));
                gather.missing = Some(numbers.map(|stay| stay.as_str().to_owned()).collect());
            }
        }
        let none_missing = gather.missing.as_ref().is_some_and(Vec::is_empty);
        gather.asks_due |= gather.whole && none_missing;
        match self.gather_next(&gather) {
            Some(request) => {
                self.doing = Doing::Gathering(gather);
                Ok(Step::Ask(request))
            }
            None => Ok(Step::Done(Outcome::Told(self.tell(gather)))),
        }
    }

    fn tell(&mut self, gather: Gather) -> Vec<Fact> {
        let (mut present, mut left, mut facts) = (Vec::new(), Vec::new(), Vec::new());
        for (number, one) in gather.found {
            let stay = StayId::new(number);
            let room = one.room_stay.as_ref().and_then(|stay| stay.room_id.as_deref()).map(RoomId::from);
            match (one.is_in_house(), room) {
                (true, Some(room)) => {
                    let guest = guest(&one);
                    present.push(Present { stay, known: Known { room, account: None }, guest });
                }
                (true, None) => facts.push(Fact::PmsRefused { why: "no-room".to_owned() }),
                (false, _) => left.push(stay),
            }
        }
        if gather.whole {
            facts.extend(self.house.guests.list(present, &left));
            let due =
                gather.due.into_iter().filter(|(_, one)| one.is_expected()).filter_map(|(number, one)| {
                    let stay = one.room_stay?;
                    let room = RoomId::new(stay.room_id?);
                    Some((StayId::new(number), Due { room, date: stay.arrival_date, eta: None, vip: None }))
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

    fn charge(&self, posting: &Posting) -> Result<Request, Outcome> {
        let own = posting.outlet.as_ref().and_then(|outlet| self.config.outlets.get(outlet));
        let Some(code) = own.or(self.config.transaction_code.as_ref()) else {
            let reason =
                "no transaction code is configured for charges: set transaction_code in [hosted.ohip]";
            return Err(Outcome::Refused { status: "NF", reason: reason.to_owned() });
        };
        let Some(stay) = self.stay_of(posting) else {
            let reason = format!("room {} has no stay, or several: name the stay", posting.room);
            return Err(Outcome::Refused { status: "NG", reason });
        };
        let mut criteria = json!({
            "hotelId": self.config.hotel,
            "charges": [{
                "transactionCode": code,
                "price": {
                    "amount": guests::decimal(&posting.amount),
                    "currencyCode": posting.amount.currency.code(),
                },
                "postingQuantity": 1,
                "postingReference": posting.ident,
                "postingRemark": posting.text,
            }],
        });
        if let Some(cashier) = self.config.cashier {
            criteria["cashierId"] = json!(cashier);
        }
        let url = self.url("csh/v1", &format!("reservations/{}/charges", segment(stay.as_str())));
        Ok(Request::json("charges", "POST", url, &json!({ "criteria": criteria })).once())
    }

    fn stay_of(&self, posting: &Posting) -> Option<StayId> {
        posting.stay.clone().or_else(|| self.house.guests.only_in(&posting.room).cloned())
    }
}

fn guest(one: &Reservation) -> GuestRecord {
    let guest = one.reservation_guest.as_ref();
    let text = |field: fn(&Guest) -> &Option<String>| {
        guest.and_then(|guest| guests::personal(field(guest).as_deref()))
    };
    let stay = one.room_stay.as_ref();
    GuestRecord {
        name: text(|guest| &guest.surname),
        first_name: text(|guest| &guest.given_name),
        title: text(|guest| &guest.name_title),
        language: guest.and_then(|guest| guests::language(guest.language.as_deref())),
        arrival: stay.and_then(|stay| stay.arrival_date),
        departure: stay.and_then(|stay| stay.departure_date),
        vip: None,
        phone: text(|guest| &guest.phone_number),
        email: text(|guest| &guest.email),
        group: None,
        no_post: None,
    }
}

/// True where a posting of a folio carries `ident`; how deep postings lie differs by the kind of folio. OPERA pads what
/// it keeps.
fn has_reference(value: &Value, ident: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let ours = value.as_str().is_some_and(|text| text.trim() == ident);
            (name == "reference" && ours) || has_reference(value, ident)
        }),
        Value::Array(all) => all.iter().any(|value| has_reference(value, ident)),
        _ => false,
    }
}

impl HostedPms for Ohip {
    fn name(&self) -> &'static str {
        "OPERA Cloud"
    }

    /// No number is published for all; a gateway needs far less than this.
    fn limit(&self) -> Limit {
        Limit { requests: 60, seconds: 60 }
    }

    fn sign_in(&self, now: Timestamp) -> Option<Request> {
        if self.token.as_ref().is_some_and(|(_, ends)| *ends > now) {
            return None;
        }
        let url = format!("{}/oauth/v1/tokens", self.config.url.trim_end_matches('/'));
        let form = [("grant_type", "client_credentials"), ("scope", self.config.scope.as_str())];
        let mut request = Request::form("oauth/tokens", url, &form)
            .with("authorization", basic(&self.config.client_id, &self.secret))
            .with("x-app-key", self.config.app_key.as_str());
        if let Some(enterprise) = &self.config.enterprise {
            request = request.with("enterpriseid", enterprise.as_str());
        }
        Some(request)
    }

    fn signed_in(&mut self, now: Timestamp, answer: &Answer) -> Result<(), Fault> {
        let token: Token = answer.read("oauth/tokens")?;
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
        request.headers.push(("x-app-key", self.config.app_key.clone()));
        request.headers.push(("x-hotelid", self.config.hotel.clone()));
        if let Some((token, _)) = &self.token {
            request.headers.push(("authorization", format!("Bearer {}", token.reveal())));
        }
    }

    fn start(&mut self, now: Timestamp, job: &Job) -> Result<Step, Fault> {
        let refused = |status, reason| Ok(Step::Done(Outcome::Refused { status, reason }));
        let (doing, request) = match job {
            Job::Open => {
                // One reservation is enough to know that hotel, key and rights are good.
                let fields = [("limit", "1"), ("offset", "0"), ("searchType", "InHouse")];
                let url = with_query(&self.url("rsv/v1", "reservations"), &fields);
                (Doing::Opening, Request::get("reservations", url))
            }
            Job::List | Job::Changes { .. } => {
                let whole = *job == Job::List;
                let day = |at: Option<Timestamp>| guests::day(at, &self.house.zone);
                let days = day(Some(now)).zip(day(now.checked_add(SignedDuration::from_hours(24)).ok()));
                let gather = Gather {
                    whole,
                    offset: 0,
                    pages: 0,
                    missing: None,
                    found: BTreeMap::new(),
                    due_days: days.filter(|_| whole),
                    asks_due: false,
                    due: BTreeMap::new(),
                };
                // The first phase always asks.
                let Some(request) = self.gather_next(&gather) else {
                    return Ok(Step::Done(Outcome::Told(Vec::new())));
                };
                (Doing::Gathering(gather), request)
            }
            Job::Post(posting) => match self.charge(posting) {
                Ok(request) => (Doing::Charging, request),
                Err(outcome) => return Ok(Step::Done(outcome)),
            },
            Job::LookUp { posting, .. } => {
                let Some(stay) = self.stay_of(posting) else {
                    return Ok(Step::Done(Outcome::CannotLookUp));
                };
                let path = format!("reservations/{}/folios", segment(stay.as_str()));
                let fields = [("fetchInstructions", "Postings"), ("summaryOnly", "false"), ("limit", "200")];
                let url = with_query(&self.url("csh/v1", &path), &fields);
                (Doing::Looking(posting.clone()), Request::get("folios", url))
            }
            Job::Status { room, status } => {
                let Some(word) = status_of(status) else {
                    return refused("NF", format!("OPERA has no place for `{status}`"));
                };
                let body = json!({ "roomList": [{ "roomId": room }], "housekeepingRoomStatus": word });
                (
                    Doing::Updating,
                    Request::json("rooms/status", "PUT", self.url("hsk/v1", "rooms/status"), &body),
                )
            }
        };
        self.doing = doing;
        Ok(Step::Ask(request))
    }

    fn answered(&mut self, _: Timestamp, answer: &Answer) -> Result<Step, Fault> {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => Ok(Step::Done(Outcome::Done)),
            Doing::Opening => {
                answer.check("reservations")?;
                Ok(Step::Done(Outcome::Done))
            }
            Doing::Gathering(gather) => self.gathered(gather, answer),
            Doing::Charging => {
                answer.check("charges")?;
                Ok(Step::Done(Outcome::Done))
            }
            Doing::Looking(posting) => {
                if answer.status == 204 {
                    return Ok(Step::Done(Outcome::Found(false)));
                }
                let folios: Value = answer.read("folios")?;
                Ok(Step::Done(Outcome::Found(has_reference(&folios, &posting.ident))))
            }
            Doing::Updating => {
                answer.check("rooms/status")?;
                Ok(Step::Done(Outcome::Done))
            }
        }
    }

    fn feed(&self, now: Timestamp, _: Option<&str>) -> Option<Feed> {
        self.stream.as_ref()?;
        // It is opened with a token that lasts.
        self.token.as_ref().filter(|(_, ends)| *ends > now)?;
        Some(Feed {
            url: stream::url(&self.config.url, &self.config.app_key),
            headers: Vec::new(),
            protocol: Some(stream::PROTOCOL),
            // One consumer at a time: who comes back too soon is locked out (4409).
            pause_s: self.config.stream_pause_s,
            ping: Some(stream::ping()),
        })
    }

    fn feed_opened(&mut self, _: Timestamp, mark: Option<&str>) -> Vec<String> {
        let (Some(stream), Some((token, _))) = (&mut self.stream, &self.token) else { return Vec::new() };
        stream.opened(&self.config.app_key, token, mark)
    }

    fn feed_heard(&mut self, _: Timestamp, text: &str) -> Result<Heard, Fault> {
        match &mut self.stream {
            Some(stream) => stream.heard(text),
            None => Ok(Heard::default()),
        }
    }
}

/// A housekeeping status as OPERA has it.
fn status_of(status: &str) -> Option<&'static str> {
    Some(match status {
        "dirty-vacant" | "dirty-occupied" => "Dirty",
        "clean-vacant" | "clean-occupied" => "Clean",
        "inspected-vacant" | "inspected-occupied" => "Inspected",
        _ => return None,
    })
}
