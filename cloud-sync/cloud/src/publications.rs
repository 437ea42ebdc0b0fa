//! What `serve` does for the audit: takes up what the repository of releases says of its publications.

use crate::release::audit::{self, News};
use crate::release::folder::Folder;
use std::path::Path;

/// How far it was taken up.
pub(crate) struct TakeUp {
    folder: Folder,
    length: u64,
    fault: String,
}

impl TakeUp {
    /// Of the repository in `releases`, from its first line on: what was taken up before is not entered again.
    pub(crate) fn new(releases: &Path) -> Self {
        Self { folder: Folder::new(releases), length: 0, fault: String::new() }
    }

    /// What is new. A file that can't be read says nothing, which is told once.
    pub(crate) fn look(&mut self) -> Option<News> {
        match audit::news(&self.folder, self.length) {
            Ok(news) => {
                self.fault.clear();
                news
            }
            Err(error) => {
                let fault = format!("{error:#}");
                if fault != self.fault {
                    tracing::warn!(
                        reason = fault,
                        "what was published can't be entered into the audit; trying again"
                    );
                    self.fault = fault;
                }
                None
            }
        }
    }

    /// It was entered.
    pub(crate) fn entered(&mut self, length: u64) {
        self.length = length;
    }
}
