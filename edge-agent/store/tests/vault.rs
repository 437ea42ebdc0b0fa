//! The guest vault on real files: what leaves the documents, what is found, what an erasure leaves, and what happens when
//! keys are lost or backups put back.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_model::settings::SettingValue;
use engawa_model::{
    Action, Change, Command, CommandSource, Currency, Entity, Fact, GuestRecord, Observation, Personal,
    Presence, Property, PropertySpec, RoomFlags, RoomId, StayId, Timestamp,
};
use engawa_store::vault::{self, Asker, Query, Tampered, Target, VaultKey, Viewer};
use engawa_store::{Batch, DATABASE_FILE, DatabaseKey, Durability, Limits, Store, StoreError, testing};
use std::path::Path;

const NAME: &str = "Wiedererkennbar";
const FIRST: &str = "Unverwechsel";
const PHONE: &str = "+49 30 55512345";
const EMAIL: &str = "gast@example.invalid";

fn spec() -> PropertySpec {
    engawa_model::testing::house(["101", "102"])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_784_000_000 + second).unwrap()
}

/// A store, its keys and the property in it.
struct Hotel {
    dir: tempfile::TempDir,
    key: DatabaseKey,
    vault_key: VaultKey,
    store: Option<Store>,
    property: Property,
    clock: i64,
}

impl Hotel {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
        let vault_key = VaultKey::load_or_create(&dir.path().join("vault.key")).unwrap();
        let mut hotel = Self { dir, key, vault_key, store: None, property: Property::new(spec()), clock: 0 };
        hotel.open().unwrap();
        hotel
    }

    /// Opens what is in the folder, as the agent does.
    fn open(&mut self) -> Result<(), StoreError> {
        self.store = None;
        let store = Store::open_with(self.dir.path(), &self.key, &self.vault_key, Limits::default())?;
        self.property = store.load(spec())?.unwrap();
        self.store = Some(store);
        Ok(())
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn fact(&mut self, fact: Fact) -> Vec<Change> {
        self.clock += 1;
        let now = at(self.clock);
        let applied = self.property.apply(&Observation::new(now, fact));
        let changes = applied.changes.iter().cloned().map(|change| (now, change)).collect();
        let batch = Batch { changes, touched: applied.touched, ..Batch::default() };
        let property = &self.property;
        self.store.as_mut().unwrap().commit(property, &batch, now, Durability::Now).unwrap();
        applied.changes
    }

    fn seen(&mut self, stay: &str, room: &str, name: &str) {
        let personal = |text: &str| Some(Personal::new(text.to_owned()));
        self.fact(Fact::GuestSeen {
            stay: StayId::from(stay),
            room: RoomId::from(room),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord {
                name: personal(name),
                first_name: personal(FIRST),
                phone: personal(PHONE),
                email: personal(EMAIL),
                language: Some("de".into()),
                ..GuestRecord::default()
            },
            flags: RoomFlags::default(),
        });
    }

    fn gone(&mut self, stay: &str, room: &str) {
        let stay = Some(StayId::from(stay));
        self.fact(Fact::GuestGone { room: RoomId::from(room), stay, listed: false });
    }

    fn erase(&mut self, target: &Target) -> usize {
        self.clock += 1;
        let now = at(self.clock);
        let erased = self.store().plan_erasure(target, now).unwrap();
        assert!(erased.iter().all(vault::verify), "each tombstone is signed");
        let mut batch = Batch { erased: erased.clone(), ..Batch::default() };
        for erasure in &erased {
            let fact = Fact::GuestErased { erasure: erasure.clone() };
            let applied = self.property.apply(&Observation::new(now, fact));
            batch.touched.extend(applied.touched);
            batch.changes.extend(applied.changes.into_iter().map(|change| (now, change)));
        }
        let property = &self.property;
        self.store.as_mut().unwrap().commit(property, &batch, now, Durability::Now).unwrap();
        erased.len()
    }

    fn viewer(&self) -> Viewer {
        Viewer::open(self.dir.path(), &self.key, &self.vault_key).unwrap()
    }

    /// Reservation numbers that are found, each with its name or why there is none.
    fn find(&self, query: Query) -> Vec<String> {
        let asker = Asker::new("ann", "test").unwrap();
        let found = self.viewer().find(&asker, &query, 20, at(9_999)).unwrap();
        let shown = |file: &vault::GuestFile| {
            let name = file.dark.or(file.particular("name")).unwrap_or("-");
            format!("{} {name}", file.reservation)
        };
        found.iter().map(shown).collect()
    }

    fn name(&self, stay: &str) -> Option<String> {
        self.property.stays()[&StayId::from(stay)].name.as_ref().map(|name| name.reveal().clone())
    }

    fn dump(&self) -> Vec<u8> {
        testing::dump(self.dir.path(), &self.key, &self.vault_key)
    }
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Any of the guest's particulars, also by its beginning.
fn shows_guest(bytes: &[u8]) -> Option<&'static str> {
    ["Wiedererk", "wiedererk", "Unverwech", "unverwech", "55512345", "gast@exam"]
        .into_iter()
        .find(|needle| holds(bytes, needle))
}

