//! Commands of the command line to the running agent.

use crate::cli::Failure;
use crate::config::Loaded;
use anyhow::anyhow;
use engawa_api::{Accepted, Client, ClientError};
use engawa_model::Timestamp;
use serde_json::{Value, json};

/// Asks the running agent to do something. `by` begins the command's key.
pub(crate) fn ask(loaded: &Loaded, by: &str, mut action: Value) -> Result<(), Failure> {
    let Some(socket) = &loaded.config.api.socket else {
        return Err(anyhow!("[api] names no socket, so the agent can't be asked").into());
    };
    if let Some(object) = action.as_object_mut() {
        object.insert("key".to_owned(), json!(format!("{by}-{}", Timestamp::now().as_microsecond())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(Client::new(socket).post::<_, Accepted>("/api/commands", &action));
    asked.map(drop).map_err(|error| match error {
        error @ ClientError::NotRunning { .. } => Failure::NotRunning(error.into()),
        error => Failure::Failed(error.into()),
    })
}
