//! Whether a new release is well: judged against what the old one had right before the switch. Pure.
//!
//! Health, not just a start: the database is open, each link that was up is up again and has exchanged something, commits are
//! quick, memory is within its budget, the cloud is reached where it was before. What was down before may be down. What can't
//! get better is told at once; what may still come is waited for until the time is over.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A new release runs at least so long before it is called well.
const LEAST: Duration = Duration::from_secs(8);
/// Commits that are counted before their time is judged.
const COMMITS: u64 = 20;
/// Commits may take so long whatever they took before, ms.
const QUICK_MS: u64 = 250;
/// How many times longer commits may take than before.
const SLOWER: u64 = 4;
/// How much more memory than before is no matter, KiB.
const SMALL_KIB: u64 = 48 << 10;
/// How many times more memory the new release may take than the old one.
const LARGER: u64 = 2;
/// Of so many devices that answered, one may be silent.
const ONE_SILENT_OF: usize = 10;
/// A task that fails so often is not going to get better.
const MOST_FAILURES: u64 = 4;

/// How a house is: what the old release leaves behind, and what the new one has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The version that is so.
    pub(crate) version: String,
    /// The links, the cloud among them: whether they are up, and why not.
    pub(crate) links: BTreeMap<String, Link>,
    /// Commits since the start.
    pub(crate) commits: u64,
    /// 99 of 100 took at most so long, ms.
    pub(crate) commit_p99_ms: u64,
    /// Memory resident, KiB; 0: not known.
    pub(crate) memory_kib: u64,
    /// Failures of tasks since the start, with the last reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) failures: BTreeMap<String, (u64, String)>,
    /// Tasks that do not run at this moment, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) down: BTreeMap<String, String>,
}

/// How a link is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Link {
    /// It can be used. After a start that means that the other side has answered.
    pub(crate) up: bool,
    /// Why not, or what it does.
    pub(crate) detail: String,
    /// Devices on it that have answered since the start.
    pub(crate) answered: usize,
}

/// What is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The whole trial.
    pub(crate) time: Duration,
    /// The most memory, KiB, where that is set; else by what the old release took.
    pub(crate) memory_kib: Option<u64>,
    /// The link to the cloud.
    pub(crate) cloud: &'static str,
}

/// What a trial has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays.
    Healthy,
    /// What is still missing, the first of it.
    Wait(String),
    /// It goes back, and why.
    Unwell(String),
}

/// Judges the new release `now`, `elapsed` after its start, by what the old one was `before`; without that (its file was lost) by
/// the budget alone.
pub(crate) fn judge(before: Option<&State>, now: &State, elapsed: Duration, budget: &Budget) -> Verdict {
    if let Some(why) = hopeless(before, now, budget) {
        return Verdict::Unwell(why);
    }
    let missing = missing(before, now, budget);
    match missing {
        None if elapsed >= LEAST => Verdict::Healthy,
        None => Verdict::Wait(format!("it runs for {} s", elapsed.as_secs())),
        Some(what) if elapsed >= budget.time => {
            Verdict::Unwell(format!("{what}, {} s after its start", elapsed.as_secs()))
        }
        Some(what) => Verdict::Wait(what),
    }
}

/// What can't get better.
fn hopeless(before: Option<&State>, now: &State, budget: &Budget) -> Option<String> {
    let most = budget.memory_kib.unwrap_or_else(|| {
        let was = before.map_or(0, |before| before.memory_kib);
        if was == 0 { u64::MAX } else { (was * LARGER).max(was + SMALL_KIB) }
    });
    if now.memory_kib > most {
        return Some(format!(
            "it takes {} MiB of memory, its budget is {}",
            now.memory_kib >> 10,
            most >> 10
        ));
    }
    let failing =
        |name: &str| before.is_some_and(|before| before.failures.get(name).is_some_and(|was| was.0 > 0));
    let hopeless = now.failures.iter().find(|(name, (count, _))| *count >= MOST_FAILURES && !failing(name));
    hopeless.map(|(name, (count, why))| format!("its task {name} has failed {count} times: {why}"))
}