#[test]
fn personal_fields_are_nowhere_in_the_files_even_with_their_keys_and_come_back() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.seen("4712", "102", "Anders");
    hotel.fact(Fact::GuestSeen {
        stay: StayId::from("4711"),
        room: RoomId::from("102"),
        from: Some(RoomId::from("101")),
        presence: Presence::Changed,
        listed: false,
        guest: GuestRecord::default(),
        flags: RoomFlags::default(),
    });
    hotel.gone("4712", "102");
    assert_eq!(shows_guest(&hotel.dump()), None, "every value of every row, decrypted by the files' keys");
    let saved = hotel.property.save(&Entity::Stay(StayId::from("4711"))).unwrap();
    assert!(shows_guest(&saved).is_some(), "the model's own document has them");
    hotel.open().unwrap();
    let stay = &hotel.property.stays()[&StayId::from("4711")];
    assert_eq!(stay.name.as_ref().unwrap().reveal(), NAME);
    assert_eq!(stay.email.as_ref().unwrap().reveal(), EMAIL);
    assert_eq!(stay.room.as_str(), "102");
}

#[test]
fn guests_are_found_by_room_reservation_name_and_telephone_also_after_check_out() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.seen("4712", "101", "Wieland");
    hotel.gone("4711", "101");
    hotel.seen("4711", "102", "Neuer Gast");
    let both = ["4712 Wieland".to_owned(), format!("4711 {NAME}")];
    assert_eq!(hotel.find(Query::Name("wie".into())), both);
    assert_eq!(hotel.find(Query::Name("WIEDER".into())), both[1..]);
    assert_eq!(hotel.find(Query::Room("101".into())), both);
    assert_eq!(hotel.find(Query::Room("102".into())), ["4711 Neuer Gast"]);
    let twice = ["4711 Neuer Gast".to_owned(), format!("4711 {NAME}")];
    assert_eq!(hotel.find(Query::Reservation("4711".into())), twice, "the number came again");
    assert_eq!(hotel.find(Query::Phone("030 555 123 45".into())).len(), 3);
    assert_eq!(hotel.find(Query::Name("nobody".into())), [] as [&str; 0]);
    hotel.seen("4712", "101", "Umbenannt");
    assert_eq!(hotel.find(Query::Name("wiel".into())), [] as [&str; 0], "the old name is forgotten");
    assert_eq!(hotel.find(Query::Name("umb".into())), ["4712 Umbenannt"]);
}

