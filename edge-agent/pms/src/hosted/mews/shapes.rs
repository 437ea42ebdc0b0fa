//! The answers of the Mews Connector API, as far as they are of use (docs.mews.com/connector-api, operations).

use engawa_model::Timestamp;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Configuration {
    pub(super) enterprise: Enterprise,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Enterprise {
    pub(super) time_zone_identifier: String,
    #[serde(default)]
    pub(super) currencies: Vec<AcceptedCurrency>,
    /// `Gross` or `Net`.
    pub(super) pricing: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AcceptedCurrency {
    pub(super) currency: String,
    #[serde(default)]
    pub(super) is_default: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resources {
    #[serde(default)]
    pub(super) resources: Vec<Resource>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reservations {
    pub(super) reservations: Vec<Reservation>,
    pub(super) cursor: Option<String>,
}

/// Version 2023-06-06.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reservation {
    pub(super) id: String,
    /// `Started` is in the house; others, also those to come, are not.
    pub(super) state: String,
    pub(super) account_id: Option<String>,
    pub(super) account_type: Option<String>,
    pub(super) assigned_resource_id: Option<String>,
    pub(super) scheduled_start_utc: Option<Timestamp>,
    pub(super) actual_start_utc: Option<Timestamp>,
    pub(super) scheduled_end_utc: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Companionships {
    #[serde(default)]
    pub(super) companionships: Vec<Companionship>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Companionship {
    pub(super) customer_id: String,
    /// None where the person accompanies a group and no reservation of it.
    pub(super) reservation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Customers {
    #[serde(default)]
    pub(super) customers: Vec<Customer>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) last_name: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) title: Option<String>,
    pub(super) language_code: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) classifications: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OrderItems {
    #[serde(default)]
    pub(super) order_items: Vec<OrderItem>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OrderItem {
    pub(super) external_identifier: Option<String>,
    pub(super) canceled_utc: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Order {
    #[allow(dead_code, reason = "that it is there says that the order is")]
    pub(super) order_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Event {
    #[serde(rename = "Type")]
    pub(super) kind: String,
}
