//! Where the cloud of the gateway's own region is, once another region's cloud has said so. It is believed because an
//! authority that the gateway trusts has signed it, and kept over restarts.

use crate::identity::write_whole;
use crate::transport::Connection;
use crate::{Identity, regions, stream};
use engawa_protocol::frame::Body;
use engawa_protocol::trust::Nothing;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The address that was learnt, shared by everybody who goes the same way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Home(Arc<Mutex<Option<String>>>);

impl Home {
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, address: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Takes up what an earlier process has learnt for this region.
    pub(crate) fn recall(&self, region: &str, memory: Option<&Path>) {
        let text = memory.and_then(|memory| std::fs::read_to_string(file(memory)).ok()).unwrap_or_default();
        if let Some((of, address)) = text.trim_end().split_once(' ')
            && of == region
            && regions::check(region, address).is_ok()
        {
            self.set(Some(address.to_owned()));
        }
    }

    /// From now on this address is tried first.
    pub(crate) fn learn(&self, region: &str, address: &str, memory: Option<&Path>) {
        self.set(Some(address.to_owned()));
        let written = memory
            .map(|memory| write_whole(&file(memory), format!("{region} {address}\n").as_bytes()))
            .transpose();
        if let Err(error) = written {
            tracing::warn!(reason = %error, "the address of the own region's cloud is not remembered over a restart");
        }
    }

    /// A configured address is of the right region again.
    pub(crate) fn forget(&self, memory: Option<&Path>) {
        self.set(None);
        // What can't be removed is learnt to be wrong again.
        let _ = memory.map(|memory| std::fs::remove_file(file(memory)));
    }
}

/// The file beside the one of the way.
fn file(memory: &Path) -> PathBuf {
    memory.with_extension("home")
}

/// Who asks for its own region's cloud.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    /// The region of its certificate.
    pub(crate) region: String,
    /// Whom it trusts.
    authorities_pem: String,
}

impl Native {
    /// `None` where the identity is of no region.
    pub(crate) fn of(identity: &Identity) -> Option<Self> {
        let region = identity.peer()?.region?;
        Some(Self { region, authorities_pem: identity.ca_pem.clone() })
    }

    /// Asks the cloud at the other end where the cloud of our region is. `None` where it does not know, or where nobody
    /// whom we trust has signed what it says.
    pub(crate) async fn ask(&self, connection: &Connection) -> Option<String> {
        let (mut up, mut down) = connection.open_lane().await.ok()?;
        stream::send(&mut up, Body::WhereTo(Nothing {})).await.ok()?;
        let Ok(Some(Body::Regions(directory))) = stream::receive(&mut down).await else { return None };
        let pairs = regions::verify(&directory, &self.authorities_pem).ok()?;
        let (region, address) = pairs.into_iter().find(|(region, _)| *region == self.region)?;
        regions::check(&region, &address).is_ok().then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_of_one_region_and_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("line");
        let home = Home::default();
        home.learn("eu-1", "cloud.eu.example:443", Some(&memory));
        assert_eq!(home.clone().get().as_deref(), Some("cloud.eu.example:443"));
        let recalled = |region: &str| {
            let home = Home::default();
            home.recall(region, Some(&memory));
            home.get()
        };
        assert_eq!(recalled("eu-1").as_deref(), Some("cloud.eu.example:443"));
        assert_eq!(recalled("us-1"), None);
        for nonsense in ["", "eu-1", "eu-1 nowhere", "\u{fffd}"] {
            std::fs::write(file(&memory), nonsense).unwrap();
            assert_eq!(recalled("eu-1"), None, "{nonsense}");
        }
        home.forget(Some(&memory));
        assert!(home.get().is_none() && !file(&memory).exists());
    }
}
