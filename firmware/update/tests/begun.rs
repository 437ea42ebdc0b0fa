//! Small files over a line that breaks: each try goes on where the one before was.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_release::Digest;
use engawa_update::{Begun, FetchError, Piece, Source, SourceFault, fetch_known};

/// A file, and a line that carries so many bytes until it breaks.
struct Line {
    bytes: Vec<u8>,
    carries: usize,
    asked: Vec<u64>,
}

impl Source for Line {
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        if name != "metadata/2.targets.json" {
            return Ok(None);
        }
        if self.carries == 0 {
            return Err(SourceFault::Away("the line is down".to_owned()));
        }
        self.asked.push(offset);
        let from = usize::try_from(offset).unwrap().min(self.bytes.len());
        let most = most.min(1_000).min(self.carries);
        let bytes = self.bytes[from..self.bytes.len().min(from + most)].to_vec();
        self.carries -= bytes.len();
        Ok(Some(Piece { bytes, total: self.bytes.len() as u64 }))
    }
}

const NAME: &str = "metadata/2.targets.json";

fn file() -> Vec<u8> {
    (0..10_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn line(bytes: Vec<u8>, carries: usize) -> Line {
    Line { bytes, carries, asked: vec![] }
}

#[test]
fn a_line_that_breaks_ever_again_brings_a_file_at_last() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, sha256) = (Begun::new(dir.path()), Digest::of(&file()));
    let (mut tries, mut carried) = (0, 0);
    let bytes = loop {
        tries += 1;
        let mut line = line(file(), 2_300);
        let came = fetch_known(&mut line, NAME, sha256, 20_000, &begun);
        assert_eq!(line.asked.first(), Some(&carried), "where it was");
        carried += 2_300 - line.carries as u64;
        match came {
            Ok(bytes) => break bytes.unwrap(),
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    };
    assert!(bytes == file());
    assert_eq!((tries, carried), (5, 10_000), "no byte twice");
    // And from then on without the line.
    let mut down = line(file(), 0);
    assert_eq!(fetch_known(&mut down, NAME, sha256, 20_000, &begun).unwrap().unwrap(), file());
}

#[test]
fn what_was_kept_is_believed_by_its_digest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, sha256) = (Begun::new(dir.path()), Digest::of(&file()));
    let kept = dir.path().join(sha256.to_string());
    for spoilt in [vec![7; 3_000], vec![7; 10_000], vec![7; 15_000]] {
        std::fs::write(&kept, spoilt).unwrap();
        let mut line = line(file(), 100_000);
        assert_eq!(fetch_known(&mut line, NAME, sha256, 20_000, &begun).unwrap().unwrap(), file());
        assert!(line.asked.contains(&0), "once more from the beginning");
    }
    // A repository with something else: it is given as it came, once, and not kept.
    let other = Digest::of(b"other");
    let mut faithless = line(file(), 100_000);
    assert_eq!(fetch_known(&mut faithless, NAME, other, 20_000, &begun).unwrap().unwrap(), file());
    assert!(!dir.path().join(other.to_string()).exists());
    let refused = fetch_known(&mut faithless, NAME, other, 5_000, &begun);
    assert!(matches!(refused, Err(FetchError::Length { .. })), "{refused:?}");
    assert_eq!(fetch_known(&mut faithless, "metadata/3.targets.json", other, 5_000, &begun).unwrap(), None);
}

#[test]
fn a_disk_that_takes_nothing_costs_the_resumption_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let begun = Begun::new(&dir.path().join("file/not-a-folder"));
    let bytes = fetch_known(&mut line(file(), 100_000), NAME, Digest::of(&file()), 20_000, &begun);
    assert_eq!(bytes.unwrap().unwrap(), file());
}
