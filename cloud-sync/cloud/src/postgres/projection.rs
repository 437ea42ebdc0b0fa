//! What rows add up to, as [`crate::store`]'s projection, made in sets: what rooms show is folded in memory and written
//! once, what happens to stays, postings and commands goes out in its order, pipelined.

use super::house_settings::Told;
use super::ingest::{Pipeline, TELEMETRY, in_order};
use super::postings::IN_A_GAP;
use super::{bundles, clean, erasure};
use crate::bundles::{Arrived, KEPT};
use crate::commands;
use crate::erasure::{LATE, names};
use crate::rollout::heard;
use crate::store::StoreError;
use crate::store::projection::is_sign;
use deadpool_postgres::Object;
use engawa_model::settings::Register;
use engawa_model::{Change, Lane, Quality, Role, RoomFlags};
use engawa_protocol::ports::Row;
use std::collections::BTreeMap;
use tokio_postgres::types::ToSql;

type Parameter = Box<dyn ToSql + Sync + Send>;
type Room = (String, String, String);

/// One statement; its answer is rooms whose stays are to be counted anew.
struct Order {
    sql: &'static str,
    parameters: Vec<Parameter>,
    of: Option<(String, String, i64)>,
    turn: u64,
}

/// What is new of a room; `None`: nothing.
#[derive(Default)]
struct Cells {
    at: i64,
    turn: u64,
    recount: bool,
    shown: bool,
    flags: RoomFlags,
    housekeeping: Option<String>,
    sign: Option<String>,
    setpoint: Option<f64>,
    temperature: Option<f64>,
}

/// What the rows of a transaction add up to.
#[derive(Default)]
pub(crate) struct Projection {
    orders: Vec<Order>,
    rooms: BTreeMap<Room, Cells>,
    /// What names guests, and may come after their erasure.
    late: Vec<erasure::Late>,
    /// Counts the rows: what of a room is newest.
    turn: u64,
    /// When the rows came, µs.
    received: i64,
    /// What is told of settings, and whose preferences end, in order: written after everything else.
    settings: Vec<super::house_settings::Told>,
    /// What gateways tell of updates, and alerts that they raised, in order: of gateways, since these have one name in all.
    updates: Vec<super::rollouts::Told>,
}

const ROOM_OF: &str = "SELECT room FROM stay WHERE property = $1 AND gateway = $2 AND stay = $3";
const CHECKED_IN: &str = "INSERT INTO stay
    (property, gateway, stay, room, language, arrival, departure, arrived_at, epoch)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (property, gateway, stay) DO UPDATE SET room = excluded.room, language = excluded.language,
    arrival = excluded.arrival, departure = excluded.departure, arrived_at = excluded.arrived_at, left_at = NULL,
    epoch = excluded.epoch";
const STAY_CHANGED: &str = "INSERT INTO stay
    (property, gateway, stay, room, language, arrival, departure, arrived_at, epoch)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (property, gateway, stay) DO UPDATE SET room = excluded.room,
    language = coalesce(excluded.language, stay.language), arrival = coalesce(excluded.arrival, stay.arrival),
    departure = coalesce(excluded.departure, stay.departure), left_at = NULL, epoch = excluded.epoch";
const MOVED: &str = "INSERT INTO stay (property, gateway, stay, room, arrived_at, epoch)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (property, gateway, stay) DO UPDATE SET room = excluded.room, left_at = NULL, epoch = excluded.epoch";
const CHECKED_OUT: &str = "INSERT INTO stay (property, gateway, stay, room, arrived_at, left_at, epoch)
    VALUES ($1, $2, $3, $4, $5, $5, $6)
    ON CONFLICT (property, gateway, stay) DO UPDATE SET left_at = excluded.left_at, epoch = excluded.epoch";
/// See `listed` of the SQLite projection.
const LISTED: &str = "WITH told AS (SELECT count(*) FILTER (WHERE epoch IS NOT DISTINCT FROM $3) AS told,
      count(*) AS whole FROM stay WHERE property = $1 AND gateway = $2 AND left_at IS NULL)
    UPDATE stay SET left_at = $4 FROM told WHERE property = $1 AND gateway = $2 AND left_at IS NULL
    AND epoch IS DISTINCT FROM $3 AND told.told <> told.whole AND told.told = $5 RETURNING room";
const POSTING: &str = "INSERT INTO posting (property, gateway, epoch, number, key, room, stay, minor, currency, text,
    outlet, state, answer, changed_micros) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (property, gateway, epoch, number) DO UPDATE SET key = excluded.key, room = excluded.room,
    stay = excluded.stay, minor = excluded.minor, currency = excluded.currency, text = excluded.text,
    outlet = excluded.outlet, state = excluded.state, answer = excluded.answer,
    changed_micros = excluded.changed_micros";