#[test]
fn after_an_erasure_a_backup_made_before_and_every_file_together_do_not_give_the_name() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.seen("4712", "102", "Anders");
    let backup = hotel.dir.path().join("backup.db");
    hotel.store().reader().unwrap().backup(&backup, &hotel.key).unwrap();
    let again = hotel.store().reader().unwrap().backup(&backup, &hotel.key);
    assert!(matches!(again, Err(StoreError::Folder { .. })), "an older backup is not written over");
    assert_eq!(hotel.erase(&Target::Stay(StayId::from("4711"))), 1);
    assert_eq!(hotel.name("4711"), None);
    hotel.seen("4711", "101", NAME);
    assert_eq!(hotel.name("4711"), None, "the PMS does not bring it back");
    assert_eq!(shows_guest(&hotel.dump()), None);
    let log = hotel.dir.path().join(format!("{}-wal", vault::KEYS_FILE));
    assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0, "the keys' log is empty");
    assert_eq!(testing::open_erasures(hotel.dir.path(), &hotel.key), 0);
    let rows = hotel.store().reader().unwrap().journal(3, 0, 100, usize::MAX).unwrap();
    let tombstone: Vec<_> = rows.iter().filter(|row| row.kind == "erased").collect();
    assert_eq!(tombstone.len(), 1);
    assert!(serde_json::from_slice::<Change>(&tombstone[0].body).is_ok());

    // The gateway with its backup put back, its keys and master key in place.
    hotel.store = None;
    let database = hotel.dir.path().join(DATABASE_FILE);
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(hotel.dir.path().join(format!("{DATABASE_FILE}{beside}")));
    }
    std::fs::copy(&backup, &database).unwrap();
    hotel.open().unwrap();
    assert_eq!(shows_guest(&hotel.dump()), None, "also not in what the backup held");
    assert_eq!((hotel.name("4711"), hotel.name("4712").as_deref()), (None, Some("Anders")));
    assert!(hotel.property.stays()[&StayId::from("4711")].erased, "named as erased");
    assert_eq!(hotel.find(Query::Reservation("4711".into())), ["4711 erased"]);
    assert_eq!(hotel.find(Query::Name("wieder".into())), [] as [&str; 0]);
    hotel.seen("4711", "101", NAME);
    assert_eq!(hotel.name("4711"), None, "nor does the PMS after that");
}

#[test]
fn guests_are_forgotten_when_their_time_is_over_and_not_before() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.seen("4712", "102", "Bleibt");
    hotel.gone("4711", "101");
    assert_eq!(hotel.erase(&Target::LeftBefore(at(0), 100)), 0);
    assert_eq!(hotel.find(Query::Name("wieder".into())).len(), 1);
    assert_eq!(hotel.erase(&Target::LeftBefore(at(100), 100)), 1);
    assert_eq!(hotel.find(Query::Name("wieder".into())).len(), 0);
    assert_eq!(hotel.find(Query::Name("bleibt".into())), ["4712 Bleibt"], "who is in the house stays known");
    hotel.seen("4711", "101", NAME);
    assert_eq!(hotel.name("4711").as_deref(), Some(NAME), "a guest who comes again is not refused");
    let now = at(5_000);
    hotel.store().sweep(now, 100).unwrap();
    assert_eq!(hotel.find(Query::Name("wieder".into())).len(), 1);
}

#[test]
fn an_erasure_that_a_crash_cut_is_ended_at_the_next_start() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.erase(&Target::Stay(StayId::from("4711")));
    hotel.store = None;
    testing::undo_erasures_end(hotel.dir.path(), &hotel.key);
    hotel.open().unwrap();
    assert_eq!(testing::open_erasures(hotel.dir.path(), &hotel.key), 0);
}

