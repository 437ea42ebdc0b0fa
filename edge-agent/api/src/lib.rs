//! The local face of the gateway: a status page, a JSON API and the command line's way in.
//!
//! It is served on two doors, because there is no login yet and a door's reach has to stand for its
//! rights. The *TCP door* is loopback by default, read-only, and shows the house without its guests
//! ([`HouseView::without_personal_data`]). The *socket door* is a Unix socket of mode 0600: whoever can
//! open it is the agent's own user or root and may give commands; guests' names are shown there to whoever
//! says who asks and why ([`Asker`]), which is kept.
//!
//! Terms: a *view* is a copy of the property made for reading, built by one pure function
//! ([`HouseView::build`]); a *house* ([`House`]) is whoever keeps the view current and takes commands;
//! a *fragment* is a piece of the page that is sent again when it changes.
//!
//! Never: rules of the hotel (they are in `engawa-model`), the store, an outgoing connection, or personal
//! data on the TCP door.

mod board;
mod client;
mod config;
mod crowd;
mod diagnose;
mod doors;
mod events;
mod front_desk;
mod guard;
mod guests;
mod house;
mod listen;
mod metrics;
mod page;
mod picture;
mod problem;
mod routes;
mod traffic;
mod view;

pub use client::{Client, ClientError};
pub use config::{ApiConfig, ApiConfigError, DEFAULT_LISTEN, DEFAULT_SOCKET};
pub use doors::{Bound, MAX_BODY, MAX_EVENT_STREAMS, REQUEST_TIMEOUT, ServeError, serve, serve_on};
pub use front_desk::{Found, FrontDeskView, StayDesk};
pub use guests::{Asker, Erase, Erased};
pub use house::{Accepted, CommandError, CommandReport, Health, House, HouseError, LogPage, LogRow};
pub use picture::Surroundings;
pub use problem::Problem;
pub use traffic::{BusTraffic, LastError, Quantiles, UnitTraffic};
pub use view::{
    DeviceView, HouseView, LinkView, PointView, PostingView, Reading, RoomView, Status, StayView,
    SyncLaneView, SyncView,
};
