//! SQLite's own file layer for Unix, with a record of what it does, and faults where they are asked for.
//!
//! The layer is copied and registered as the default one; only the opening and removal of files are ours. A file that was
//! opened keeps SQLite's own structure and gets a table of methods in which four are ours: they record and call the one that
//! was there. Everything else (locks, shared memory, reads) is SQLite's.
//!
//! Why the calls into C are sound, once for all of them: SQLite calls a method only with a file that it has opened through
//! [`open`] and not closed yet, so its entry is in [`FILES`] with the table that the real layer had set; tables live for
//! ever (the real ones are static, ours are leaked); buffers are valid for the length that SQLite states; and the real
//! methods do not look at the table that a file points to.
#![allow(unsafe_code, reason = "SQLite's file layers are tables of C functions")]

use crate::disk::Step;
use rusqlite::ffi;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A table of methods that lives for ever.
#[derive(Clone, Copy)]
struct Methods(&'static ffi::sqlite3_io_methods);

/// What is known of an open file.
struct Opened {
    real: Methods,
    /// Its folder and name; a temporary file has none.
    path: Option<(PathBuf, String)>,
}

/// Open files, by the address of SQLite's structure.
static FILES: Mutex<Option<HashMap<usize, Opened>>> = Mutex::new(None);
/// Tables with our methods, by the address of the real one.
static TABLES: Mutex<Option<HashMap<usize, Methods>>> = Mutex::new(None);
/// What was done in the folders that are recorded.
static RECORDS: Mutex<Option<HashMap<PathBuf, Vec<Step>>>> = Mutex::new(None);
/// The code that writes fail with; 0: they don't.
static FAULT: AtomicI32 = AtomicI32::new(0);
/// The real layer's functions.
static REAL: OnceLock<Real> = OnceLock::new();

type Open = unsafe extern "C" fn(
    *mut ffi::sqlite3_vfs,
    *const c_char,
    *mut ffi::sqlite3_file,
    c_int,
    *mut c_int,
) -> c_int;
type Delete = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *const c_char, c_int) -> c_int;

struct Real {
    open: Open,
    delete: Delete,
}

fn locked<T>(of: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the recording layer the default one of this process; more than once does nothing.
///
/// # Panics
/// If SQLite has no layer, or refuses this one.
pub fn install() {
    REAL.get_or_init(|| {
        // SAFETY: with no name SQLite gives its default layer, which is static; it is copied, and the copy is leaked, so
        // that both outlive every use. `xOpen` and `xDelete` of the copy have the signatures that SQLite expects.
        unsafe {
            let found = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!found.is_null(), "SQLite has no file layer");
            let mut copy = Box::new(*found);
            let (Some(open_real), Some(delete_real)) = (copy.xOpen, copy.xDelete) else {
                panic!("SQLite's file layer can't open files")
            };
            copy.zName = c"engawa-recording".as_ptr();
            copy.pNext = std::ptr::null_mut();
            copy.xOpen = Some(open);
            copy.xDelete = Some(delete);
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(copy), 1), ffi::SQLITE_OK);
            Real { open: open_real, delete: delete_real }
        }
    });
}

/// From now on what is done to SQLite's files in `dir` is recorded.
pub fn record(dir: &Path) {
    locked(&RECORDS).get_or_insert_default().insert(dir.to_owned(), Vec::new());
}

/// How many steps were done in `dir`.
pub fn position(dir: &Path) -> usize {
    locked(&RECORDS).as_ref().and_then(|records| Some(records.get(dir)?.len())).unwrap_or(0)
}

/// Adds a step that was done by other means.
pub fn add(dir: &Path, step: Step) {
    if let Some(steps) = locked(&RECORDS).as_mut().and_then(|records| records.get_mut(dir)) {
        steps.push(step);
    }
}

/// Ends the record of `dir`.
pub fn taken(dir: &Path) -> Vec<Step> {
    locked(&RECORDS).as_mut().and_then(|records| records.remove(dir)).unwrap_or_default()
}

/// From now on every write of every file fails with `code` (SQLite's, such as `SQLITE_READONLY`); 0: none does.
pub fn fail_writes(code: c_int) {
    FAULT.store(code, Ordering::SeqCst);
}

