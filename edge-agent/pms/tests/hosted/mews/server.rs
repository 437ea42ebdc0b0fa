//! A hotel in Mews, played: the operations of its Connector API that the gateway uses.

use super::super::vendor::{Asked, Hotel};
use engawa_model::Timestamp;
use serde_json::{Value, json};

/// A hotel in Mews.
#[derive(Default)]
pub(crate) struct Mews {
    pub(super) reservations: Vec<Value>,
    pub(super) customers: Vec<Value>,
    pub(super) companionships: Vec<Value>,
    pub(super) resources: Vec<Value>,
    pub(super) orders: Vec<Value>,
    pub(super) updates: Vec<Value>,
    pub(super) currency: Option<&'static str>,
}

pub(super) fn id(kind: u32, n: usize) -> String {
    format!("{kind:08x}-99b4-423d-b83a-{n:012x}")
}

impl Mews {
    pub(super) fn with(rooms: &[String]) -> Self {
        let resources = rooms.iter().enumerate().map(|(n, name)| {
            json!({ "Id": id(1, n), "Name": name, "State": "Clean", "IsActive": true, "ParentResourceId": null,
                "Data": { "Discriminator": "Space", "Value": { "FloorNumber": "1" } } })
        });
        Self { resources: resources.collect(), ..Self::default() }
    }

    /// Reservation `n` in room `n`, of a guest called `name`.
    pub(super) fn check_in(&mut self, n: usize, room: usize, name: &str, at: Timestamp) {
        self.customers.retain(|one| one["Id"] != id(3, n));
        self.customers.push(json!({ "Id": id(3, n), "LastName": name, "FirstName": "A", "LanguageCode": "de-DE",
            "Phone": "+49 170 1234567", "Email": null, "Classifications": ["VeryImportant"], "BirthDate": "1980-01-01" }));
        self.reservations.retain(|one| one["Id"] != id(2, n));
        self.reservations.insert(
            0,
            json!({ "Id": id(2, n), "AccountId": id(3, n), "AccountType": "Customer", "Number": n.to_string(),
                "State": "Started", "AssignedResourceId": id(1, room), "UpdatedUtc": at,
                "ScheduledStartUtc": "2026-07-14T13:00:00Z", "ActualStartUtc": "2026-07-14T14:10:00Z",
                "ScheduledEndUtc": "2026-07-18T09:00:00Z", "ActualEndUtc": null, "Purpose": "SomethingNew",
                "Options": { "OwnerCheckedIn": true }, "PersonCounts": [{ "Count": 2 }] }),
        );
    }

    pub(super) fn state(&mut self, n: usize, state: &str, at: Timestamp) {
        for one in self.reservations.iter_mut().filter(|one| one["Id"] == id(2, n)) {
            one["State"] = json!(state);
            one["UpdatedUtc"] = json!(at);
        }
    }

    /// A page as Mews has it: newest first, the cursor is the oldest of the page, and comes with the last page, too.
    pub(super) fn page(all: &[Value], limit: &Value) -> (Vec<Value>, Value) {
        let count = usize::try_from(limit["Count"].as_u64().unwrap()).unwrap();
        assert!((1..=1000).contains(&count));
        let from = match limit["Cursor"].as_str() {
            Some(cursor) => all.iter().position(|one| one["Id"] == cursor).unwrap() + 1,
            None => 0,
        };
        let page: Vec<Value> = all.iter().skip(from).take(count).cloned().collect();
        let cursor = page.last().map_or(Value::Null, |one| one["Id"].clone());
        (page, cursor)
    }
}

pub(super) fn among(ids: &Value, id: &Value) -> bool {
    ids.as_array().is_none_or(|ids| ids.contains(id))
}

pub(super) fn between(interval: &Value, at: &Value) -> bool {
    let time = |value: &Value| value.as_str().map(|text| text.parse::<Timestamp>().unwrap());
    let (Some(start), Some(end), Some(at)) =
        (time(&interval["StartUtc"]), time(&interval["EndUtc"]), time(at))
    else {
        return true;
    };
    start <= at && at <= end
}

