//! How long it takes to find a guest among many: `cargo bench -p engawa-store --bench vault`.
//!
//! `GUESTS=100000` past and present guests, `LOOKUPS=2000` of each kind, in a temporary folder. Each look-up goes through
//! the blind index, the keys and the sealed fields to the opened particulars of up to ten guests.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench")]

use engawa_model::{
    Fact, GuestRecord, Observation, Personal, Presence, Property, PropertySpec, RoomFlags, RoomId, RoomSpec,
    StayId, Timestamp,
};
use engawa_store::vault::{Query, VaultKey, Viewer};
use engawa_store::{Batch, DatabaseKey, Durability, Limits, Store};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

const ROOMS: usize = 400;
/// Guests of one commit.
const GROUP: usize = 200;
const SYLLABLES: &[&str] = &[
    "ka", "mi", "to", "sa", "na", "mü", "ler", "berg", "son", "vic", "ro", "da", "lin", "chen", "ou", "el",
    "is", "ma", "ri", "ya", "ko", "ho", "ff", "stein", "bau", "er", "ta", "ka", "ga", "wa",
];

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn word(random: &mut StdRng) -> String {
    let length = random.random_range(2..5);
    let text: String = (0..length).map(|_| *SYLLABLES.choose(random).unwrap()).collect::<Vec<_>>().concat();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

struct Guest {
    stay: String,
    room: String,
    name: String,
    phone: String,
}

fn main() {
    let (guests, lookups) = (number("GUESTS", 100_000), number("LOOKUPS", 2_000));
    let mut random = StdRng::seed_from_u64(7);
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
    let vault_key = VaultKey::load_or_create(&dir.path().join("vault.key")).unwrap();
    let mut store = Store::open_with(dir.path(), &key, &vault_key, Limits::default()).unwrap();
    let mut property = Property::new(spec());
    let began = Instant::now();
    let mut all: Vec<Guest> = Vec::with_capacity(guests);
    let mut present: Vec<usize> = Vec::new();
    let mut slowest = Duration::ZERO;
    while all.len() < guests {
        let now = Timestamp::from_second(1_780_000_000 + i64::try_from(all.len()).unwrap()).unwrap();
        let mut facts = Vec::new();
        // Who has been there longest leaves; the house stays as full as its rooms.
        if present.len() + GROUP > ROOMS {
            for n in present.drain(..GROUP) {
                let Guest { stay, room, .. } = &all[n];
                facts.push(Fact::GuestGone {
                    room: RoomId::from(room.as_str()),
                    stay: Some(StayId::from(stay.as_str())),
                    listed: false,
                });
            }
        }
        for _ in 0..GROUP.min(guests - all.len()) {
            let n = all.len();
            let guest = Guest {
                stay: format!("{}", 1_000_000 + n),
                room: format!("{}", n % ROOMS),
                name: word(&mut random),
                phone: format!("+{}", random.random_range(10_000_000_000_u64..999_999_999_999)),
            };
            facts.push(seen(&guest, &word(&mut random)));
            present.push(n);
            all.push(guest);
        }
        let mut batch = Batch::default();
        for fact in facts {
            let applied = property.apply(&Observation::new(now, fact));
            batch.touched.extend(applied.touched);
        }
        let start = Instant::now();
        store.commit(&property, &batch, now, Durability::Now).unwrap();
        slowest = slowest.max(start.elapsed());
    }
    let sizes = ["engawa.db", "vault-keys.db"]
        .map(|file| std::fs::metadata(dir.path().join(file)).map_or(0, |meta| meta.len() >> 20));
    println!(
        "{} guests, {} of them in the house, written in {:.0} s ({} of a commit, slowest {:.0} ms); database {} MB, \
         keys and indexes {} MB",
        all.len(),
        present.len(),
        began.elapsed().as_secs_f64(),
        GROUP,
        slowest.as_secs_f64() * 1e3,
        sizes[0],
        sizes[1]
    );
    let viewer = Viewer::open(dir.path(), &key, &vault_key).unwrap();
    let cut = |text: &str, length| text.chars().take(length).collect::<String>();
    type Ask = (&'static str, fn(&Guest, &dyn Fn(&str, usize) -> String) -> Query);
    let asks: [Ask; 6] = [
        ("room", |guest, _| Query::Room(guest.room.clone())),
        ("reservation", |guest, _| Query::Reservation(guest.stay.clone())),
        ("name, 1 letter", |guest, cut| Query::Name(cut(&guest.name, 1))),
        ("name, 3 letters", |guest, cut| Query::Name(cut(&guest.name, 3))),
        ("name, whole", |guest, _| Query::Name(guest.name.clone())),
        ("phone, 7 digits", |guest, _| Query::Phone(guest.phone[guest.phone.len() - 7..].to_owned())),
    ];
    println!("{:<18} {:>9} {:>9} {:>9} {:>8}", "found by", "p50 ms", "p99 ms", "max ms", "found");
    for (what, ask) in asks {
        let mut times = Vec::with_capacity(lookups);
        let mut found = 0;
        for _ in 0..lookups {
            let query = ask(all.choose(&mut random).unwrap(), &cut);
            let start = Instant::now();
            found += viewer.look_up(&query, 10).unwrap().len();
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let each = found as f64 / lookups as f64;
        println!("{what:<18} {:>9.3} {:>9.3} {:>9.3} {each:>8.1}", at(50), at(99), times[times.len() - 1]);
    }
}

fn seen(guest: &Guest, first_name: &str) -> Fact {
    let personal = |text: &str| Some(Personal::new(text.to_owned()));
    Fact::GuestSeen {
        stay: StayId::from(guest.stay.as_str()),
        room: RoomId::from(guest.room.as_str()),
        from: None,
        presence: Presence::In,
        listed: false,
        guest: GuestRecord {
            name: personal(&guest.name),
            first_name: personal(first_name),
            phone: personal(&guest.phone),
            email: personal(&format!("{}@example.invalid", guest.name)),
            language: Some("de".into()),
            ..GuestRecord::default()
        },
        flags: RoomFlags::default(),
    }
}

fn spec() -> PropertySpec {
    PropertySpec {
        rooms: (0..ROOMS).map(|n| RoomSpec { id: RoomId::from(n.to_string().as_str()) }).collect(),
        ..engawa_model::testing::house([])
    }
}
