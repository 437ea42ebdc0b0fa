//! The one place that starts tasks: each with a name, a way to be stopped, and a rule for what follows its end.
//!
//! Why: a driver that fails or panics must take down nobody else, and must be seen. It is started again after a pause
//! that grows with each failure in a row.
//!
//! Terms: a *task* is one driver, door or link; it *fails* when it ends by an error or a panic.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause after a first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A task that ran this long before it failed starts over with the first pause.
const GOOD_RUN: Duration = Duration::from_secs(300);

/// How a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskState {
    /// Failures since the start of the agent.
    pub(crate) failures: u64,
    /// Why it is not running now.
    pub(crate) down: Option<String>,
}

/// Starts tasks, starts them again, stops them.
#[derive(Clone, Default)]
pub(crate) struct Supervisor {
    tracker: TaskTracker,
    cancel: CancellationToken,
    /// One entry a task: bounded by the configuration.
    states: Arc<Mutex<BTreeMap<String, TaskState>>>,
}

impl Supervisor {
    /// Keeps a task running until the supervisor stops: `start` makes it (again), `failed` is told why it failed.
    pub(crate) fn keep<Start, Task, Failed, Told>(&self, name: &str, start: Start, failed: Failed)
    where
        Start: Fn(CancellationToken) -> Task + Send + 'static,
        Task: Future<Output = anyhow::Result<()>> + Send + 'static,
        Failed: Fn(String) -> Told + Send + 'static,
        Told: Future<Output = ()> + Send,
    {
        let (this, name) = (self.clone(), name.to_owned());
        this.note(&name, |_| {});
        self.tracker.spawn(async move {
            let mut pause = FIRST_PAUSE;
            while !this.cancel.is_cancelled() {
                let began = tokio::time::Instant::now();
                let ended = tokio::spawn(start(this.cancel.child_token())).await;
                if this.cancel.is_cancelled() {
                    return;
                }
                let why = reason(ended);
                if began.elapsed() >= GOOD_RUN {
                    pause = FIRST_PAUSE;
                }
                tracing::error!(task = %name, %why, ?pause, "a task has failed and will be started again");
                this.note(&name, |state| {
                    state.failures += 1;
                    state.down = Some(why.clone());
                });
                failed(why).await;
                // Between a half and the whole of the pause, so that tasks that fail together don't start together.
                let part = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
                if this.cancel.run_until_cancelled(tokio::time::sleep(part)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                this.note(&name, |state| state.down = None);
            }
        });
    }

    /// How the tasks are, by name.
    pub(crate) fn states(&self) -> BTreeMap<String, TaskState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, name: &str, note: impl FnOnce(&mut TaskState)) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        note(states.entry(name.to_owned()).or_default());
    }

    /// Stops all tasks and waits for them, at most `longest`; false where some did not end.
    pub(crate) async fn stop(&self, longest: Duration) -> bool {
        self.cancel.cancel();
        self.tracker.close();
        tokio::time::timeout(longest, self.tracker.wait()).await.is_ok()
    }
}

fn reason(ended: Result<anyhow::Result<()>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it ended by itself".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("it panicked: {}", text.unwrap_or_else(|| "without a text".to_owned()))
            }
            Err(_) => "it was stopped from outside".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_is_started_again_and_the_others_go_on() {
        let supervisor = Supervisor::default();
        let (told, mut failures) = mpsc::channel(16);
        let starts = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&starts);
        supervisor.keep(
            "shaky",
            move |cancel| {
                let start = count.fetch_add(1, Ordering::SeqCst);
                async move {
                    match start {
                        0 => panic!("a wire is loose"),
                        1 => anyhow::bail!("no answer"),
                        2 => Ok(()),
                        _ => {
                            cancel.cancelled().await;
                            Ok(())
                        }
                    }
                }
            },
            move |why| {
                let told = told.clone();
                async move { told.send(why).await.unwrap() }
            },
        );
        let quiet = |cancel: CancellationToken| async move {
            cancel.cancelled().await;
            Ok(())
        };
        supervisor.keep("steady", quiet, |_| async {});
        for why in ["it panicked: a wire is loose", "no answer", "it ended by itself"] {
            assert_eq!(failures.recv().await.as_deref(), Some(why));
        }
        while starts.load(Ordering::SeqCst) < 4 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let states = supervisor.states();
        assert_eq!((states["shaky"].failures, states["steady"].failures), (3, 0));
        assert!(supervisor.stop(Duration::from_secs(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_not_waited_for_for_ever() {
        let supervisor = Supervisor::default();
        let (started, mut starts) = mpsc::channel(1);
        let deaf = move |_| {
            let started = started.clone();
            async move {
                started.send(()).await?;
                std::future::pending::<anyhow::Result<()>>().await
            }
        };
        supervisor.keep("deaf", deaf, |_| async {});
        starts.recv().await.unwrap();
        assert!(!supervisor.stop(Duration::from_secs(1)).await);
    }
}
