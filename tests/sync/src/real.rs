//! The gateway's real store on a real disk, as the agent's journal uses it.

use crate::disk::{Disk, Place};
use crate::ids::{self, BEGAN, POINTS};
use engawa_model::{
    Change, ClimateDefaults, Currency, LinkId, PointId, Property, PropertyId, PropertySpec, Quality, RoomId,
    Season, StayId, Timestamp, Value,
};
use engawa_protocol::edge::{Bounds, Want};
use engawa_protocol::ports::{Gone, Origin, Previous, Row};
use engawa_protocol::trust::Turn;
use engawa_store::{
    Batch, Budget, Carried, DATABASE_FILE, DatabaseKey, Durability, JournalRow, LaneMarks, Limits, Reader,
    Store,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const TELEMETRY: u8 = 5;
/// Room for measured values, bytes: a few thousand of them.
const ROOM: u64 = 512 << 10;
/// No row of the campaign is longer, bytes.
const ROW_MOST: u64 = 262;

/// A store in a folder of its own.
pub(crate) struct RealDisk {
    folder: TempDir,
    /// `None` only while it is closed and opened again.
    store: Option<Store>,
    property: Property,
    inbox: Vec<Row>,
    second: i64,
    /// Rows that were written since everything was durable.
    soon: u64,
    copies: u32,
    turn: Turn,
}

fn wrong(error: impl std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

fn property() -> Result<Property, String> {
    Ok(Property::new(PropertySpec {
        id: PropertyId::from("test"),
        zone: "UTC".into(),
        currency: Currency::new("EUR").ok_or("no currency")?,
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 28.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: vec![],
        devices: vec![],
        resync_every_s: 3600,
        order_ttl_s: 600,
    }))
}

fn open(dir: &Path) -> Result<Store, String> {
    let key = DatabaseKey::load_or_create(&dir.join("key")).map_err(wrong)?;
    // Small enough that some thousand values are thinned.
    let budget = Budget { telemetry: ROOM, ..Budget::default() };
    let limits = Limits { budget, ballast: 0, keep_acknowledged_s: 60, ..Limits::default() };
    Store::open(dir, &key, limits).map_err(wrong)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn change(lane: u8, id: u64) -> (Timestamp, Change) {
    let number = id - ids::first(lane);
    let second = BEGAN + i64::try_from(number).unwrap_or(0);
    let change = match lane {
        2 => Change::Link { link: LinkId::from("pms"), up: true, detail: id.to_string() },
        3 => Change::Moved {
            stay: StayId::from(id.to_string().as_str()),
            from: RoomId::from("101"),
            to: RoomId::from("102"),
        },
        _ => Change::Reported {
            point: PointId::new(format!("d-{}", number % POINTS), "t"),
            room: None,
            role: None,
            value: Some(Value::Int(i64::try_from(number % 50).unwrap_or(0))),
            quality: Quality::Good,
            sampled: at(second),
        },
    };
    (at(second), change)
}

fn row(row: JournalRow) -> Row {
    Row { seq: row.seq, at_micros: row.at_micros, kind: row.kind, body: row.body }
}

impl RealDisk {
    fn store(&mut self) -> Result<&mut Store, String> {
        self.store.as_mut().ok_or_else(|| "the store is closed".to_owned())
    }

    fn marks(&self, lane: u8) -> LaneMarks {
        let of = |store: &Store| store.marks().find(|mark| mark.lane == lane);
        self.store.as_ref().and_then(of).unwrap_or_default()
    }

    fn commit(&mut self, batch: &Batch, durability: Durability) -> Result<(), String> {
        self.second += 1;
        let now = at(BEGAN + self.second);
        let Self { store, property, .. } = self;
        let store = store.as_mut().ok_or("the store is closed")?;
        store.commit(property, batch, now, durability).map_err(wrong)
    }

    /// True where the next values might find no room. The marks tell of what is durable only: near the bound the rest is made
    /// so before they are believed.
    fn is_nearly_full(&mut self) -> Result<bool, String> {
        if self.marks(TELEMETRY).bytes + self.soon * ROW_MOST > ROOM / 2 {
            self.settle()?;
        }
        Ok(self.marks(TELEMETRY).bytes > ROOM / 8 * 7)
    }

    fn reader(&self) -> Result<Reader, String> {
        self.store.as_ref().ok_or("the store is closed")?.reader().map_err(wrong)
    }

    fn again(&mut self) -> Result<(), String> {
        // One writer at a time.
        self.store = None;
        self.store = Some(open(self.folder.path())?);
        Ok(())
    }

    /// Telemetry up to this number is about to be handed out.
    fn hand_out(&mut self, upto: u64) -> Result<(), String> {
        if upto > self.marks(TELEMETRY).sent {
            self.commit(&Batch { sent: Some(upto), ..Batch::default() }, Durability::Now)?;
        }
        Ok(())
    }
}

impl Disk for RealDisk {
    type Copy = PathBuf;

    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(wrong)?;
        let store = Some(open(folder.path())?);
        let turn = Turn { number: 0, last: 0, mine: 1 };
        Ok(Self {
            folder,
            store,
            property: property()?,
            inbox: Vec::new(),
            second: 0,
            soon: 0,
            copies: 0,
            turn,
        })
    }

    fn bounds() -> Bounds {
        Bounds::default()
    }

    fn epoch(&self) -> u64 {
        self.store.as_ref().map_or(0, Store::epoch)
    }

    fn head(&self, lane: u8) -> u64 {
        self.marks(lane).head
    }

    fn acked(&self, lane: u8) -> u64 {
        self.marks(lane).acked
    }

    fn previous(&mut self) -> Result<Option<Previous>, String> {
        let over = self.reader()?.carried_over().map_err(wrong)?;
        let Some(over) = over else { return Ok(None) };
        let carried = over.lanes.iter().find(|carried| carried.lane == TELEMETRY);
        if let Some(last) = carried.map(Carried::last).filter(|last| self.marks(TELEMETRY).acked < *last) {
            self.hand_out(last)?;
        }
        let origin = |Carried { lane, first, acked, head, same }| Origin { lane, first, acked, head, same };
        Ok(Some(Previous { epoch: over.epoch, lanes: over.lanes.into_iter().map(origin).collect() }))
    }

    fn read(&mut self, want: Want) -> Result<Vec<Row>, String> {
        let Want { lane, after, max_rows, max_bytes } = want;
        let reader = self.reader()?;
        if lane == TELEMETRY {
            let next = reader.journal(lane, after, 1, 0).map_err(wrong)?;
            let from = next.first().map_or(after, |row| row.seq - 1);
            let upto = (from + max_rows as u64).min(self.marks(lane).head);
            self.hand_out(upto)?;
        }
        let head = self.marks(lane).head;
        let rows = reader.journal(lane, after, max_rows, max_bytes).map_err(wrong)?;
        Ok(rows.into_iter().filter(|row| row.seq <= head).map(row).collect())
    }

    fn gone(&mut self, lane: u8, from: u64, to: u64) -> Result<Option<Gone>, String> {
        let next = self.reader()?.journal(lane, from - 1, 1, 0).map_err(wrong)?;
        let next = next.first();
        if next.is_some_and(|row| row.seq <= to) {
            return Ok(None);
        }
        let deleted = next.map_or(to, |row| row.tells_from() - 1).min(to);
        if from > deleted {
            return Ok(Some(Gone { reason: "thinned".to_owned(), told: true }));
        }
        let acked = self.marks(lane).acked;
        Ok((deleted <= acked).then(|| Gone { reason: "pruned".to_owned(), told: false }))
    }

    fn acknowledged(&mut self, lane: u8, mark: u64) -> Result<(), String> {
        self.commit(&Batch { acknowledged: [(lane, mark)].into(), ..Batch::default() }, Durability::Now)
    }

    fn inbox_mark(&self) -> u64 {
        self.store.as_ref().map_or(0, Store::inbox_mark)
    }

    fn inbox(&self) -> &[Row] {
        &self.inbox
    }

    fn accept(&mut self, commands: Vec<Row>) -> Result<u64, String> {
        let mark = self.inbox_mark();
        let new: Vec<Row> = commands.into_iter().filter(|row| row.seq > mark).collect();
        if let Some(last) = new.last().map(|row| row.seq) {
            self.commit(&Batch { inbox: Some(last), ..Batch::default() }, Durability::Now)?;
            self.inbox.extend(new);
        }
        Ok(self.inbox_mark())
    }

    fn turn(&mut self) -> &mut Turn {
        &mut self.turn
    }

    fn write(&mut self, lane: u8, ids: &[u64], soon: bool) -> Result<usize, String> {
        let durability = if soon { Durability::Soon } else { Durability::Now };
        let mut written = 0;
        for ids in ids.chunks(250) {
            // What was handed out is not thinned, whatever there is no room for.
            if lane == TELEMETRY && self.is_nearly_full()? {
                break;
            }
            let changes = ids.iter().map(|id| change(lane, *id)).collect();
            self.commit(&Batch { changes, ..Batch::default() }, durability)?;
            self.soon += ids.len() as u64;
            let now = at(BEGAN + self.second);
            while self.store()?.relieve(now).map_err(wrong)? {}
            written += ids.len();
        }
        match self.store()?.telemetry_dropped() {
            0 => Ok(written),
            lost => Err(format!("{lost} values found no room")),
        }
    }

    fn rows_for_one(lane: u8) -> u64 {
        if lane == TELEMETRY { 80 } else { 1 }
    }

    fn settle(&mut self) -> Result<(), String> {
        self.soon = 0;
        self.store()?.settle().map_err(wrong)
    }

    fn killed(&mut self) -> Result<(), String> {
        self.again()
    }

    fn power_cut(&mut self) -> Result<(), String> {
        self.again()
    }

    fn prune(&mut self) -> Result<(), String> {
        let long_after = at(BEGAN + self.second + 10 * 3_600);
        while self.store()?.sweep(long_after, 10_000).map_err(wrong)? > 0 {}
        Ok(())
    }

    fn thin(&mut self) -> Result<Option<(u8, u64, u64)>, String> {
        // It does so by itself, when it has written more than it has room for.
        Ok(None)
    }

    fn copy(&mut self) -> Result<PathBuf, String> {
        self.copies += 1;
        let to = self.folder.path().join(format!("copy-{}.db", self.copies));
        let key = DatabaseKey::load(&self.folder.path().join("key")).map_err(wrong)?;
        self.reader()?.backup(&to, &key).map_err(wrong)?;
        Ok(to)
    }

    fn put_back(&mut self, copy: PathBuf) -> Result<(), String> {
        self.store = None;
        let database = self.folder.path().join(DATABASE_FILE);
        for log in ["engawa.db-wal", "engawa.db-shm"] {
            // There is none after a good end.
            let _ = std::fs::remove_file(self.folder.path().join(log));
        }
        std::fs::rename(copy, database).map_err(wrong)?;
        let store = open(self.folder.path())?;
        let began = store.began_anew().is_some();
        self.inbox.retain(|row| row.seq <= store.inbox_mark());
        self.store = Some(store);
        if began { Ok(()) } else { Err("the store does not know a copy".to_owned()) }
    }

    fn twin(&mut self) -> Option<Self> {
        None
    }

    fn reconcile(&mut self, _shared: &BTreeMap<u8, (u64, u64)>) {}

    fn thins_together(&mut self) {}

    fn rows(&mut self, lane: u8) -> Result<Vec<Row>, String> {
        let rows = self.reader()?.journal(lane, 0, usize::MAX, usize::MAX).map_err(wrong)?;
        Ok(rows.into_iter().map(row).collect())
    }

    fn note(&self, _of: u8, _settled: &mut BTreeMap<Place, Row>) {}
}
