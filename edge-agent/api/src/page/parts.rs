//! The blocks around the rooms: facts, alerts, links and cloud, devices and postings.

use super::{Look, shape};
use crate::HouseView;
use crate::view::{LinkView, PostingView, SyncView};
use engawa_model::{Alert, DeviceState, Lane, Money, PostingState};
use engawa_words::{Arg, amount};
use maud::{Markup, html};

/// Rows of a table; what is beyond is counted under it, and in the JSON API.
const MOST_ROWS: usize = 20;
/// Alerts that are over and still shown.
const MOST_PAST_ALERTS: usize = 5;

pub(super) fn facts(view: &HouseView, look: &Look) -> Markup {
    html! {
        dl {
            div {
                dt { (look.say("facts-business-date")) }
                dd {
                    @match view.business_date {
                        Some(date) => (date),
                        None => (look.say("facts-no-date")),
                    }
                    @if view.night_audit { ", " (look.say("facts-audit")) }
                    @if view.resync_running { ", " (look.say("facts-list")) }
                }
            }
            div { dt { (look.say("facts-since")) } dd { (look.time(view.started_at)) } }
        }
    }
}

pub(super) fn alerts(view: &HouseView, look: &Look) -> Markup {
    let (active, past): (Vec<_>, Vec<_>) = view.alerts.iter().partition(|alert| alert.active);
    html! {
        @if active.is_empty() {
            p class="quiet" { (shape("well")) (look.say("alerts-none")) }
        } @else {
            ul class="alerts" {
                @for alert in active.iter().take(MOST_ROWS) { li { (shape("unwell")) (alert_line(alert, look)) } }
            }
            (beyond(active.len(), look))
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
    let kind = format!("alert-{}", alert.kind.word());
    let source = [("source", Arg::from(alert.source.as_str()))];
    let title = look.words.find(&kind, &[]).unwrap_or_else(|| alert.kind.word().replace('_', " "));
    // What happened, and its detail; a rule of the house's own is shown in the words that the house gave it.
    let text = look.words.find(&format!("{kind}-text"), &source);
    let todo = look.words.find(&format!("{kind}-do"), &[]).filter(|_| alert.active);
    html! {
        span {
            strong { (title) @if !alert.active { " (" (look.say("alerts-over")) ")" } }
            " " @if let Some(text) = text { (text) " " }
            @if let Some(todo) = todo { span class="do" { (todo) } " " }
            span class="source" { (alert.source) ": " bdi { (look.words.detail(&alert.text)) } } " "
            span class="source" {
                (look.time(alert.last))
                @if alert.count > 1 { ", " (look.count("alerts-times", alert.count as usize)) " " (look.time(alert.first)) }
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
                li class="up" { (shape("well")) span { strong { "modbus" } " " (look.say("links-up")) ": " (look.count("links-lines", modbus)) } }
            }
            @if view.links.is_empty() { li class="quiet" { (look.say("links-none")) } }
            (cloud_item(&view.sync, look))
        }
        @if view.sync.enrolled {
            details { summary { (look.say("links-lanes")) } (lanes(&view.sync, look)) }
        }
    }
}

fn link_item(link: &LinkView, look: &Look) -> Markup {
    html! {
        li class=(if link.up { "up" } else { "down" }) {
            (shape(if link.up { "well" } else { "unwell" }))
            span {
                strong { (link.id) } " " (look.say(if link.up { "links-up" } else { "links-down" })) ": " bdi { (link.detail) } " "
                span class="source" { (look.time(link.since)) }
            }
        }
    }
}

fn cloud_item(sync: &SyncView, look: &Look) -> Markup {
    let (class, icon, state) = match (sync.enrolled, sync.connected) {
        (false, _) => ("off", "vacant", "cloud-off"),
        (true, true) => ("up", "well", "cloud-connected"),
        // Not a fault of the house: everything is kept until it is back.
        (true, false) => ("waits", "waits", "cloud-away"),
    };
    html! {
        li class=(class) {
            (shape(icon))
            span {
                strong { "sync" } " " (look.say(state))
                @if !sync.detail.is_empty() { ": " bdi { (sync.detail) } }
                @if sync.enrolled { ", " (rows_waiting(sync.waiting(), look)) }
            }
        }
    }
}

fn rows_waiting(waiting: u64, look: &Look) -> String {
    match usize::try_from(waiting).unwrap_or(usize::MAX) {
        0 => look.say("cloud-confirmed"),
        some => look.count("cloud-waiting", some),
    }
}

fn lanes(sync: &SyncView, look: &Look) -> Markup {
    html! {
        table class="lanes" {
            caption class="unseen" { (look.say("lanes-caption")) }
            thead {
                tr {
                    th scope="col" { (look.say("lanes-lane")) }
                    th scope="col" class="number" { (look.say("lanes-waiting")) }
                    th scope="col" class="number" { (look.say("lanes-confirmed")) }
                    th scope="col" { (look.say("lanes-oldest")) }
                }
            }
            tbody {
                @for lane in &sync.lanes {
                    tr {
                        th scope="row" { (look.say(lane_name(lane.lane))) }
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
        Lane::Control => "lane-control",
        Lane::Alarms => "lane-alarms",
        Lane::Stays => "lane-stays",
        Lane::Audit => "lane-audit",
        Lane::Telemetry => "lane-telemetry",
        Lane::Bulk => "lane-bulk",
    }
}

pub(super) fn counts(view: &HouseView, look: &Look) -> Markup {
    let status = view.status();
    html! {
        p class="counts" {
            (look.count("counts-rooms", status.rooms)) " · "
            (look.count("counts-occupied", status.rooms_occupied)) " · "
            (look.count("counts-vacant", status.rooms - status.rooms_occupied)) " · "
            (look.count("counts-look", status.rooms_needing_attention))
        }
    }
}

pub(super) fn work(view: &HouseView, look: &Look) -> Markup {
    let unwell: Vec<_> = view.devices.iter().filter(|device| device.state == DeviceState::Unwell).collect();
    let unheard = view.devices.iter().filter(|device| device.state == DeviceState::Unknown).count();
    let open: Vec<_> = view.postings.iter().filter(|posting| posting.state != PostingState::Posted).collect();
    html! {
        p class="counts" {
            (look.count("work-devices", view.devices.len())) " · " (look.count("work-unwell", unwell.len()))
            " · " (look.count("work-unheard", unheard)) " · "
            (look.count("work-postings", view.postings.len())) " · " (look.count("work-open", open.len()))
        }
        @if !unwell.is_empty() {
            table {
                caption { (look.say("work-devices-caption")) }
                thead {
                    tr {
                        @for key in ["work-device", "work-room", "work-since", "work-why"] { th scope="col" { (look.say(key)) } }
                    }
                }
                tbody {
                    @for device in unwell.iter().take(MOST_ROWS) {
                        tr {
                            th scope="row" { (device.id) }
                            td { @match &device.room { Some(room) => (room), None => "–" } }
                            td { @match device.since { Some(since) => (look.time(since)), None => "–" } }
                            td { @match &device.reason { Some(reason) => bdi { (reason) }, None => (look.say("work-not-told")) } }
                        }
                    }
                }
            }
            (beyond(unwell.len(), look))
        }
        @if !open.is_empty() {
            table {
                caption { (look.say("work-postings-caption")) }
                thead {
                    tr {
                        th scope="col" { "P#" } th scope="col" { (look.say("work-room")) }
                        th scope="col" class="number" { (look.say("work-amount")) }
                        th scope="col" { (look.say("work-state")) } th scope="col" { (look.say("work-asked")) }
                    }
                }
                tbody { @for posting in open.iter().take(MOST_ROWS) { (posting_row(posting, look)) } }
            }
            (beyond(open.len(), look))
        }
    }
}

fn posting_row(posting: &PostingView, look: &Look) -> Markup {
    let state = match posting.state {
        PostingState::Pending => "posting-pending",
        PostingState::InFlight => "posting-in_flight",
        PostingState::Posted => "posting-posted",
        PostingState::Refused => "posting-refused",
        PostingState::Doubtful => "posting-doubtful",
    };
    html! {
        tr {
            th scope="row" { (posting.number) }
            td { (posting.room) }
            td class="number" { (money(posting.amount, look)) }
            td { (look.say(state)) @if let Some(answer) = &posting.answer { " (" (answer) ")" } }
            td { (look.time(posting.asked)) }
        }
    }
}

/// An amount as the reader's language writes it, with the currency's own number of decimals.
fn money(money: Money, look: &Look) -> String {
    amount(look.words.language(), &money.decimal(), money.currency.code())
}

fn beyond(rows: usize, look: &Look) -> Markup {
    html! {
        @if rows > MOST_ROWS { p class="source" { (look.count("work-beyond", rows - MOST_ROWS)) } }
    }
}