const NOTED: &str = "UPDATE command SET reason = $4
    WHERE property = $1 AND gateway = $2 AND key = $3 AND state <> 'ended'";
const SETTLED: &str =
    "UPDATE command SET state = 'ended', outcome = $4, reason = coalesce($5, reason), ended_at = $6
    WHERE property = $1 AND gateway = $2 AND key = $3 AND state <> 'ended'";
const RECOUNT: &str = "INSERT INTO room_state (property, gateway, room, stays, changed_micros)
    SELECT p, g, r, (SELECT count(*) FROM stay WHERE property = p AND gateway = g AND room = r AND left_at IS NULL), at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS t (p, g, r, at)
    ON CONFLICT (property, gateway, room) DO UPDATE SET stays = excluded.stays,
    changed_micros = excluded.changed_micros";
const SHOWN: &str = "INSERT INTO room_state AS r (property, gateway, room, do_not_disturb, message_light,
      class_of_service, minibar_right, tv_right, housekeeping, sign, setpoint, temperature, changed_micros)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::text[], $7::text[],
      $8::text[], $9::text[], $10::text[], $11::float8[], $12::float8[], $13::bigint[])
    ON CONFLICT (property, gateway, room) DO UPDATE SET
    do_not_disturb = coalesce(excluded.do_not_disturb, r.do_not_disturb),
    message_light = coalesce(excluded.message_light, r.message_light),
    class_of_service = coalesce(excluded.class_of_service, r.class_of_service),
    minibar_right = coalesce(excluded.minibar_right, r.minibar_right),
    tv_right = coalesce(excluded.tv_right, r.tv_right),
    housekeeping = coalesce(excluded.housekeeping, r.housekeeping), sign = coalesce(excluded.sign, r.sign),
    setpoint = coalesce(excluded.setpoint, r.setpoint), temperature = coalesce(excluded.temperature, r.temperature),
    changed_micros = excluded.changed_micros";

impl Projection {
    /// Takes a new row in. One that this release does not understand is passed over: it must not hold up its lane.
    pub(crate) fn row(&mut self, property: &str, gateway: &str, epoch: u64, lane: u8, row: &Row) {
        // Most telemetry shows nowhere, and is not worth its parsing.
        if lane == TELEMETRY {
            if !shows(&row.body) {
                return;
            }
            if let Ok(Reported { kind: "reported", room, role, value, quality: Quality::Good, .. }) =
                serde_json::from_slice(&row.body)
            {
                self.turn += 1;
                let mut one =
                    One { all: self, property, gateway, epoch: epoch.cast_signed(), at: row.at_micros };
                return one.value(room, role, value);
            }
        }
        if LATE.contains(&lane) {
            self.named(property, gateway, epoch, lane, row);
        }
        match serde_json::from_slice::<Change>(&row.body) {
            // What `store` keeps as bytes is not projected there either.
            Ok(change) if std::str::from_utf8(&row.body).is_ok() => {
                self.turn += 1;
                One { all: self, property, gateway, epoch: epoch.cast_signed(), at: row.at_micros }
                    .change(&change);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(gateway, seq = row.seq, kind = %row.kind, line = error.line(), column = error.column(),
                    "a row that this release does not understand: stored, not projected");
            }
        }
    }

    /// Nothing yet, of rows that came at `received`, µs.
    pub(crate) fn new(received: i64) -> Self {
        Self { received, ..Self::default() }
    }

    /// What names a guest may come after the guest's erasure, on a lane of its own, and be of a kind that is not known here.
    fn named(&mut self, property: &str, gateway: &str, epoch: u64, lane: u8, row: &Row) {
        // What has a character that PostgreSQL's text can't have is kept as bytes.
        let body = std::str::from_utf8(&row.body).ok().filter(|body| !body.contains('\0'));
        let Some(body) = body else { return };
        let stays = names(body);
        if stays.is_empty() {
            return;
        }
        self.late.push(erasure::Late {
            property: property.to_owned(),
            gateway: gateway.to_owned(),
            epoch: epoch.cast_signed(),
            lane: i16::from(lane),
            seq: row.seq.cast_signed(),
            at: row.at_micros,
            stays,
            body: body.to_owned(),
        });
    }

    /// Rows of `lane` will never come.
    pub(crate) fn gap(&mut self, property: &str, gateway: &str, epoch: u64, lane: u8, now_micros: i64) {
        if lane == Lane::Stays.number() {
            self.turn += 1;
            let mut one = One { all: self, property, gateway, epoch: epoch.cast_signed(), at: now_micros };
            one.order(IN_A_GAP, vec![Box::new(one.epoch), Box::new(now_micros)]);
        }
    }