#[test]
fn lost_keys_leave_the_guests_dark_and_the_next_list_brings_them_back() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.store = None;
    for beside in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(hotel.dir.path().join(format!("{}{beside}", vault::KEYS_FILE)));
    }
    hotel.open().unwrap();
    assert_eq!((hotel.store().dark().unwrap(), hotel.name("4711")), (1, None));
    assert!(!hotel.property.stays()[&StayId::from("4711")].erased, "nobody asked for that");
    assert_eq!(hotel.find(Query::Reservation("4711".into())), ["4711 key lost"]);
    hotel.seen("4711", "101", NAME);
    assert_eq!((hotel.store().dark().unwrap(), hotel.name("4711").as_deref()), (0, Some(NAME)));
    hotel.open().unwrap();
    assert_eq!(hotel.name("4711").as_deref(), Some(NAME));
    assert_eq!(hotel.find(Query::Name("wieder".into())).len(), 1);
}

#[test]
fn a_database_that_was_put_back_is_known_by_its_stamp() {
    let mut hotel = Hotel::new();
    assert!(!hotel.store().was_restored(), "a new one");
    let dir = hotel.dir.path().to_owned();
    let put_back = |hotel: &mut Hotel, from: &Path| {
        hotel.store = None;
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.join(format!("{DATABASE_FILE}{beside}")));
        }
        std::fs::copy(from, dir.join(DATABASE_FILE)).unwrap();
        hotel.open().unwrap();
        hotel.store().was_restored()
    };
    // A crash, and an orderly end.
    hotel.open().unwrap();
    assert!(!hotel.store().was_restored());
    hotel.store.take().unwrap().close().unwrap();
    let copied = dir.join("copied.db");
    std::fs::copy(dir.join(DATABASE_FILE), &copied).unwrap();
    hotel.open().unwrap();
    assert!(!hotel.store().was_restored());
    // A backup of this very run, and a copy of the closed file from the run before.
    let backup = dir.join("backup.db");
    hotel.store().reader().unwrap().backup(&backup, &hotel.key).unwrap();
    assert!(put_back(&mut hotel, &backup));
    hotel.open().unwrap();
    assert!(hotel.store().was_restored(), "nothing is stored of it yet");
    let told = Batch { put_back: true, ..Batch::default() };
    let property = Property::new(spec());
    hotel.store().commit(&property, &told, at(1), Durability::Now).unwrap();
    hotel.open().unwrap();
    assert!(!hotel.store().was_restored(), "told once");
    assert!(put_back(&mut hotel, &copied));
}

#[test]
fn a_vault_of_another_key_is_refused_with_what_to_do() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    let vault_key = VaultKey::load_or_create(&hotel.dir.path().join("other.key")).unwrap();
    let right = std::mem::replace(&mut hotel.vault_key, vault_key);
    let refused = hotel.open().unwrap_err();
    assert!(matches!(refused, StoreError::Vault { .. }));
    let text = refused.to_string();
    assert!(text.contains("vault-keys.db") && text.contains("Put that key back"), "{text}");
    hotel.vault_key = right;
    hotel.open().unwrap();
    assert_eq!(hotel.name("4711").as_deref(), Some(NAME));
}

#[test]
fn every_read_is_in_the_trail_without_what_was_looked_for() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.find(Query::Name("wiedererk".into()));
    let ann = Asker::new("ann", "letter").unwrap();
    let all = hotel.viewer().export(&ann, &StayId::from("4711"), at(9_999)).unwrap();
    assert_eq!(all["records"][0]["particulars"]["email"], EMAIL);
    assert_eq!(all["records"][0]["rooms"][0], "101");
    assert_eq!(all["documents"][0]["kind"], "stay");
    assert_eq!(all["journal"][0]["kind"], "checked_in");
    hotel.viewer().house(&ann, spec(), at(9_999)).unwrap().unwrap();
    let audit = hotel.store().audit();
    let rows = audit.newest(10).unwrap();
    let told: Vec<_> = rows.iter().map(|row| format!("{} {}: {}", row.who, row.why, row.what)).collect();
    let want = [
        "ann letter: the rooms with 1 guests' names",
        "ann letter: export of reservation 4711: 1 records",
        "ann test: find by name: 1 found: 4711",
    ];
    assert_eq!(told, want);
    let head = audit.head().unwrap();
    assert_eq!(audit.verify(Some(&head)).unwrap().as_ref(), Ok(&head));
    let ahead = vault::AuditHead { rows: 7, hash: "00".into() };
    assert_eq!(audit.verify(Some(&ahead)).unwrap(), Err(Tampered::Cut { ends: 3, known: 7 }));
    for (who, why) in [("", "x"), ("ann", " "), ("ann", "a\nb"), (&"a".repeat(201), "x")] {
        assert!(matches!(Asker::new(who, why), Err(StoreError::Unsaid(_))), "{who:?} {why:?}");
    }
}

