//! The supervisor's real code on the disk of the model, and what is played with it.

use crate::disk::{Disk, Image, Model};
use engawa_slots::check::Check;
use engawa_slots::files::Files as _;
use engawa_slots::install::{Source, install};
use engawa_slots::machine::{Action, Event, Exit, Limits, Machine};
use engawa_slots::request::{Answer, Request};
use engawa_slots::store::{Keep, Store, StoreFault};
use engawa_slots::{Digest, Slot, Table, Verdict};
use std::io::Cursor;
use std::time::Duration;

/// What holds whenever the power goes.
#[derive(Clone, Default, Debug, Hash)]
pub(crate) struct Expect {
    /// The numbers of which one is started.
    pub(crate) startable: Vec<u64>,
    /// The one that is started instead, if the table says that the other was undone.
    pub(crate) back: Option<u64>,
    /// Nothing below is started.
    pub(crate) floor: u64,
}

pub(crate) type Files = Model<Expect>;

/// What the releases are: their number, and the floor that they set.
pub(crate) fn program(number: u64) -> Vec<u8> {
    format!("the program of release {number}, {}", "which is long enough to be torn ".repeat(3)).into_bytes()
}

fn manifest(number: u64, floor: u64) -> Vec<u8> {
    let program = program(number);
    format!(
        r#"{{"version":"{number}.0.0","number":{number},"floor":{floor},"files":[{{"name":"engawa","mode":493,"size":{},"sha256":"{}"}}]}}"#,
        program.len(),
        Digest::of(&program)
    )
    .into_bytes()
}

/// Where the machine's writes are told apart from others'.
struct Told {
    store: Store<Files>,
}

impl Keep for Told {
    fn keep(&mut self, table: &mut Table) -> Result<(), String> {
        self.store.files().phase("keep");
        self.store.keep(table)
    }
}

/// A supervisor from its start to its end.
pub(crate) struct Life {
    files: Files,
    machine: Machine<Told>,
    now: Duration,
    pub(crate) running: Option<Slot>,
    answer: Option<Answer>,
}

impl Life {
    /// Starts the supervisor, which starts an agent or finds that it can't.
    pub(crate) fn begin(files: &Files) -> Result<Self, String> {
        files.phase("open");
        let (store, table, complaint) = Store::open(files.clone()).map_err(|fault| fault.to_string())?;
        if let Some(complaint) = complaint {
            return Err(complaint.to_string());
        }
        let machine = Machine::new(Told { store }, table, Limits::default());
        let mut life =
            Self { files: files.clone(), machine, now: Duration::from_secs(1), running: None, answer: None };
        life.tell(Event::Begun)?;
        Ok(life)
    }

    pub(crate) fn table(&self) -> &Table {
        self.machine.table()
    }

    fn tell(&mut self, event: Event) -> Result<(), String> {
        let mut actions = self.machine.handle(self.now, event);
        actions.reverse();
        let mut said = Vec::new();
        while let Some(action) = actions.pop() {
            let event = match action {
                Action::Check { slot, manifest, durable } => {
                    self.files.phase("check");
                    let found = Check::new(slot, manifest, durable).run(&self.files);
                    Event::Checked(slot, found.map_err(Into::into))
                }
                Action::Start(slot) => {
                    self.started(slot)?;
                    continue;
                }
                Action::Terminate | Action::Kill => {
                    self.running = None;
                    Event::Exited(Exit::Signal(15))
                }
                Action::Answer { answer, .. } => {
                    self.answer = Some(answer);
                    continue;
                }
                Action::Say(text) => {
                    said.push(text);
                    continue;
                }
                Action::NoCheck | Action::Leave => continue,
            };
            let more = self.machine.handle(self.now, event);
            actions.extend(more.into_iter().rev());
        }
        if self.running.is_none() && said.iter().any(|text| text.starts_with("no version can be started")) {
            return Err(said.join("; "));
        }
        Ok(())
    }

    /// What is started is a whole release, whichever the table takes it for.
    fn started(&mut self, slot: Slot) -> Result<(), String> {
        let release = self.table().release(slot).ok_or("a slot was started that has nothing")?.clone();
        let mut found = Vec::new();
        let name = format!("{slot}/engawa");
        let mut file = self.files.open(&name).map_err(|fault| format!("{name} was started: {fault}"))?;
        std::io::Read::read_to_end(&mut file, &mut found).map_err(|fault| fault.to_string())?;
        if found != program(release.number) {
            return Err(format!("{name} was started, and is not release {}", release.number));
        }
        self.running = Some(slot);
        Ok(())
    }

