//! What staff and other systems ask of the PMS's front desk.

use super::{
    Action, Applied, Bill, CHECK_OUT_LASTS, CommandKey, CommandOutcome, MOST_KEPT, Money, PmsRequest,
    Property, RoomId, STATUSES, StayId, Timestamp, in_words,
};
use crate::{Call, MOST_ARTICLES, PostingDetail, RoomReport};

/// MT has at most this many characters.
const MOST_TEXT: usize = 2_000;
/// PI has at most this many characters.
const MOST_QUERY: usize = 10;
/// Commands that may be open at once for news to be taken.
const MOST_OPEN: usize = 5_000;
/// Messages that one command fetches.
const MOST_FETCHED: usize = 50;

/// True for what somebody waits for: it is never done later.
pub(super) fn is_question(action: &Action) -> bool {
    matches!(
        action,
        Action::ReadMessages { .. }
            | Action::AskBill { .. }
            | Action::RemoteCheckOut { .. }
            | Action::Locate { .. }
            | Action::FindGuests { .. }
    )
}

/// True for news of this stay that may still wait for the link.
pub(super) fn is_news_of(action: &Action, stay: &StayId, room: &RoomId) -> bool {
    match action {
        Action::MessageRead { room: at, stay: of, .. } | Action::LeaveMessage { room: at, stay: of, .. } => {
            of.as_ref().map_or(at == room, |of| of == stay)
        }
        _ => false,
    }
}

/// The same number for the same command: a message that is sent again after a restart can be known by it.
fn reference(key: &CommandKey) -> u32 {
    let hash = key.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Below 100,000,000: it fits.
    u32::try_from(hash % 99_999_999).unwrap_or(0) + 1
}

fn text_of(text: &str, most: usize, what: &str) -> Result<(), String> {
    let length = text.chars().count();
    let odd = text.chars().any(|c| c == '|' || (c.is_control() && !matches!(c, '\n' | '\r')));
    match length {
        0 => Err(format!("{what} is empty")),
        length if length > most => Err(format!("{what} has {length} characters; at most {most} can be told")),
        _ if odd => Err(format!("{what} has a `|` or a control character, which the PMS can't be told")),
        _ => Ok(()),
    }
}

impl Property {
    pub(in crate::property) fn desk_asked(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        action: &Action,
        out: &mut Applied,
    ) -> Result<(), String> {
        match action {
            Action::PostSlip { room, stay, amount, text, outlet, slip } => {
                self.known_room(room)?;
                slip.check(amount.minor)?;
                let detail = PostingDetail::Slip(slip.clone());
                self.post(at, key, room, stay.as_ref(), *amount, text, outlet.as_deref(), detail, out)
            }
            Action::PostMinibar { room, items } => {
                self.known_room(room)?;
                if items.is_empty() || items.len() > MOST_ARTICLES {
                    return Err(format!("expected 1 to {MOST_ARTICLES} articles, not {}", items.len()));
                }
                if let Some(odd) =
                    items.iter().find(|item| item.article > 9_999 || !(1..=99).contains(&item.count))
                {
                    return Err(format!(
                        "article {} × {}: an article has up to four digits, and 1 to 99 of it can be taken",
                        odd.article, odd.count
                    ));
                }
                let nothing = Money { minor: 0, currency: self.spec.currency };
                let detail = PostingDetail::Minibar(items.clone());
                self.post(at, key, room, None, nothing, "Minibar", None, detail, out)
            }
            Action::PostCall { room, amount, call } => {
                self.known_room(room)?;
                Self::known_call(call)?;
                let amount = amount.unwrap_or(Money { minor: 0, currency: self.spec.currency });
                let detail = PostingDetail::Call(call.clone());
                self.post(at, key, room, None, amount, "Telephone", None, detail, out)
            }
            Action::PostToGuest { room, stay, amount, text, outlet } => {
                let stay = self.inhabitant(room, Some(stay))?;
                let Some(name) = self.stays.get(&stay).and_then(|stay| stay.name.clone()) else {
                    return Err(format!("the PMS has told no name for stay {stay}, and wants one here"));
                };
                let detail = PostingDetail::Guest { name };
                self.post(at, key, room, Some(&stay), *amount, text, outlet.as_deref(), detail, out)
            }
            Action::MessageRead { room, stay, message } => {
                let stay = self.inhabitant(room, stay.as_ref())?;
                text_of(message, 8, "the message's number")?;
                self.may_wait()?;
                let action =
                    Action::MessageRead { room: room.clone(), stay: Some(stay), message: message.clone() };
                self.bind_and_send(key, action, out);
                Ok(())
            }
            Action::LeaveMessage { room, stay, text } => {
                let stay = self.inhabitant(room, stay.as_ref())?;
                text_of(text.reveal(), MOST_TEXT, "the text")?;
                self.may_wait()?;
                let action =
                    Action::LeaveMessage { room: room.clone(), stay: Some(stay), text: text.clone() };
                self.bind_and_send(key, action, out);
                Ok(())
            }
            Action::RoomReport { room, report } => {
                self.known_room(room)?;
                Self::known_report(report)?;
                self.may_wait()?;
                self.desk_send_waiting(key, action, out);
                Ok(())
            }
            Action::AnswerKey { coder, workstation, status, text, card, room } => {
                let answer = super::keys::Answer {
                    status,
                    text: text.as_deref(),
                    card: card.as_ref(),
                    room: room.as_ref(),
                };
                self.answer_key(coder, workstation.as_deref(), &answer, out)?;
                self.end_command(at, key, CommandOutcome::Done, out);
                Ok(())
            }
            question => {
                let request = self.question(at, question, out)?;
                self.ask_pms(key, request, out);
                Ok(())
            }
        }
    }

