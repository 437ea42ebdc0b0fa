//! A link that is cut at every byte of a posting exchange, in both directions: no charge is booked twice, and none is
//! lost. The PMS here is a ledger that books a charge if and only if its whole record has arrived, and that knows
//! nothing of numbers that come again: whatever is sent twice is booked twice.
//!
//! "Not lost" means: a charge that the house calls posted is in the ledger once, one that it calls refused is not, and
//! what nobody can know is shown to staff with an alert.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

use engawa_model::{
    Action, AlertKind, Article, Call, Command, CommandKey, CommandOutcome, CommandSource, Currency, Fact,
    Intent, Money, Observation, Personal, PostingState, Property, PropertySpec, Slip, StayId, Timestamp,
};
use engawa_pms::link::{Link, Out};
use engawa_pms::{PmsConfig, Use};
use engawa_store::{Batch, DatabaseKey, Durability, Limits, Store};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

fn spec() -> PropertySpec {
    PropertySpec { order_ttl_s: 3600, ..engawa_model::testing::house(["101"]) }
}

/// Where the house is kept: it outlives the process.
enum Disk {
    Memory(BTreeMap<(&'static str, String), Vec<u8>>),
    Real(tempfile::TempDir, Option<Box<Store>>),
}

impl Disk {
    fn commit(&mut self, property: &Property, at: Timestamp, batch: Batch) {
        match self {
            Self::Memory(rows) => {
                for entity in &batch.touched {
                    let row = (entity.kind(), entity.key());
                    match property.save(entity) {
                        Some(body) => drop(rows.insert(row, body)),
                        None => drop(rows.remove(&row)),
                    }
                }
            }
            Self::Real(_, store) => {
                store.as_mut().unwrap().commit(property, &batch, at, Durability::Now).unwrap();
            }
        }
    }

    /// A process begins with what the one before has committed.
    fn start(&mut self) -> Property {
        match self {
            Self::Memory(rows) => {
                let rows = rows.iter().map(|((kind, key), body)| (*kind, key.as_str(), body.as_slice()));
                Property::restore(spec(), rows).unwrap()
            }
            Self::Real(dir, store) => {
                *store = None;
                let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
                let opened = Store::open(dir.path(), &key, Limits::default()).unwrap();
                let property = opened.load(spec()).unwrap().unwrap();
                *store = Some(Box::new(opened));
                property
            }
        }
    }
}

/// The PMS's other end: bytes in, bytes out, and what was booked, by what tells charges apart.
struct Ledger {
    buffer: Vec<u8>,
    booked: BTreeMap<String, u32>,
    /// What is answered to the first charge.
    first_answer: &'static str,
    answered: u32,
    /// Answers that were given, for a PMS that gives them again.
    last_answer: Vec<u8>,
}

fn frame(text: &str) -> Vec<u8> {
    format!("\x02{text}\x03").into_bytes()
}

impl Ledger {
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == 3) {
            let record: Vec<u8> = self.buffer.drain(..=end).collect();
            let begin = record.iter().rposition(|byte| *byte == 2).unwrap() + 1;
            out.extend(self.record(std::str::from_utf8(&record[begin..end.max(begin)]).unwrap()));
        }
        out
    }

    fn record(&mut self, text: &str) -> Vec<Vec<u8>> {
        let field = |id: &str| text.split('|').find_map(|field| field.strip_prefix(id)).unwrap_or("");
        match &text[..2] {
            "LA" => vec![frame("LA|DA260715|TI101501|")],
            "DR" => ["DS|", "GI|RN101|G#4711|GNExample|GSN|SF|", "DE|"].map(frame).to_vec(),
            "PS" | "PR" => {
                self.answered += 1;
                let status = if self.answered == 1 { self.first_answer } else { "OK" };
                if status == "OK" {
                    let name = if field("CT").is_empty() { field("P#") } else { field("CT") };
                    *self.booked.entry(name.to_owned()).or_default() += 1;
                }
                self.last_answer =
                    frame(&format!("PA|RN101|AS{status}|P#{}|DA260715|TI101600|", field("P#")));
                vec![self.last_answer.clone()]
            }
            _ => vec![],
        }
    }
}

/// Where the wire breaks: after so many bytes of the first charge, or of its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Charge(usize),
    Answer(usize),
}

/// What happens at the cut.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Break {
    /// The connection is reset, and made again.
    Reset,
    /// The gateway's process dies, and is started from what it has committed.
    Kill,
    /// The same, and the PMS gives its answer again on the new connection.
    KillAndLateAnswer,
    /// The connection stays, but nothing more comes through; the gateway finds out by itself.
    Silence,
    /// Nothing more comes through for a while; the answer comes after the gateway has stopped waiting.
    LateAnswer,
}

