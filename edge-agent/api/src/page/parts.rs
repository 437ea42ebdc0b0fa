//! The blocks around the rooms: facts, alerts, links and cloud, devices and postings.

use super::{Look, counted, shape};
use crate::HouseView;
use crate::view::{LinkView, PostingView, SyncView};
use engawa_model::{Alert, AlertKind, DeviceState, Lane, Money, PostingState};
use maud::{Markup, html};

/// Rows of a table; what is beyond is counted under it, and in the JSON API.
const MOST_ROWS: usize = 20;
/// Alerts that are over and still shown.
const MOST_PAST_ALERTS: usize = 5;

pub(super) fn facts(view: &HouseView, look: &Look) -> Markup {
    html! {
        dl {
            div {
                dt { "Business date" }
                dd {
                    @match view.business_date {
                        Some(date) => (date),
                        None => "not told by the PMS yet",
                    }
                    @if view.night_audit { ", night audit running" }
                    @if view.resync_running { ", list of the house running" }
                }
            }
            div { dt { "Running since" } dd { (look.time(view.started_at)) } }
        }
    }
}

pub(super) fn alerts(view: &HouseView, look: &Look) -> Markup {
    let (active, past): (Vec<_>, Vec<_>) = view.alerts.iter().partition(|alert| alert.active);
    html! {
        @if active.is_empty() {
            p class="quiet" { (shape("well")) "No active alert." }
        } @else {
            ul class="alerts" {
                @for alert in active.iter().take(MOST_ROWS) { li { (shape("unwell")) (alert_line(alert, look)) } }
            }
            (beyond(active.len()))
        }
        @if !past.is_empty() {
            ul class="alerts past" {
                @for alert in past.iter().take(MOST_PAST_ALERTS) {
                    li { (shape("well")) (alert_line(alert, look)) }
                }
            }
        }
    }
}

fn alert_line(alert: &Alert, look: &Look) -> Markup {
    let title = match alert.kind {
        AlertKind::PostingDoubtful => "Posting in doubt",
        AlertKind::Leak => "Leak",
        AlertKind::WriteFailed => "Set point not taken",
    };
    html! {
        span {
            strong { (title) @if !alert.active { " (over)" } }
            " " (alert.source) ": " (alert.text) " "
            span class="source" {
                (look.time(alert.last))
                @if alert.count > 1 { ", " (alert.count) " times since " (look.time(alert.first)) }
            }
        }
    }
}

pub(super) fn links(view: &HouseView, look: &Look) -> Markup {
    // A house has dozens of Modbus lines: those that are well are one line here, those that are not stand for themselves.
    let quiet = |link: &&LinkView| link.up && link.id.as_str().starts_with("modbus-");
    let modbus = view.links.iter().filter(quiet).count();
    html! {
        ul class="link-list" {
            @for link in view.links.iter().filter(|link| !quiet(link)) { (link_item(link, look)) }
            @if modbus > 0 {
                li class="up" { (shape("well")) span { strong { "modbus" } " up: " (modbus) @if modbus == 1 { " line" } @else { " lines" } } }
            }
            @if view.links.is_empty() { li class="quiet" { "No link has reported yet." } }
            (cloud_item(&view.sync))
        }
        @if view.sync.enrolled {
            details { summary { "Lanes of the journal" } (lanes(&view.sync, look)) }
        }
    }
}

fn link_item(link: &LinkView, look: &Look) -> Markup {
    html! {
        li class=(if link.up { "up" } else { "down" }) {
            (shape(if link.up { "well" } else { "unwell" }))
            span {
                strong { (link.id) } @if link.up { " up" } @else { " down" } ": " (link.detail) " "
                span class="source" { (look.time(link.since)) }
            }
        }
    }
}

fn cloud_item(sync: &SyncView) -> Markup {
    let (class, icon, state) = match (sync.enrolled, sync.connected) {
        (false, _) => ("off", "vacant", " not enrolled"),
        (true, true) => ("up", "well", " connected"),
        // Not a fault of the house: everything is kept until it is back.
        (true, false) => ("waits", "waits", " not reached"),
    };
    html! {
        li class=(class) {
            (shape(icon))
            span {
                strong { "sync" } (state)
                @if !sync.detail.is_empty() { ": " (sync.detail) }
                @if sync.enrolled { ", " (rows_waiting(sync.waiting())) }
            }
        }
    }
}

fn rows_waiting(waiting: u64) -> String {
    match waiting {
        0 => "everything confirmed".to_owned(),
        1 => "1 row waiting".to_owned(),
        more => format!("{more} rows waiting"),
    }
}

