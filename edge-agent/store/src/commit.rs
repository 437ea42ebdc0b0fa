//! One batch in one transaction: the entities as they now are, their journal rows, marks, events.

use crate::budget::row_bytes;
use crate::epoch::PUT_BACK;
use crate::missed::note_missed;
use crate::numbering::stored;
use crate::relief::put_mark;
use crate::thin::json;
use crate::vault::{self, AuditHead, Stage};
use crate::writer::force;
use crate::{Batch, Durability, Event, LaneMarks, Store, StoreError, migrations};
use data_encoding::HEXLOWER;
use engawa_model::{Change, Entity, Lane, Property, Timestamp};
use rusqlite::{CachedStatement, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};

/// How many further numbers may be handed out before the next durable word of it.
const SENT_AHEAD: u64 = 16_384;

impl Store {
    /// Writes `batch` and the entities it names, as they now are in `property`, in one transaction.
    ///
    /// # Errors
    /// SQLite's: a full disk, a damaged file. Nothing of the batch is then written. On a full disk the room that was set
    /// aside is given up first ([`Self::is_low`]), and the write tried again.
    pub fn commit(
        &mut self,
        property: &Property,
        batch: &Batch,
        now: Timestamp,
        durability: Durability,
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.with_room(|store| store.write(property, batch, now, durability))
    }

    /// Tries again with what was set aside, slice by slice, where the disk is full.
    pub(crate) fn with_room<T>(
        &mut self,
        mut write: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match write(self) {
                Err(error) if error.is_disk_full() && self.ballast.release() => self.low = true,
                done => return done,
            }
        }
    }

    fn write(
        &mut self,
        property: &Property,
        batch: &Batch,
        now: Timestamp,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.set_durability(durability)?;
        let mut marks = self.marks.clone();
        let mut dropped = 0;
        let mut missed = self.missed;
        let mut noted = Vec::new();
        // Thinning begins at half of it: this is met where more comes than it can keep up with.
        let left = self.limits.budget.telemetry_left(&marks);
        let most = left + left / 16;
        let events_dropped;
        let doing = StoreError::sql("writing state and journal");
        let mut stage = Stage::default();
        let mut documents = Vec::with_capacity(batch.touched.len());
        for entity in &batch.touched {
            let (kind, key, mut body) = (entity.kind(), entity.key(), property.save(entity));
            if let Some(personal) = vault::personal_kind(kind) {
                let of = (personal, key.as_str());
                match &body {
                    Some(whole) => {
                        body = Some(stage.document(&self.connection, &self.keyring, of, whole, now)?);
                    }
                    None => stage.gone(&self.connection, of, now)?,
                }
            }
            if let (Some(register), Entity::Stay(id)) = (&self.register, entity) {
                match property.stays().get(id) {
                    Some(stay) => register.enter(stay)?,
                    None => register.leave(id.as_str(), now)?,
                }
            }
            documents.push((kind, key, body));
        }
        stage.write_keys(&mut self.keyring, now)?;
        let transaction = self.connection.transaction().map_err(&doing)?;
        stage.write_rows(&transaction).map_err(&doing)?;
        vault::erase_in(&transaction, &batch.erased).map_err(&doing)?;
        {
            let mut put = transaction
                .prepare_cached(
                    "INSERT INTO state (kind, key, body, changed_us) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (kind, key) DO UPDATE SET body = ?3, changed_us = ?4",
                )
                .map_err(&doing)?;
            let mut delete = transaction
                .prepare_cached("DELETE FROM state WHERE kind = ?1 AND key = ?2")
                .map_err(&doing)?;
            for (kind, key, body) in &documents {
                match body {
                    Some(body) => put.execute(params![kind, key, body, now.as_microsecond()]),
                    None => delete.execute(params![kind, key]),
                }
                .map_err(&doing)?;
            }
            let mut append = transaction
                .prepare_cached(
                    "INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                )
                .map_err(&doing)?;
            for (at, change) in &batch.changes {
                let lane = change.lane();
                let shift = self.shifts.of(lane.number());
                let mark = mark_of(&mut marks, lane.number());
                if lane == Lane::Telemetry {
                    let waiting = mark.head - mark.acked;
                    if self.low || waiting >= self.limits.telemetry_backlog || mark.bytes >= most {
                        dropped += 1;
                        note_missed(&mut missed, 1, *at);
                        continue;
                    }
                    if let Some(missed) = missed.take() {
                        put_row(&mut append, shift, mark, missed.until, &missed.record()).map_err(&doing)?;
                    }
                }
                put_row(&mut append, shift, mark, *at, change).map_err(&doing)?;
            }
            for (lane, upto) in &batch.acknowledged {
                let mark = mark_of(&mut marks, *lane);
                mark.acked = mark.acked.max((*upto).min(mark.head));
                if self.noted.is_due(*lane, mark.acked, now) {
                    self.noted.write(&transaction, *lane, mark.acked, now).map_err(&doing)?;
                    noted.push((*lane, mark.acked));
                }
            }
            if let Some(upto) = batch.sent {
                let mark = mark_of(&mut marks, Lane::Telemetry.number());
                mark.sent = mark.sent.max(upto.saturating_add(SENT_AHEAD));
            }
            for (_, mark) in marks.iter().filter(|(lane, mark)| self.marks.get(lane) != Some(mark)) {
                put_mark(&transaction, *mark, now).map_err(&doing)?;
            }
            events_dropped = put_events(&transaction, batch, now, self.limits.events).map_err(&doing)?;
            if let Some(AuditHead { rows, hash }) = &batch.audit {
                let hash = HEXLOWER.decode(hash.as_bytes()).unwrap_or_default();
                transaction
                    .execute(
                        "INSERT OR REPLACE INTO audit_head (only, rows, hash) VALUES (1, ?1, ?2)",
                        params![rows.cast_signed(), hash],
                    )
                    .map_err(&doing)?;
            }
            if batch.put_back {
                transaction.execute("DELETE FROM single WHERE name = ?1", [PUT_BACK]).map_err(&doing)?;
            }
            if batch.confirmed {
                migrations::confirm(&transaction, migrations::LATEST)?;
            }
            if let Some(inbox) = batch.inbox {
                transaction
                    .execute(
                        "INSERT OR REPLACE INTO single (name, value) VALUES ('inbox', ?1)",
                        [inbox.cast_signed()],
                    )
                    .map_err(&doing)?;
            }
        }
        if durability == Durability::Now && self.settled != self.marks {
            // A transaction that writes nothing forces nothing to the disk, and what was committed before it would still
            // be a power cut's.
            force(&transaction).map_err(&doing)?;
        }
        transaction.commit().map_err(&doing)?;
        for (lane, acked) in noted {
            self.noted.written(lane, acked, now);
        }
        for (lane, upto) in &batch.acknowledged {
            let before = self.marks.get(lane).map_or(0, |mark| mark.acked);
            self.heard(*lane, *upto, before);
        }
        self.marks = marks;
        if durability == Durability::Now {
            self.settled.clone_from(&self.marks);
        }
        self.missed = missed;
        self.pressure = self.limits.budget.pressure(&self.marks, self.pressure);
        self.dropped += dropped;
        self.events_dropped += events_dropped;
        self.inbox = batch.inbox.unwrap_or(self.inbox);
        self.put_back &= !batch.put_back;
        if !batch.erased.is_empty() {
            // What can't be ended now (somebody reads) is ended by the next sweep or start.
            vault::finish(&self.connection, &mut self.keyring, now)?;
        }
        Ok(())
    }
}

