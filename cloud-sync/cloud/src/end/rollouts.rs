//! A gateway asks what it is meant to run.

use super::{OneFile, fault, now};
use crate::rollout::answer::asked;
use crate::store::rollouts;
use engawa_protocol::ports::StoreFault;
use engawa_protocol::update::{UpdateAsk, UpdateTold};
use std::sync::Arc;

impl OneFile {
    pub(super) fn update_told(&self, gateway: &str, ask: &UpdateAsk) -> Result<UpdateTold, StoreFault> {
        let fault = fault("telling a gateway its version");
        let at = now();
        let authority = self.authority();
        let (software, last) = asked(ask, authority.region().unwrap_or_default(), at);
        // Most have nothing new to tell, and nothing to hear: these are answered without a word to the writer.
        let read = self.readers.with(|connection| {
            rollouts::told(connection, &self.cohorts, gateway, &software, last.as_ref(), at)
        });
        let (told, writes, fresh) = read.map_err(&fault)?;
        if writes.is_empty() && !fresh {
            return Ok(told.into());
        }
        let (gateway, cohorts) = (gateway.to_owned(), Arc::clone(&self.cohorts));
        let told = self.writer.run(move |connection| {
            // Looked at again where nothing moves: a rollout may have halted since.
            let (told, writes, fresh) =
                rollouts::told(connection, &cohorts, &gateway, &software, last.as_ref(), at)?;
            rollouts::apply(connection, &writes)?;
            if fresh {
                rollouts::note_software(connection, &gateway, &software)?;
            }
            Ok(told)
        });
        told.map(Into::into).map_err(fault)
    }
}