    /// Takes a piece of a bundle in, beside its row.
    pub(crate) fn bundle(&mut self, property: &str, gateway: &str, at: i64, now: i64, piece: Arrived) {
        self.turn += 1;
        let Arrived { key, number, of, bytes, sha256, sound, data } = piece;
        let key = || text(key.as_str());
        let sha256 = || text(&sha256);
        // Neither the epoch nor the time are asked for.
        let mut one = One { all: self, property, gateway, epoch: 0, at };
        one.order(
            bundles::HEAD,
            vec![key(), Box::new(at), Box::new(now), Box::new(of), Box::new(bytes), sha256()],
        );
        one.order(
            bundles::PIECE,
            vec![key(), Box::new(number), Box::new(sound), Box::new(data), Box::new(of), sha256()],
        );
        one.order(bundles::TRIM, vec![Box::new(i64::from(KEPT))]);
    }

    /// Writes it, in the connection's open transaction.
    pub(crate) async fn store(mut self, client: &Object) -> Result<(), StoreError> {
        let doing = StoreError::postgres("bringing rooms, stays and postings up to date");
        if !self.orders.is_empty() {
            let orders = std::mem::take(&mut self.orders);
            let mut statements: Pipeline<'_> = Vec::new();
            for order in &orders {
                let statement = client.prepare_cached(order.sql).await.map_err(doing)?;
                statements.push(Box::pin(async move {
                    let parameters: Vec<&(dyn ToSql + Sync)> = order
                        .parameters
                        .iter()
                        .map(|parameter| &**parameter as &(dyn ToSql + Sync))
                        .collect();
                    client.query(&statement, &parameters).await
                }));
            }
            let answers = in_order(statements).await.map_err(doing)?;
            for (order, rows) in orders.iter().zip(answers) {
                if let Some((property, gateway, at)) = &order.of {
                    for row in rows {
                        self.recount(property, gateway, row.get(0), *at, order.turn);
                    }
                }
            }
        }
        if !self.late.is_empty() {
            erasure::clear_late(client, &self.late).await?;
        }
        super::house_settings::take(client, &std::mem::take(&mut self.settings), self.received).await?;
        super::rollouts::take(client, &std::mem::take(&mut self.updates), self.received).await?;
        let mut statements: Pipeline<'_> = Vec::new();
        let recounted: Vec<_> = self.rooms.iter().filter(|(_, cells)| cells.recount).collect();
        let shown: Vec<_> = self.rooms.iter().filter(|(_, cells)| cells.shown).collect();
        if !recounted.is_empty() {
            let statement = client.prepare_cached(RECOUNT).await.map_err(doing)?;
            let [p, g, r] = keys(&recounted);
            let at: Vec<i64> = recounted.iter().map(|(_, cells)| cells.at).collect();
            statements.push(Box::pin(async move { client.query(&statement, &[&p, &g, &r, &at]).await }));
        }
        if !shown.is_empty() {
            let statement = client.prepare_cached(SHOWN).await.map_err(doing)?;
            statements.push(Box::pin(async move {
                let [p, g, r] = keys(&shown);
                let flags = || shown.iter().map(|(_, cells)| &cells.flags);
                let words = |of: fn(&Cells) -> Option<&String>| {
                    shown.iter().map(|(_, cells)| of(cells).map(String::as_str)).collect::<Vec<_>>()
                };
                let numbers = |of: fn(&Cells) -> Option<f64>| {
                    shown.iter().map(|(_, cells)| of(cells)).collect::<Vec<_>>()
                };
                let at: Vec<i64> = shown.iter().map(|(_, cells)| cells.at).collect();
                client
                    .query(
                        &statement,
                        &[
                            &p,
                            &g,
                            &r,
                            &flags().map(|flags| flags.do_not_disturb).collect::<Vec<_>>(),
                            &flags().map(|flags| flags.message_light).collect::<Vec<_>>(),
                            &words(|cells| cells.flags.class_of_service.as_ref()),
                            &words(|cells| cells.flags.minibar_right.as_ref()),
                            &words(|cells| cells.flags.tv_right.as_ref()),
                            &words(|cells| cells.housekeeping.as_ref()),
                            &words(|cells| cells.sign.as_ref()),
                            &numbers(|cells| cells.setpoint),
                            &numbers(|cells| cells.temperature),
                            &at,
                        ],
                    )
                    .await
            }));
        }
        in_order(statements).await.map(drop).map_err(doing)
    }

