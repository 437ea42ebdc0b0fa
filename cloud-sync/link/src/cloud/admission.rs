//! Who is connected, and whether they may go on: one question to the store for all sessions, every few seconds. Ten
//! thousand sessions that each ask for themselves would be all that a database does.

use super::NOT_ADMITTED;
use crate::gate;
use crate::transport::Connection;
use crate::{LinkError, Tuning};
use engawa_protocol::ports::{CloudStore, Refusal};
use engawa_protocol::trust::{Distrust, Peer, Session, Turn};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a session goes on while the store can't say whether it may: a revocation takes effect within a minute.
const UNANSWERED: Duration = Duration::from_secs(50);

/// All sessions of this cloud.
#[derive(Default)]
pub(super) struct Admission {
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    last: u64,
    all: HashMap<u64, Entry>,
}

struct Entry {
    session: Session,
    connection: Connection,
    refused: oneshot::Sender<Refusal>,
    /// Since when the store has not said whether it may go on.
    unanswered: Option<Instant>,
}

/// One session's place; it is free again when this is dropped.
pub(super) struct Place {
    admission: Arc<Admission>,
    number: u64,
    refused: oneshot::Receiver<Refusal>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.sessions().all.remove(&self.number);
    }
}

impl Place {
    /// The turn that the session has shown.
    pub(super) fn turn(&self, turn: Turn) {
        if let Some(entry) = self.admission.sessions().all.get_mut(&self.number) {
            entry.session.turn = Some(turn);
        }
    }

    /// Waits until the gateway may not talk any more; it has heard so by then.
    pub(super) async fn refused(&mut self) -> LinkError {
        match (&mut self.refused).await {
            Ok(refusal) => LinkError::Refused { reason: refusal.to_string(), retry_after_s: 0 },
            // Nobody asks any more: the cloud ends, and the sessions with it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Admission {
    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins.
    pub(super) fn enter(self: &Arc<Self>, peer: &Arc<Peer>, connection: &Connection) -> Place {
        let (refuse, refused) = oneshot::channel();
        let session = Session { peer: Arc::clone(peer), turn: None };
        let entry = Entry { session, connection: connection.clone(), refused: refuse, unanswered: None };
        let mut sessions = self.sessions();
        sessions.last += 1;
        let number = sessions.last;
        sessions.all.insert(number, entry);
        drop(sessions);
        Place { admission: Arc::clone(self), number, refused }
    }

    /// Asks for all of them, again and again, and ends those that may not go on.
    pub(super) async fn watch(&self, store: &dyn CloudStore, tuning: &Tuning) {
        let mut look = tokio::time::interval(tuning.admission);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let (numbers, asked): (Vec<u64>, Vec<Session>) =
                self.sessions().all.iter().map(|(number, entry)| (*number, entry.session.clone())).unzip();
            if asked.is_empty() {
                continue;
            }
            let answers = store.standings(&asked).await;
            for ((number, asked), answer) in numbers.into_iter().zip(asked).zip(answers) {
                self.heard(number, &asked, answer);
            }
        }
    }

    fn heard(&self, number: u64, asked: &Session, answer: Result<(), Refusal>) {
        let mut sessions = self.sessions();
        let Some(entry) = sessions.all.get_mut(&number) else { return };
        let answer = match answer {
            // It has shown its turn meanwhile: the answer is to another question.
            _ if entry.session.turn != asked.turn => return,
            _ if gate::expired(&asked.peer) => Err(Distrust::Expired(asked.peer.gateway.clone()).into()),
            // A database that restarts must not send its whole fleet away. Nothing is stored meanwhile: each transaction
            // asks once more.
            Err(Refusal::Unavailable)
                if entry.unanswered.get_or_insert_with(Instant::now).elapsed() < UNANSWERED =>
            {
                return;
            }
            answer => answer,
        };
        match answer {
            Ok(()) => entry.unanswered = None,
            Err(refusal) => {
                if let Some(entry) = sessions.all.remove(&number) {
                    // Before the session's tasks end: what the gateway sees first must be the reason.
                    entry.connection.close(NOT_ADMITTED, &refusal.to_string());
                    // A session that has just ended needs no telling.
                    let _ = entry.refused.send(refusal);
                }
            }
        }
    }
}
