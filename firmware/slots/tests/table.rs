//! The table's page, the checks of a real slot, and the words of the socket.
#![allow(clippy::unwrap_used, reason = "tests")]

use engawa_slots::check::{Check, CheckFault};
use engawa_slots::files::{Files, Folder, Look};
use engawa_slots::install::{InstallFault, Source, install};
use engawa_slots::request::{Request, answer_line, parse_answer};
use engawa_slots::store::{COPIES, Keep as _, Store, StoreFault};
use engawa_slots::table::{
    BAD_KEPT, Bad, Damage, Outcome, REASON_MOST, Release, TABLE_BYTES, Trial, WORD_MOST, reason_of,
};
use engawa_slots::{Digest, Slot, Table, Verdict};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

fn word() -> impl Strategy<Value = String> {
    "[!-~]{1,64}"
}

fn reason() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| reason_of(&text))
}

fn release() -> impl Strategy<Value = Release> {
    (any::<[u8; 32]>(), 100_u64.., any::<u64>(), word()).prop_map(|(manifest, number, floor, version)| {
        Release { manifest: Digest(manifest), number, floor, version }
    })
}

prop_compose! {
    fn table()(
        sequence: u64, floor in 0_u64..100, a in release(), b in release(), on_trial: bool, tries: u8,
        (rollout, last) in (word(), reason()),
        outcome in proptest::option::of((any::<u64>(), word(), word(), reason())),
        bad in proptest::collection::vec((any::<[u8; 32]>(), word(), word(), reason()), 0..=BAD_KEPT),
    ) -> Table {
        Table {
            sequence, floor, active: Slot::A, a: Some(a), b: Some(b),
            trial: on_trial.then_some(Trial { slot: Slot::B, tries, rollout, last }),
            outcome: outcome.map(|(number, version, rollout, reason)| Outcome {
                verdict: Verdict::RolledBack, number, version, rollout, reason,
            }),
            bad: bad.into_iter().map(|(manifest, rollout, version, reason)| Bad {
                manifest: Digest(manifest), rollout, version, reason,
            }).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_table_is_read_as_it_was_written(table in table()) {
        let page = table.page().unwrap();
        prop_assert_eq!(page.len(), TABLE_BYTES);
        prop_assert_eq!(Table::of_page(&page).unwrap(), table);
    }

    #[test]
    fn a_page_with_any_bit_changed_is_none(table in table(), at in 0..TABLE_BYTES, bit in 0..8) {
        let mut page = table.page().unwrap();
        page[at] ^= 1_u8 << bit;
        if let Ok(read) = Table::of_page(&page) {
            // Only the blank end of the page is outside the checksum.
            prop_assert_eq!(read, table);
        }
    }

    #[test]
    fn any_bytes_give_a_table_or_a_reason(page in proptest::collection::vec(any::<u8>(), TABLE_BYTES)) {
        prop_assert!(Table::of_page(&page).is_err());
    }

    #[test]
    fn reasons_are_one_short_line(text in any::<String>()) {
        let reason = reason_of(&text);
        prop_assert!(reason.len() <= REASON_MOST && !reason.chars().any(char::is_control));
        prop_assert_eq!(reason_of(&reason), reason.clone());
    }

    #[test]
    fn any_line_is_a_request_or_refused_and_requests_are_read_as_written(line in any::<String>()) {
        if let Ok(request) = Request::parse(&line) {
            prop_assert_eq!(Request::parse(&request.to_string()).unwrap(), request);
        }
    }
}

#[test]
fn the_longest_table_fits_into_its_page() {
    let word = "w".repeat(WORD_MOST);
    let reason = reason_of(&"r".repeat(1000));
    let release =
        Release { manifest: Digest([0xff; 32]), number: u64::MAX, floor: u64::MAX, version: word.clone() };
    let bad = Bad {
        manifest: release.manifest,
        rollout: word.clone(),
        version: word.clone(),
        reason: reason.clone(),
    };
    let table = Table {
        sequence: u64::MAX,
        floor: u64::MAX,
        active: Slot::A,
        a: Some(release.clone()),
        b: Some(release),
        trial: Some(Trial { slot: Slot::B, tries: 255, rollout: word.clone(), last: reason.clone() }),
        outcome: Some(Outcome {
            verdict: Verdict::RolledBack,
            number: u64::MAX,
            version: word.clone(),
            rollout: word,
            reason,
        }),
        bad: vec![bad; BAD_KEPT],
    };
    assert_eq!(Table::of_page(&table.page().unwrap()).unwrap(), table);
}

#[test]
fn a_page_says_what_is_wrong_with_it() {
    let page = |body: &str| {
        let mut page = format!("{body}sha256 {}\n", Digest::of(body.as_bytes())).into_bytes();
        page.resize(TABLE_BYTES, b'\n');
        Table::of_page(&page).unwrap_err().to_string()
    };
    let digest = Digest([1; 32]);
    assert!(page("engawa-slots 2\n").contains("this supervisor reads \"engawa-slots 1\""));
    assert_eq!(page("engawa-slots 1\nsequence x\n"), "line 2: \"x\" is no number");
    assert_eq!(
        page("engawa-slots 1\nsequence 1\nfloor 5\nactive c\n"),
        "line 4: \"c\" is no slot: a and b are"
    );
    assert!(
        page("engawa-slots 1\nsequence 1\nfloor 5\n")
            .contains("lacks its sequence, its floor or its active slot")
    );
    let below = format!("engawa-slots 1\nsequence 1\nfloor 5\nactive a\na {digest} 4 0 1.0.0\n");
    assert!(page(&below).contains("something below the floor"));
    assert!(matches!(Table::of_page(b"short"), Err(Damage::Length(5))));
    // A later release's line is passed over.
    let later = format!("engawa-slots 1\nsequence 1\nfloor 5\nactive a\nmood good\na {digest} 6 0 1.0.0\n");
    let mut bytes = format!("{later}sha256 {}\n", Digest::of(later.as_bytes())).into_bytes();
    bytes.resize(TABLE_BYTES, b'\n');
    assert_eq!(Table::of_page(&bytes).unwrap().a.unwrap().number, 6);
}

fn manifest(program: &[u8], more: &str) -> Vec<u8> {
    let (size, sum) = (program.len(), Digest::of(program));
    format!(
        r#"{{"format":1,"version":"1.0.0","number":4,"floor":2,"later":[{{}}],"files":[{{"name":"engawa","mode":493,"size":{size},"sha256":"{sum}","chunks":[]}}{more}]}}"#
    )
    .into_bytes()
}

fn lay(folder: &Path, program: &[u8], manifest: &[u8]) -> Result<Table, InstallFault> {
    let source = |name: &str, mode, from| Source { name: name.to_owned(), mode, from };
    let sources = vec![source("engawa", 0o755, program), source("manifest.json", 0o644, manifest)];
    install(Folder::new(folder), sources, Digest::of(manifest), false)
}

#[test]
fn a_real_folder_is_laid_checked_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let program = vec![7; 300_000];
    let manifest = manifest(&program, "");
    let table = lay(folder.path(), &program, &manifest).unwrap();
    assert_eq!((table.floor, table.active), (2, Slot::A));
    assert!(matches!(lay(folder.path(), &program, &manifest), Err(InstallFault::There(_))));

    let files = Folder::new(folder.path());
    let check = || Check::new(Slot::A, Digest::of(&manifest), false).run(&files);
    assert_eq!(check().unwrap().number, 4);
    let (mut store, mut table, complaint) = Store::open(files.clone()).unwrap();
    assert!(complaint.is_none());
    for _ in 0..3 {
        store.keep(&mut table).unwrap();
    }
    for copy in COPIES {
        // Either copy is enough, and the other one is made again.
        std::fs::write(folder.path().join(copy), "rubbish").unwrap();
        assert_eq!(Store::open(files.clone()).unwrap().1, table);
        std::fs::remove_file(folder.path().join(copy)).unwrap();
        assert_eq!(Store::open(files.clone()).unwrap().1, table);
    }
    for copy in COPIES {
        std::fs::write(folder.path().join(copy), "rubbish").unwrap();
    }
    assert!(matches!(Store::open(files.clone()), Err(StoreFault::Damaged(..))));
    // Nobody has asked to have it replaced.
    assert!(matches!(
        lay(folder.path(), &program, &manifest),
        Err(InstallFault::Store(StoreFault::Damaged(..)))
    ));
    let replace = |number: u64| {
        let older = String::from_utf8(manifest.clone()).unwrap().replace("\"floor\":2", "\"floor\":0");
        let text = older.replace("\"number\":4", &format!("\"number\":{number}")).into_bytes();
        let source = |name: &str, mode, from| Source { name: name.to_owned(), mode, from };
        let sources = vec![source("engawa", 0o755, &program[..]), source("manifest.json", 0o644, &text[..])];
        install(files.clone(), sources, Digest::of(&text), true)
    };
    for _ in 0..2 {
        assert!(matches!(replace(1), Err(InstallFault::Floor { number: 1, floor: 2 })));
    }
    let replaced = replace(2).unwrap();
    assert_eq!((replaced.active, replaced.floor), (Slot::B, 2));
    for copy in COPIES {
        // What the disk does not give is nothing to be replaced.
        let path = folder.path().join(copy);
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir(&path).unwrap();
    }
    assert!(matches!(replace(5), Err(InstallFault::Store(StoreFault::Disk { .. }))));

    let path = folder.path().join("a/engawa");
    let spoilt = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        check().unwrap_err().to_string()
    };
    assert!(spoilt(&program[1..]).contains("engawa has 299999 bytes, its manifest says 300000"));
    let mut other = program.clone();
    other[150_000] = 8;
    assert!(spoilt(&other).contains("engawa has 300000 bytes with SHA-256"));
    std::fs::write(&path, &program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(check().unwrap_err().to_string().contains("engawa has mode 644"));
    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", &path).unwrap();
    assert!(matches!(check(), Err(CheckFault::Unreadable { .. })), "a link leads out of the slot");
}

/// A real folder, one file of which can't be written; what was written, in order.
struct Faulty {
    folder: Folder,
    broken: Cell<&'static str>,
    written: RefCell<Vec<String>>,
}

impl Files for &Faulty {
    type Reader = std::fs::File;

    fn open(&self, name: &str) -> io::Result<Self::Reader> {
        self.folder.open(name)
    }

    fn look(&self, file: &Self::Reader) -> io::Result<Look> {
        self.folder.look(file)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8], mode: u32) -> io::Result<()> {
        if name == self.broken.get() {
            return Err(io::Error::other("a worn cell"));
        }
        self.written.borrow_mut().push(name.to_owned());
        self.folder.write(name, at, bytes, mode)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        self.folder.make_folder(name)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.folder.sync(name)
    }
}