    fn cells(&mut self, property: &str, gateway: &str, room: &str, at: i64) -> &mut Cells {
        let key = (property.to_owned(), gateway.to_owned(), clean(room).into_owned());
        let cells = self.rooms.entry(key).or_default();
        (cells.at, cells.turn) = (at, self.turn);
        cells
    }

    fn recount(&mut self, property: &str, gateway: &str, room: &str, at: i64, turn: u64) {
        let key = (property.to_owned(), gateway.to_owned(), clean(room).into_owned());
        let cells = self.rooms.entry(key).or_default();
        // Its room is known only now; what was folded of later rows stays newer.
        if turn >= cells.turn {
            (cells.at, cells.turn) = (at, turn);
        }
        cells.recount = true;
    }
}

fn keys<'a>(rooms: &[(&'a Room, &'a Cells)]) -> [Vec<&'a str>; 3] {
    [
        rooms.iter().map(|(room, _)| room.0.as_str()).collect(),
        rooms.iter().map(|(room, _)| room.1.as_str()).collect(),
        rooms.iter().map(|(room, _)| room.2.as_str()).collect(),
    ]
}

/// True where a telemetry row may be of a point that rooms show. Roles are written without escapes.
fn shows(body: &[u8]) -> bool {
    std::str::from_utf8(body)
        .is_ok_and(|body| body.contains("\"climate-setpoint\"") || body.contains("\"room-temperature\""))
}

/// A reported number as most are, read without a copy: millions of them come after an outage. What is not of this form is
/// read as any other row.
#[derive(serde::Deserialize)]
struct Reported<'a> {
    kind: &'a str,
    #[serde(rename = "point")]
    _point: serde::de::IgnoredAny,
    room: &'a str,
    role: Role,
    value: f64,
    quality: Quality,
    #[serde(rename = "sampled")]
    _sampled: serde::de::IgnoredAny,
}

struct One<'a> {
    all: &'a mut Projection,
    property: &'a str,
    gateway: &'a str,
    epoch: i64,
    at: i64,
}

/// An owned text that PostgreSQL can hold.
fn text(text: &str) -> Parameter {
    Box::new(clean(text).into_owned())
}

fn maybe(of: Option<&str>) -> Parameter {
    Box::new(of.map(|of| clean(of).into_owned()))
}

