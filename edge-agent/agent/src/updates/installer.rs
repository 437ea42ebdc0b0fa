//! The box's installer of system images, by the files in which it and the agent tell each other. Blocks.
//!
//! What the agent writes lies in its own folder, what the installer writes in one of root's: neither is led astray by the other.

use super::prepare::{Places, Ready, Stop, verified};
use super::system::{self, Image, Told};
use super::{files, kept::Wanted};
use engawa_model::Timestamp;
use engawa_update::{InstallError, Progress, Release, Source, install};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the installer says what it did; the image's own scripts keep the rest of the box's state there.
const STATE: &str = "/data/system";
/// There as long as the machine has yet to go down for a new image; in memory.
const RESTARTING: &str = "/run/engawa-system-restarts";
/// The longest of its files that is looked at, bytes.
const MOST: u64 = 4096;

/// The folders in which both tell.
#[derive(Clone, Debug)]
pub(crate) struct Installer {
    /// The agent's.
    own: PathBuf,
    /// The installer's.
    state: PathBuf,
    restarting: PathBuf,
}

impl Installer {
    /// The one of this box, whose folder of slots is `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { own: dir.join("system"), state: PathBuf::from(STATE), restarting: PathBuf::from(RESTARTING) }
    }

    /// One that tells in folders of `there`.
    #[cfg(test)]
    pub(super) fn telling_in(dir: &Path, there: &Path) -> Self {
        Self { state: there.join("state"), restarting: there.join("restarts"), ..Self::new(dir) }
    }

    /// What it says. A file that can't be read says nothing.
    pub(crate) fn told(&self) -> Told {
        let word = |folder: &Path, name: &str| {
            let path = folder.join(name);
            let bytes = fs::metadata(&path)
                .ok()
                .filter(|there| there.len() <= MOST)
                .and_then(|_| fs::read(&path).ok())?;
            Some(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        let pair = |text: String, between: &str| {
            let (one, other) = text.split_once(between)?;
            Some((one.trim().to_owned(), other.trim().to_owned()))
        };
        Told {
            asked: word(&self.own, "request"),
            refused: word(&self.state, "refused").and_then(|text| pair(text, "\n")),
            written: word(&self.state, "written"),
            restarting: self.restarting.exists(),
            good: word(&self.state, "confirmed"),
            left: word(&self.state, "left").and_then(|text| pair(text, ": ")),
        }
    }

    /// Nothing with a lower number is installed.
    pub(crate) fn floor(&self) -> u64 {
        fs::read_to_string(self.state.join("floor"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    /// The image that is wanted, verified by signed metadata of `now`, and for this box.
    pub(crate) fn find(
        &self,
        places: &Places,
        source: &mut dyn Source,
        wanted: &Wanted,
        hardware: &str,
        runs: &Image,
        now: Timestamp,
    ) -> Result<Release, Stop> {
        let release = verified(places, source, wanted, now)?;
        let (version, number) = (&wanted.version, wanted.number);
        match system::refusal(&release.manifest, version, number, hardware, self.floor(), runs) {
            Some(why) => Err(Stop::Refused(why)),
            None => Ok(release),
        }
    }

    /// Fetches the bundle. What came of it before is gone on with.
    pub(crate) fn lay(
        &self,
        places: &Places,
        source: &mut dyn Source,
        release: &Release,
        watch: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Ready, Stop> {
        let told = |source| InstallError::Io {
            what: "making the folder for system images".to_owned(),
            folder: self.own.display().to_string(),
            source,
        };
        fs::create_dir_all(&self.own).map_err(told)?;
        let installed = install(source, release, &self.bundle(), &[], places.limits, watch)?;
        Ok(Ready {
            manifest: installed.manifest,
            number: release.manifest.number,
            fetched: installed.fetched,
        })
    }

    fn bundle(&self) -> PathBuf {
        self.own.join("bundle")
    }

    /// Asks for what was fetched to be installed, and for the machine to start anew.
    ///
    /// # Errors
    /// The request can't be written.
    pub(crate) fn ask(&self, request: &str) -> io::Result<()> {
        files::replace(&self.own.join("request"), format!("{request}\n").as_bytes())
    }

    /// An update is over: what was fetched for it is of no use any more, and a request that nobody took is taken back.
    pub(crate) fn forget(&self) -> io::Result<()> {
        for removed in [fs::remove_file(self.own.join("request")), fs::remove_dir_all(self.bundle())] {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_installer_says_is_read_and_nonsense_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        let restarting = dir.path().join("restarts");
        let installer = Installer::telling_in(dir.path(), dir.path());
        assert_eq!((installer.told(), installer.floor()), (Told::default(), 0));
        installer.forget().unwrap();

        installer.ask("2.0.0 2 r1").unwrap();
        fs::create_dir(installer.bundle()).unwrap();
        for (name, text) in [
            ("refused", "1.9.0 2 r0\nsignature verification failed: no\n"),
            ("written", "2.0.0 2 r1\n"),
            ("confirmed", "1.0.0-1\n"),
            ("left", "1.9.0: the agent was not healthy within 300 s\n"),
            ("floor", "7\n"),
        ] {
            fs::write(state.join(name), text).unwrap();
        }
        fs::write(&restarting, "").unwrap();
        let pair = |one: &str, other: &str| Some((one.to_owned(), other.to_owned()));
        let told = Told {
            asked: Some("2.0.0 2 r1".into()),
            refused: pair("1.9.0 2 r0", "signature verification failed: no"),
            written: Some("2.0.0 2 r1".into()),
            restarting: true,
            good: Some("1.0.0-1".into()),
            left: pair("1.9.0", "the agent was not healthy within 300 s"),
        };
        assert_eq!((installer.told(), installer.floor()), (told, 7));

        installer.forget().unwrap();
        assert_eq!(installer.told().asked, None);
        assert!(!installer.bundle().exists());
        fs::write(state.join("written"), vec![b'x'; 5000]).unwrap();
        fs::write(state.join("left"), "no colon").unwrap();
        fs::write(state.join("floor"), "x").unwrap();
        let told = installer.told();
        assert_eq!((told.written, told.left, installer.floor()), (None, None, 0));
    }
}
