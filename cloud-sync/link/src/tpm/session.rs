//! Questions to a TPM, one after another. What was loaded for them is taken out again: a TPM has room for three objects.

use super::channel::Channel;
use super::wire::{self, Meaning, Signature, Wrapped};
use super::{TpmAddress, TpmError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One thread of this process at a time: a TPM does one thing at once, and a socket serves one caller.
static ONE: Mutex<()> = Mutex::new(());
/// How often a TPM that asks to be asked again is asked again, and after how long: half a minute.
const MOST_TRIES: u32 = 300;
const AGAIN: Duration = Duration::from_millis(100);

/// A conversation with a TPM.
pub(super) struct Session<'a> {
    at: &'a TpmAddress,
    channel: Channel,
    loaded: Vec<u32>,
    _one: MutexGuard<'static, ()>,
}

impl<'a> Session<'a> {
    /// Begins one.
    ///
    /// # Errors
    /// No TPM, or no right to use it.
    pub(super) fn open(at: &'a TpmAddress) -> Result<Self, TpmError> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { at, channel: Channel::open(at)?, loaded: Vec::new(), _one: one })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// The TPM's.
    pub(super) fn make(&mut self) -> Result<Wrapped, TpmError> {
        let parent = self.primary()?;
        self.ask("making the gateway's key", wire::create(parent), wire::created)
    }

    /// Loads a key; gives its handle.
    ///
    /// # Errors
    /// The TPM's.
    pub(super) fn load(&mut self, wrapped: &Wrapped) -> Result<u32, TpmError> {
        let parent = self.primary()?;
        let key = self.ask("loading the gateway's key", wire::load(parent, wrapped), wire::loaded)?;
        self.loaded.push(key);
        Ok(key)
    }

    /// Signs a digest; gives r and s.
    ///
    /// # Errors
    /// The TPM's.
    pub(super) fn sign(&mut self, key: u32, digest: &[u8]) -> Result<Signature, TpmError> {
        let doing = "signing";
        let signed = self.ask(doing, wire::sign(key, digest), wire::signed)?;
        signed.ok_or_else(|| self.senseless(doing, "the signature is of another kind"))
    }

    fn primary(&mut self) -> Result<u32, TpmError> {
        let doing = "making its storage key";
        let primary = self.ask(doing, wire::create_primary(), wire::created_primary)?;
        self.loaded.push(primary);
        Ok(primary)
    }

    fn ask<T>(
        &mut self,
        doing: &'static str,
        command: Result<Vec<u8>, tpm2_protocol::TpmError>,
        read: impl FnOnce(&[u8]) -> Result<T, tpm2_protocol::TpmError>,
    ) -> Result<T, TpmError> {
        let command = command.map_err(|error| self.senseless(doing, &error.to_string()))?;
        let answer = self.exchange(doing, &command)?;
        read(&answer).map_err(|error| self.senseless(doing, &error.to_string()))
    }

    fn exchange(&mut self, doing: &'static str, command: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut started = false;
        for _ in 0..MOST_TRIES {
            let answer = self.send(command)?;
            let code = wire::code(&answer).ok_or_else(|| self.senseless(doing, "its answer is cut short"))?;
            let at = self.at.clone();
            return match wire::meaning(code) {
                Meaning::Done => Ok(answer),
                Meaning::NotStarted if self.channel.starts_by_us() && !started => {
                    started = true;
                    let startup =
                        wire::startup().map_err(|error| self.senseless(doing, &error.to_string()))?;
                    // What it says to that is seen when the command is sent again.
                    self.send(&startup)?;
                    continue;
                }
                Meaning::Again => {
                    pause();
                    continue;
                }
                Meaning::Lockout => Err(TpmError::Lockout { at }),
                Meaning::Owner => Err(TpmError::Owner { at }),
                Meaning::Foreign => Err(TpmError::Foreign { at }),
                Meaning::NotStarted | Meaning::Other => {
                    Err(TpmError::Refused { at, doing, code, name: wire::name_of(code) })
                }
            };
        }
        Err(self.senseless(doing, "it asks again and again to be asked later"))
    }

    fn send(&mut self, command: &[u8]) -> Result<Vec<u8>, TpmError> {
        let answer = self.channel.exchange(command);
        answer.map_err(|source| TpmError::Silent { at: self.at.clone(), source })
    }

    fn senseless(&self, doing: &'static str, reason: &str) -> TpmError {
        TpmError::Senseless { at: self.at.clone(), doing, reason: reason.to_owned() }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "on a thread that waits for the chip either way, and so often at most"
)]
fn pause() {
    std::thread::sleep(AGAIN);
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        for handle in self.loaded.drain(..).rev() {
            if let Ok(command) = wire::flush(handle) {
                // A TPM that does not answer has lost it anyway, and the kernel's resource manager takes it out itself.
                let _ = self.channel.exchange(&command);
            }
        }
    }
}