/// What may still come.
fn missing(before: Option<&State>, now: &State, budget: &Budget) -> Option<String> {
    let was_down = |name: &str| before.is_some_and(|before| before.down.contains_key(name));
    if let Some((name, why)) = now.down.iter().find(|(name, _)| !was_down(name)) {
        return Some(format!("its task {name} is down: {why}"));
    }
    let before = before?;
    let quick = (before.commit_p99_ms * SLOWER).max(QUICK_MS);
    for (name, was) in before.links.iter().filter(|(_, was)| was.up) {
        let is = now.links.get(name);
        if !is.is_some_and(|is| is.up) {
            let why = is.map_or("nothing is heard of it", |is| is.detail.as_str());
            let what = if name == budget.cloud { "the cloud".to_owned() } else { format!("the link {name}") };
            return Some(format!("{what} was up before and is not: {why}"));
        }
        let answered = is.map_or(0, |is| is.answered);
        let wanted = was.answered - was.answered / ONE_SILENT_OF;
        if answered < wanted {
            return Some(format!("of {} devices on {name} that answered before {answered} do", was.answered));
        }
    }
    (now.commits >= COMMITS && now.commit_p99_ms > quick)
        .then(|| format!("commits take {} ms (99 of 100), at most {quick} were expected", now.commit_p99_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { time: Duration::from_secs(120), memory_kib: None, cloud: "cloud" };

    fn link(up: bool, answered: usize) -> Link {
        Link { up, detail: if up { "alive" } else { "refused by 10.0.0.5:5010" }.to_owned(), answered }
    }

    fn well() -> State {
        let links = [
            ("pms", link(true, 0)),
            ("modbus-floor1", link(true, 40)),
            ("cloud", link(true, 0)),
            ("pms-annex", link(false, 0)),
        ];
        State {
            version: "1.0.0".to_owned(),
            links: links.map(|(name, link)| (name.to_owned(), link)).into(),
            commits: 500,
            commit_p99_ms: 12,
            memory_kib: 20 << 10,
            failures: BTreeMap::new(),
            down: BTreeMap::new(),
        }
    }

    fn at(second: u64, now: &State) -> Verdict {
        judge(Some(&well()), now, Duration::from_secs(second), &BUDGET)
    }

    fn with(change: impl FnOnce(&mut State)) -> State {
        let mut state = well();
        change(&mut state);
        state
    }

    #[test]
    fn as_well_as_before_is_well_but_not_in_the_first_seconds() {
        assert!(matches!(at(2, &well()), Verdict::Wait(_)));
        assert_eq!(at(8, &well()), Verdict::Healthy);
        let better = with(|state| *state.links.get_mut("pms-annex").unwrap() = link(true, 0));
        assert_eq!(at(8, &better), Verdict::Healthy);
        assert_eq!(
            judge(None, &State::default(), LEAST, &BUDGET),
            Verdict::Healthy,
            "nothing to compare with"
        );
    }

    #[test]
    fn what_was_up_must_be_up_again_and_what_was_down_may_be_down() {
        for name in ["pms", "modbus-floor1", "cloud"] {
            let lost = with(|state| *state.links.get_mut(name).unwrap() = link(false, 0));
            assert!(matches!(at(119, &lost), Verdict::Wait(_)), "{name}: it may still come");
            let Verdict::Unwell(why) = at(120, &lost) else { panic!("{name}") };
            assert!(why.contains("refused by 10.0.0.5:5010") && why.contains("120 s"), "{why}");
            assert!(why.contains(if name == "cloud" { "the cloud" } else { name }), "{why}");
            let gone = with(|state| drop(state.links.remove(name)));
            assert!(
                matches!(at(120, &gone), Verdict::Unwell(_)),
                "{name}: no longer configured is lost, too"
            );
        }
        let before = with(|state| *state.links.get_mut("cloud").unwrap() = link(false, 0));
        let verdict = judge(Some(&before), &before, Duration::from_secs(20), &BUDGET);
        assert_eq!(verdict, Verdict::Healthy, "unreachable before: local health alone");
    }

    #[test]
    fn a_link_that_is_up_must_have_exchanged_something() {
        let answering = |count| with(|state| state.links.get_mut("modbus-floor1").unwrap().answered = count);
        assert_eq!(at(20, &answering(36)), Verdict::Healthy, "one of ten may be asleep");
        let Verdict::Wait(what) = at(20, &answering(35)) else { panic!() };
        assert_eq!(what, "of 40 devices on modbus-floor1 that answered before 35 do");
        assert!(matches!(at(120, &answering(0)), Verdict::Unwell(_)));
        let one = with(|state| state.links.get_mut("modbus-floor1").unwrap().answered = 1);
        let none = with(|state| state.links.get_mut("modbus-floor1").unwrap().answered = 0);
        assert!(matches!(judge(Some(&one), &none, Duration::from_secs(20), &BUDGET), Verdict::Wait(_)));
    }

    #[test]
    fn memory_and_failing_tasks_are_told_at_once() {
        let Verdict::Unwell(why) = at(1, &with(|state| state.memory_kib = 80 << 10)) else { panic!() };
        assert_eq!(why, "it takes 80 MiB of memory, its budget is 68");
        assert_eq!(at(9, &with(|state| state.memory_kib = 60 << 10)), Verdict::Healthy);
        let set = Budget { memory_kib: Some(30 << 10), ..BUDGET };
        let more = with(|state| state.memory_kib = 31 << 10);
        assert!(matches!(judge(Some(&well()), &more, LEAST, &set), Verdict::Unwell(_)));
        assert!(matches!(judge(None, &more, LEAST, &set), Verdict::Unwell(_)), "also without a baseline");
        let failing = with(|state| drop(state.failures.insert("api".into(), (4, "it panicked: x".into()))));
        let Verdict::Unwell(why) = at(3, &failing) else { panic!() };
        assert_eq!(why, "its task api has failed 4 times: it panicked: x");
        let verdict = judge(Some(&failing), &failing, LEAST, &BUDGET);
        assert_eq!(verdict, Verdict::Healthy, "it failed before, too");
    }

    #[test]
    fn a_task_that_is_down_is_waited_for_unless_it_was_down_before() {
        let down = with(|state| drop(state.down.insert("api".into(), "it panicked: x".into())));
        assert_eq!(at(30, &down), Verdict::Wait("its task api is down: it panicked: x".to_owned()));
        let Verdict::Unwell(why) = at(120, &down) else { panic!() };
        assert!(why.starts_with("its task api is down: it panicked: x"), "{why}");
        let alone = judge(None, &down, LEAST, &BUDGET);
        assert!(matches!(alone, Verdict::Wait(_)), "also without a baseline");
        assert_eq!(judge(Some(&down), &down, LEAST, &BUDGET), Verdict::Healthy, "it was down before, too");
    }

    #[test]
    fn slow_commits_are_given_time_and_then_told() {
        let slow = with(|state| state.commit_p99_ms = 251);
        assert!(matches!(at(60, &slow), Verdict::Wait(_)));
        let Verdict::Unwell(why) = at(121, &slow) else { panic!() };
        assert!(why.starts_with("commits take 251 ms (99 of 100), at most 250"), "{why}");
        let few = with(|state| (state.commit_p99_ms, state.commits) = (2000, 19));
        assert_eq!(at(60, &few), Verdict::Healthy, "too few to say anything");
        let was_slow = with(|state| state.commit_p99_ms = 300);
        let slower = with(|state| state.commit_p99_ms = 1200);
        assert_eq!(judge(Some(&was_slow), &slower, LEAST, &BUDGET), Verdict::Healthy);
    }

    #[test]
    fn a_state_outlives_the_process_and_a_newer_one_has_more_fields() {
        let text = serde_json::to_string(&well()).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), well());
        assert_eq!(serde_json::from_str::<State>(r#"{"of_later":1}"#).unwrap(), State::default());
    }
}