#[test]
fn a_sealed_field_that_was_moved_to_another_guest_is_noticed() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", NAME);
    hotel.seen("4712", "102", "Anders");
    hotel.store = None;
    testing::swap_names(hotel.dir.path(), &hotel.key, "4711", "4712");
    let refused = hotel.open().unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}

#[test]
fn the_register_has_its_own_clock_and_an_erasure_does_not_touch_it() {
    let mut hotel = Hotel::new();
    let register_key = DatabaseKey::load_or_create(&hotel.dir.path().join("register.key")).unwrap();
    let register = vault::Register::open(hotel.dir.path(), &register_key).unwrap();
    hotel.store().keep_register(register);
    hotel.seen("4711", "101", NAME);
    hotel.seen("4711", "102", NAME);
    hotel.erase(&Target::Stay(StayId::from("4711")));
    hotel.seen("4711", "102", NAME);
    hotel.gone("4711", "102");
    let register = hotel.store().register().unwrap();
    let entries = register.entries(at(0), at(100)).unwrap();
    let name = entries[0].name.as_ref().map(|name| name.reveal().as_str());
    assert_eq!((entries.len(), name, entries[0].room.as_str()), (1, Some(NAME), "102"));
    assert!(entries[0].left.is_some() && !format!("{entries:?}").contains(NAME));
    let of: Vec<_> = register.entries_of(&StayId::from("4711")).unwrap();
    assert_eq!((of.len(), of[0].room.as_str()), (1, "102"));
    assert_eq!(register.sweep(at(0)).unwrap(), 0);
    assert_eq!(register.sweep(at(100)).unwrap(), 1);
    assert!(register.entries(at(0), at(100)).unwrap().is_empty());
    let of = |stay: &str| register.entries_of(&StayId::from(stay)).unwrap().len();
    assert_eq!((of("4711"), of("4712")), (0, 0));
    let refused = vault::Register::open(hotel.dir.path(), &hotel.key).err().unwrap();
    assert!(matches!(refused, StoreError::Open { .. }), "a key of its own: {refused}");
}

/// A needle that can't be found would prove nothing.
#[test]
fn the_search_itself_finds_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
    let vault_key = VaultKey::load_or_create(&dir.path().join("vault.key")).unwrap();
    drop(Store::open_with(dir.path(), &key, &vault_key, Limits::default()).unwrap());
    let mut trail = vault::AuditTrail::open(Path::new(dir.path()), &key).unwrap();
    trail.append(at(0), NAME, "test", "test").unwrap();
    assert_eq!(shows_guest(&testing::dump(dir.path(), &key, &vault_key)), Some("Wiedererk"));
}

/// What an export holds of a kind, by its key or what it says.
fn held(export: &serde_json::Value, of: &str, kind: &str) -> Vec<String> {
    let rows = export[of].as_array().unwrap().iter().filter(|row| row["kind"] == kind);
    rows.map(|row| row.to_string()).collect()
}

