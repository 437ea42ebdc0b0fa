//! Reading files that people write: small, text, and what is wrong with them in words.

use engawa_diag::{Fault, Report};
use std::io::Read;
use std::path::Path;

/// The largest file that is read: 16,000 devices fit with all that can be said of each.
const MOST: u64 = 8 << 20;

/// The text of the file at `path`.
///
/// # Errors
/// A report that says why it can't be read.
pub(crate) fn read(path: &Path) -> Result<String, Report> {
    let fault = |message: String, help: &str| {
        let mut report = Report::new(path.display().to_string(), "");
        report.push(Fault::new(0..0, message).help(help));
        report
    };
    let unreadable = |error: std::io::Error| {
        fault(format!("the file can't be read: {error}"), "is the path right, and may this user read it?")
    };
    if path.is_dir() {
        return Err(fault("this is a folder".to_owned(), "name the file in it, such as engawa.toml"));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than is taken, so that a file that is too large is seen without reading all of it.
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST {
        return Err(fault(
            format!("the file has more than {MOST} bytes"),
            "this is hardly a configuration: is the path right?",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let at = error.utf8_error().valid_up_to();
        let mut report = Report::new(path.display().to_string(), text);
        report.push(
            Fault::new(at..at + '\u{fffd}'.len_utf8(), "the file is not UTF-8")
                .label("the first byte that is not")
                .help("save it as UTF-8"),
        );
        report
    })
}