const BREAKS: [Break; 5] =
    [Break::Reset, Break::Kill, Break::KillAndLateAnswer, Break::Silence, Break::LateAnswer];

/// A process that dies at a commit: before it, or after it and before its effects.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Death {
    commit: usize,
    before: bool,
}

struct World {
    disk: Disk,
    property: Property,
    link: Link,
    config: PmsConfig,
    now: Timestamp,
    ledger: Ledger,
    cut: Option<Cut>,
    /// Set when the wire has broken.
    broken: bool,
    connected: bool,
    commits: usize,
    /// How long the first charge was.
    charge_bytes: usize,
    death: Option<Death>,
    /// True where the process dies somewhere: then either charge may be the one that was on its way.
    deadly: bool,
    /// True where the line stays and carries nothing: a charge that waited is sent into it, and doubtful as well.
    silent: bool,
    /// A house that sends again what it has doubts about: the test must notice.
    naive: bool,
}

impl World {
    fn new(mut disk: Disk, first_answer: &'static str, cut: Option<Cut>) -> Self {
        let property = disk.start();
        let mut config = PmsConfig::new("pms:5010");
        config.uses.extend([Use::Slips, Use::Minibar, Use::Telephone, Use::Inquiry]);
        let link = Link::new(config.clone(), TimeZone::UTC);
        let ledger = Ledger {
            buffer: vec![],
            booked: BTreeMap::new(),
            first_answer,
            answered: 0,
            last_answer: vec![],
        };
        let now = "2026-07-15T10:15:00Z".parse().unwrap();
        Self {
            disk,
            property,
            link,
            config,
            now,
            ledger,
            cut,
            broken: false,
            connected: false,
            commits: 0,
            charge_bytes: 0,
            death: None,
            deadly: false,
            silent: false,
            naive: false,
        }
    }

