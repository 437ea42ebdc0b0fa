//! Standard output, as every command writes to it.
//!
//! A reader that has seen enough (`engawa log | head`) is no failure, and nothing to tell anybody: at a closed pipe the
//! program ends at once, quietly, as done. `println!` comes to the same in `main`'s panic hook.

use std::io::{self, ErrorKind, StdoutLock, Write};

/// Standard output for one answer.
pub(crate) struct Answer(StdoutLock<'static>);

/// Standard output, locked until the answer is whole.
pub(crate) fn lock() -> Answer {
    Answer(io::stdout().lock())
}

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        quiet(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        quiet(self.0.flush())
    }
}

fn quiet<T>(written: io::Result<T>) -> io::Result<T> {
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
    written
}
