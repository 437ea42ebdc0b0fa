//! The table as a page of text that people can read too: a line a subject, the SHA-256 of all of them as the last one, blank
//! to the end of the page. A page always has the same length, so that writing it in place changes nothing but its bytes.

use super::{BAD_KEPT, Bad, Outcome, Release, Slot, Table, Trial, Verdict, is_word};
use crate::Digest;
use std::fmt::Write as _;

/// The length of a copy of the table, bytes.
pub const TABLE_BYTES: usize = 4096;
const FORMAT: &str = "engawa-slots 1";

/// Why a copy of the table can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It has another length.
    #[error("it has {0} bytes, a copy has {TABLE_BYTES}")]
    Length(usize),
    /// It was not written to its end, or has changed since.
    #[error(
        "its checksum does not fit: it was cut short while it was written, or the disk has lost some of it"
    )]
    Checksum,
    /// Another release of the supervisor wrote it.
    #[error("its first line is {0:?}, this supervisor reads {FORMAT:?}")]
    Format(String),
    /// A line that is not understood.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Lines that contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl Table {
    /// Its page, or `None` where it does not fit into one, which the bounds of its texts exclude.
    pub fn page(&self) -> Option<Vec<u8>> {
        let mut text = String::with_capacity(TABLE_BYTES);
        self.lines(&mut text).ok()?;
        let sum = Digest::of(text.as_bytes());
        writeln!(text, "sha256 {sum}").ok()?;
        let mut page = text.into_bytes();
        if page.len() > TABLE_BYTES {
            return None;
        }
        page.resize(TABLE_BYTES, b'\n');
        Some(page)
    }

    fn lines(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{FORMAT}\nsequence {}\nfloor {}\nactive {}", self.sequence, self.floor, self.active)?;
        for slot in [Slot::A, Slot::B] {
            if let Some(Release { manifest, number, floor, version }) = self.release(slot) {
                writeln!(text, "{slot} {manifest} {number} {floor} {version}")?;
            }
        }
        if let Some(Trial { slot, tries, rollout, last }) = &self.trial {
            writeln!(text, "trial {slot} {tries} {rollout} {last}")?;
        }
        if let Some(Outcome { verdict, number, version, rollout, reason }) = &self.outcome {
            writeln!(text, "outcome {} {number} {version} {rollout} {reason}", verdict.name())?;
        }
        for Bad { manifest, rollout, version, reason } in &self.bad {
            writeln!(text, "bad {manifest} {rollout} {version} {reason}")?;
        }
        Ok(())
    }

    /// The table of a page.
    ///
    /// # Errors
    /// [`Damage`], where it is not a whole page of this format.
    pub fn of_page(page: &[u8]) -> Result<Self, Damage> {
        if page.len() != TABLE_BYTES {
            return Err(Damage::Length(page.len()));
        }
        let text = std::str::from_utf8(page).map_err(|_| Damage::Checksum)?.trim_end_matches('\n');
        let at = text.rfind('\n').ok_or(Damage::Checksum)? + 1;
        let (body, last) = text.split_at(at);
        let sum = last
            .strip_prefix("sha256 ")
            .and_then(|sum| sum.parse::<Digest>().ok())
            .ok_or(Damage::Checksum)?;
        if Digest::of(body.as_bytes()) != sum {
            return Err(Damage::Checksum);
        }
        let mut lines = body.lines();
        let first = lines.next().unwrap_or_default();
        if first != FORMAT {
            return Err(Damage::Format(first.to_owned()));
        }
        let mut read = Reading::default();
        for (index, line) in lines.enumerate() {
            read.line(line).map_err(|what| Damage::Line { line: index + 2, what })?;
        }
        read.table()
    }
}

#[derive(Default)]
struct Reading {
    sequence: Option<u64>,
    floor: Option<u64>,
    active: Option<Slot>,
    a: Option<Release>,
    b: Option<Release>,
    trial: Option<Trial>,
    outcome: Option<Outcome>,
    bad: Vec<Bad>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = Words(rest);
        match key {
            "sequence" => self.sequence = Some(words.number()?),
            "floor" => self.floor = Some(words.number()?),
            "active" => self.active = Some(words.slot()?),
            "a" => self.a = Some(words.release()?),
            "b" => self.b = Some(words.release()?),
            "trial" => {
                let (slot, tries) = (words.slot()?, words.number()?);
                let tries = u8::try_from(tries).map_err(|_| format!("{tries} tries are more than can be"))?;
                self.trial = Some(Trial { slot, tries, rollout: words.word()?, last: words.rest() });
            }
            "outcome" => {
                let name = words.word()?;
                let verdict = Verdict::named(&name).ok_or_else(|| format!("{name:?} is no verdict"))?;
                let (number, version, rollout) = (words.number()?, words.word()?, words.word()?);
                self.outcome = Some(Outcome { verdict, number, version, rollout, reason: words.rest() });
            }
            "bad" if self.bad.len() < BAD_KEPT => {
                let (manifest, rollout, version) = (words.digest()?, words.word()?, words.word()?);
                self.bad.push(Bad { manifest, rollout, version, reason: words.rest() });
            }
            // A later release of the supervisor may keep more.
            _ => {}
        }
        Ok(())
    }

    fn table(self) -> Result<Table, Damage> {
        let (Some(sequence), Some(floor), Some(active)) = (self.sequence, self.floor, self.active) else {
            return Err(Damage::Contradiction("it lacks its sequence, its floor or its active slot"));
        };
        let table = Table {
            sequence,
            floor,
            active,
            a: self.a,
            b: self.b,
            trial: self.trial,
            outcome: self.outcome,
            bad: self.bad,
        };
        if !table.may_start(active) {
            return Err(Damage::Contradiction("its active slot has nothing, or something below the floor"));
        }
        if let Some(trial) = &table.trial
            && (trial.slot == active || !table.may_start(trial.slot))
        {
            return Err(Damage::Contradiction(
                "its trial is in the active slot, or of nothing, or of something below the floor",
            ));
        }
        Ok(table)
    }
}

/// What is left of a line.
struct Words<'a>(&'a str);

impl Words<'_> {
    fn next(&mut self) -> Result<&str, String> {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        if word.is_empty() { Err("it ends too early".to_owned()) } else { Ok(word) }
    }

    fn number(&mut self) -> Result<u64, String> {
        let word = self.next()?;
        word.parse().map_err(|_| format!("{word:?} is no number"))
    }

    fn slot(&mut self) -> Result<Slot, String> {
        let word = self.next()?;
        Slot::named(word).ok_or_else(|| format!("{word:?} is no slot: a and b are"))
    }

    fn digest(&mut self) -> Result<Digest, String> {
        self.next()?.parse().map_err(|fault: crate::digest::NoDigest| fault.to_string())
    }

    fn word(&mut self) -> Result<String, String> {
        let word = self.next()?;
        if is_word(word) { Ok(word.to_owned()) } else { Err(format!("{word:?} is too long, or not plain")) }
    }

    fn release(&mut self) -> Result<Release, String> {
        Ok(Release {
            manifest: self.digest()?,
            number: self.number()?,
            floor: self.number()?,
            version: self.word()?,
        })
    }

    fn rest(&mut self) -> String {
        std::mem::take(&mut self.0).to_owned()
    }
}