    /// News of a guest is that guest's from the moment when it was asked: it goes along on a move, and ends with the stay,
    /// so that the room's next guest never gets it.
    fn bind_and_send(&mut self, key: &CommandKey, action: Action, out: &mut Applied) {
        self.desk_send_waiting(key, &action, out);
        if let Some(record) = self.commands.get_mut(key) {
            record.command.action = action;
        }
    }

    /// News waits for the link as an open command, but not without end.
    fn may_wait(&self) -> Result<(), String> {
        let open = self.commands.values().filter(|record| record.ended.is_none()).count();
        if open > MOST_OPEN {
            return Err(format!("{open} commands wait already: is the PMS link up?"));
        }
        Ok(())
    }

    fn known_call(call: &Call) -> Result<(), String> {
        let dials = |text: &str| {
            (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b"*#+".contains(&b))
        };
        match call {
            Call { dialled: None, seconds: None, pulses: None } => {
                Err("say what was dialled and for how long, or the meter pulses".to_owned())
            }
            Call { seconds: Some(seconds), .. } if *seconds > 99 * 3600 + 59 * 60 + 59 => {
                Err(format!("{seconds} seconds are more than the PMS can be told"))
            }
            Call { dialled: Some(dialled), .. } if !dials(dialled.reveal()) => {
                Err("what was dialled has 1 to 20 digits, `*`, `#` and `+`".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn known_report(report: &RoomReport) -> Result<(), String> {
        if *report == RoomReport::default() {
            return Err("nothing is reported: give a status, a note or voice_mail".to_owned());
        }
        if let Some(status) = &report.status {
            Self::known_word(status, &STATUSES)?;
        } else if report.units.is_some() {
            return Err("units go with a status only".to_owned());
        }
        if let Some(user) = &report.user {
            text_of(user, 16, "user")?;
        }
        if let Some(note) = &report.note {
            text_of(note.reveal(), 40, "the note")?;
        }
        match report.voice_mail {
            Some(mail) if mail.unheard > 99 || mail.heard > 99 => {
                Err("voice_mail: at most 99 each can be told".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Questions can be asked now, or not at all.
    fn question(&mut self, at: Timestamp, action: &Action, out: &mut Applied) -> Result<PmsRequest, String> {
        let link = self.link_for(action);
        if !self.is_alive(&link) {
            return Err("the PMS link is down: ask again when it is up".to_owned());
        }
        if self.resyncs.contains_key(&link) {
            return Err("the PMS is sending the list of the house: ask again in a minute".to_owned());
        }
        match action {
            Action::ReadMessages { room, stay, message, keep_unread } => {
                let stay = self.inhabitant(room, stay.as_ref())?;
                let (room, message) = (room.clone(), message.clone());
                Ok(PmsRequest::ReadMessage { room, stay, message, keep_unread: *keep_unread })
            }
            Action::AskBill { room, stay } => {
                let stay = self.inhabitant(room, stay.as_ref())?;
                if self.desk.bills.get(&stay).is_some_and(|bill| bill.balance.is_none()) {
                    return Err(format!("the bill of stay {stay} is being fetched already"));
                }
                if self.desk.bills.len() >= MOST_KEPT
                    && let Some(oldest) = self
                        .desk
                        .bills
                        .iter()
                        .min_by_key(|(_, bill)| bill.asked)
                        .map(|(stay, _)| stay.clone())
                {
                    self.desk.bills.remove(&oldest);
                }
                self.desk.bills.insert(stay.clone(), Bill { asked: at, lines: vec![], balance: None });
                Ok(PmsRequest::Bill { room: room.clone(), stay })
            }
            Action::RemoteCheckOut { room, stay, balance } => {
                let stay = self.inhabitant(room, stay.as_ref())?;
                match self.desk.bills.get(&stay).and_then(|bill| bill.balance) {
                    None => Err("the guest has not seen the bill: ask for it first".to_owned()),
                    Some(known) if known != *balance => {
                        Err("that is not the bill's balance: ask for the bill again".to_owned())
                    }
                    Some(_) if self.desk.leaving.contains_key(&stay) => {
                        Err(format!("stay {stay} is being checked out already"))
                    }
                    Some(balance) => Ok(PmsRequest::CheckOut { room: room.clone(), stay, balance }),
                }
            }
            Action::Locate { room, stay } => {
                let stay = self.inhabitant(room, stay.as_ref())?;
                Ok(PmsRequest::Locate { room: room.clone(), stay })
            }
            Action::FindGuests { query, outlet, most } => {
                text_of(query.reveal(), MOST_QUERY, "the query")?;
                let number = self.next_number(out);
                let (query, outlet) = (query.clone(), outlet.clone());
                Ok(PmsRequest::FindGuests { number, query, outlet, most: *most })
            }
            // Unreachable while every action is handled by the callers; an error is better than a panic.
            _ => Err("this can't be asked of the PMS".to_owned()),
        }
    }

    /// What needs no answer goes out while the PMS can take it; else it waits, durably, as an open command.
    pub(in crate::property) fn desk_send_waiting(
        &self,
        key: &CommandKey,
        action: &Action,
        out: &mut Applied,
    ) {
        if !self.takes_records(&self.link_for(action)) {
            return;
        }
        let place = |room: &RoomId, stay: &Option<StayId>| {
            // A guest who has moved or left meanwhile: the request goes where the guest is, or nowhere.
            let here = self.inhabitant(room, stay.as_ref()).ok().map(|stay| (room.clone(), stay));
            let moved = || {
                stay.as_ref()
                    .and_then(|id| self.stays.get(id))
                    .map(|stay| (stay.room.clone(), stay.id.clone()))
            };
            here.or_else(moved)
        };
        let request = match action {
            Action::MessageRead { room, stay, message } => place(room, stay)
                .map(|(room, stay)| PmsRequest::MessageRead { room, stay, message: message.clone() }),
            Action::LeaveMessage { room, stay, text } => place(room, stay).map(|(room, stay)| {
                PmsRequest::LeaveMessage { room, stay, text: text.clone(), reference: reference(key) }
            }),
            Action::RoomReport { room, report } => {
                Some(PmsRequest::RoomReport { room: room.clone(), report: report.clone() })
            }
            _ => None,
        };
        if let Some(request) = request {
            self.ask_pms(key, request, out);
        }
    }

    /// The PMS has answered a question.
    pub(super) fn request_answered(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        status: &str,
        text: Option<&str>,
        out: &mut Applied,
    ) {
        let Some(record) = self.commands.get(key).filter(|record| record.ended.is_none()) else {
            self.count("answer-not-asked");
            return;
        };
        let action = record.command.action.clone();
        let outcome = match (&action, status) {
            (Action::ReadMessages { room, stay, message: None, keep_unread: false }, "OK") => {
                // Each was read with this: the next one, until there is none.
                if let Ok(stay) = self.inhabitant(room, stay.as_ref())
                    && self.is_alive(self.pms.of_room(room))
                    && self.messages(&stay).len() < MOST_FETCHED
                {
                    let (room, message) = (room.clone(), None);
                    let request = PmsRequest::ReadMessage { room, stay, message, keep_unread: false };
                    self.ask_pms(key, request, out);
                    return;
                }
                CommandOutcome::Done
            }
            (Action::ReadMessages { .. }, "NM") | (_, "OK") => CommandOutcome::Done,
            _ => {
                let reason = match text {
                    Some(text) => format!("{} ({status}): {text}", in_words(status)),
                    None => format!("{} ({status})", in_words(status)),
                };
                CommandOutcome::Refused { reason }
            }
        };
        match (&action, &outcome) {
            (Action::RemoteCheckOut { room, stay, .. }, CommandOutcome::Done) => {
                // Begun. It is done when the guest is gone.
                match self.inhabitant(room, stay.as_ref()) {
                    Ok(stay) => {
                        let until = at.checked_add(CHECK_OUT_LASTS).unwrap_or(at);
                        self.desk.leaving.insert(stay, (key.clone(), until));
                    }
                    Err(_) => self.end_command(at, key, outcome, out),
                }
            }
            (Action::AskBill { room, stay }, CommandOutcome::Refused { .. }) => {
                self.forget_bill(room, stay.as_ref());
                self.end_command(at, key, outcome, out);
            }
            _ => self.end_command(at, key, outcome, out),
        }
    }

    pub(super) fn forget_bill(&mut self, room: &RoomId, stay: Option<&StayId>) {
        if let Ok(stay) = self.inhabitant(room, stay) {
            self.desk.bills.remove(&stay);
        }
    }

    /// No answer will come. A check-out may have been begun; all else has changed nothing.
    pub(super) fn request_lost(&mut self, at: Timestamp, key: &CommandKey, why: &str, out: &mut Applied) {
        let Some(record) = self.commands.get(key).filter(|record| record.ended.is_none()) else { return };
        let outcome = match record.command.action.clone() {
            Action::RemoteCheckOut { room, .. } => {
                CommandOutcome::Doubtful { reason: format!("{why}: look whether room {room} is checked out") }
            }
            Action::AskBill { room, stay } => {
                self.forget_bill(&room, stay.as_ref());
                CommandOutcome::Refused { reason: format!("{why}: ask again") }
            }
            _ => CommandOutcome::Refused { reason: format!("{why}: ask again") },
        };
        self.end_command(at, key, outcome, out);
    }

    /// What needs no answer has gone out.
    pub(super) fn request_sent(&mut self, at: Timestamp, key: &CommandKey, out: &mut Applied) {
        let Some(record) = self.commands.get(key).filter(|record| record.ended.is_none()) else { return };
        match record.command.action.clone() {
            Action::RoomReport { room, report } => {
                if let Some(status) = report.status {
                    self.status_told(&room, &status, out);
                }
            }
            Action::MessageRead { room, stay, message } => {
                let of = stay.as_ref().and_then(|stay| self.stays.get(stay));
                let room = of.map_or(room, |stay| stay.room.clone());
                self.message_gone(&room, stay.as_ref(), &message, out);
            }
            _ => {}
        }
        self.end_command(at, key, CommandOutcome::Done, out);
    }
}
