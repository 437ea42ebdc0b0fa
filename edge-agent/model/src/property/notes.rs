//! What drivers and links want to be remembered over restarts. The house keeps it and does not read it.
//!
//! Never: a journal row; the cloud has no use for it.

use super::{Applied, Entity, Property};
use crate::ids::{DeviceId, LinkId};
use crate::{Intent, MOST_NOTE};
use std::collections::BTreeMap;

impl Property {
    /// The drivers' notes, by device.
    pub fn notes(&self) -> &BTreeMap<DeviceId, String> {
        &self.notes
    }

    pub(super) fn noted(&mut self, device: &DeviceId, note: Option<&str>, out: &mut Applied) {
        if self.device_spec(device).is_none() {
            self.count("unknown-device");
            return;
        }
        let note = self.fitting(note);
        if self.notes.get(device).map(String::as_str) == note {
            return;
        }
        match note {
            Some(note) => drop(self.notes.insert(device.clone(), note.to_owned())),
            None => drop(self.notes.remove(device)),
        }
        out.touched.insert(Entity::Note(device.clone()));
    }

    /// The links' notes.
    pub fn link_notes(&self) -> &BTreeMap<LinkId, String> {
        &self.link_notes
    }

    pub(super) fn link_noted(&mut self, link: &LinkId, note: Option<&str>, out: &mut Applied) {
        let note = self.fitting(note);
        if self.link_notes.get(link).map(String::as_str) == note {
            return;
        }
        match note {
            Some(note) => drop(self.link_notes.insert(link.clone(), note.to_owned())),
            None => drop(self.link_notes.remove(link)),
        }
        out.touched.insert(Entity::LinkNote(link.clone()));
    }

    fn fitting<'a>(&mut self, note: Option<&'a str>) -> Option<&'a str> {
        note.filter(|note| {
            let fits = note.len() <= MOST_NOTE;
            if !fits {
                // A bug of a driver: it goes on without a memory.
                self.count("note-too-long");
            }
            fits
        })
    }

    pub(super) fn forget_note(&mut self, device: &DeviceId, out: &mut Applied) {
        self.noted(device, None, out);
        // Also where nothing is stored: the driver may know more than it could note.
        out.intents.push(Intent::ForgetNote { device: device.clone() });
    }
}
