//! The TCP shell against a scripted PMS on a loopback socket: how it stops, and how it comes back.
#![allow(clippy::unwrap_used, reason = "tests")]

use engawa_model::{Fact, Observation, ObservationSink, SinkFuture, Timestamp};
use engawa_pms::PmsConfig;
use engawa_pms::tcp::{Clock, Shell};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// The house that forgets.
struct Nobody;

impl ObservationSink for Nobody {
    fn report(&self, _: Observation) -> SinkFuture<'_> {
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

/// A clock on which the pauses between attempts pass at once and are noted; longer waits (the link's own
/// time-outs) never end, so that only the PMS's behaviour moves the test on.
#[derive(Clone)]
struct Pauses(Arc<Mutex<(Timestamp, Vec<SignedDuration>)>>);

impl Pauses {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(("2026-07-15T08:15:00Z".parse().unwrap(), vec![]))))
    }

    fn noted(&self) -> Vec<SignedDuration> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Clock for Pauses {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let span = at.duration_since(self.now());
            // The wait for the PMS's LE is the shortest of the link's own; a pause of chance is not as long to the nanosecond.
            if span == SignedDuration::from_millis(500) || span >= SignedDuration::from_secs(2) {
                std::future::pending::<()>().await;
            }
            let mut state = self.0.lock().unwrap();
            state.0 = at;
            state.1.push(span);
        })
    }
}

struct Gateway {
    listener: TcpListener,
    clock: Pauses,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _intents: mpsc::Sender<engawa_model::Intent>,
}

async fn gateway() -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (intents, receiver) = mpsc::channel(8);
    let (clock, cancel) = (Pauses::new(), CancellationToken::new());
    let shell = Shell {
        config: PmsConfig::new(listener.local_addr().unwrap().to_string()),
        zone: TimeZone::UTC,
        sink: Arc::new(Nobody),
        intents: receiver,
        clock: clock.clone(),
        seed: 7,
    };
    let stop = cancel.clone();
    let task = tokio::spawn(async move { shell.run(stop).await.unwrap() });
    Gateway { listener, clock, cancel, task, _intents: intents }
}

/// Reads until `text` has come.
async fn hear(stream: &mut TcpStream, text: &str) {
    let (mut heard, mut buffer) = (String::new(), [0_u8; 1024]);
    while !heard.contains(text) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed before `{text}`");
        heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
}

#[tokio::test]
async fn it_stops_on_the_le_of_a_pms_that_keeps_the_connection_open() {
    let story = async {
        let gateway = gateway().await;
        let (mut pms, _) = gateway.listener.accept().await.unwrap();
        pms.write_all(b"\x02LS|DA260715|TI101500|\x03").await.unwrap();
        hear(&mut pms, "LA|").await;
        pms.write_all(b"\x02LA|DA260715|TI101501|\x03").await.unwrap();
        gateway.cancel.cancel();
        hear(&mut pms, "LE|").await;
        pms.write_all(b"\x02LE|DA260715|TI101600|\x03").await.unwrap();
        gateway.task.await.unwrap();
        assert_eq!(gateway.clock.noted(), [] as [SignedDuration; 0], "no wait was needed");
    };
    tokio::time::timeout(DEADLINE, story).await.unwrap();
}

#[tokio::test]
async fn a_pms_that_greets_and_hangs_up_is_not_hammered() {
    let story = async {
        let gateway = gateway().await;
        for _ in 0..5 {
            let (mut pms, _) = gateway.listener.accept().await.unwrap();
            pms.write_all(b"\x02LS|DA260715|TI101500|\x03").await.unwrap();
            hear(&mut pms, "LA|").await;
        }
        let pauses = gateway.clock.noted();
        assert_eq!(pauses.len(), 4);
        assert!(pauses[3] >= SignedDuration::from_secs(1), "the pauses grow: {pauses:?}");
        gateway.cancel.cancel();
        gateway.task.await.unwrap();
    };
    tokio::time::timeout(DEADLINE, story).await.unwrap();
}

/// Keeps what is told of the link.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(bool, String)>>>);

impl ObservationSink for Told {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        if let Fact::Link { up, detail, .. } = observation.fact {
            self.0.lock().unwrap().push((up, detail));
        }
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

#[tokio::test]
async fn a_link_that_fails_again_and_again_says_since_when_why_and_when_it_is_tried_next() {
    let story = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_intents, receiver) = mpsc::channel(8);
        let (clock, cancel, told) = (Pauses::new(), CancellationToken::new(), Told::default());
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let since = zone.to_datetime(clock.now()).strftime("down since %Y-%m-%d %H:%M:%S").to_string();
        let shell = Shell {
            config: PmsConfig::new(listener.local_addr().unwrap().to_string()),
            zone,
            sink: Arc::new(told.clone()),
            intents: receiver,
            clock,
            seed: 7,
        };
        let stop = cancel.clone();
        let task = tokio::spawn(async move { shell.run(stop).await.unwrap() });
        for _ in 0..4 {
            // It takes the call and hangs up.
            drop(listener.accept().await.unwrap());
        }
        let (mut pms, _) = listener.accept().await.unwrap();
        pms.write_all(b"\x02LS|DA260715|TI101500|\x03").await.unwrap();
        hear(&mut pms, "LA|").await;
        pms.write_all(b"\x02LA|DA260715|TI101501|\x03").await.unwrap();
        while !told.0.lock().unwrap().iter().any(|(up, _)| *up) {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        hear(&mut pms, "LE|").await;
        drop(pms);
        task.await.unwrap();
        let told = told.0.lock().unwrap().clone();
        let starting = told.iter().filter(|(_, detail)| detail == "starting").count();
        assert_eq!(starting, 1, "only before it is known that it fails: {told:?}");
        let failed: Vec<_> =
            told.iter().filter(|(_, detail)| detail.contains("tried again at 2026-07-15 17:1")).collect();
        assert_eq!(failed.len(), 4, "{told:?}");
        for (_, detail) in &failed {
            assert!(detail.contains("the PMS") && detail.contains(&since), "{detail}");
            assert!(!detail.contains("another program"), "it has never been alive: {detail}");
        }
        let trying = told.iter().filter(|(_, detail)| detail.starts_with("trying again; ")).count();
        assert_eq!(trying, 4, "{told:?}");
    };
    tokio::time::timeout(DEADLINE, story).await.unwrap();
}