    fn observe(&mut self, fact: Fact) {
        let observation = Observation::new(self.now, fact);
        self.commits += 1;
        let dies = self.death.filter(|death| death.commit == self.commits);
        if dies.is_some_and(|death| death.before) {
            self.death = None;
            return self.kill();
        }
        let applied = self.property.apply(&observation);
        let changes = applied.changes.into_iter().map(|change| (self.now, change)).collect();
        let batch = Batch { changes, touched: applied.touched, ..Batch::default() };
        self.disk.commit(&self.property, self.now, batch);
        if dies.is_some() {
            self.death = None;
            return self.kill();
        }
        for intent in applied.intents {
            self.link.on_intent(self.now, &intent);
            if let Intent::SendPosting { .. } = intent {
                self.settle();
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(out) = self.link.poll() {
            match out {
                Out::Send(bytes) => self.send(&bytes),
                Out::Observe(fact) => self.observe(fact),
                Out::Close => self.connected = false,
            }
        }
    }

    /// The gateway's bytes, as far as the wire carries them.
    fn send(&mut self, bytes: &[u8]) {
        if !self.connected || self.broken {
            return;
        }
        let charge = bytes.starts_with(b"\x02PS") || bytes.starts_with(b"\x02PR");
        if charge && self.charge_bytes == 0 {
            self.charge_bytes = bytes.len();
        }
        let mut arrives = bytes;
        if let (true, Some(Cut::Charge(after))) = (charge, self.cut) {
            (arrives, self.broken, self.cut) = (&bytes[..after.min(bytes.len())], true, None);
        }
        for answer in self.ledger.take(arrives) {
            self.receive(&answer);
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        let mut arrives = bytes;
        if let (true, Some(Cut::Answer(after))) = (bytes.starts_with(b"\x02PA"), self.cut) {
            (arrives, self.broken, self.cut) = (&bytes[..after.min(bytes.len())], true, None);
        }
        self.link.on_bytes(self.now, arrives);
    }

    fn connect(&mut self) {
        self.connected = true;
        self.broken = false;
        self.ledger.buffer.clear();
        self.link.on_connected(self.now);
        self.settle();
        self.receive(&frame("LS|DA260715|TI101500|"));
        self.settle();
    }

    fn kill(&mut self) {
        self.connected = false;
        self.broken = false;
        self.link = Link::new(self.config.clone(), TimeZone::UTC);
        self.property = self.disk.start();
        self.observe(Fact::Started { clean: false });
    }

    /// Time passes; a lost connection is made again.
    fn wait(&mut self, seconds: i64) {
        let until = self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        for _ in 0..10_000 {
            if !self.connected {
                self.connect();
            }
            let due = [self.link.wake_at(), self.property.next_wake()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            self.link.on_wake(self.now);
            self.settle();
            self.observe(Fact::Tick);
        }
        self.now = until;
    }

    fn ask(&mut self, key: &str, action: Action) {
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        self.observe(Fact::Asked { command });
    }

    fn play(&mut self, what: &Kind, how: Break) {
        self.silent = matches!(how, Break::Silence | Break::LateAnswer);
        self.connect();
        self.wait(1);
        // Two at once: the second waits for the first, and must not suffer.
        for (key, action) in [("first", (what.action)("one")), ("second", (what.action)("two"))] {
            // Whoever asks and hears nothing asks again with the same key.
            for _ in 0..3 {
                if !self.property.commands().contains_key(&CommandKey::from(key)) {
                    self.ask(key, action.clone());
                }
            }
        }
        if self.broken {
            match how {
                Break::Reset => {
                    self.connected = false;
                    self.link.on_closed("reset");
                    self.settle();
                }
                Break::Kill | Break::KillAndLateAnswer => self.kill(),
                Break::Silence => self.wait(1000),
                Break::LateAnswer => {
                    self.wait(31 + 31);
                    self.broken = false;
                }
            }
        }
        self.wait(5);
        if how == Break::KillAndLateAnswer || how == Break::LateAnswer {
            let answer = self.ledger.last_answer.clone();
            self.receive(&answer);
            self.settle();
        }
        if self.naive {
            let doubtful =
                self.property.postings().values().any(|posting| posting.state == PostingState::Doubtful);
            if doubtful {
                self.ask("again", (what.action)("one"));
            }
        }
        self.wait(1200);
    }

    /// What is wrong at the end.
    fn verdict(&self, what: &Kind) -> Result<Seen, String> {
        let mut seen = Seen::default();
        for (key, text) in [("first", "one"), ("second", "two")] {
            let posting = self.property.postings().values().find(|posting| posting.key.as_str() == key);
            let end = self.property.commands()[&CommandKey::from(key)].ended.as_ref().map(|(_, end)| end);
            let Some(posting) = posting else {
                // A house that died before it knew the guest refuses a charge by name, and says so.
                let refused = matches!(end, Some(CommandOutcome::Refused { .. }));
                if self.deadly && refused && !self.ledger.booked.contains_key(text) {
                    seen.refused += 1;
                    continue;
                }
                return Err(format!("{key} is not known any more, told as {end:?}"));
            };
            let name = if what.has_text { text.to_owned() } else { posting.number.to_string() };
            let booked = self.ledger.booked.get(&name).copied().unwrap_or(0);
            let alert = self.property.alerts().get(&format!("posting_doubtful:{}", posting.number));
            let shown = alert.is_some_and(|alert| alert.active && alert.kind == AlertKind::PostingDoubtful);
            match (posting.state, booked, end) {
                (_, 2.., _) => return Err(format!("{key} is booked {booked} times")),
                (PostingState::Posted, 1, Some(CommandOutcome::Done)) => seen.posted += 1,
                (PostingState::Refused, 0, Some(CommandOutcome::Refused { .. })) => seen.refused += 1,
                (PostingState::Doubtful, _, Some(CommandOutcome::Doubtful { .. })) if shown => {
                    seen.doubtful += 1;
                }
                (state, booked, end) => {
                    return Err(format!(
                        "{key} is {state:?}, booked {booked} times, told as {end:?}, alert {shown}"
                    ));
                }
            }
        }
        // One was on the wire at the cut. On a line that only carries nothing, the one that waited follows it.
        if seen.doubtful > 1 && !self.silent {
            return Err("a charge that was not on the wire is doubtful".to_owned());
        }
        Ok(seen)
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    posted: u32,
    refused: u32,
    doubtful: u32,
}

/// A kind of charge.
struct Kind {
    name: &'static str,
    has_text: bool,
    action: fn(&str) -> Action,
}

fn eur(minor: i64) -> Money {
    Money { minor, currency: Currency::new("EUR").unwrap() }
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "plain",
        has_text: true,
        action: |text| Action::Post {
            room: "101".into(),
            stay: Some(StayId::from("4711")),
            amount: eur(1050),
            text: text.into(),
            outlet: Some("BAR".into()),
        },
    },
    Kind {
        name: "slip",
        has_text: true,
        action: |text| Action::PostSlip {
            room: "101".into(),
            stay: None,
            amount: eur(1050),
            text: text.into(),
            outlet: None,
            slip: Slip { check: Some(7), subtotals: vec![1000], tip: Some(50), ..Slip::default() },
        },
    },
    Kind {
        name: "minibar",
        has_text: false,
        action: |_| Action::PostMinibar {
            room: "101".into(),
            items: vec![Article { article: 12, count: 2 }],
        },
    },
    Kind {
        name: "call",
        has_text: false,
        action: |_| Action::PostCall {
            room: "101".into(),
            amount: Some(eur(90)),
            call: Call { dialled: Some(Personal::new("5550100".into())), seconds: Some(61), pulses: None },
        },
    },
    Kind {
        name: "guest",
        has_text: true,
        action: |text| Action::PostToGuest {
            room: "101".into(),
            stay: StayId::from("4711"),
            amount: eur(1050),
            text: text.into(),
            outlet: None,
        },
    },
];

/// How many bytes the first charge of this kind has, and its answer.
fn lengths(what: &Kind, answer: &'static str) -> (usize, usize) {
    let mut world = World::new(Disk::Memory(BTreeMap::new()), answer, None);
    world.play(what, Break::Kill);
    let charge = world.charge_bytes;
    (charge, frame(&format!("PA|RN101|AS{answer}|P#1|DA260715|TI101600|")).len())
}

fn real() -> Disk {
    Disk::Real(tempfile::tempdir().unwrap(), None)
}

#[test]
fn a_cut_at_any_byte_neither_doubles_nor_loses_a_charge() {
    let (mut runs, mut seen) = (0, Seen::default());
    for (n, what) in KINDS.iter().enumerate() {
        // The answers differ in what follows them, not by the kind of charge.
        let answers = if n == 0 { &["OK", "NG", "RY"][..] } else { &["OK"] };
        for answer in answers {
            let (charge, answered) = lengths(what, answer);
            assert!(charge > 40 && answered > 30, "{}: {charge} and {answered} bytes", what.name);
            let cuts = (0..=charge).map(Cut::Charge).chain((0..=answered).map(Cut::Answer));
            for cut in cuts {
                for how in BREAKS {
                    let mut world = World::new(Disk::Memory(BTreeMap::new()), answer, Some(cut));
                    world.play(what, how);
                    let verdict = world.verdict(what);
                    let one = verdict.unwrap_or_else(|fault| {
                        panic!("{} answered {answer}, cut at {cut:?}, {how:?}: {fault}", what.name)
                    });
                    runs += 1;
                    seen.posted += one.posted;
                    seen.refused += one.refused;
                    seen.doubtful += one.doubtful;
                }
            }
        }
    }
    println!("{runs} cuts of a posting exchange: {seen:?}; none booked twice, none lost");
    assert!(runs > 3_000 && seen.posted > runs / 4 && seen.refused > 100 && seen.doubtful > runs / 4);
}

/// The process dies at every commit of an undisturbed exchange, before it is durable and before its effects.
#[test]
fn a_process_that_dies_at_any_commit_neither_doubles_nor_loses_a_charge() {
    let mut runs = 0;
    for what in &KINDS {
        for answer in ["OK", "NG", "RY"] {
            let mut calm = World::new(Disk::Memory(BTreeMap::new()), answer, None);
            calm.play(what, Break::Kill);
            assert_eq!(calm.verdict(what).unwrap().doubtful, 0, "{}", what.name);
            for commit in 1..=calm.commits {
                for before in [true, false] {
                    let mut world = World::new(Disk::Memory(BTreeMap::new()), answer, None);
                    world.death = Some(Death { commit, before });
                    world.deadly = true;
                    world.play(what, Break::Kill);
                    world.verdict(what).unwrap_or_else(|fault| {
                        panic!(
                            "{} answered {answer}, died at commit {commit}, before it: {before}: {fault}",
                            what.name
                        )
                    });
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} deaths of the process at a commit: no charge booked twice, none lost");
}

/// A sample of the same with the encrypted store on a disk.
#[test]
fn the_real_store_keeps_the_same_promise() {
    let what = &KINDS[0];
    let (charge, answered) = lengths(what, "OK");
    let cuts = (0..=charge).step_by(16).map(Cut::Charge).chain((0..=answered).step_by(12).map(Cut::Answer));
    for cut in cuts.chain([Cut::Charge(charge)]) {
        let mut world = World::new(real(), "OK", Some(cut));
        world.play(what, Break::Kill);
        world.verdict(what).unwrap_or_else(|fault| panic!("cut at {cut:?}: {fault}"));
    }
}

/// The test has teeth: a house that sends again what it doubts is caught.
#[test]
fn a_house_that_sends_again_is_caught() {
    let what = &KINDS[0];
    let (charge, _) = lengths(what, "OK");
    let mut world = World::new(Disk::Memory(BTreeMap::new()), "OK", Some(Cut::Charge(charge)));
    world.naive = true;
    world.play(what, Break::Kill);
    assert_eq!(world.verdict(what), Err("first is booked 2 times".to_owned()));
}
