//! A gateway's side for the tests: the shell with the system's clock, and what it tells the house.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "tests; not every one uses all of it")]

use engawa_model::{Fact, Intent, Observation, ObservationSink, SinkFuture};
use engawa_pms::PmsConfig;
use engawa_pms::shell::{Shell, SystemClock};
use jiff::tz::TimeZone;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

struct House {
    facts: Mutex<Vec<Fact>>,
    grown: watch::Sender<usize>,
}

impl ObservationSink for House {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.facts.lock().unwrap().push(observation.fact);
        self.grown.send_modify(|count| *count += 1);
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

pub(crate) struct Site {
    house: Arc<House>,
    pub(crate) intents: mpsc::Sender<Intent>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Site {
    pub(crate) fn start(config: PmsConfig) -> Self {
        let house = Arc::new(House { facts: Mutex::default(), grown: watch::channel(0).0 });
        let (intents, receiver) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let shell = Shell {
            config,
            zone: TimeZone::UTC,
            sink: house.clone(),
            intents: receiver,
            clock: SystemClock,
            seed: 7,
        };
        let stop = cancel.clone();
        let task = tokio::spawn(async move { shell.run(stop).await.unwrap() });
        Self { house, intents, cancel, task }
    }

    /// Waits until `look` finds something in what the house was told.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&[Fact]) -> Option<T>) -> T {
        let mut grown = self.house.grown.subscribe();
        let waiting = async {
            loop {
                grown.mark_unchanged();
                if let Some(found) = look(&self.house.facts.lock().unwrap()) {
                    return found;
                }
                grown.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await;
        found.unwrap_or_else(|_| panic!("waited in vain for {what}: {:#?}", self.links()))
    }

    /// What was told of the link.
    pub(crate) fn links(&self) -> Vec<(bool, String)> {
        let of = |fact: &Fact| match fact {
            Fact::Link { up, detail, .. } => Some((*up, detail.clone())),
            _ => None,
        };
        self.house.facts.lock().unwrap().iter().filter_map(of).collect()
    }

    /// Waits until the link is up, or down, with a detail that holds `words`.
    pub(crate) async fn link(&self, up: bool, words: &str) {
        let is = |fact: &Fact| matches!(fact, Fact::Link { up: is, detail, .. } if *is == up && detail.contains(words));
        self.until(words, |facts| facts.iter().any(is).then_some(())).await;
    }

    pub(crate) async fn stop(self) {
        self.begin_to_stop().await;
    }

    /// Asks it to stop. Ready when it has, with what the house was told.
    pub(crate) fn begin_to_stop(self) -> impl Future<Output = Vec<Fact>> {
        self.cancel.cancel();
        async move {
            tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
            // Until here: without a house that could ask, the link ends by itself.
            drop(self.intents);
            std::mem::take(&mut *self.house.facts.lock().unwrap())
        }
    }
}

/// The PMS's side of a stream.
pub(crate) struct Pms<S> {
    pub(crate) stream: S,
    heard: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pms<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, heard: String::new() }
    }

    pub(crate) async fn say(&mut self, record: &str) {
        self.stream.write_all(format!("\x02{record}\x03").as_bytes()).await.unwrap();
    }

    /// Reads until a record begins with `begin`; gives it.
    pub(crate) async fn hear(&mut self, begin: &str) -> String {
        let hearing = async {
            loop {
                let found = self.heard.split('\x03').find_map(|record| {
                    let record = record.split('\x02').nth(1)?;
                    record.starts_with(begin).then(|| record.to_owned())
                });
                if let Some(found) = found.filter(|_| self.heard.ends_with('\x03')) {
                    self.heard.clear();
                    return found;
                }
                let mut buffer = [0; 4096];
                let count = self.stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the gateway closed before `{begin}`");
                self.heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
        };
        tokio::time::timeout(DEADLINE, hearing).await.unwrap_or_else(|_| panic!("no `{begin}`"))
    }

    /// Greets, and brings the link up; gives LD.
    pub(crate) async fn start(&mut self) -> String {
        self.say("LS|DA260715|TI101500|").await;
        let mut described = String::new();
        let hearing = async {
            while !described.contains("\x02LA|") || !described.ends_with('\x03') {
                let mut buffer = [0; 4096];
                let count = self.stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the gateway closed before LA");
                described.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
        };
        tokio::time::timeout(DEADLINE, hearing).await.expect("no LA");
        self.say("LA|DA260715|TI101501|").await;
        described.split('\x03').next().unwrap().trim_start_matches('\x02').to_owned()
    }

    /// Reads until the gateway has closed.
    pub(crate) async fn gone(&mut self) {
        let reading = async {
            let mut buffer = [0; 4096];
            while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {}
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("the gateway does not close");
    }
}