fn note(file: *mut ffi::sqlite3_file, step: impl FnOnce(String) -> Step) {
    let path = {
        let files = locked(&FILES);
        files.as_ref().and_then(|files| files.get(&(file as usize))?.path.clone())
    };
    if let Some((dir, name)) = path {
        add(&dir, step(name));
    }
}

/// The real methods of an open file.
fn real(file: *mut ffi::sqlite3_file) -> Option<&'static ffi::sqlite3_io_methods> {
    locked(&FILES).as_ref()?.get(&(file as usize)).map(|opened| opened.real.0)
}

fn split(name: *const c_char) -> Option<(PathBuf, String)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite's names end with a zero.
    let path = Path::new(unsafe { CStr::from_ptr(name) }.to_str().ok()?);
    Some((path.parent()?.to_owned(), path.file_name()?.to_str()?.to_owned()))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let Some(real) = REAL.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: the arguments are SQLite's own; the real function uses of the layer only what the copy has too.
    let code = unsafe { (real.open)(vfs, name, file, flags, out) };
    // SAFETY: after an open that succeeded `file` is a file structure with its table set, or null.
    let methods = unsafe { (*file).pMethods };
    if code != ffi::SQLITE_OK || methods.is_null() {
        return code;
    }
    // SAFETY: tables of the real layer are static.
    let methods: &'static ffi::sqlite3_io_methods = unsafe { &*methods };
    let opened = Opened { real: Methods(methods), path: split(name) };
    locked(&FILES).get_or_insert_default().insert(file as usize, opened);
    let ours = *locked(&TABLES)
        .get_or_insert_default()
        .entry(std::ptr::from_ref(methods) as usize)
        .or_insert_with(|| {
            let table = ffi::sqlite3_io_methods {
                xWrite: Some(write),
                xTruncate: Some(truncate),
                xSync: Some(sync),
                xClose: Some(close),
                ..*methods
            };
            Methods(Box::leak(Box::new(table)))
        });
    // SAFETY: `file` is SQLite's structure, opened and not shared yet.
    unsafe { (*file).pMethods = ours.0 };
    code
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, synced: c_int) -> c_int {
    let Some(real) = REAL.get() else { return ffi::SQLITE_IOERR_DELETE };
    // SAFETY: as in `open`.
    let code = unsafe { (real.delete)(vfs, name, synced) };
    if let (ffi::SQLITE_OK, Some((dir, file))) = (code, split(name)) {
        add(&dir, Step::Delete { file, synced: synced != 0 });
    }
    code
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let Some(opened) = locked(&FILES).as_mut().and_then(|files| files.remove(&(file as usize))) else {
        return ffi::SQLITE_IOERR_CLOSE;
    };
    let Some(close) = opened.real.0.xClose else { return ffi::SQLITE_OK };
    // SAFETY: see the module; the real table is put back first, since the real method ends the structure.
    unsafe {
        (*file).pMethods = opened.real.0;
        close(file)
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let fault = FAULT.load(Ordering::SeqCst);
    let Some(write) = real(file).and_then(|real| real.xWrite).filter(|_| fault == 0) else {
        return if fault == 0 { ffi::SQLITE_IOERR_WRITE } else { fault };
    };
    // SAFETY: see the module.
    let code = unsafe { write(file, bytes, count, at) };
    if let (ffi::SQLITE_OK, Ok(count), Ok(at)) = (code, usize::try_from(count), usize::try_from(at)) {
        // SAFETY: SQLite's buffer is valid for the length that it states.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) }.to_vec();
        note(file, |file| Step::Write { file, at, bytes });
    }
    code
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    let Some(truncate) = real(file).and_then(|real| real.xTruncate) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    // SAFETY: see the module.
    let code = unsafe { truncate(file, len) };
    if let (ffi::SQLITE_OK, Ok(len)) = (code, usize::try_from(len)) {
        note(file, |file| Step::Truncate { file, len });
    }
    code
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let Some(sync) = real(file).and_then(|real| real.xSync) else { return ffi::SQLITE_IOERR_FSYNC };
    // SAFETY: see the module.
    let code = unsafe { sync(file, flags) };
    if code == ffi::SQLITE_OK {
        note(file, |file| Step::Sync { file });
    }
    code
}
