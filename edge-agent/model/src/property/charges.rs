//! Charges that rules propose: the minibar was opened, and staff decide what of it goes on the bill.
//!
//! Never: a charge that is posted without somebody of the staff. Bound: one open proposal for each room and rule, and
//! [`MOST_OPEN`] in all; further ones are counted. After [`KEPT`] an open one is forgotten, told as such.

use super::{Applied, Entity, Property};
use crate::ids::CommandKey;
use crate::rules::ChargeThen;
use crate::{Change, Money, PostingDetail, RoomId, StayId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Open proposals.
const MOST_OPEN: usize = 5_000;
/// Ended ones that are kept for the panel.
const KEPT_ENDED: usize = 1_000;
/// How long an open one waits for staff.
const KEPT: SignedDuration = SignedDuration::from_hours(72);

/// What has become of a proposed charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeState {
    /// Waits for staff.
    Proposed,
    /// Given to the PMS; the posting says what becomes of it.
    Accepted,
    /// Staff said no.
    Declined,
    /// Nobody said anything in time.
    Forgotten,
}

/// A proposed charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChargeProposal {
    /// Its number.
    pub number: u32,
    /// The room.
    pub room: RoomId,
    /// The stay, where there is only one in the room.
    pub stay: Option<StayId>,
    /// The rule that proposed it.
    pub rule: String,
    /// What for.
    pub text: String,
    /// How much, where the rule says so.
    pub amount: Option<Money>,
    /// The outlet, as the PMS names it.
    pub outlet: Option<String>,
    /// How often its occasion came while it waited.
    pub count: u32,
    /// When it came first.
    pub first: Timestamp,
    /// When it came last.
    pub last: Timestamp,
    /// What has become of it.
    pub state: ChargeState,
}

impl Property {
    pub(super) fn propose(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        rule: &str,
        charge: &ChargeThen,
        out: &mut Applied,
    ) {
        let mut open = self.governed.charges.values_mut().filter(|one| one.state == ChargeState::Proposed);
        if let Some(waiting) = open.find(|one| one.room == *room && one.rule == rule) {
            waiting.count += 1;
            waiting.last = at;
            out.touched.insert(Entity::Charge(waiting.number));
            return;
        }
        if self.governed.charges.values().filter(|one| one.state == ChargeState::Proposed).count()
            >= MOST_OPEN
        {
            self.count("charge-proposals-full");
            return;
        }
        let mut stays = self.stays_in(room).map(|stay| stay.id.clone());
        let stay = stays.next().filter(|_| stays.next().is_none());
        drop(stays);
        self.meta.last_charge = self.meta.last_charge.wrapping_add(1);
        let number = self.meta.last_charge;
        let amount = charge.amount_minor.map(|minor| Money { minor, currency: self.spec.currency });
        let proposal = ChargeProposal {
            number,
            room: room.clone(),
            stay,
            rule: rule.to_owned(),
            text: charge.text.clone(),
            amount,
            outlet: charge.outlet.clone(),
            count: 1,
            first: at,
            last: at,
            state: ChargeState::Proposed,
        };
        self.governed.charges.insert(number, proposal);
        out.touched.insert(Entity::Meta);
        self.tell_charge(number, out);
    }

    fn tell_charge(&self, number: u32, out: &mut Applied) {
        if let Some(charge) = self.governed.charges.get(&number) {
            out.touched.insert(Entity::Charge(number));
            out.changes.push(Change::ChargeProposed {
                charge: number,
                room: charge.room.clone(),
                text: charge.text.clone(),
                amount: charge.amount,
                stay: charge.stay.clone(),
                state: charge.state,
            });
        }
    }

    fn end_charge(&mut self, number: u32, state: ChargeState, out: &mut Applied) {
        if let Some(charge) = self.governed.charges.get_mut(&number) {
            charge.state = state;
            self.tell_charge(number, out);
        }
    }

    /// Staff's word on a proposal. True where it is posted now, and the posting ends the command.
    pub(super) fn settle_charge(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        number: u32,
        accept: bool,
        amount: Option<Money>,
        out: &mut Applied,
    ) -> Result<bool, String> {
        let Some(charge) = self.governed.charges.get(&number).cloned() else {
            return Err(format!("there is no proposed charge {number}"));
        };
        if charge.state != ChargeState::Proposed {
            return Err(format!("the proposed charge {number} is settled already"));
        }
        if !accept {
            self.end_charge(number, ChargeState::Declined, out);
            return Ok(false);
        }
        let Some(amount) = amount.or(charge.amount) else {
            return Err(format!("the proposed charge {number} has no amount of its own: give `amount`"));
        };
        let (stay, outlet) = (charge.stay.as_ref(), charge.outlet.as_deref());
        self.post(at, key, &charge.room, stay, amount, &charge.text, outlet, PostingDetail::Plain, out)?;
        self.end_charge(number, ChargeState::Accepted, out);
        Ok(true)
    }

    pub(super) fn prune_charges(&mut self, at: Timestamp, out: &mut Applied) {
        let waited = |charge: &&ChargeProposal| {
            charge.state == ChargeState::Proposed
                && charge.last.checked_add(KEPT).is_ok_and(|until| until <= at)
        };
        let forgotten: Vec<u32> =
            self.governed.charges.values().filter(waited).map(|charge| charge.number).collect();
        for number in forgotten {
            self.end_charge(number, ChargeState::Forgotten, out);
        }
        let ended: Vec<u32> = self
            .governed
            .charges
            .values()
            .filter(|charge| charge.state != ChargeState::Proposed)
            .map(|charge| charge.number)
            .collect();
        for number in ended.iter().take(ended.len().saturating_sub(KEPT_ENDED)) {
            self.governed.charges.remove(number);
            out.touched.insert(Entity::Charge(*number));
        }
    }
}
