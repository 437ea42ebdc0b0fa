//! What the house knows of itself when a switch is judged.

use engawa_model::{PostingState, Property, Timestamp, WakeState};
use engawa_release::conditions::Facts;
use jiff::tz::TimeZone;

/// The facts for the judge.
pub(crate) fn of(property: &Property, zone: &TimeZone, now: Timestamp) -> Facts {
    let (mut known, mut vague) = (Vec::new(), Vec::new());
    for arrival in property.arrivals().values() {
        match (arrival.eta, arrival.date) {
            (Some(eta), _) => known.push(eta),
            // Any time of that day does: only the day is looked at.
            (None, Some(date)) => vague.extend(zone.to_timestamp(date.at(12, 0, 0, 0)).ok()),
            (None, None) => {}
        }
    }
    let open = property.wake_ups().filter(|call| call.state == WakeState::Waiting);
    let next_call = open.filter_map(|call| property.wake_instant(call.at)).filter(|at| *at >= now).min();
    let occupied = property.rooms().keys().filter(|room| property.stays_in(room).next().is_some()).count();
    let percent = occupied * 100 / property.rooms().len().max(1);
    Facts {
        zone: zone.clone(),
        audit_running: property.night_audit(),
        audits: property.night_audits().to_vec(),
        arrivals: known,
        arrivals_sometime: vague,
        // One that waits for a PMS that is away is durable, and goes out after the switch.
        postings_in_flight: property
            .postings()
            .values()
            .filter(|posting| posting.state == PostingState::InFlight)
            .count(),
        ringing: property.wake_ups().any(|call| call.state == WakeState::Ringing),
        next_call,
        occupied_percent: u8::try_from(percent).unwrap_or(100),
    }
}
