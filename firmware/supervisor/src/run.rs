//! The loop: waits for whatever comes first, tells the machine, does what it says.

use crate::agent::{Agent, Launch};
use crate::args::Options;
use crate::control::Control;
use crate::dog::{Dogs, tell};
use crate::listen::Held;
use crate::lock;
use crate::notify::{Notify, Word};
use crate::signals::Signals;
use engawa_slots::check::{Check, Seen};
use engawa_slots::files::Folder;
use engawa_slots::machine::{Action, Event, Machine};
use engawa_slots::store::Store;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Signal;
use sd_notify::NotifyState;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest wait, so that watchdogs are fed in time.
const TURN: Duration = Duration::from_secs(1);
/// How long a slot is read before somebody else has a turn.
const READING: Duration = Duration::from_millis(20);
/// Bytes of a slot that are read at once.
const PIECE: usize = 32 << 10;
/// How many messages of an agent are heard in a turn; one that tells more waits, as the kernel keeps few for it.
const MESSAGES: usize = 32;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(2);

struct Loop {
    machine: Machine<Store<Folder>>,
    launch: Launch,
    files: Folder,
    agent: Option<Agent>,
    check: Option<Check<Folder>>,
    /// What was read for a try, and is started next.
    seen: Option<Seen>,
    notify: Notify,
    control: Control,
    dogs: Dogs,
    since: Instant,
    looked: Instant,
    ready: bool,
    /// Why the agent's program could not be executed, and whether that is the program's fault.
    failure: Option<(String, bool)>,
    over: bool,
}

