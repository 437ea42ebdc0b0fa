//! `engawa guest audit`.

use crate::config::Loaded;
use engawa_store::vault::AuditTrail;
use engawa_store::{DATABASE_FILE, DatabaseKey, Reader};
use serde_json::json;
use std::io::Write;

/// Shows or verifies the trail.
pub(super) fn main(loaded: &Loaded, verify: bool, limit: u32, as_json: bool) -> anyhow::Result<()> {
    let dir = &loaded.config.store.dir;
    let key = DatabaseKey::load(&loaded.key_file())?;
    let told = Reader::open(&dir.join(DATABASE_FILE), &key)?.audit_told()?;
    let trail = AuditTrail::open(dir, &key)?;
    let mut out = crate::answer::lock();
    if verify {
        let head = trail.verify(told.as_ref())??;
        let told = told.map_or(0, |told| told.rows);
        if as_json {
            writeln!(out, "{}", json!({ "ok": true, "rows": head.rows, "hash": head.hash, "told": told }))?;
        } else {
            writeln!(out, "{} rows, each as it was written; the cloud was told up to row {told}", head.rows)?;
            if !head.hash.is_empty() {
                writeln!(out, "the newest: {}", head.hash)?;
            }
        }
        return Ok(());
    }
    for row in trail.newest(limit)? {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
        } else {
            writeln!(out, "{:>6}  {}  {}: {}  ({})", row.n, row.at, row.who, row.what, row.why)?;
        }
    }
    Ok(())
}
