//! `engawa devices forget`: the running agent forgets what it has learnt of a device.

use crate::cli::{Failure, File};
use crate::config::Loaded;
use anyhow::anyhow;
use clap::Args;
use engawa_api::{Accepted, Client, ClientError};
use engawa_model::Timestamp;
use serde_json::json;

/// Of which device.
#[derive(Args)]
pub(crate) struct Forget {
    /// The device.
    device: String,
    #[command(flatten)]
    pub(super) file: File,
}

impl Forget {
    pub(super) fn run(&self, loaded: &Loaded) -> Result<(), Failure> {
        let Some(socket) = &loaded.config.api.socket else {
            return Err(anyhow!("[api] names no socket, so the agent can't be asked").into());
        };
        if !loaded.config.device.iter().any(|device| device.id == self.device) {
            return Err(anyhow!("the configuration has no device `{}`", self.device).into());
        }
        let key = format!("forget-{}-{}", self.device, Timestamp::now().as_microsecond());
        let command = json!({ "key": key, "do": "forget-learnt", "device": self.device });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::new(socket);
        let asked = runtime.block_on(client.post::<_, Accepted>("/api/commands", &command));
        asked.map_err(|error| match error {
            error @ ClientError::NotRunning { .. } => Failure::NotRunning(error.into()),
            error => Failure::Failed(error.into()),
        })?;
        println!("what was learnt of {} is forgotten: it is found out anew", self.device);
        Ok(())
    }
}
