//! Replay over a real socket: the TCP shell on one side, a scripted PMS on the other, time driven by hand.
//!
//! Nothing here sleeps. After each step an unknown record (`ZZ`) goes down the line as a marker: when the house has
//! counted it, everything before it has been worked on.

use super::case::{Case, matches, seconds};
use super::home::Home;
use super::memory::{as_text, config, hex};
use engawa_model::{Fact, Intent, LinkId, Observation, ObservationSink, PMS_LINK, SinkFuture, Timestamp};
use engawa_pms::Charset;
use engawa_pms::codec::{FrameEvent, Framer};
use engawa_pms::tcp::{Clock, Shell};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// Time that stands still until the test moves it. It knows who sleeps, so that the test can wait until everybody
/// whose time has come is awake.
#[derive(Clone)]
struct HandClock {
    time: watch::Sender<Timestamp>,
    sleepers: watch::Sender<Vec<(u64, Timestamp)>>,
}

/// One sleeper; no longer counted when it is dropped.
struct Sleeper<'a>(u64, &'a HandClock);

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.1.sleepers.send_modify(|sleepers| sleepers.retain(|(id, _)| *id != self.0));
    }
}

impl HandClock {
    fn new(start: Timestamp) -> Self {
        Self { time: watch::channel(start).0, sleepers: watch::channel(vec![]).0 }
    }

    async fn advance(&self, until: Timestamp) {
        self.time.send_replace(until);
        let mut sleepers = self.sleepers.subscribe();
        let awake = |sleepers: &Vec<(u64, Timestamp)>| sleepers.iter().all(|(_, at)| *at > until);
        sleepers.wait_for(awake).await.unwrap();
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.time.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut id = 0;
        self.sleepers.send_modify(|sleepers| {
            id = sleepers.iter().map(|(id, _)| id + 1).max().unwrap_or(0);
            sleepers.push((id, at));
        });
        let sleeper = Sleeper(id, self);
        let mut time = self.time.subscribe();
        Box::pin(async move {
            // The sender lives in `self`: waiting can't fail.
            let _ = time.wait_for(|now| *now >= at).await;
            drop(sleeper);
        })
    }
}

struct House {
    home: Mutex<Home>,
    intents: Mutex<mpsc::Sender<Intent>>,
    grown: watch::Sender<u64>,
}

impl House {
    fn observe(&self, observation: &Observation) {
        let intents = self.home.lock().unwrap().observe(observation);
        for intent in intents {
            self.intents.lock().unwrap().try_send(intent).expect("the queue is never full in a case");
        }
        self.grown.send_modify(|count| *count += 1);
    }
}

impl ObservationSink for House {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.observe(&observation);
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

struct Replay {
    house: Arc<House>,
    clock: HandClock,
    listener: TcpListener,
    line: Option<OwnedWriteHalf>,
    sent: Arc<Mutex<Vec<String>>>,
    grown: watch::Receiver<u64>,
    shell: (CancellationToken, tokio::task::JoinHandle<()>),
    case_config: (engawa_pms::PmsConfig, jiff::tz::TimeZone),
    matched: usize,
    since_wait: usize,
    spoken: usize,
    /// True once the gateway has closed the line.
    gone: Arc<AtomicBool>,
}

pub(crate) fn replay(case: &Case) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut replay = Replay::new(case).await;
        for step in &case.steps {
            let done = tokio::time::timeout(DEADLINE, replay.step(&step.word, &step.text)).await;
            let fault = done.unwrap_or_else(|_| Err("nothing happened before the deadline".to_owned()));
            assert!(
                fault.is_ok(),
                "{}.case:{}: `{}`: {}\nsent: {:#?}",
                case.name,
                step.line,
                step.text,
                fault.unwrap_err(),
                replay.sent.lock().unwrap()
            );
        }
        replay.shell.0.cancel();
        replay.shell.1.abort();
    });
}

