//! Hears of new commands, from whichever replica or command line they were sent.
//!
//! It only wakes: sessions look for themselves every few seconds too, so that a note that is lost costs time, and nothing
//! else.

use super::commands::CHANNEL;
use super::{Address, Store};
use futures::StreamExt;
use std::time::Duration;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

/// Between two tries to listen again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whoever listens.
pub struct Wake;

impl Wake {
    /// Listens until `cancel`; `wake` is called with each gateway that has new commands.
    pub async fn run(store: Store, wake: impl Fn(&str) + Send + Sync, cancel: CancellationToken) {
        let listening = async {
            loop {
                if let Err(why) = listen(store.address(), &wake).await {
                    tracing::warn!(%why, "not listening for new commands; sessions look for themselves meanwhile");
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        // What it was doing is of no use to anybody then.
        let _: Option<()> = cancel.run_until_cancelled(listening).await;
    }
}

async fn listen(address: &Address, wake: &(impl Fn(&str) + Send + Sync)) -> Result<(), String> {
    let (client, mut messages) = address.alone().await.map_err(|error| error.to_string())?;
    let (asked, heard) = tokio::sync::oneshot::channel();
    let asking = async {
        let listening = client.batch_execute(&format!("LISTEN {CHANNEL}")).await;
        // The other end is in this function, and has not ended.
        let _ = asked.send(listening);
        std::future::pending::<()>().await;
    };
    let hearing = async {
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(note)) => wake(note.payload()),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
        "the connection has ended".to_owned()
    };
    let told = async {
        match heard.await {
            // What came while nobody listened.
            Ok(Ok(())) => wake(""),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "nobody asked".to_owned(),
        }
        std::future::pending().await
    };
    tokio::select! {
        () = asking => Ok(()),
        why = told => Err(why),
        why = hearing => Err(why),
    }
}
