//! Live values between replicas and the command line: a note of PostgreSQL for each frame, on a channel of each who watches.
//!
//! Anybody may listen on any channel, also a tenant: row-level security ends there. So a channel's name can't be guessed,
//! and stands in a table (`live_watcher`) that the service alone reads. It goes when its session does.
//!
//! A note is at most 8,000 bytes, and gone when nobody listens. Whichever replica has the gateway's connection tells; who
//! watches listens on a connection of its own, whichever replica it is near.

use super::Store;
use crate::live::{Hub, Told, WAITING};
use crate::store::StoreError;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

/// How many may watch at once, of all gateways.
const MOST_WATCHING: i64 = 256;
/// A frame for all who watch its gateway.
const TELL: &str = "SELECT pg_notify(channel, $2) FROM live_watcher WHERE gateway = $1";
/// Those whose session has ended without a word.
const FORGET: &str = "DELETE FROM live_watcher w
    WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.pid)";
/// Who listens already is told from now on.
const ENTER: &str = "INSERT INTO live_watcher (channel, gateway, pid)
    SELECT $1, $2, pg_backend_pid() WHERE (SELECT count(*) FROM live_watcher) < $3";
/// The longest note, bytes: PostgreSQL's bound is 8,000.
const MOST_NOTE: usize = 7_900;

/// Tells what the sessions of this replica have, until `cancel`.
pub async fn tell(store: Store, hub: Hub, cancel: CancellationToken) {
    let mut heard = hub.hear();
    let telling = async {
        let mut lost = 0;
        while let Some((told, missed)) = heard.next().await {
            lost += missed;
            let told = Told { missed: std::mem::take(&mut lost), ..Told::clone(&told) };
            let gateway = told.gateway.clone();
            for note in notes(told) {
                let noting = async {
                    let client = store.client().await?;
                    client
                        .execute(TELL, &[&gateway, &note])
                        .await
                        .map_err(StoreError::postgres("passing live values on"))
                };
                if let Err(error) = noting.await {
                    lost += 1;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "live values were not passed on"
                    );
                }
            }
        }
    };
    let _: Option<()> = cancel.run_until_cancelled(telling).await;
}

/// `told` in notes that are short enough. A value that fits into none is counted.
fn notes(told: Told) -> Vec<String> {
    let text = serde_json::to_string(&told).unwrap_or_default();
    if text.len() <= MOST_NOTE {
        return vec![text];
    }
    let mut values = told.values;
    if values.len() <= 1 {
        // Without the value its names are left, and those are short.
        let less = Told { values: vec![], dropped: told.dropped + values.len() as u64, ..told };
        let text = serde_json::to_string(&less).unwrap_or_default();
        return if text.len() <= MOST_NOTE { vec![text] } else { vec![] };
    }
    let rest = values.split_off(values.len() / 2);
    let first = Told {
        gateway: told.gateway.clone(),
        tail: told.tail.clone(),
        values,
        dropped: told.dropped,
        missed: told.missed,
        ended: None,
    };
    let mut all = notes(first);
    all.extend(notes(Told { values: rest, missed: 0, ..told }));
    all
}

/// Listens to a gateway's, from when this returns; the channel closes when the connection ends.
///
/// # Errors
/// PostgreSQL's; [`StoreError::TooManyWatch`].
pub async fn listen(store: &Store, gateway: &str) -> Result<mpsc::Receiver<Told>, StoreError> {
    let (client, mut messages) = store.address().alone().await?;
    let (told, heard) = mpsc::channel(WAITING);
    let (asked, listening) = oneshot::channel();
    let gateway = gateway.to_owned();
    tokio::spawn(async move {
        let asking = async {
            let done = enter(&client, &gateway).await;
            // Who waits for it has not gone: it is in this function.
            let _ = asked.send(done);
            std::future::pending::<()>().await;
        };
        let hearing = async {
            while let Some(Ok(message)) = messages.next().await {
                let AsyncMessage::Notification(note) = message else { continue };
                let Ok(next) = serde_json::from_str::<Told>(note.payload()) else { continue };
                if told.send(next).await.is_err() {
                    return;
                }
            }
        };
        // The row stays until the next one watches; nobody hears its channel any more.
        tokio::select! {
            () = asking => {}
            () = hearing => {}
        }
    });
    match listening.await {
        Ok(entered) => entered.map(|()| heard),
        Err(_) => Err(StoreError::Stopped),
    }
}

/// Has this session hear a channel of its own, and those who tell know of it.
async fn enter(client: &tokio_postgres::Client, gateway: &str) -> Result<(), StoreError> {
    let doing = StoreError::postgres("listening for live values");
    // PostgreSQL's own strong randomness: 122 bits of it.
    let name = "SELECT 'engawa_live_' || replace(gen_random_uuid()::text, '-', '')";
    let channel: String = client.query_one(name, &[]).await.map_err(doing)?.get(0);
    client.batch_execute(&format!("LISTEN {channel}")).await.map_err(doing)?;
    client.execute(FORGET, &[]).await.map_err(doing)?;
    match client.execute(ENTER, &[&channel, &gateway, &MOST_WATCHING]).await.map_err(doing)? {
        0 => Err(StoreError::TooManyWatch(MOST_WATCHING)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_too_long_for_a_note_goes_in_several_and_nothing_twice() {
        let value = |n: usize| (None, json!({ "n": n, "of": "x".repeat(400) }));
        let told = Told {
            gateway: "g".into(),
            tail: "t".into(),
            values: (0..100).map(value).collect(),
            dropped: 1,
            missed: 2,
            ended: Some("over".into()),
        };
        let notes: Vec<Told> = notes(told)
            .iter()
            .map(|note| {
                assert!(note.len() <= MOST_NOTE);
                serde_json::from_str(note).unwrap()
            })
            .collect();
        let all: Vec<usize> = notes
            .iter()
            .flat_map(|note| &note.values)
            .map(|(_, v)| v["n"].as_u64().unwrap() as usize)
            .collect();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(notes.iter().map(|note| note.missed).sum::<u64>(), 2);
        let ended: Vec<bool> = notes.iter().map(|note| note.ended.is_some()).collect();
        assert_eq!(ended.iter().position(|ended| *ended), Some(ended.len() - 1));
        let huge = Told { values: vec![(None, json!("x".repeat(9_000)))], ..Told::default() };
        assert_eq!(serde_json::from_str::<Told>(&super::notes(huge)[0]).unwrap().dropped, 1);
    }
}