#[test]
fn a_copy_that_can_not_be_written_never_costs_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = vec![7; 100];
    lay(folder.path(), &program, &manifest(&program, "")).unwrap();
    let faulty = Faulty {
        folder: Folder::new(folder.path()),
        broken: Cell::new(COPIES[1]),
        written: RefCell::default(),
    };
    // table.1 is not there yet, and can't be made: the table is read all the same, and the fault is told.
    let (mut store, mut table, complaint) = Store::open(&faulty).unwrap();
    assert_eq!(complaint.unwrap().to_string(), "table.1: a worn cell");
    let before = Store::peek(&faulty.folder).unwrap();
    // The copy that is none is written first: while it can't be, the whole one is left alone.
    assert_eq!(store.keep(&mut table).unwrap_err(), "the slot table can't be written: table.1: a worn cell");
    assert!(faulty.written.borrow().is_empty());
    assert_eq!(Store::peek(&faulty.folder).unwrap(), before);
    faulty.broken.set("");
    store.keep(&mut table).unwrap();
    assert_eq!(*faulty.written.borrow(), [COPIES[1], COPIES[0]]);
    assert_eq!(Store::peek(&faulty.folder).unwrap(), table);
}

#[test]
fn a_manifest_with_the_right_digest_and_wrong_words_is_refused() {
    let program = b"program";
    let refused = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), program, text.as_bytes()).unwrap_err().to_string()
    };
    let whole = String::from_utf8(manifest(program, "")).unwrap();
    assert!(refused("{").contains("can't be used: EOF"));
    assert!(refused(&whole.replace("\"engawa\"", "\"engine\"")).contains("it has no file engawa"));
    assert!(
        refused(&whole.replace("\"engawa\"", "\"../engawa\"")).contains("is no name of a release's file")
    );
    assert!(refused(&whole.replace("493", "420")).contains("not to be executed"));
    assert!(refused(&whole.replace("\"floor\":2", "\"floor\":5")).contains("it would forbid itself"));
    let twice = format!(r#",{{"name":"engawa","mode":0,"size":0,"sha256":"{}"}}"#, Digest([0; 32]));
    assert!(refused(&String::from_utf8(manifest(program, &twice)).unwrap()).contains("twice"));
    assert!(refused(&format!("{whole} and more")).contains("can't be used"));
}

#[test]
fn requests_tell_what_is_wrong_with_them() {
    let why = |line: &str| Request::parse(line).unwrap_err().to_string();
    assert!(why("dance").contains("\"dance\" is not understood; status, begin, try"));
    assert_eq!(why("unwell"), "unwell needs a reason: unwell REASON");
    assert!(why("try 00 1 2 3").contains("is no SHA-256"));
    assert!(why(&format!("try {} 1 1.0", Digest([0; 32]))).contains("try needs four words"));
    assert_eq!(parse_answer(&answer_line(&Ok("b".to_owned()))), Some(Ok("b".to_owned())));
    assert_eq!(parse_answer(&answer_line(&Ok(String::new()))), Some(Ok(String::new())));
    assert_eq!(parse_answer(&answer_line(&Err("no".to_owned()))), Some(Err("no".to_owned())));
    assert_eq!(parse_answer("hello"), None);
}