impl One<'_> {
    fn change(&mut self, change: &Change) {
        match change {
            Change::CheckedIn { stay, room, language, arrival, departure }
            | Change::StayChanged { stay, room, language, arrival, departure } => {
                let sql = if matches!(change, Change::CheckedIn { .. }) { CHECKED_IN } else { STAY_CHANGED };
                self.leaves(stay.as_str());
                self.order(
                    sql,
                    vec![
                        text(stay.as_str()),
                        text(room.as_str()),
                        maybe(language.as_deref()),
                        Box::new(arrival.map(|day| day.to_string())),
                        Box::new(departure.map(|day| day.to_string())),
                        Box::new(self.at),
                        Box::new(self.epoch),
                    ],
                );
                self.recount(room.as_str());
            }
            Change::Moved { stay, from, to } => {
                self.leaves(stay.as_str());
                self.order(
                    MOVED,
                    vec![text(stay.as_str()), text(to.as_str()), Box::new(self.at), Box::new(self.epoch)],
                );
                self.recount(from.as_str());
                self.recount(to.as_str());
            }
            Change::CheckedOut { stay, room, .. } => {
                self.leaves(stay.as_str());
                self.order(
                    CHECKED_OUT,
                    vec![text(stay.as_str()), text(room.as_str()), Box::new(self.at), Box::new(self.epoch)],
                );
                self.over(None);
                self.recount(room.as_str());
            }
            Change::Resync { phase, listed: Some(listed), link: None } if phase == "done" => {
                let parameters: Vec<Parameter> =
                    vec![Box::new(self.epoch), Box::new(self.at), Box::new(i64::from(*listed))];
                self.order_for_rooms(LISTED, parameters);
                self.over(None);
            }
            Change::RoomFlagged { room, flags } => {
                let cells = self.shown(room.as_str());
                let old = &mut cells.flags;
                old.do_not_disturb = flags.do_not_disturb.or(old.do_not_disturb);
                old.message_light = flags.message_light.or(old.message_light);
                for (old, new) in [
                    (&mut old.class_of_service, &flags.class_of_service),
                    (&mut old.minibar_right, &flags.minibar_right),
                    (&mut old.tv_right, &flags.tv_right),
                ] {
                    if let Some(new) = new {
                        *old = Some(clean(new).into_owned());
                    }
                }
            }
            Change::RoomStatus { room, status } => {
                let word = Some(clean(status).into_owned());
                let cells = self.shown(room.as_str());
                if is_sign(status) {
                    cells.sign = word;
                } else {
                    cells.housekeeping = word;
                }
            }
            Change::Reported {
                room: Some(room), role: Some(role), value, quality: Quality::Good, ..
            } => {
                let Some(number) = value.as_ref().and_then(engawa_model::Value::as_f64) else { return };
                self.value(room.as_str(), *role, number);
            }
            Change::Posting { number, key, room, stay, amount, text: what, outlet, state, answer } => {
                self.order(
                    POSTING,
                    vec![
                        Box::new(self.epoch),
                        Box::new(i64::from(number.0)),
                        text(key.as_str()),
                        text(room.as_str()),
                        maybe(stay.as_ref().map(engawa_model::StayId::as_str)),
                        Box::new(amount.minor),
                        text(amount.currency.code()),
                        text(what),
                        maybe(outlet.as_deref()),
                        Box::new(commands::word(state)),
                        maybe(answer.as_deref()),
                        Box::new(self.at),
                    ],
                );
            }
            Change::Erased { erasure: tombstone } => {
                let parameters = erasure::parameters(self.gateway, tombstone, self.all.received);
                self.order(erasure::RECEIVED, parameters);
                if crate::erasure::verify(tombstone) {
                    // Of a guest who has left they have gone already; the number may be another guest's now.
                    let asked = tombstone.reason == engawa_model::ErasureReason::Asked;
                    self.over(asked.then_some(tombstone.stay.as_str()));
                }
            }
            Change::Update { update } => {
                self.all
                    .updates
                    .push(super::rollouts::Told::Update(self.gateway.to_owned(), heard::of(update)));
            }
            Change::Alert { alert } if heard::is_new(alert) => {
                self.all.updates.push(super::rollouts::Told::Alert(self.gateway.to_owned()));
            }
            Change::Setting { name, register } => self.told("", name, register),
            Change::Preference { stay, name, register: Some(register) } => {
                self.told(stay.as_str(), name, register);
            }
            Change::CommandNoted { key, note } => self.order(NOTED, vec![text(key.as_str()), text(note)]),
            Change::CommandEnded { key, outcome } => {
                let (word, reason) = commands::outcome_words(outcome);
                self.order(SETTLED, vec![text(key.as_str()), text(word), maybe(reason), Box::new(self.at)]);
            }
            _ => {}
        }
    }

    /// A guest was erased, or guests have left.
    fn over(&mut self, stay: Option<&str>) {
        let of = (self.property.to_owned(), self.gateway.to_owned());
        let stay = stay.map(|stay| clean(stay).into_owned());
        // A house that empties in the morning needs to be looked through once.
        let last = self.all.settings.iter().rev().find(|told| *told.of() == of);
        if stay.is_some() || !matches!(last, Some(Told::Over { stay: None, .. })) {
            self.all.settings.push(Told::Over { of, stay });
        }
    }

    fn told(&mut self, stay: &str, name: &str, register: &Register) {
        let of = (self.property.to_owned(), self.gateway.to_owned());
        let (stay, name) = (clean(stay).into_owned(), name.to_owned());
        self.all.settings.push(Told::Known { of, stay, name, register: Box::new(register.clone()) });
    }

    fn value(&mut self, room: &str, role: Role, number: f64) {
        match role {
            Role::ClimateSetpoint => self.shown(room).setpoint = Some(number),
            Role::RoomTemperature => self.shown(room).temperature = Some(number),
            _ => {}
        }
    }

    fn order(&mut self, sql: &'static str, mut parameters: Vec<Parameter>) {
        parameters.splice(0..0, [text(self.property), text(self.gateway)]);
        self.all.orders.push(Order { sql, parameters, of: None, turn: self.all.turn });
    }

    fn order_for_rooms(&mut self, sql: &'static str, parameters: Vec<Parameter>) {
        self.order(sql, parameters);
        if let Some(order) = self.all.orders.last_mut() {
            order.of = Some((self.property.to_owned(), self.gateway.to_owned(), self.at));
        }
    }

    /// The room that the stay is in until now is counted anew.
    fn leaves(&mut self, stay: &str) {
        self.order_for_rooms(ROOM_OF, vec![text(stay)]);
    }

    fn recount(&mut self, room: &str) {
        self.all.cells(self.property, self.gateway, room, self.at).recount = true;
    }

    fn shown(&mut self, room: &str) -> &mut Cells {
        let cells = self.all.cells(self.property, self.gateway, room, self.at);
        cells.shown = true;
        cells
    }
}
