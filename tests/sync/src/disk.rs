//! What a gateway keeps: the made-up disk of `edge.rs`, and the real store.

use engawa_protocol::edge::{Bounds, Want};
use engawa_protocol::ports::{Gone, Previous, Row};
use engawa_protocol::trust::Turn;
use std::collections::BTreeMap;

/// A row of one box: the box, the epoch, the lane, the number.
pub(crate) type Place = (u8, u64, u8, u64);

/// A gateway's disk, with the transactions of the real store.
pub(crate) trait Disk: Sized {
    /// A copy for later.
    type Copy;

    /// An empty one.
    fn new() -> Result<Self, String>;
    /// What a session of it may have under way.
    fn bounds() -> Bounds;
    fn epoch(&self) -> u64;
    /// What the session sees of a lane's end: only what a power cut can't take.
    fn head(&self, lane: u8) -> u64;
    fn acked(&self, lane: u8) -> u64;
    fn previous(&mut self) -> Result<Option<Previous>, String>;
    fn read(&mut self, want: Want) -> Result<Vec<Row>, String>;
    fn gone(&mut self, lane: u8, from: u64, to: u64) -> Result<Option<Gone>, String>;
    fn acknowledged(&mut self, lane: u8, mark: u64) -> Result<(), String>;
    fn inbox_mark(&self) -> u64;
    /// Commands in the order in which they came.
    fn inbox(&self) -> &[Row];
    fn accept(&mut self, commands: Vec<Row>) -> Result<u64, String>;
    /// Its turn; of a disk that has none, of one that is never copied.
    fn turn(&mut self) -> &mut Turn;
    /// Writes one row for each id, as long as there is room; how many.
    fn write(&mut self, lane: u8, ids: &[u64], soon: bool) -> Result<usize, String>;
    /// How many ids come of one row of a script.
    fn rows_for_one(lane: u8) -> u64;
    /// A durable commit takes everything that was written before it.
    fn settle(&mut self) -> Result<(), String>;
    fn killed(&mut self) -> Result<(), String>;
    fn power_cut(&mut self) -> Result<(), String>;
    fn prune(&mut self) -> Result<(), String>;
    /// Thins some of what was not handed out; the numbers that have other rows now, or none.
    fn thin(&mut self) -> Result<Option<(u8, u64, u64)>, String>;
    /// A copy, for a restore.
    fn copy(&mut self) -> Result<Self::Copy, String>;
    /// The copy is put back; it begins a new epoch.
    fn put_back(&mut self, copy: Self::Copy) -> Result<(), String>;
    /// Another box with the same disk; `None` where it has none.
    fn twin(&mut self) -> Option<Self>;
    /// Somebody has found out up to which number of each lane the cloud has the same rows, and up to which it may have them in
    /// another form, and begins a new epoch.
    fn reconcile(&mut self, shared: &BTreeMap<u8, (u64, u64)>);
    /// From now on it thins what it has from the life before together with new rows (a flaw).
    fn thins_together(&mut self);
    /// All rows of a lane, as they are now.
    fn rows(&mut self, lane: u8) -> Result<Vec<Row>, String>;
    /// Remembers what can't be lost any more.
    fn note(&self, of: u8, settled: &mut BTreeMap<Place, Row>);
}
