//! A folder of lists, as it is filled, changed and spoilt.

use super::house::{Fast, ZONE, rooms};
use engawa_model::{Fact, Intent, Observation, ObservationSink, PostingNumber, RoomId, SinkFuture};
use engawa_pms::hosted::Guests;
use engawa_pms::hosted::config::ImportConfig;
use engawa_pms::hosted::import::{Reading, Watcher};
use jiff::tz::TimeZone;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Facts(Mutex<Vec<Fact>>);

impl ObservationSink for Facts {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.0.lock().unwrap().push(observation.fact);
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
    }
}

impl Facts {
    /// In words, and forgotten.
    fn take(&self) -> Vec<String> {
        let facts = std::mem::take(&mut *self.0.lock().unwrap());
        let word = |fact| match fact {
            Fact::GuestSeen { stay, room, .. } => format!("seen {stay} {room}"),
            Fact::GuestGone { room, .. } => format!("gone {room}"),
            Fact::ResyncBegun => "begun".to_owned(),
            Fact::ResyncDone => "done".to_owned(),
            Fact::Link { up, detail, .. } => format!("{} {detail}", if up { "up" } else { "down" }),
            Fact::PostingAnswered { status, .. } => format!("posting {status}"),
            other => format!("{other:?}"),
        };
        facts.into_iter().map(word).collect()
    }

    async fn until(&self, last: &str) -> Vec<String> {
        let began = Instant::now();
        let mut all = Vec::new();
        loop {
            all.extend(self.take());
            if all.last().is_some_and(|word| word.contains(last)) {
                return all;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "waited for {last}: {all:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let new = folder.join(format!(".{name}"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}

#[tokio::test]
async fn what_the_folder_says_is_the_house_and_what_is_spoilt_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (sink, cancel) = (Arc::new(Facts::default()), CancellationToken::new());
    let (intents, receiver) = mpsc::channel(8);
    let config =
        ImportConfig { folder: dir.path().to_owned(), check_in: "15:00".into(), check_out: "11:00".into() };
    let zone = TimeZone::get(ZONE).unwrap();
    let rooms = rooms(3).into_iter().map(RoomId::new);
    let watcher = Watcher {
        folder: dir.path().to_owned(),
        reading: Reading::new(&config, zone, rooms),
        guests: Guests::default(),
        sink: Arc::clone(&sink) as Arc<dyn ObservationSink>,
        intents: receiver,
        // It begins at noon in Berlin on 15 July.
        clock: Fast::new(40),
    };
    let stop = cancel.clone();
    let task = tokio::spawn(async move { watcher.run(stop).await.unwrap() });
    let said = sink.until("down").await;
    assert!(said[0].contains("there is no list"), "{said:?}");

    write(
        dir.path(),
        "stays.csv",
        "room,arrival,departure,name\n101,2026-07-14,2026-07-16,Sato\n102,2026-07-14,2026-07-15T12:01,Mori\n103,2026-07-15T12:01,2026-07-17,Abe\n",
    );
    let said = sink.until("up").await;
    assert_eq!(said[0], "begun");
    assert_eq!(said[1..3], ["seen list:101:2026-07-14 101", "seen list:102:2026-07-14 102"]);
    // A minute later one goes and one comes, without anybody touching the file.
    let said = sink.until("seen list:103").await;
    assert_eq!(said, ["gone 102", "seen list:103:2026-07-15 103"]);

    write(
        dir.path(),
        "101.ics",
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTART:2026\r\nDTEND:20260716\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    let said = sink.until("down").await;
    assert!(said[0].starts_with("down 101.ics:4:9: DTSTART is no date"), "{said:?}");
    std::fs::remove_file(dir.path().join("101.ics")).unwrap();
    let said = sink.until("up").await;
    assert_eq!(said.iter().filter(|word| word.starts_with("gone")).count(), 0, "{said:?}");

    let amount = engawa_model::Money { minor: 1, currency: engawa_model::Currency::new("EUR").unwrap() };
    let (number, room) = (PostingNumber(1), RoomId::from("101"));
    let charge = Intent::SendPosting {
        number,
        room,
        stay: None,
        amount,
        text: "x".into(),
        outlet: None,
        detail: engawa_model::PostingDetail::Plain,
    };
    intents.send(charge).await.unwrap();
    sink.until("posting NF").await;
    cancel.cancel();
    task.await.unwrap();
}