#[test]
fn an_export_has_what_happened_at_the_desk_and_gives_nobody_else_away() {
    use engawa_model::{
        Action, Call, Command, CommandSource, LinkId, Message, Money, PMS_LINK, PmsFact, PostingNumber,
    };
    let mut hotel = Hotel::new();
    hotel.fact(Fact::Link { link: LinkId::from(PMS_LINK), up: true, detail: "alive".into() });
    hotel.seen("4711", "101", NAME);
    hotel.seen("47110", "102", "Anders");
    let asked = |hotel: &mut Hotel, key: &str, action: Action| {
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        hotel.fact(Fact::Asked { command });
    };
    let personal = |text: &str| Personal::new(text.to_owned());
    let called = |room: &str, dialled: &str| Action::PostCall {
        room: room.into(),
        amount: Some(Money { minor: 250, currency: Currency::new("EUR").unwrap() }),
        call: Call { dialled: Some(personal(dialled)), seconds: Some(60), pulses: None },
    };
    for (stay, room, text) in [("4711", "101", "taxi at six"), ("47110", "102", "of another guest")] {
        let message = Message { id: "8".into(), text: personal(text), read: false };
        let said = PmsFact::MessageLeft { room: room.into(), stay: Some(stay.into()), message };
        hotel.fact(Fact::Pms { said });
    }
    asked(
        &mut hotel,
        "note",
        Action::LeaveMessage { room: "101".into(), stay: None, text: personal("late check-out, please") },
    );
    asked(&mut hotel, "call", called("101", "0301234567"));
    asked(&mut hotel, "others", called("102", "0307654321"));
    hotel.fact(Fact::PostingAnswered { number: PostingNumber(1), status: "OK".into(), text: None });

    let ann = Asker::new("ann", "letter").unwrap();
    let export = hotel.viewer().export(&ann, &StayId::from("4711"), at(9_999)).unwrap();
    let desk = held(&export, "journal", "desk");
    assert!(desk.len() == 1 && desk[0].contains("message_left"), "{export:#}");
    let messages = held(&export, "documents", "messages");
    assert!(messages.len() == 1 && messages[0].contains("taxi at six"), "{export:#}");
    let commands = held(&export, "documents", "command").join("\n");
    assert!(commands.contains("late check-out, please") && commands.contains("0301234567"), "{export:#}");
    let charges = held(&export, "documents", "posting");
    assert!(
        charges.len() == 1 && charges[0].contains("0301234567"),
        "of the room, whose only guest it was: {export:#}"
    );
    assert!(!charges[0].contains(r#""by":"room""#), "the charge is the guest's itself: {export:#}");
    assert_eq!(held(&export, "journal", "posting").len(), 3, "waits, flies, is booked: {export:#}");
    assert_eq!((&export["left_out"], &export["of_shared_rooms"]), (&0.into(), &0.into()));
    let whole = export.to_string();
    assert!(
        !whole.contains("47110") && !whole.contains("of another guest") && !whole.contains("0307654321"),
        "{whole}"
    );

    // Somebody moves in: whose call it is nobody knows from now on, and it is given to neither.
    hotel.seen("4712", "101", "Dritte");
    asked(&mut hotel, "shared", called("101", "0309999999"));
    let export = hotel.viewer().export(&ann, &StayId::from("4712"), at(9_999)).unwrap();
    assert!(!export.to_string().contains("0309999999"), "{export:#}");
    assert!(export["of_shared_rooms"].as_u64().unwrap() > 0, "{export:#}");
}

#[test]
fn an_export_gives_nothing_away_of_an_erased_guest_who_may_have_shared_the_room() {
    use engawa_model::{Call, DateTime, Money};
    let mut hotel = Hotel::new();
    let asked = |hotel: &mut Hotel, key: &str, action: Action| {
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        hotel.fact(Fact::Asked { command });
    };
    let called = |dialled: &str, minor| Action::PostCall {
        room: "101".into(),
        amount: Some(Money { minor, currency: Currency::new("EUR").unwrap() }),
        call: Call { dialled: Some(Personal::new(dialled.to_owned())), seconds: Some(60), pulses: None },
    };
    let wake =
        |time: &str| Action::WakeUp { room: "101".into(), at: time.parse::<DateTime>().unwrap(), stay: None };
    let exported = |hotel: &Hotel| {
        let ann = Asker::new("ann", "letter").unwrap();
        let export = hotel.viewer().export(&ann, &StayId::from("4712"), at(9_999)).unwrap();
        let shared = export["of_shared_rooms"].as_u64().unwrap();
        (held(&export, "documents", "command").join("\n"), export.to_string(), shared)
    };
    hotel.seen("4711", "101", NAME);
    hotel.seen("4712", "101", "Anders");
    asked(&mut hotel, "together", called("0301111111", 77_777));
    let before = exported(&hotel);
    assert!(!before.1.contains(r#""minor":77777"#) && before.2 > 0, "of a shared room: {}", before.1);
    // One of the two is erased, and stays a while.
    assert_eq!(hotel.erase(&Target::Stay(StayId::from("4711"))), 1);
    asked(&mut hotel, "still", called("0302222222", 88_888));
    for shut in [false, true] {
        let (_, whole, shared) = exported(&hotel);
        assert!(!whole.contains(r#""minor":77777"#) && !whole.contains(r#""minor":88888"#), "{whole}");
        assert!(shared >= before.2, "counted, and left out");
        // The same once the other has left, and in a store that is opened anew.
        if !shut {
            hotel.gone("4711", "101");
            hotel.open().unwrap();
        }
    }
    // What is asked from then on is the guest's who is left.
    asked(&mut hotel, "alone", wake("2026-07-20T07:15:00"));
    let (commands, whole, _) = exported(&hotel);
    assert!(commands.contains("07:15:00") && !whole.contains(r#""minor":88888"#), "{whole}");
    // A guest of another room, erased when the time is over: which room it was nobody knows any more.
    hotel.seen("4713", "102", "Dritte");
    asked(&mut hotel, "meanwhile", wake("2026-07-20T08:45:00"));
    assert!(exported(&hotel).0.contains("08:45:00"));
    hotel.gone("4713", "102");
    assert!(hotel.erase(&Target::LeftBefore(at(1_000), 100)) > 0);
    let (commands, ..) = exported(&hotel);
    assert!(commands.contains("07:15:00") && !commands.contains("08:45:00"), "{commands}");
}

#[test]
fn what_a_guest_prefers_is_sealed_and_goes_with_the_stay() {
    let mut hotel = Hotel::new();
    hotel.seen("4711", "101", "Anders");
    let stay = StayId::from("4711");
    let prefer = |hotel: &mut Hotel, key: &str| {
        let action = Action::SetPreference {
            stay: StayId::from("4711"),
            name: "guest.light".into(),
            wish: Some(SettingValue::Switch(true)),
            by: Some(NAME.into()),
        };
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        hotel.fact(Fact::Asked { command })
    };
    let told = prefer(&mut hotel, "k");
    assert!(told.iter().all(|change| shows_guest(&serde_json::to_vec(change).unwrap()).is_none()));
    assert_eq!(shows_guest(&hotel.dump()), None, "neither the document nor its command shows it");
    hotel.open().unwrap();
    let kept = hotel.property.preferences(&stay).unwrap()["guest.light"].clone();
    assert_eq!(kept.edge.unwrap().by, NAME, "and it comes back");
    hotel.gone("4711", "101");
    hotel.open().unwrap();
    assert_eq!(hotel.property.preferences(&stay), None);

    hotel.seen("4711", "101", "Anders");
    prefer(&mut hotel, "l");
    assert_eq!(hotel.erase(&Target::Stay(stay.clone())), 2, "both stays of the number");
    assert_eq!(hotel.property.preferences(&stay), None);
    hotel.open().unwrap();
    assert_eq!(hotel.property.preferences(&stay), None);
}
