//! The way to live values of a cloud of one machine: a Unix socket in its folder, for its own user.
//!
//! Whoever connects says in one line what it watches, gets one empty object once it is heard of, and from then on a line
//! for each frame.

use super::{Hub, Told, WAITING};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The socket's name.
const SOCKET: &str = "live.sock";
/// How many may watch at once.
const MOST_WATCHING: usize = 32;
/// The longest line that says what is watched, bytes.
const MOST_LINE: u64 = 1024;
/// How long somebody may take for a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody watches.
#[derive(Serialize, Deserialize)]
struct Wanted {
    gateway: String,
    tail: String,
}

/// The socket, open.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens it in the cloud's folder, which this process alone serves.
    ///
    /// # Errors
    /// The system's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves those who watch until `cancel`.
    pub async fn run(self, hub: Hub, cancel: CancellationToken) {
        let places = Arc::new(Semaphore::new(MOST_WATCHING));
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = tasks.join_next() => {}
                accepted = self.listener.accept() => {
                    // Past the bound the connection closes at once, and the command line says so.
                    let (Ok((stream, _)), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned()) else {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    };
                    let hub = hub.clone();
                    tasks.spawn(async move {
                        // Who has gone hears nothing.
                        let _ = serve(stream, &hub).await;
                        drop(place);
                    });
                }
            }
        }
        // It may be another's by now only if that took the folder's lock, which is still held here.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(stream: UnixStream, hub: &Hub) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MOST_LINE));
    tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await??;
    let Wanted { gateway, tail } = serde_json::from_str(&line)?;
    let mut heard = hub.hear();
    write.write_all(b"{}\n").await?;
    let mut rest = read.into_inner().into_inner();
    let mut end = [0];
    let mut missed_frames = 0;
    loop {
        tokio::select! {
            // The other end says no more: it has gone.
            _ = rest.read(&mut end) => return Ok(()),
            next = heard.next() => {
                let Some((told, missed)) = next else { return Ok(()) };
                missed_frames += missed;
                if told.is_for(&gateway, &tail) {
                    let told = Told { missed: std::mem::take(&mut missed_frames), ..Told::clone(&told) };
                    let mut line = serde_json::to_vec(&told)?;
                    line.push(b'\n');
                    tokio::time::timeout(PATIENCE, write.write_all(&line)).await??;
                }
            }
        }
    }
}

/// Watches a tail of a gateway of the cloud in `dir`; the channel closes when `serve` ends.
///
/// # Errors
/// Nobody serves the cloud, or too many watch.
pub async fn watch(dir: &Path, gateway: &str, tail: &str) -> io::Result<mpsc::Receiver<Told>> {
    let mut stream = BufReader::new(UnixStream::connect(dir.join(SOCKET)).await?);
    let mut wanted = serde_json::to_vec(&Wanted { gateway: gateway.to_owned(), tail: tail.to_owned() })?;
    wanted.push(b'\n');
    stream.write_all(&wanted).await?;
    let mut line = String::new();
    if tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await?? == 0 {
        return Err(io::Error::other(format!("{MOST_WATCHING} watch already")));
    }
    let (told, heard) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut lines = stream.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(next) = serde_json::from_str::<Told>(&line) else { return };
            if told.send(next).await.is_err() {
                return;
            }
        }
    });
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_protocol::live::{Live, LiveRow};

    #[tokio::test]
    async fn those_who_watch_hear_what_they_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (hub, cancel) = (Hub::default(), CancellationToken::new());
        let door = Door::open(dir.path()).unwrap();
        let mode = std::fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let serving = tokio::spawn(door.run(hub.clone(), cancel.clone()));
        let mut mine = watch(dir.path(), "g", "mine").await.unwrap();
        let live = |tail: &str, n: u8| Live {
            tail: tail.into(),
            rows: vec![LiveRow { at_micros: 1, body: n.to_string().into_bytes() }],
            dropped: 0,
            ended: None,
        };
        hub.live("g", live("other", 1));
        hub.live("h", live("mine", 2));
        hub.live("g", live("mine", 3));
        assert_eq!(mine.recv().await.unwrap().values[0].1, 3);
        hub.gone("g");
        assert!(mine.recv().await.unwrap().ended.is_some());
        cancel.cancel();
        serving.await.unwrap();
        assert!(mine.recv().await.is_none());
        assert!(watch(dir.path(), "g", "mine").await.is_err(), "nobody serves");
    }
}
