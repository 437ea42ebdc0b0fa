//! `progress.json`: the state of the play for a live table, replaced as a whole so that a reader never sees half.

use crate::house::RoomView;
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The file's content.
#[derive(Debug, Serialize)]
pub(crate) struct Progress {
    pub(crate) played: usize,
    pub(crate) total: usize,
    /// What the hotel's clocks show.
    pub(crate) clock: String,
    pub(crate) checked_in: usize,
    pub(crate) moved: usize,
    pub(crate) checked_out: usize,
    pub(crate) charged: usize,
    pub(crate) booked: usize,
    pub(crate) refused: usize,
    pub(crate) setpoints_written: usize,
    pub(crate) rooms: Vec<RoomView>,
}

/// Where it is written.
pub(crate) struct ProgressFile {
    file: PathBuf,
    draft: PathBuf,
}

impl ProgressFile {
    /// The file in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { file: dir.join("progress.json"), draft: dir.join("progress.json.new") }
    }

    /// Replaces it.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn write(&self, progress: &Progress) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(progress).context("writing the progress as JSON")?;
        std::fs::write(&self.draft, bytes).with_context(|| format!("writing {}", self.draft.display()))?;
        std::fs::rename(&self.draft, &self.file).with_context(|| format!("replacing {}", self.file.display()))
    }
}