impl Hotel for Mews {
    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let body = asked.json();
        if body["ClientToken"] != "client-E0D4"
            || body["AccessToken"] != "access-C66E"
            || body["Client"].is_null()
        {
            return (401, json!({ "Message": "Invalid AccessToken." }));
        }
        let operation = asked.path.strip_prefix("/api/connector/v1/").unwrap();
        match operation {
            "configuration/get" => {
                let currency = self.currency.unwrap_or("EUR");
                (
                    200,
                    json!({ "NowUtc": "2026-07-15T10:00:00Z", "Enterprise": { "TimeZoneIdentifier": "Europe/Berlin",
                    "Pricing": "Gross", "Currencies": [
                        { "Currency": "GBP", "IsDefault": false, "IsEnabled": true },
                        { "Currency": currency, "IsDefault": true, "IsEnabled": true }] } }),
                )
            }
            "resources/getAll" => {
                let ids = &body["ResourceIds"];
                let all: Vec<Value> =
                    self.resources.iter().filter(|one| among(ids, &one["Id"])).cloned().collect();
                let (page, cursor) = Self::page(&all, &body["Limitation"]);
                (200, json!({ "Resources": page, "Cursor": cursor }))
            }
            "reservations/getAll/2023-06-06" => {
                let wanted = |one: &&Value| {
                    among(&body["States"], &one["State"])
                        && among(&body["ReservationIds"], &one["Id"])
                        && between(&body["UpdatedUtc"], &one["UpdatedUtc"])
                        && between(&body["ScheduledStartUtc"], &one["ScheduledStartUtc"])
                };
                let all: Vec<Value> = self.reservations.iter().filter(wanted).cloned().collect();
                let (page, cursor) = Self::page(&all, &body["Limitation"]);
                (200, json!({ "Reservations": page, "Cursor": cursor }))
            }
            "companionships/getAll" => {
                let ids = &body["ReservationIds"];
                let ours = |one: &&Value| among(ids, &one["ReservationId"]);
                let all: Vec<Value> = self.companionships.iter().filter(ours).cloned().collect();
                let (page, cursor) = Self::page(&all, &body["Limitation"]);
                (200, json!({ "Companionships": page, "Customers": null, "Cursor": cursor }))
            }
            "customers/getAll" => {
                let ids = &body["CustomerIds"];
                assert!(ids.as_array().unwrap().len() <= 1000);
                let all: Vec<Value> =
                    self.customers.iter().filter(|one| among(ids, &one["Id"])).cloned().collect();
                let (page, cursor) = Self::page(&all, &body["Limitation"]);
                (200, json!({ "Customers": page, "Documents": null, "Cursor": cursor }))
            }
            "orders/add" => {
                if body["Items"][0]["Name"] == "Refuse me" {
                    return (403, json!({ "Message": "The bill of Mrs Okonkwo is closed." }));
                }
                self.orders.insert(0, body);
                (200, json!({ "OrderId": id(4, self.orders.len()) }))
            }
            "orderItems/getAll" => {
                let items = self.orders.iter().enumerate().map(|(n, order)| {
                    json!({ "Id": id(5, n), "ExternalIdentifier": order["Items"][0]["ExternalIdentifier"],
                        "ServiceId": order["ServiceId"], "CanceledUtc": null })
                });
                let all: Vec<Value> =
                    items.filter(|item| among(&body["ServiceIds"], &item["ServiceId"])).collect();
                let (page, cursor) = Self::page(&all, &body["Limitation"]);
                (200, json!({ "OrderItems": page, "Cursor": cursor }))
            }
            "resources/update" => {
                self.updates.push(body["ResourceUpdates"][0].clone());
                (200, json!({}))
            }
            other => (404, json!({ "Message": other })),
        }
    }
}
