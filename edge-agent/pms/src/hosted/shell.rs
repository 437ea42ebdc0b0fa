//! The shell around a [`Machine`]: it carries requests, facts, intents and the feed's texts, and knows no system.

use super::feed::{self, Told};
use super::http::{Connector, Http, HttpError, Trust};
use super::machine::{Machine, Out};
use super::{Answer, Failure};
use crate::link::Backoff;
use crate::tcp::Clock;
use engawa_model::{Fact, Intent, Observation, ObservationSink, SinkClosed, Timestamp};
use jiff::SignedDuration;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long a charge that is on its way is waited for when the gateway stops.
const GOODBYE: Duration = Duration::from_secs(5);
/// Texts of the feed that may wait.
const QUEUE: usize = 64;

/// What the shell works with.
pub struct Shell<C> {
    /// The conversation.
    pub machine: Machine,
    /// Whom we trust.
    pub trust: Trust,
    /// How long an answer may take.
    pub answer: Duration,
    /// The longest pause before the feed is opened again, seconds.
    pub reconnect_max_s: u32,
    /// Where facts go.
    pub sink: Arc<dyn ObservationSink>,
    /// What the house wants of the PMS; bounded by its maker.
    pub intents: mpsc::Receiver<Intent>,
    /// The clock.
    pub clock: C,
    /// Spreads the pauses between attempts.
    pub seed: u64,
}

/// Why the shell ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShellError {
    /// No connections can be made.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The house has closed.
    #[error(transparent)]
    House(#[from] SinkClosed),
}

type Asking = Pin<Box<dyn Future<Output = (Http, Result<Answer, Failure>)> + Send>>;

/// The feed's task, and the ways to it.
struct Listening {
    _task: AbortOnDropHandle<()>,
    told: mpsc::Receiver<Told>,
    say: mpsc::Sender<String>,
    /// Not opened again sooner.
    pause: SignedDuration,
}

impl<C: Clock> Shell<C> {
    /// Speaks with the system until `cancel`.
    ///
    /// # Errors
    /// No connections can be made at all, or the house has closed.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), ShellError> {
        let connector = Connector::new(&self.trust)?;
        let mut http = Some(Http::new(connector.clone(), self.answer));
        let mut asking: Option<Asking> = None;
        let mut listening: Option<Listening> = None;
        let mut backoff = Backoff::new(self.reconnect_max_s, self.seed);
        let mut listen_at = self.clock.now();
        self.machine.on_wake(self.clock.now());
        loop {
            while let Some(out) = self.machine.poll() {
                match out {
                    Out::Observe(facts) => self.report(facts).await?,
                    Out::Ask(request) => {
                        // One request at a time: the machine waits for its answer.
                        if let Some(mut client) = http.take() {
                            asking = Some(Box::pin(async move {
                                let answer = client.ask(request).await;
                                (client, answer)
                            }));
                        }
                    }
                    Out::Say(text) => {
                        // A feed that takes no bytes is dead: it is opened anew.
                        let dead = listening.take_if(|open| open.say.try_send(text).is_err());
                        if let Some(dead) = dead {
                            listen_at = later(self.clock.now(), dead.pause, &mut backoff);
                        }
                    }
                    Out::Reopen => {
                        let pause = listening.take().map_or(SignedDuration::ZERO, |open| open.pause);
                        listen_at = later(self.clock.now(), pause, &mut backoff);
                    }
                }
            }
            let now = self.clock.now();
            let mut feed_at = listening.is_none().then_some(listen_at);
            if feed_at.is_some_and(|at| at <= now) {
                listening = self.machine.feed(now).map(|feed| open(&connector, feed));
                feed_at = None;
            }
            let until = [self.machine.wake_at(), feed_at].into_iter().flatten().min();
            tokio::select! {
                () = cancel.cancelled() => break,
                (client, answer) = next_answer(&mut asking), if asking.is_some() => {
                    (asking, http) = (None, Some(client));
                    if let Err(failure) = &answer {
                        tracing::debug!(%failure, "no answer");
                    }
                    self.machine.on_answer(self.clock.now(), answer);
                }
                intent = self.intents.recv() => match intent {
                    Some(intent) => self.machine.on_intent(self.clock.now(), &intent),
                    None => break,
                },
                told = next_told(&mut listening), if listening.is_some() => match told {
                    Some(Told::Open) => {
                        tracing::info!("the feed of the PMS is open");
                        self.machine.on_feed_open(self.clock.now());
                    }
                    Some(Told::Text(text)) => {
                        backoff.reset();
                        self.machine.on_feed(self.clock.now(), &text);
                    }
                    None => {
                        let pause = listening.take().map_or(SignedDuration::ZERO, |open| open.pause);
                        listen_at = later(self.clock.now(), pause, &mut backoff);
                    }
                },
                () = self.clock.sleep_until(until.unwrap_or(Timestamp::MAX)), if until.is_some() => {
                    self.machine.on_wake(self.clock.now());
                }
            }
        }
        if self.machine.is_charging()
            && let Some(asking) = asking
            && let Ok((_, answer)) = tokio::time::timeout(GOODBYE, asking).await
        {
            self.machine.on_answer(self.clock.now(), answer);
        }
        self.machine.end(self.clock.now());
        while let Some(out) = self.machine.poll() {
            if let Out::Observe(facts) = out {
                self.report(facts).await?;
            }
        }
        Ok(())
    }

    async fn report(&self, facts: Vec<Fact>) -> Result<(), SinkClosed> {
        for fact in &facts {
            if let Fact::Link { up: false, detail, .. } = fact {
                tracing::warn!(why = %detail, "the hosted PMS is away");
            }
        }
        if facts.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.sink.report_all(facts.into_iter().map(|fact| Observation::new(now, fact)).collect()).await
    }
}

fn later(now: Timestamp, least: SignedDuration, backoff: &mut Backoff) -> Timestamp {
    now.checked_add(backoff.pause().max(least)).unwrap_or(Timestamp::MAX)
}

fn open(connector: &Connector, feed: super::Feed) -> Listening {
    let (tell, told) = mpsc::channel(QUEUE);
    let (say, mut said) = mpsc::channel(QUEUE);
    let connector = connector.clone();
    let pause = SignedDuration::from_secs(i64::from(feed.pause_s));
    let task = tokio::spawn(async move {
        let why = feed::listen(&connector, feed, tell, &mut said).await;
        tracing::info!(%why, "the feed of the PMS has ended; polling goes on");
    });
    Listening { _task: AbortOnDropHandle::new(task), told, say, pause }
}

async fn next_answer(asking: &mut Option<Asking>) -> (Http, Result<Answer, Failure>) {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn next_told(listening: &mut Option<Listening>) -> Option<Told> {
    match listening {
        Some(listening) => listening.told.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
