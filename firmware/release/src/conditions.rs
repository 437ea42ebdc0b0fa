//! When a gateway may switch to a release: judged on the box, by the clocks and the business of the hotel. Pure.
//!
//! A release is fetched at any time; only the switch, which stops the house for a moment, waits. The cloud stores and hands on
//! [`Conditions`] as JSON and judges nothing: what is known of guests and audits is known in the house.
//!
//! Local times follow the zone's rules ("compatible", RFC 5545): a time that a change of the clocks leaves out is the moment after
//! the gap, one that comes twice is the first.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The shortest window, minutes: a switch and the beginning of its trial fit into it.
pub const SHORTEST_WINDOW_MIN: i64 = 10;
/// So long before the end of a window nothing is begun any more, seconds.
pub const LEAD_S: i64 = 120;
/// The widest berth around night audit, minutes.
pub const WIDEST_MARGIN_MIN: u16 = 240;
/// What can end at any moment is looked at again after this, seconds.
const SOON_S: i64 = 30;
/// A wake-up call that rings within this is waited for, seconds.
const BEFORE_CALL_S: i64 = 300;
/// How far the judge looks ahead: a release that can't be switched to within this is waited for in steps of it, days.
const HORIZON_DAYS: i64 = 8;
/// How many hindrances, one after the other, are looked at: a peak is looked through in quarters of an hour.
const MOST_HINDRANCES: usize = 1024;
/// Guests within an hour from which on it is a peak.
const PEAK_GUESTS: usize = 3;
/// One in so many of the day's guests within an hour is a peak.
const PEAK_PART: usize = 8;

/// A part of the day on the clocks of the property, `from` included, `to` not; past midnight where it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From this time of day on.
    pub from: Time,
    /// Until this one.
    pub to: Time,
}

/// What is wrong with conditions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionsError(String);

impl Hours {
    /// Reads two times such as `02:00` and `04:30`.
    ///
    /// # Errors
    /// Which of them is none, or that both are the same.
    pub fn new(from: &str, to: &str) -> Result<Self, ConditionsError> {
        let time = |text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| {
                ConditionsError(format!("`{text}` is not a time of day: expected one such as 02:30"))
            })
        };
        let hours = Self { from: time(from)?, to: time(to)? };
        if hours.from == hours.to {
            return Err(ConditionsError(format!("from {from} to {to} is no time at all")));
        }
        Ok(hours)
    }

    /// Reads `02:00-04:30`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn parse(text: &str) -> Result<Self, ConditionsError> {
        let (from, to) = text
            .split_once('-')
            .ok_or_else(|| ConditionsError(format!("`{text}`: expected two times such as 02:00-04:30")))?;
        Self::new(from.trim(), to.trim())
    }

    /// Minutes on the clock from the beginning to the end.
    pub fn minutes(&self) -> i64 {
        let minute = |time: Time| i64::from(time.hour()) * 60 + i64::from(time.minute());
        (minute(self.to) - minute(self.from)).rem_euclid(1440)
    }

    /// The interval that begins on the day of `now` plus `days`.
    fn interval(&self, zone: &TimeZone, now: Timestamp, days: i64) -> Option<(Timestamp, Timestamp)> {
        let date = zone.to_datetime(now).date().checked_add(days.days()).ok()?;
        let last = if self.to > self.from { date } else { date.tomorrow().ok()? };
        let instant = |date: jiff::civil::Date, time: Time| zone.to_timestamp(date.to_datetime(time)).ok();
        Some((instant(date, self.from)?, instant(last, self.to)?))
    }

    /// The end of these hours where `now` is within them.
    fn end_of(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let intervals = [-1, 0].into_iter().filter_map(|days| self.interval(zone, now, days));
        intervals.filter(|(from, to)| *from <= now && now < *to).map(|(_, to)| to).max()
    }

    /// The next beginning of these hours after `now`.
    fn next_from(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        // A day on which a change of the clocks swallows the hours has none.
        let intervals = (-1..=3).filter_map(|days| self.interval(zone, now, days));
        intervals.filter(|(from, to)| *from > now && from < to).map(|(from, _)| from).min()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// When a release may be switched to. Fields that a later version has are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Only within these hours of the property's day; at any hour where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Hours>,
    /// Not before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not from this instant on: a release that has not been switched to by then is not wanted any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// How far to keep from the usual time of night audit, minutes; while one runs nothing is switched, whatever is said here.
    pub audit_margin_min: u16,
    /// Not while guests come: where the house knows when they do, by that, else within these hours. `null`: at any hour.
    pub check_in: Option<Hours>,
    /// Not while more of the rooms than this have guests, percent; however full the house where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fullest_percent: Option<u8>,
}