impl Replay {
    async fn new(case: &Case) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut config, zone) = config(case);
        config.address = listener.local_addr().unwrap().to_string();
        let (grown, grown_rx) = watch::channel(0);
        let house = Arc::new(House {
            home: Mutex::new(Home::new(case)),
            intents: Mutex::new(mpsc::channel(1).0),
            grown,
        });
        let clock = HandClock::new("2026-07-15T08:15:00Z".parse().unwrap());
        let shell = start(&house, &clock, &config, &zone);
        Self {
            house,
            clock,
            listener,
            line: None,
            sent: Arc::default(),
            grown: grown_rx,
            shell,
            case_config: (config, zone),
            matched: 0,
            since_wait: 0,
            spoken: 0,
            gone: Arc::default(),
        }
    }

    async fn step(&mut self, word: &str, text: &str) -> Result<(), String> {
        match word {
            "pms" => self.send(format!("\x02{}\x03", text.replace("$1", "1")).as_bytes()).await,
            "pms-bytes" => self.send(&hex(text)).await,
            "wait" => {
                self.since_wait = self.sent.lock().unwrap().len();
                let until = self.clock.now().checked_add(seconds(text)).unwrap();
                self.advance(until).await;
            }
            "event" => self.event(text).await,
            "sent" => {
                let wanted = text.replace("$1", "1");
                self.until(|replay| replay.find(&wanted).is_some()).await;
                self.matched = self.find(&wanted).unwrap() + 1;
            }
            "not-sent" => {
                self.barrier().await;
                let sent = self.sent.lock().unwrap();
                if let Some(sent) = sent[self.since_wait..].iter().find(|sent| matches(sent, text)) {
                    return Err(format!("sent {sent}"));
                }
            }
            "holds" => match text.split(' ').collect::<Vec<_>>()[..] {
                ["at-most", id, most] => {
                    self.barrier().await;
                    let count = self.sent.lock().unwrap().iter().filter(|sent| sent.starts_with(id)).count();
                    if count > most.parse::<usize>().unwrap() {
                        return Err(format!("sent {count} times"));
                    }
                }
                _ => {
                    self.barrier().await;
                    // A closed line is noticed by the shell in its own time.
                    self.until(|replay| replay.house.home.lock().unwrap().holds(text).is_ok()).await;
                }
            },
            other => return Err(format!("unknown word {other}")),
        }
        Ok(())
    }

    fn find(&self, wanted: &str) -> Option<usize> {
        let sent = self.sent.lock().unwrap();
        sent[self.matched..].iter().position(|sent| matches(sent, wanted)).map(|at| at + self.matched)
    }

    /// Waits until `condition` holds; whoever calls has a deadline around it.
    async fn until(&mut self, condition: impl Fn(&Self) -> bool) {
        loop {
            self.grown.mark_unchanged();
            if condition(self) {
                return;
            }
            self.grown.changed().await.unwrap();
        }
    }

    fn alive(&self) -> bool {
        let home = self.house.home.lock().unwrap();
        home.property().links().get(&LinkId::from(PMS_LINK)).is_some_and(|link| link.up)
    }

    async fn send(&mut self, bytes: &[u8]) {
        if let Some(line) = &mut self.line {
            line.write_all(bytes).await.unwrap();
            self.spoken = self.sent.lock().unwrap().len();
        }
        // A torn record must stay torn: the marker would close it in the reader's eyes only with its own STX.
        if !bytes.is_empty() && bytes.last() == Some(&3) {
            self.barrier().await;
        }
    }

    /// Everything sent so far has been worked on by the gateway.
    async fn barrier(&mut self) {
        if !self.connected() || !self.has_marker() || self.checking() {
            return;
        }
        let wanted = self.counted() + 1;
        if let Some(line) = &mut self.line {
            // A line that the gateway has just closed refuses the marker; that shows in `connected`.
            let _ = line.write_all(b"\x02ZZ|\x03").await;
        }
        self.until(|replay| replay.counted() >= wanted || !replay.connected()).await;
    }

    /// An idle check waits for its answer: a marker now would be one.
    fn checking(&self) -> bool {
        let sent = self.sent.lock().unwrap();
        self.alive() && sent.len() > self.spoken && sent.last().is_some_and(|last| last.starts_with("LS"))
    }

    fn connected(&self) -> bool {
        self.line.is_some() && !self.gone.load(Ordering::SeqCst)
    }

    /// A record before the link is alive is counted under another name than one after.
    fn counted(&self) -> u64 {
        let home = self.house.home.lock().unwrap();
        let counters = home.property().counters();
        ["unknown-record", "before-alive"].iter().filter_map(|name| counters.get(*name)).sum()
    }

    fn has_marker(&self) -> bool {
        !self.house.home.lock().unwrap().property().links().is_empty()
    }

    async fn advance(&mut self, until: Timestamp) {
        self.barrier().await;
        // What the house wants to do meanwhile it does at its own time.
        let wake = |replay: &Self| replay.house.home.lock().unwrap().property().next_wake();
        while let Some(wake) = wake(self).filter(|wake| (self.clock.now()..until).contains(wake)) {
            self.clock.advance(wake).await;
            self.house.observe(&Observation::new(wake, Fact::Tick));
        }
        self.clock.advance(until).await;
        self.house.observe(&Observation::new(until, Fact::Tick));
    }

    async fn event(&mut self, text: &str) {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("open", _) => self.open().await,
            ("close" | "reset", _) => {
                self.line = None;
                self.until(|replay| !replay.alive()).await;
            }
            ("ask", "kill") => {
                self.shell.1.abort();
                let _ = (&mut self.shell.1).await;
                self.line = None;
                let now = self.clock.now();
                let intents = self.house.home.lock().unwrap().kill(now);
                assert!(intents.is_empty(), "nothing is owed to the PMS while the link is down");
                self.shell = start(&self.house, &self.clock, &self.case_config.0, &self.case_config.1);
            }
            ("ask", request) => {
                let fact = self.house.home.lock().unwrap().command(request);
                self.house.observe(&Observation::new(self.clock.now(), fact));
                self.barrier().await;
            }
            other => panic!("unknown event {other:?}"),
        }
    }

    async fn open(&mut self) {
        let stream: TcpStream = loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted.unwrap().0,
                // The gateway pauses before it tries again: let that time pass.
                () = tokio::task::yield_now() => {
                    let later = self.clock.now().checked_add(jiff::SignedDuration::from_millis(50)).unwrap();
                    self.clock.time.send_replace(later);
                    continue;
                }
            };
            break accepted;
        };
        let (mut read, write) = stream.into_split();
        self.line = Some(write);
        self.gone = Arc::default();
        let gone = self.gone.clone();
        let (sent, charset, house) = (self.sent.clone(), self.case_config.0.charset, self.house.clone());
        tokio::spawn(async move {
            let (mut framer, mut buffer) = (Framer::new(), [0_u8; 1024]);
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                framer.push(&buffer[..count], |event| keep(&sent, event, charset));
                house.grown.send_modify(|count| *count += 1);
            }
            gone.store(true, Ordering::SeqCst);
            house.grown.send_modify(|count| *count += 1);
        });
        self.until(Replay::has_marker).await;
        self.barrier().await;
    }
}

fn keep(sent: &Mutex<Vec<String>>, event: FrameEvent, charset: Charset) {
    let FrameEvent::Body(body) = event else { panic!("the gateway sent a torn record") };
    let frame = [&[2], body.as_slice(), &[3]].concat();
    sent.lock().unwrap().push(as_text(&frame, charset));
}

fn start(
    house: &Arc<House>,
    clock: &HandClock,
    config: &engawa_pms::PmsConfig,
    zone: &jiff::tz::TimeZone,
) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let (intents, receiver) = mpsc::channel(256);
    *house.intents.lock().unwrap() = intents;
    let shell = Shell {
        config: config.clone(),
        zone: zone.clone(),
        sink: house.clone(),
        intents: receiver,
        clock: clock.clone(),
        seed: 7,
    };
    let cancel = CancellationToken::new();
    let task = tokio::spawn({
        let cancel = cancel.clone();
        async move {
            let _ = shell.run(cancel).await;
        }
    });
    (cancel, task)
}
