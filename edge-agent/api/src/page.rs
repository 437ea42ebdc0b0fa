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
use engawa_words::{Arg, Language, Words};
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
    words: Words,
}

impl Look {
    fn new(view: &HouseView, language: Language) -> Self {
        // A box without a time zone database, or a zone that it does not know, still shows right times:
        // in UTC, and says so.
        let zone = TimeZone::get(&view.zone).unwrap_or(TimeZone::UTC);
        Self { zone, words: Words::in_language(language) }
    }

    /// The text `key`.
    fn say(&self, key: &str) -> String {
        self.words.say(key)
    }

    /// The text `key` with a number in it.
    fn count(&self, key: &str, count: usize) -> String {
        self.words.text(key, &[("count", Arg::from(count))])
    }

    /// The text `key` with a name or a value in it.
    fn with(&self, key: &str, name: &str, value: &str) -> String {
        self.words.text(key, &[(name, Arg::from(value))])
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

/// The fragments in the order of the page: five blocks, then one for each room.
pub(crate) fn fragments(view: &HouseView, language: Language) -> Vec<Fragment> {
    let look = Look::new(view, language);
    let mut fragments = vec![
        Fragment::new(Element::Block, "facts", "facts", &parts::facts(view, &look)),
        Fragment::new(Element::Block, "alerts", "", &parts::alerts(view, &look)),
        Fragment::new(Element::Block, "links", "links", &parts::links(view, &look)),
        Fragment::new(Element::Block, "counts", "", &parts::counts(view, &look)),
        Fragment::new(Element::Block, "work", "", &parts::work(view, &look)),
    ];
    fragments.extend(view.rooms.iter().enumerate().map(|(place, room)| {
        Fragment::new(Element::Item, format!("r{place}"), &room::class(room), &room::card(room, &look))
    }));
    fragments
}

/// The whole page; `now` is the gateway's clock.
pub(crate) fn page(view: &HouseView, fragments: &[Fragment], language: Language, now: Timestamp) -> Markup {
    let look = Look::new(view, language);
    let part = |id: &str| {
        let html = fragments.iter().find(|fragment| fragment.id == id).map_or("", |fragment| &fragment.html);
        PreEscaped(html)
    };
    html! {
        (DOCTYPE)
        html lang=(language.tag()) dir=(language.direction().html()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (look.with("page-title", "name", &view.name)) }
                link rel="stylesheet" href="/engawa.css";
                link rel="icon" href="/engawa.svg" type="image/svg+xml";
                script src="/engawa.js" defer {}
                noscript { meta http-equiv="refresh" content="30"; }
            }
            body data-now=(now) data-live=(look.say("page-live")) data-lost=(look.say("page-lost")) {
                (PreEscaped(SHAPES))
                a class="skip" href="#rooms" { (look.say("page-skip")) }
                header {
                    div class="title" {
                        h1 { (view.name) }
                        p id="live" class="live" role="status" { (look.say("page-as-of")) " " (look.time(now)) }
                    }
                    (part("facts"))
                }
                main {
                    section aria-labelledby="alerts-title" {
                        h2 id="alerts-title" { (look.say("page-alerts")) }
                        div aria-live="polite" { (part("alerts")) }
                    }
                    section aria-labelledby="links-title" {
                        h2 id="links-title" { (look.say("page-links")) }
                        (part("links"))
                    }
                    section aria-labelledby="rooms" {
                        div class="rooms-head" {
                            h2 id="rooms" tabindex="-1" { (look.say("page-rooms")) }
                            (part("counts"))
                            fieldset class="filter" {
                                legend { (look.say("page-show")) }
                                @for name in ["all", "occupied", "vacant", "look"] {
                                    label {
                                        input type="radio" name="show" id={ "show-" (name) } checked[name == "all"];
                                        span { (look.say(&format!("page-{name}"))) }
                                    }
                                }
                            }
                        }
                        ul class="grid" {
                            @for fragment in fragments.iter().filter(|fragment| room::is_room(&fragment.id)) {
                                (PreEscaped(&fragment.html))
                            }
                        }
                        p class="none-shown" { (look.say("page-none-shown")) }
                    }
                    section aria-labelledby="work-title" {
                        h2 id="work-title" { (look.say("page-work")) }
                        (part("work"))
                    }
                }
                footer {
                    p { (look.with("page-sources", "zone", &view.zone)) }
                    p {
                        (look.words.text(
                            "page-about",
                            &[
                                ("version", Arg::from(view.version.as_str())),
                                ("property", Arg::from(view.property.as_str())),
                            ],
                        ))
                    }
                }
            }
        }
    }
}