/// The usual hours of check-in, 14:00 to 18:00.
const fn usual_check_in() -> Hours {
    Hours { from: Time::constant(14, 0, 0, 0), to: Time::constant(18, 0, 0, 0) }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            window: None,
            not_before: None,
            not_after: None,
            audit_margin_min: 60,
            check_in: Some(usual_check_in()),
            fullest_percent: None,
        }
    }
}

impl Conditions {
    /// Reads what the cloud has sent; nothing at all means the usual conditions.
    ///
    /// # Errors
    /// What can't be read, or can never be met.
    pub fn parse(json: &[u8]) -> Result<Self, ConditionsError> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        let conditions: Self = serde_json::from_slice(json)
            .map_err(|error| ConditionsError(format!("the conditions can't be read: {error}")))?;
        conditions.check()?;
        Ok(conditions)
    }

    /// Checks that the conditions can be met.
    ///
    /// # Errors
    /// Which can't, and what was expected.
    pub fn check(&self) -> Result<(), ConditionsError> {
        let fail = |text: String| Err(ConditionsError(text));
        if let Some(window) = self.window
            && window.minutes() < SHORTEST_WINDOW_MIN
        {
            return fail(format!(
                "the window {window} has {} minutes: expected at least {SHORTEST_WINDOW_MIN}",
                window.minutes()
            ));
        }
        if let (Some(from), Some(to)) = (self.not_before, self.not_after)
            && from >= to
        {
            return fail(format!("not before {from} and not after {to}: there is no time between them"));
        }
        if self.audit_margin_min > WIDEST_MARGIN_MIN {
            return fail(format!(
                "{} minutes around night audit: expected at most {WIDEST_MARGIN_MIN}",
                self.audit_margin_min
            ));
        }
        if self.fullest_percent.is_some_and(|percent| percent > 100) {
            return fail("a house can't be fuller than 100 percent".to_owned());
        }
        if let (Some(window), Some(peak)) = (self.window, self.check_in) {
            let start = |hours: Hours| i64::from(hours.from.hour()) * 60 + i64::from(hours.from.minute());
            let after = (start(window) - start(peak)).rem_euclid(1440);
            // In the last minutes of a window nothing is begun any more.
            let open = (0..=window.minutes() - LEAD_S / 60)
                .any(|minute| (after + minute).rem_euclid(1440) >= peak.minutes());
            if !open {
                let but = match after + window.minutes() <= peak.minutes() {
                    true => String::new(),
                    false => format!(" but for its end, where less than {LEAD_S} s are left"),
                };
                return fail(format!(
                    "the window {window} lies within the check-in hours {peak}{but}: it never opens"
                ));
            }
        }
        Ok(())
    }
}

/// What the house knows of itself at the moment of the judgement.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The property's zone.
    pub zone: TimeZone,
    /// A PMS runs its night audit.
    pub audit_running: bool,
    /// When the last night audits began.
    pub audits: Vec<Timestamp>,
    /// When guests are expected whose time is known.
    pub arrivals: Vec<Timestamp>,
    /// Days of arrival of guests whose time is not known, as the instant of the house's usual time of arrival.
    pub arrivals_sometime: Vec<Timestamp>,
    /// A charge is on its way to the PMS, or waits for its turn there.
    pub postings_in_flight: usize,
    /// A wake-up call rings.
    pub ringing: bool,
    /// The next wake-up call.
    pub next_call: Option<Timestamp>,
    /// Rooms with guests, percent.
    pub occupied_percent: u8,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            audit_running: false,
            audits: Vec::new(),
            arrivals: Vec::new(),
            arrivals_sometime: Vec::new(),
            postings_in_flight: 0,
            ringing: false,
            next_call: None,
            occupied_percent: 0,
        }
    }
}