    /// The number of what runs.
    pub(crate) fn number(&self) -> Result<u64, String> {
        let running = self.running.ok_or("nothing was started")?;
        self.table()
            .release(running)
            .map(|release| release.number)
            .ok_or_else(|| "what runs is not known".to_owned())
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<String, String> {
        self.answer = None;
        self.tell(Event::Asked { ticket: 1, agent: true, request })?;
        self.answer.take().ok_or("there was no answer")?
    }

    fn crash(&mut self) -> Result<(), String> {
        self.running = None;
        self.tell(Event::Exited(Exit::Signal(11)))?;
        while self.running.is_none() {
            self.now += Duration::from_secs(1);
            self.tell(Event::Tick)?;
        }
        Ok(())
    }
}

/// Lays the first release, as often as it takes.
pub(crate) fn lay_first(files: &Files) -> Result<(), String> {
    files.phase("first");
    let manifest = manifest(1, 0);
    let digest = Digest::of(&manifest);
    let source = |name: &str, mode, bytes| Source { name: name.to_owned(), mode, from: Cursor::new(bytes) };
    let sources = vec![source("engawa", 0o755, program(1)), source("manifest.json", 0o644, manifest)];
    install(files.clone(), sources, digest, false).map(drop).map_err(|fault| fault.to_string())
}

/// Writes a release into a slot as the agent does: parts that are named when they are whole, the manifest last.
/// `careful`: what it names is durable. It should be; the supervisor does not build on it.
fn write_release(files: &Files, slot: Slot, number: u64, floor: u64, careful: bool) -> Result<(), String> {
    files.phase("installer");
    let put = || -> std::io::Result<()> {
        for name in ["manifest.json", "engawa"] {
            files.remove(&format!("{slot}/{name}"))?;
        }
        for (name, mode, bytes) in
            [("engawa", 0o755, program(number)), ("manifest.json", 0o644, manifest(number, floor))]
        {
            let (part, whole) = (format!("{slot}/.{name}.part"), format!("{slot}/{name}"));
            files.write(&part, 0, &bytes, mode)?;
            if careful {
                files.sync(&part)?;
            }
            files.rename(&part, &whole);
        }
        if careful { files.sync(slot.name()) } else { Ok(()) }
    };
    put().map_err(|fault| fault.to_string())
}

/// A release comes and is switched to.
fn bring(life: &mut Life, number: u64, floor: u64, careful: bool) -> Result<(), String> {
    let files = life.files.clone();
    let spare = Slot::named(&life.ask(Request::Begin)?).ok_or("begin names no slot")?;
    write_release(&files, spare, number, floor, careful)?;
    files.expect(|expect| expect.startable.push(number));
    let (version, rollout) = (format!("{number}.0.0"), "r1".to_owned());
    let old = life.number()?;
    life.ask(Request::Try { manifest: Digest::of(&manifest(number, floor)), number, version, rollout })?;
    // It was promised: the new one is started, and the old one only after the new one was undone.
    files.expect(|expect| (expect.startable, expect.back) = (vec![number], Some(old)));
    if life.number()? != number { Err(format!("release {number} was not switched to")) } else { Ok(()) }
}

fn confirm(life: &mut Life, number: u64, floor: u64) -> Result<(), String> {
    life.ask(Request::Healthy)?;
    life.files.expect(|expect| *expect = Expect { startable: vec![number], back: None, floor });
    life.ask(Request::OutcomeSeen).map(drop)
}

fn gone(life: &mut Life, back: u64) -> Result<(), String> {
    if life.number()? != back {
        return Err(format!("release {back} does not run again"));
    }
    life.files.expect(|expect| (expect.startable, expect.back) = (vec![back], None));
    let outcome = life.ask(Request::Outcome)?;
    if outcome.starts_with("rolled_back") { Ok(()) } else { Err(format!("the outcome is {outcome}")) }
}

/// First installation, a release that stays, one that says that it is unwell, one that crashes once and stays, with a
/// floor above all others, and one that crashes until it is undone.
pub(crate) fn play(files: &Files, careful: bool) -> Result<(), String> {
    lay_first(files)?;
    files.expect(|expect| *expect = Expect { startable: vec![1], back: None, floor: 0 });
    let mut life = Life::begin(files)?;
    bring(&mut life, 2, 1, careful)?;
    confirm(&mut life, 2, 1)?;
    bring(&mut life, 3, 2, careful)?;
    life.ask(Request::Unwell("its PMS is lost".to_owned()))?;
    gone(&mut life, 2)?;
    bring(&mut life, 4, 4, careful)?;
    life.crash()?;
    confirm(&mut life, 4, 4)?;
    bring(&mut life, 5, 4, careful)?;
    for _ in 0..3 {
        life.crash()?;
    }
    gone(&mut life, 4)
}

/// After a cut: something whole is started, what may be, and a trial ends by itself however often the power goes again.
pub(crate) fn survives(image: &Image, expect: &Expect) -> Result<(), String> {
    let mut lives = vec![(Disk::of(image), 0)];
    while let Some((disk, trials)) = lives.pop() {
        let files = Files::new(disk, expect.clone(), None);
        if expect.startable.is_empty() {
            // The first installation was not over: it can be done again.
            match Store::peek(&files) {
                Err(StoreFault::Nothing | StoreFault::Unfinished(_)) => lay_first(&files)?,
                Err(fault) => return Err(fault.to_string()),
                Ok(_) => {}
            }
            return Life::begin(&files).map(drop);
        }
        let life = Life::begin(&files)?;
        let (number, table) = (life.number()?, life.table());
        let undone = table.outcome.as_ref().is_some_and(|outcome| outcome.verdict == Verdict::RolledBack);
        let back = undone && expect.back == Some(number);
        if !back && !expect.startable.contains(&number) {
            return Err(format!("release {number} was started, where it should have been {expect:?}"));
        }
        if number < expect.floor {
            return Err(format!("release {number} was started, below the floor of {}", expect.floor));
        }
        if table.trial.is_none() {
            continue;
        }
        if trials == Limits::default().tries {
            return Err(format!("release {number} was started {} times in its trial", trials + 1));
        }
        // The power goes with its start.
        lives.extend(files.disk().cuts().iter().map(|image| (Disk::of(image), trials + 1)));
    }
    Ok(())
}

/// A supervisor's next life until it has written something by itself: what else can be cut.
pub(crate) fn next_life(files: &Files, expect: &Expect) -> Result<(), String> {
    if expect.startable.is_empty() {
        return Ok(());
    }
    let mut life = Life::begin(files)?;
    if life.table().trial.is_none() {
        life.ask(Request::Begin)?;
    }
    Ok(())
}
