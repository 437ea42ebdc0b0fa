//! Keys that the PMS wants made. It waits for the answer and never asks twice, so each request is answered: by the
//! encoder's driver through a command, or by the house when it can't be.

use super::{Applied, Change, DeskEvent, Intent, Personal, Property, RoomId, Timestamp};
use crate::{KeyAnswer, KeyKind, KeyRequest, LinkId};
use jiff::SignedDuration;

/// An encoder that has not answered by then is called busy. The PMS waits for 30 seconds.
const ENCODER_LASTS: SignedDuration = SignedDuration::from_secs(25);
/// Requests that may wait at once; past this they are answered as busy.
const MOST_WAITING: usize = 64;
/// What an encoder's driver may answer.
const ANSWERS: [&str; 5] = ["OK", "BY", "UR", "NG", "DN"];

/// A request that waits for its encoder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyJob {
    pub(super) request: KeyRequest,
    /// The PMS that waits.
    pub(super) link: LinkId,
    pub(super) until: Timestamp,
}

/// An answer of an encoder's driver.
pub(super) struct Answer<'a> {
    pub(super) status: &'a str,
    pub(super) text: Option<&'a str>,
    pub(super) card: Option<&'a Personal<String>>,
    pub(super) room: Option<&'a RoomId>,
}

/// Where a request waits: two PMS may call an encoder of theirs alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    link: LinkId,
    coder: String,
    workstation: String,
}

impl Slot {
    fn of(link: &LinkId, coder: &str, workstation: Option<&str>) -> Self {
        Self {
            link: link.clone(),
            coder: coder.to_owned(),
            workstation: workstation.unwrap_or_default().to_owned(),
        }
    }
}

impl Property {
    pub(super) fn key_asked(
        &mut self,
        at: Timestamp,
        link: &LinkId,
        request: &KeyRequest,
        served: bool,
        out: &mut Applied,
    ) {
        let id = Slot::of(link, &request.coder, request.workstation.as_deref());
        let rooms = request.room.iter().chain(&request.suite);
        let unknown = rooms.filter(|room| !self.rooms.contains_key(*room)).map(|room| {
            // What the link put before a number that is not the house's means nothing to a clerk.
            let own = room.as_str().strip_prefix(link.as_str()).and_then(|rest| rest.strip_prefix(':'));
            own.unwrap_or(room.as_str()).to_owned()
        });
        let unknown = unknown.into_iter().next();
        let no = if let Some(room) = unknown {
            Some(("NG", format!("the house has no room {room}")))
        } else if !served {
            Some(("UR", format!("encoder {} is not at this gateway", request.coder)))
        } else if self.desk.keys.contains_key(&id) || self.desk.keys.len() >= MOST_WAITING {
            Some(("BY", format!("encoder {} is busy", request.coder)))
        } else {
            None
        };
        match no {
            Some((status, text)) => {
                let answer = Answer { status, text: Some(&text), card: None, room: None };
                self.key_answer(request, link, &answer, out);
            }
            None => {
                let until = at.checked_add(ENCODER_LASTS).unwrap_or(at);
                self.desk.keys.insert(id, KeyJob { request: request.clone(), link: link.clone(), until });
                out.changes.push(Change::Desk { what: DeskEvent::KeyAsked { request: request.clone() } });
            }
        }
    }

    pub(super) fn answer_key(
        &mut self,
        coder: &str,
        workstation: Option<&str>,
        answer: &Answer<'_>,
        out: &mut Applied,
    ) -> Result<(), String> {
        Self::known_word(answer.status, &ANSWERS)?;
        if answer.text.is_some_and(|text| text.chars().any(|c| c.is_control() || c == '|')) {
            return Err("the text has a `|` or a control character, which the PMS can't be told".to_owned());
        }
        if let Some(card) = answer.card
            && !((1..=19).contains(&card.reveal().len())
                && card.reveal().bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err("the card's number has 1 to 19 hexadecimal digits".to_owned());
        }
        let here = |slot: &&Slot| slot.coder == coder && slot.workstation == workstation.unwrap_or_default();
        let mut slots = self.desk.keys.keys().filter(here);
        let slot = match (slots.next().cloned(), slots.next()) {
            (Some(slot), None) => slot,
            (None, _) => {
                return Err(format!(
                    "no key is wanted at encoder {coder}: the PMS has stopped waiting, or never asked"
                ));
            }
            // The links tell encoders of several PMS apart by name; where none did, a guess would open a wrong door.
            (Some(_), Some(_)) => {
                return Err(format!(
                    "several PMS want a key at an encoder {coder}: name it as it was asked for, with its PMS before it"
                ));
            }
        };
        let Some(job) = self.desk.keys.remove(&slot) else { return Ok(()) };
        self.key_answer(&job.request, &job.link, answer, out);
        Ok(())
    }

    fn key_answer(&self, request: &KeyRequest, link: &LinkId, answer: &Answer<'_>, out: &mut Applied) {
        let read = request.kind == KeyKind::Read;
        out.changes.push(Change::Desk {
            what: DeskEvent::KeyAnswered {
                coder: request.coder.clone(),
                room: request.room.clone(),
                status: answer.status.to_owned(),
            },
        });
        let intent = Intent::AnswerKey {
            answer: KeyAnswer {
                kind: request.kind,
                coder: request.coder.clone(),
                workstation: request.workstation.clone(),
                stay: request.stay.clone(),
                room: if read { answer.room.cloned() } else { request.room.clone() },
                status: answer.status.to_owned(),
                text: answer.text.map(str::to_owned),
                card: answer.card.cloned(),
            },
        };
        out.intents.push(Self::at_link(link, intent));
    }

    pub(super) fn tend_keys(&mut self, at: Timestamp, out: &mut Applied) {
        let late: Vec<Slot> =
            self.desk.keys.iter().filter(|(_, job)| job.until <= at).map(|(id, _)| id.clone()).collect();
        for id in late {
            if let Some(job) = self.desk.keys.remove(&id) {
                let text = format!("encoder {} did not answer", job.request.coder);
                let answer = Answer { status: "BY", text: Some(&text), card: None, room: None };
                self.key_answer(&job.request, &job.link, &answer, out);
            }
        }
    }

    pub(super) fn keys_wake(&self) -> Option<Timestamp> {
        self.desk.keys.values().map(|job| job.until).min()
    }

    /// The PMS no longer waits.
    pub(super) fn keys_link_lost(&mut self, link: &LinkId, out: &mut Applied) {
        let (lost, kept) =
            std::mem::take(&mut self.desk.keys).into_iter().partition(|(_, job)| job.link == *link);
        self.desk.keys = kept;
        let lost: std::collections::BTreeMap<Slot, KeyJob> = lost;
        for job in lost.into_values() {
            out.changes.push(Change::Desk {
                what: DeskEvent::KeyAnswered {
                    coder: job.request.coder,
                    room: job.request.room,
                    status: "link-lost".to_owned(),
                },
            });
        }
    }
}