/// Whether a release may be switched to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Now.
    Yes,
    /// Not now.
    Wait {
        /// When to ask again, at the latest.
        until: Timestamp,
        /// Why, in plain words.
        why: String,
    },
    /// Not any more.
    Never {
        /// Why, in plain words.
        why: String,
    },
}

/// Whether a release may be switched to at `now`, and else when to ask again and what stands against it first.
pub fn may_switch(conditions: &Conditions, facts: &Facts, now: Timestamp) -> Verdict {
    if conditions.not_after.is_some_and(|end| end <= now) {
        return Verdict::Never { why: "its time is over (not_after)".to_owned() };
    }
    // What can end at any moment.
    let soon = after(now, SOON_S);
    let at_once = [
        (facts.audit_running, "night audit is running"),
        (facts.ringing, "a wake-up call rings"),
        (facts.postings_in_flight > 0, "a charge is on its way to the PMS"),
    ];
    if let Some((_, why)) = at_once.into_iter().find(|(is, _)| *is) {
        return Verdict::Wait { until: soon, why: why.to_owned() };
    }
    if let Some(most) = conditions.fullest_percent
        && facts.occupied_percent > most
    {
        let why = format!("the house is {} % full, more than {most} %", facts.occupied_percent);
        return Verdict::Wait { until: after(now, 600), why };
    }
    let Some((mut until, why)) = blocked(conditions, facts, now) else { return Verdict::Yes };
    // Where one hindrance ends another may have begun.
    let begins = conditions.not_before.map_or(now, |from| from.max(now));
    let horizon = after(begins, HORIZON_DAYS * 86_400);
    for _ in 0..MOST_HINDRANCES {
        match blocked(conditions, facts, until) {
            None => return Verdict::Wait { until, why },
            Some((later, _)) if later > until && later < horizon => until = later,
            Some(_) => break,
        }
    }
    // Nobody waits for what does not come without being told.
    let why = format!(
        "{why}; in the next {HORIZON_DAYS} days there is no moment that window, night audit and check-in all leave free"
    );
    Verdict::Wait { until: until.min(after(now, HORIZON_DAYS * 86_400)), why }
}

/// The same where two have conditions, the house and whoever wants the release: both must allow it. Where both are against it,
/// whichever is longer is told.
pub fn may_switch_by_both(own: &Conditions, asked: &Conditions, facts: &Facts, now: Timestamp) -> Verdict {
    let (until, why) = match (may_switch(own, facts, now), may_switch(asked, facts, now)) {
        (Verdict::Yes, Verdict::Yes) => return Verdict::Yes,
        (never @ Verdict::Never { .. }, _) | (_, never @ Verdict::Never { .. }) => return never,
        (Verdict::Wait { until, why }, Verdict::Wait { until: later, .. }) if until >= later => (until, why),
        (_, Verdict::Wait { until, why }) | (Verdict::Wait { until, why }, _) => (until, why),
    };
    // Each alone may have its moments, and both together none: two windows that never meet.
    let is_free = |all: &[&Conditions]| has_a_moment(all, facts, now);
    let why = match is_free(&[own]) && is_free(&[asked]) && !is_free(&[own, asked]) {
        true => format!("{why}; in the next {HORIZON_DAYS} days {}", words_of_both(own, asked)),
        false => why,
    };
    Verdict::Wait { until, why }
}

