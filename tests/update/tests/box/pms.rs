//! The PMS of a box: it greets whoever comes, and keeps when it was left and when it was spoken to again.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// It listens for as long as the test runs.
pub(crate) struct Pms {
    pub(crate) at: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// It neither says good-bye nor closes when it was left.
    keeps: AtomicBool,
    kept: Mutex<Vec<TcpStream>>,
    /// Connections that broke.
    broken: AtomicU32,
    absence: Mutex<Absence>,
}

#[derive(Default)]
struct Absence {
    since: Option<Instant>,
    longest: Duration,
}

impl Pms {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            while let Ok((line, _)) = listener.accept() {
                let seen = Arc::clone(&all);
                std::thread::spawn(move || {
                    if greet(line, &seen).is_err() {
                        seen.broken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { at, seen }
    }

    /// From now on it keeps its connections when it is left.
    pub(crate) fn keep_connections(&self) {
        self.seen.keeps.store(true, Ordering::Relaxed);
    }

    /// What was until now does not count.
    pub(crate) fn begin_anew(&self) {
        *self.seen.absence() = Absence::default();
        self.seen.broken.store(0, Ordering::Relaxed);
    }

    /// The longest time between a good-bye and the beginning after it; and how many connections have broken.
    pub(crate) fn left(&self) -> (Duration, u32) {
        (self.seen.absence().longest, self.seen.broken.load(Ordering::Relaxed))
    }
}

impl Seen {
    fn absence(&self) -> std::sync::MutexGuard<'_, Absence> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn greet(mut line: TcpStream, seen: &Seen) -> std::io::Result<()> {
    line.write_all(b"\x02LS|DA260715|TI101500|\x03")?;
    let mut reader = BufReader::new(line.try_clone()?);
    loop {
        let mut record = Vec::new();
        if reader.read_until(3, &mut record)? == 0 {
            if seen.keeps.load(Ordering::Relaxed) {
                seen.kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
            return Ok(());
        }
        if record.starts_with(b"\x02LA|") {
            line.write_all(b"\x02LA|DA260715|TI101501|\x03")?;
            let mut absence = seen.absence();
            if let Some(since) = absence.since.take() {
                absence.longest = absence.longest.max(since.elapsed());
            }
        } else if record.starts_with(b"\x02LE|") {
            seen.absence().since = Some(Instant::now());
        }
    }
}