/// Runs until it is stopped.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let folder = absolute(&options.folder)?;
    let mut signals = Signals::new()?;
    let lock = lock::take(&folder)?;
    let files = Folder::new(&folder);
    let (store, table, complaint) = Store::open(files.clone()).map_err(|fault| fault.to_string())?;
    if let Some(complaint) = complaint {
        say(&format!("the slot table can't be written: {complaint}"));
    }
    let run_dir = match options.run_dir.clone().or_else(given_run_dir) {
        Some(folder) => absolute(&folder)?,
        None => folder.clone(),
    };
    let (notify, control) = (run_dir.join("supervisor-notify"), run_dir.join("supervisor"));
    let at = |path: &PathBuf, fault| format!("{}: {fault}", path.display());
    let launch = Launch {
        folder,
        config: absolute(options.config.as_ref())?.into(),
        heartbeat: options.limits.heartbeat,
        held: Held::new(&options.listen),
        lock,
        notify: notify.clone(),
        control: control.clone(),
    };
    let mut turning = Loop {
        machine: Machine::new(store, table, options.limits.clone()),
        launch,
        files,
        agent: None,
        check: None,
        seen: None,
        notify: Notify::bind(&notify).map_err(|fault| at(&notify, fault))?,
        control: Control::bind(&control).map_err(|fault| at(&control, fault))?,
        dogs: Dogs::new(options.watchdog.clone()),
        since: Instant::now(),
        looked: Instant::now(),
        ready: false,
        failure: None,
        over: false,
    };
    turning.handle(Event::Begun);
    while !turning.over {
        turning.turn(&mut signals)?;
    }
    turning.dogs.leave();
    for path in [notify, control] {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

impl Loop {
    fn turn(&mut self, signals: &mut Signals) -> Result<(), String> {
        self.wait(signals)?;
        let told = signals.take();
        if told.reload
            && let Some(agent) = &self.agent
        {
            agent.signal(Signal::HUP);
        }
        if told.stop {
            tell(&[NotifyState::Stopping]);
            self.handle(Event::Stop);
        }
        self.listen();
        for asked in self.control.take() {
            let agent = self.agent.as_ref().is_some_and(|agent| agent.pid() == asked.pid);
            self.handle(Event::Asked { ticket: asked.ticket, agent, request: asked.request });
        }
        if let Some(exit) = self.agent.as_mut().and_then(Agent::ended) {
            // What it said last may have come between the two looks.
            self.listen();
            self.agent = None;
            let ended = match self.failure.take() {
                None => Event::Exited(exit),
                Some((why, for_good)) => Event::NotStarted { why, for_good },
            };
            self.handle(ended);
        }
        self.read_on();
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if let Some(mib) = self.agent.as_ref().and_then(Agent::memory_mib) {
                self.handle(Event::Memory(mib));
            }
        }
        self.handle(Event::Tick);
        if self.machine.feeds(self.since.elapsed()) {
            self.dogs.feed();
        }
        Ok(())
    }

    fn wait(&self, signals: &Signals) -> Result<(), String> {
        let due = self.machine.due().map_or(TURN, |due| due.saturating_sub(self.since.elapsed()).min(TURN));
        let due = if self.check.is_some() || self.over { Duration::ZERO } else { due };
        let due = Timespec { tv_sec: due.as_secs().cast_signed(), tv_nsec: due.subsec_nanos().into() };
        let sources =
            signals.sources().into_iter().chain([self.notify.source()]).chain(self.control.sources());
        let mut waiting: Vec<PollFd<'_>> =
            sources.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)).collect();
        match rustix::event::poll(&mut waiting, Some(&due)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(fault) => Err(format!("nothing can be waited for: {fault}")),
        }
    }

    fn listen(&mut self) {
        for _ in 0..MESSAGES {
            let Some(words) = self.notify.next(self.agent.as_ref().map(Agent::pid)) else { break };
            words.into_iter().for_each(|word| self.heard(word));
        }
    }

    fn heard(&mut self, word: Word) {
        match word {
            Word::Ready => {
                self.failure = None;
                self.handle(Event::Ready);
                if !std::mem::replace(&mut self.ready, true) {
                    tell(&[NotifyState::Ready]);
                }
            }
            Word::Extended(more) => {
                self.handle(Event::Extended(Duration::from_micros(more)));
                if !self.ready {
                    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more).unwrap_or(u32::MAX))]);
                }
            }
            Word::Heartbeat => self.handle(Event::Heartbeat),
            // Of an agent that runs it would mean something else.
            Word::Failed(_) if self.machine.is_ready() => {}
            Word::Failed(errno) => {
                let why = std::io::Error::from_raw_os_error(errno).to_string();
                self.failure = Some((why, is_the_program_s(errno)));
            }
            Word::Status(text) => tell(&[NotifyState::Status(&text)]),
        }
    }

    /// Goes on reading the slot that is checked.
    fn read_on(&mut self) {
        let Some(check) = &mut self.check else { return };
        let begun = Instant::now();
        let mut buffer = [0; PIECE];
        let result = loop {
            if let Some(result) = check.step(&self.files, &mut buffer) {
                break result;
            }
            if begun.elapsed() >= READING {
                return;
            }
        };
        let slot = check.slot();
        let check = self.check.take();
        if result.is_ok() {
            self.seen = check.and_then(Check::seen);
        }
        self.handle(Event::Checked(slot, result.map_err(Into::into)));
    }

    fn handle(&mut self, event: Event) {
        let actions = self.machine.handle(self.since.elapsed(), event);
        actions.into_iter().for_each(|action| self.act(action));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Say(text) => say(&text),
            Action::Answer { ticket, answer } => self.control.answer(ticket, &answer),
            Action::NoCheck => self.check = None,
            Action::Check { slot, manifest, durable } => {
                // What was read for the try a moment ago is not read again while the house waits.
                let seen = self.seen.take().filter(|_| !durable);
                match seen.and_then(|seen| seen.still(&self.files, slot, manifest)) {
                    Some(release) => self.handle(Event::Checked(slot, Ok(release))),
                    None => self.check = Some(Check::new(slot, manifest, durable)),
                }
            }
            Action::Start(slot) => match self.launch.start(slot) {
                Ok(agent) => {
                    let about = engawa_slots::install::describe(self.machine.table());
                    say(&format!("started: {about}, process {}", agent.pid().as_raw_nonzero()));
                    self.agent = Some(agent);
                }
                // It never came to the program.
                Err(why) => self.handle(Event::NotStarted { why, for_good: false }),
            },
            Action::Terminate => {
                if let Some(agent) = &self.agent {
                    agent.signal(Signal::TERM);
                }
            }
            Action::Kill => {
                if let Some(agent) = &self.agent {
                    agent.kill();
                }
            }
            Action::Leave => self.over = true,
        }
    }
}

/// The service manager's, the first where there are several.
fn given_run_dir() -> Option<PathBuf> {
    let given = std::env::var("RUNTIME_DIRECTORY").ok()?;
    given.split(':').next().filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Whether a program that could not be executed with this error can't be later either: it is none, may not be executed, or lacks
/// its loader. What the machine lacks just now (memory, processes, files) is not its fault.
fn is_the_program_s(errno: i32) -> bool {
    matches!(Errno::from_raw_os_error(errno), Errno::NOEXEC | Errno::ACCESS | Errno::NOENT | Errno::LIBBAD)
}

fn absolute(path: &std::path::Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|fault| format!("{}: {fault}", path.display()))
}

fn say(text: &str) {
    eprintln!("engawa-supervisor: {text}");
}