fn words_of_both(own: &Conditions, asked: &Conditions) -> String {
    let window = |of: &Conditions| of.window.map_or_else(String::new, |window| format!(" (window {window})"));
    format!(
        "there is no moment that both the house's conditions{} and the release's{} leave free",
        window(own),
        window(asked)
    )
}

/// Whether there is a moment within the horizon that none of `all` is against, by the clock.
fn has_a_moment(all: &[&Conditions], facts: &Facts, now: Timestamp) -> bool {
    let mut at = all.iter().filter_map(|of| of.not_before).fold(now, Timestamp::max);
    let horizon = after(at, HORIZON_DAYS * 86_400);
    for _ in 0..MOST_HINDRANCES {
        match all.iter().find_map(|of| blocked(of, facts, at)) {
            None => return true,
            Some((later, _)) if later > at && later < horizon => at = later,
            Some(_) => return false,
        }
    }
    false
}

/// What stands against a switch at `at` by the clock, and until when it does by itself.
fn blocked(conditions: &Conditions, facts: &Facts, at: Timestamp) -> Option<(Timestamp, String)> {
    if let Some(from) = conditions.not_before.filter(|from| *from > at) {
        return Some((from, format!("not before {from}")));
    }
    if let Some(window) = conditions.window {
        let open = window.end_of(&facts.zone, at).is_some_and(|end| after(at, LEAD_S) <= end);
        if !open {
            let next = window.next_from(&facts.zone, at).unwrap_or_else(|| after(at, 86_400));
            return Some((next, format!("the window is {window} ({})", name(&facts.zone))));
        }
    }
    if let Some(end) = audit(facts, conditions.audit_margin_min, at) {
        return Some((end, "near the usual time of night audit".to_owned()));
    }
    if let Some(hours) = conditions.check_in
        && let Some((end, why)) = peak(facts, hours, at)
    {
        return Some((end, why));
    }
    if let Some(call) = facts.next_call
        && at <= call
        && call < after(at, BEFORE_CALL_S)
    {
        return Some((after(call, 60), "a wake-up call is about to ring".to_owned()));
    }
    None
}

/// The end of the berth around the usual time of night audit, where `at` is within it.
fn audit(facts: &Facts, margin_min: u16, at: Timestamp) -> Option<Timestamp> {
    let margin = SignedDuration::from_mins(i64::from(margin_min));
    let spans = facts.audits.iter().flat_map(|audit| {
        let time = facts.zone.to_datetime(*audit).time();
        let today = facts.zone.to_datetime(at).date();
        let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        days.into_iter().flatten().filter_map(move |date| {
            let usual = facts.zone.to_timestamp(date.to_datetime(time)).ok()?;
            Some((usual.checked_sub(margin).ok()?, usual.checked_add(margin).ok()?))
        })
    });
    spans.filter(|(from, to)| *from <= at && at < *to).map(|(_, to)| to).max()
}

/// The end of the check-in peak, where `at` is within it: by the guests' own times where most of the day's are known, else by
/// the hours.
fn peak(facts: &Facts, hours: Hours, at: Timestamp) -> Option<(Timestamp, String)> {
    let day = facts.zone.to_datetime(at).date();
    let of_day = |times: &[Timestamp]| -> Vec<Timestamp> {
        times.iter().copied().filter(|time| facts.zone.to_datetime(*time).date() == day).collect()
    };
    let (known, vague) = (of_day(&facts.arrivals), of_day(&facts.arrivals_sometime));
    if known.is_empty() || known.len() < vague.len() {
        let end = hours.end_of(&facts.zone, at)?;
        return Some((end, format!("check-in is at its peak ({hours})")));
    }
    let least = PEAK_GUESTS.max(known.len().div_ceil(PEAK_PART));
    let near = |time: &Timestamp, at: Timestamp| {
        time.duration_since(at).unsigned_abs() <= std::time::Duration::from_secs(30 * 60)
    };
    let count = known.iter().filter(|time| near(time, at)).count();
    (count >= least).then(|| (after(at, 900), format!("{count} guests are expected within the hour")))
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("the property's zone").to_owned()
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
