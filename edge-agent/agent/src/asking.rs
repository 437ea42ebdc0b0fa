//! Commands of the command line to the running agent.

use crate::cli::Failure;
use crate::config::Loaded;
use anyhow::anyhow;
use engawa_api::{Accepted, Client, ClientError, CommandReport};
use engawa_model::{MOST_ASKER, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How often the end of a command is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Who asks: a login, for the audit. `None` where the system does not say.
pub(crate) fn asker() -> Option<String> {
    let known = ["SUDO_USER", "USER", "LOGNAME"];
    let name = known.into_iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty())?;
    Some(name.chars().filter(|c| !c.is_control()).take(MOST_ASKER).collect())
}

/// Asks the running agent to do something, and waits for its end; `by` begins the command's key.
pub(crate) fn ask_and_wait(
    loaded: &Loaded,
    by: &str,
    action: Value,
    longest: Duration,
) -> Result<CommandReport, Failure> {
    ask_and_wait_through(loaded, by, action, longest, Duration::ZERO)
}

/// As [`ask_and_wait`], where the agent may be away for `restart` in between: it is started anew by what it was asked.
pub(crate) fn ask_and_wait_through(
    loaded: &Loaded,
    by: &str,
    mut action: Value,
    longest: Duration,
    restart: Duration,
) -> Result<CommandReport, Failure> {
    let socket = socket(loaded)?;
    let key = key(by);
    if let Some(object) = action.as_object_mut() {
        object.insert("key".to_owned(), json!(key));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(socket);
    runtime.block_on(async {
        client.post::<_, Accepted>("/api/commands", &action).await.map_err(failure)?;
        let path = format!("/api/commands/{}", Client::segment(&key));
        let deadline = tokio::time::Instant::now() + longest;
        let mut heard = tokio::time::Instant::now();
        loop {
            match client.get::<CommandReport>(&path).await {
                Ok(report) if report.outcome.is_some() => return Ok(report),
                Ok(_) => heard = tokio::time::Instant::now(),
                Err(_) if heard.elapsed() < restart => {}
                Err(error) => return Err(failure(error)),
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(anyhow!(
                    "the agent has not answered command {key} within {} s",
                    longest.as_secs()
                )
                .into());
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

fn socket(loaded: &Loaded) -> Result<&Path, Failure> {
    let socket = loaded.config.api.socket.as_deref();
    socket.ok_or_else(|| anyhow!("[api] names no socket, so the agent can't be asked").into())
}

fn key(by: &str) -> String {
    format!("{by}-{}", Timestamp::now().as_microsecond())
}

/// What a question that got no good answer means for the command line.
pub(crate) fn failure(error: ClientError) -> Failure {
    match error {
        error @ ClientError::NotRunning { .. } => Failure::NotRunning(error.into()),
        error => Failure::Failed(error.into()),
    }
}

/// Asks the running agent to do something. `by` begins the command's key.
pub(crate) fn ask(loaded: &Loaded, by: &str, mut action: Value) -> Result<(), Failure> {
    let socket = socket(loaded)?;
    if let Some(object) = action.as_object_mut() {
        object.insert("key".to_owned(), json!(key(by)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(Client::new(socket).post::<_, Accepted>("/api/commands", &action));
    asked.map(drop).map_err(failure)
}