fn mark_of(marks: &mut BTreeMap<u8, LaneMarks>, lane: u8) -> &mut LaneMarks {
    marks.entry(lane).or_insert(LaneMarks { lane, ..LaneMarks::default() })
}

fn put_row(
    append: &mut CachedStatement<'_>,
    shift: i64,
    mark: &mut LaneMarks,
    at: Timestamp,
    change: &Change,
) -> rusqlite::Result<()> {
    let body = json(change);
    mark.head += 1;
    mark.bytes += row_bytes(change.kind(), &body);
    let row = params![mark.lane, stored(mark.head, shift), at.as_microsecond(), change.kind(), body];
    append.execute(row).map(drop)
}

/// Adds and removes events; how many did not fit.
fn put_events(
    transaction: &Transaction<'_>,
    batch: &Batch,
    now: Timestamp,
    most: u32,
) -> rusqlite::Result<u64> {
    for number in &batch.delivered {
        transaction.prepare_cached("DELETE FROM event WHERE number = ?1")?.execute([number.cast_signed()])?;
    }
    for Event { broker, topic, payload } in &batch.events {
        transaction
            .prepare_cached("INSERT INTO event (broker, at_us, topic, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![broker, now.as_microsecond(), topic, payload])?;
    }
    let brokers: BTreeSet<&str> = batch.events.iter().map(|event| event.broker.as_str()).collect();
    let mut dropped = 0;
    for broker in brokers {
        dropped += transaction
            .prepare_cached(
                "DELETE FROM event WHERE broker = ?1 AND number <=
                 (SELECT number FROM event WHERE broker = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![broker, most])? as u64;
    }
    Ok(dropped)
}