fn lanes(sync: &SyncView, look: &Look) -> Markup {
    html! {
        table class="lanes" {
            caption class="unseen" { "Journal rows on their way to the cloud" }
            thead {
                tr {
                    th scope="col" { "Lane" }
                    th scope="col" class="number" { "Waiting" }
                    th scope="col" class="number" { "Confirmed" }
                    th scope="col" { "Oldest waiting" }
                }
            }
            tbody {
                @for lane in &sync.lanes {
                    tr {
                        th scope="row" { (lane_name(lane.lane)) }
                        td class="number" { (lane.waiting()) }
                        td class="number" { (lane.acknowledged) }
                        td { @match lane.oldest_waiting { Some(at) => (look.time(at)), None => "–" } }
                    }
                }
            }
        }
    }
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "Control",
        Lane::Alarms => "Alarms",
        Lane::Stays => "Stays",
        Lane::Audit => "Audit",
        Lane::Telemetry => "Telemetry",
    }
}

pub(super) fn counts(view: &HouseView) -> Markup {
    let status = view.status();
    html! {
        p class="counts" {
            (counted(status.rooms, "room", "rooms")) " · "
            (status.rooms_occupied) " occupied · "
            (status.rooms - status.rooms_occupied) " vacant · "
            (counted(status.rooms_needing_attention, "needs a look", "need a look"))
        }
    }
}

pub(super) fn work(view: &HouseView, look: &Look) -> Markup {
    let unwell: Vec<_> = view.devices.iter().filter(|device| device.state == DeviceState::Unwell).collect();
    let unheard = view.devices.iter().filter(|device| device.state == DeviceState::Unknown).count();
    let open: Vec<_> = view.postings.iter().filter(|posting| posting.state != PostingState::Posted).collect();
    html! {
        p class="counts" {
            (counted(view.devices.len(), "device", "devices")) " · " (unwell.len()) " unwell · "
            (unheard) " not heard of yet · " (counted(view.postings.len(), "posting", "postings")) " kept · "
            (open.len()) " not booked"
        }
        @if !unwell.is_empty() {
            table {
                caption { "Devices that do not answer as they should" }
                thead {
                    tr { th scope="col" { "Device" } th scope="col" { "Room" } th scope="col" { "Since" } th scope="col" { "Why" } }
                }
                tbody {
                    @for device in unwell.iter().take(MOST_ROWS) {
                        tr {
                            th scope="row" { (device.id) }
                            td { @match &device.room { Some(room) => (room), None => "–" } }
                            td { @match device.since { Some(since) => (look.time(since)), None => "–" } }
                            td { (device.reason.as_deref().unwrap_or("not told")) }
                        }
                    }
                }
            }
            (beyond(unwell.len()))
        }
        @if !open.is_empty() {
            table {
                caption { "Postings that are not booked" }
                thead {
                    tr {
                        th scope="col" { "P#" } th scope="col" { "Room" } th scope="col" class="number" { "Amount" }
                        th scope="col" { "State" } th scope="col" { "Asked" }
                    }
                }
                tbody { @for posting in open.iter().take(MOST_ROWS) { (posting_row(posting, look)) } }
            }
            (beyond(open.len()))
        }
    }
}

fn posting_row(posting: &PostingView, look: &Look) -> Markup {
    let state = match posting.state {
        PostingState::Pending => "waits",
        PostingState::InFlight => "sent, no answer yet",
        PostingState::Posted => "booked",
        PostingState::Refused => "refused",
        PostingState::Doubtful => "in doubt: look in the PMS",
    };
    html! {
        tr {
            th scope="row" { (posting.number) }
            td { (posting.room) }
            td class="number" { (money(posting.amount)) }
            td { (state) @if let Some(answer) = &posting.answer { " (" (answer) ")" } }
            td { (look.time(posting.asked)) }
        }
    }
}

/// An amount with the currency's own number of decimals (ISO 4217: 2 for most, 0 and 3 for some).
fn money(amount: Money) -> String {
    let decimals: u32 = match amount.currency.code() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let unit = 10_u64.pow(decimals);
    let (sign, minor) = (if amount.minor < 0 { "-" } else { "" }, amount.minor.unsigned_abs());
    let (whole, rest) = (minor / unit, minor % unit);
    if decimals == 0 {
        format!("{sign}{whole}\u{a0}{}", amount.currency)
    } else {
        format!("{sign}{whole}.{rest:0width$}\u{a0}{}", amount.currency, width = decimals as usize)
    }
}

fn beyond(rows: usize) -> Markup {
    html! {
        @if rows > MOST_ROWS { p class="source" { "and " (rows - MOST_ROWS) " more, see the JSON API" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::Currency;

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        let show = |minor, code| money(Money { minor, currency: Currency::new(code).expect("a code") });
        assert_eq!(show(1_050, "EUR"), "10.50\u{a0}EUR");
        assert_eq!(show(-5, "EUR"), "-0.05\u{a0}EUR");
        assert_eq!(show(1_200, "JPY"), "1200\u{a0}JPY");
        assert_eq!(show(i64::MIN, "KWD"), "-9223372036854775.808\u{a0}KWD");
    }
}
