//! `engawa pms replay --serve`: the PMS of a capture, for a running gateway.

use super::Fault;
use super::capture::{Entry, text_of};
use engawa_model::Timestamp;
use engawa_pms::Charset;
use engawa_pms::codec::{FrameEvent, Framer, Record};
use engawa_pms::explain::{Direction, explain};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// No gap of a capture is waited for longer.
const LONGEST_GAP: Duration = Duration::from_secs(60);
/// After the link has come alive: time for the gateway to ask for the list.
const BEFORE_RECORDS: Duration = Duration::from_millis(300);

/// Plays until the gateway goes.
pub(super) fn play(entries: &[Entry], address: &str, speed: f64, charset: Charset) -> Result<bool, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Failed(format!("starting: {error}")))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| Fault::Wrong(format!("{address} can't be listened at: {error}")))?;
        let bound = listener.local_addr().map_err(|error| Fault::Failed(error.to_string()))?;
        say(&format!("listening at {bound}: waiting for the gateway"))?;
        let (stream, _) = listener.accept().await.map_err(|error| Fault::Failed(error.to_string()))?;
        // Small records: Nagle's algorithm would hold them back. Without it they only come later.
        let _ = stream.set_nodelay(true);
        let mut stage = Stage { stream, charset, speed, inside: BTreeMap::new(), played: 0 };
        stage.run(entries).await?;
        Ok(true)
    })
}

fn say(text: &str) -> Result<(), Fault> {
    let mut out = crate::answer::lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Fault::Failed(format!("writing: {error}")))
}

struct Stage {
    stream: TcpStream,
    charset: Charset,
    speed: f64,
    /// Who is in the house by now, by reservation, or by room where there is none: bounded by the capture.
    inside: BTreeMap<String, Record>,
    played: usize,
}

impl Stage {
    async fn run(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        // What the gateway itself causes is made afresh.
        let script: Vec<(Option<Timestamp>, Record)> = entries
            .iter()
            .filter(|entry| entry.direction != Some(Direction::ToPms))
            .filter_map(|entry| Some((entry.at, Record::decode(entry.text.as_bytes(), Charset::Utf8)?)))
            .filter(|(_, record)| {
                !record.id().starts_with('L') && !matches!(record.id(), "PA" | "PL" | "XT" | "XC")
            })
            .collect();
        let mut next = script.iter().peekable();
        let mut before = None;
        let (mut framer, mut buffer) = (Framer::new(), [0_u8; 4096]);
        let mut due: Option<Instant> = None;
        self.send(&stamped("LS")).await?;
        loop {
            let read = tokio::select! {
                read = self.stream.read(&mut buffer) => read,
                () = until(due), if due.is_some() => {
                    due = None;
                    if let Some((at, record)) = next.next() {
                        self.enter(record);
                        self.send(record).await?;
                        self.played += 1;
                        before = at.or(before);
                        due = next.peek().map(|(at, _)| Instant::now() + self.gap(before, *at));
                        if due.is_none() {
                            say(&format!("all {} records are played; waiting for the gateway to go", self.played))?;
                        }
                    }
                    continue;
                }
            };
            let count = match read {
                Ok(0) => return say("the gateway has gone"),
                Ok(count) => count,
                Err(error) => return say(&format!("the gateway has gone: {error}")),
            };
            let mut records = Vec::new();
            framer.push(buffer.get(..count).unwrap_or_default(), |event| {
                records.extend(match event {
                    FrameEvent::Body(body) => Record::decode(&body, self.charset),
                    FrameEvent::Torn => None,
                });
            });
            for record in records {
                let text = text_of(&record);
                say(&format!("IFC> {text}\n     {}", explain(&text, Some(Direction::ToPms)).says))?;
                match record.id() {
                    "LA" => {
                        self.send(&stamped("LA")).await?;
                        if self.played == 0 && due.is_none() {
                            due = Some(Instant::now() + BEFORE_RECORDS);
                        }
                    }
                    "LS" => self.send(&stamped("LA")).await?,
                    "LE" => {
                        self.send(&stamped("LE")).await?;
                        return say("the gateway has said good-bye");
                    }
                    "DR" => self.list().await?,
                    "PS" => {
                        let answer = ["RN", "P#"].iter().fold(Record::new("PA"), |answer, field| {
                            answer.with(field, record.get(field).unwrap_or_default())
                        });
                        self.send(&answer.with("AS", "OK")).await?;
                    }
                    _ => {}
                }
            }
        }
    }

    /// How long after `before` the record of `at` comes.
    fn gap(&self, before: Option<Timestamp>, at: Option<Timestamp>) -> Duration {
        if self.speed == 0.0 {
            return Duration::ZERO;
        }
        let span = match (before, at) {
            (Some(before), Some(at)) => Duration::try_from(at.duration_since(before)).unwrap_or_default(),
            _ => Duration::from_secs(1),
        };
        Duration::try_from_secs_f64(span.as_secs_f64() / self.speed)
            .map_or(LONGEST_GAP, |gap| gap.min(LONGEST_GAP))
    }

    /// Keeps who is in the house.
    fn enter(&mut self, record: &Record) {
        let room = record.get("RN").unwrap_or_default();
        let key = record.filled("G#").map_or_else(|| format!("room {room}"), str::to_owned);
        match record.id() {
            "GI" | "GC" => drop(self.inside.insert(key, record.clone())),
            "GO" if record.filled("G#").is_some() => drop(self.inside.remove(&key)),
            "GO" => self.inside.retain(|_, of| of.get("RN") != Some(room)),
            _ => {}
        }
    }

    async fn list(&mut self) -> Result<(), Fault> {
        self.send(&stamped("DS")).await?;
        let inside: Vec<Record> = self.inside.values().cloned().collect();
        for guest in inside {
            let plain = guest.fields().filter(|(field, _)| !matches!(*field, "RO" | "SF"));
            let listed = plain.fold(Record::new("GI"), |listed, (field, value)| listed.with(field, value));
            self.send(&listed.with("SF", "")).await?;
        }
        self.send(&stamped("DE")).await
    }

    async fn send(&mut self, record: &Record) -> Result<(), Fault> {
        let frame = record.encode(self.charset);
        self.stream
            .write_all(&frame)
            .await
            .map_err(|error| Fault::Failed(format!("the gateway has gone: {error}")))
    }
}

fn stamped(id: &str) -> Record {
    let now = jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now());
    let (date, time) = (now.strftime("%y%m%d").to_string(), now.strftime("%H%M%S").to_string());
    Record::new(id).with("DA", date).with("TI", time)
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
