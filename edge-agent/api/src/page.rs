//! The status page, as HTML from the binary: no build step, nothing from outside.
//!
//! The page is cut into fragments. Each has an element with an id of its own and is sent again when it
//! changes (`events.rs`); nothing in the page's script knows what a room is.
//!
//! Every figure says where it comes from and since when it stands. States are told by shape and words, and
//! only then by colour. Drawn from the masked view alone.

mod parts;
mod room;

use crate::HouseView;
use engawa_model::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The page's style, served as `/engawa.css`.
pub(crate) const STYLE: &str = include_str!("assets/engawa.css");
/// The page's script, served as `/engawa.js`.
pub(crate) const SCRIPT: &str = include_str!("assets/engawa.js");
/// The page's icon, served as `/engawa.svg`.
pub(crate) const ICON: &str = include_str!("assets/icon.svg");
/// The shapes, once a page; `use` elements point at them.
const SHAPES: &str = include_str!("assets/shapes.svg");

/// A piece of the page.
#[derive(Debug, Serialize)]
pub(crate) struct Fragment {
    /// The id of its element.
    pub(crate) id: String,
    /// Tells its contents apart from earlier ones. A digest, so that a page that reconnects (to a
    /// restarted agent, too) leaves alone what has not changed.
    #[serde(skip)]
    pub(crate) version: u64,
    /// The element.
    pub(crate) html: String,
}

impl Fragment {
    fn new(element: Element, id: impl Into<String>, class: &str, inner: &Markup) -> Self {
        let id = id.into();
        let mut hasher = DefaultHasher::new();
        (class, &inner.0).hash(&mut hasher);
        let version = hasher.finish();
        let stamp = format!("{version:016x}");
        let html = match element {
            Element::Item => html! { li id=(id) class=(class) data-v=(stamp) { (inner) } },
            Element::Block => html! { div id=(id) class=(class) data-v=(stamp) { (inner) } },
        };
        Self { id, version, html: html.into_string() }
    }
}

/// Which element a fragment is.
#[derive(Clone, Copy)]
enum Element {
    Item,
    Block,
}

/// What drawing needs beside the view.
struct Look {
    zone: TimeZone,
}

impl Look {
    fn new(view: &HouseView) -> Self {
        // A box without a time zone database, or a zone that it does not know, still shows right times:
        // in UTC, and says so.
        Self { zone: TimeZone::get(&view.zone).unwrap_or(TimeZone::UTC) }
    }

    /// A moment: the hotel's clock for readers without script, which makes an age of it.
    fn time(&self, at: Timestamp) -> Markup {
        let local = at.to_zoned_datetime(self.zone.clone());
        html! {
            time datetime=(at) title=(local.strftime("%Y-%m-%d %H:%M:%S %Z")) data-age {
                (local.strftime("%m-%d %H:%M"))
            }
        }
    }
}

/// A shape of [`SHAPES`]; decoration, since words stand beside it.
fn shape(name: &str) -> Markup {
    html! {
        svg class="shape" aria-hidden="true" focusable="false" { use href={ "#s-" (name) } {} }
    }
}

/// `1 room`, `2 rooms`.
fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The fragments in the order of the page: five blocks, then one for each room.
pub(crate) fn fragments(view: &HouseView) -> Vec<Fragment> {
    let look = Look::new(view);
    let mut fragments = vec![
        Fragment::new(Element::Block, "facts", "facts", &parts::facts(view, &look)),
        Fragment::new(Element::Block, "alerts", "", &parts::alerts(view, &look)),
        Fragment::new(Element::Block, "links", "links", &parts::links(view, &look)),
        Fragment::new(Element::Block, "counts", "", &parts::counts(view)),
        Fragment::new(Element::Block, "work", "", &parts::work(view, &look)),
    ];
    fragments.extend(view.rooms.iter().enumerate().map(|(place, room)| {
        Fragment::new(Element::Item, format!("r{place}"), &room::class(room), &room::card(room, &look))
    }));
    fragments
}

/// The whole page; `now` is the gateway's clock.
pub(crate) fn page(view: &HouseView, fragments: &[Fragment], now: Timestamp) -> Markup {
    let part = |id: &str| {
        let html = fragments.iter().find(|fragment| fragment.id == id).map_or("", |fragment| &fragment.html);
        PreEscaped(html)
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (view.name) " – rooms" }
                link rel="stylesheet" href="/engawa.css";
                link rel="icon" href="/engawa.svg" type="image/svg+xml";
                script src="/engawa.js" defer {}
                noscript { meta http-equiv="refresh" content="30"; }
            }
            body data-now=(now) {
                (PreEscaped(SHAPES))
                a class="skip" href="#rooms" { "Skip to the rooms" }
                header {
                    div class="title" {
                        h1 { (view.name) }
                        p id="live" class="live" role="status" { "As of " (Look::new(view).time(now)) }
                    }
                    (part("facts"))
                }
                main {
                    section aria-labelledby="alerts-title" {
                        h2 id="alerts-title" { "Alerts" }
                        div aria-live="polite" { (part("alerts")) }
                    }
                    section aria-labelledby="links-title" {
                        h2 id="links-title" { "Links and cloud" }
                        (part("links"))
                    }
                    section aria-labelledby="rooms" {
                        div class="rooms-head" {
                            h2 id="rooms" tabindex="-1" { "Rooms" }
                            (part("counts"))
                            fieldset class="filter" {
                                legend { "Show" }
                                @for (name, label) in
                                    [("all", "All"), ("occupied", "Occupied"), ("vacant", "Vacant"), ("look", "Needs a look")]
                                {
                                    label {
                                        input type="radio" name="show" id={ "show-" (name) } checked[name == "all"];
                                        span { (label) }
                                    }
                                }
                            }
                        }
                        ul class="grid" {
                            @for fragment in fragments.iter().filter(|fragment| room::is_room(&fragment.id)) {
                                (PreEscaped(&fragment.html))
                            }
                        }
                        p class="none-shown" { "No room is in this state now." }
                    }
                    section aria-labelledby="work-title" {
                        h2 id="work-title" { "Devices and postings" }
                        (part("work"))
                    }
                }
                footer {
                    p {
                        "Occupied, vacant, do not disturb: as told by the PMS. Temperatures, set points, windows: \
                         as measured by the room's device; the age tells since when a value stands unchanged. \
                         Times are " (view.zone) " time."
                    }
                    p { "Engawa " (view.version) ", property " (view.property) ". This page shows no guest data." }
                }
            }
        }
    }
}
