//! Whether a new release is well: judged against what the old one had right before the switch. Pure.
//!
//! Health, not just a start: the database is open, each link that was up is up again and has exchanged something, commits are
//! quick, memory is within its budget, the cloud is reached where it was before. What was down before may be down. What can't
//! get better is told at once; what may still come is waited for until the time is over. Commits are made for it where the house
//! sleeps ([`Trial::wants_commits`]): nothing is called well that was not seen.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A new release runs at least so long before it is called well: this part of its trial, within these bounds.
const LEAST_PART: u32 = 8;
const LEAST: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(30));
/// Commits that must have been made, by then nine of ten are judged; and from how many on 99 of 100 are.
const COMMITS: u64 = 20;
/// When the trial's time is over so many do: a disk that is slow may have been so before, which is judged then.
const FEW_COMMITS: u64 = 5;
const MANY_COMMITS: u64 = 100;
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
    /// Nine of ten took at most so long, ms.
    pub(crate) commit_p90_ms: u64,
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

/// A trial that goes on.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// What the old release was like; `None`: its file was lost, and the new one is judged by the budget alone.
    before: Option<State>,
    budget: Budget,
    /// How often each task has failed, as far as it was looked at, and when it was seen last that it had.
    failures: BTreeMap<String, (u64, Duration)>,
}

impl Trial {
    pub(crate) fn new(before: Option<State>, budget: Budget) -> Self {
        Self { before, budget, failures: BTreeMap::new() }
    }

    /// Whether there were too few commits to say how long they take.
    pub(crate) fn wants_commits(now: &State) -> bool {
        now.commits < MANY_COMMITS
    }

    /// Judges the new release as it is `now`, `elapsed` after its start.
    pub(crate) fn judge(&mut self, now: &State, elapsed: Duration) -> Verdict {
        for (name, (count, _)) in &now.failures {
            let seen = self.failures.entry(name.clone()).or_default();
            if seen.0 != *count {
                *seen = (*count, elapsed);
            }
        }
        let before = self.before.as_ref();
        if let Some(why) = hopeless(before, now, &self.budget) {
            return Verdict::Unwell(why);
        }
        let least = (self.budget.time / LEAST_PART).clamp(LEAST.0, LEAST.1);
        let commits = if elapsed >= self.budget.time { FEW_COMMITS } else { COMMITS };
        match missing(before, now, &self.budget, commits).or_else(|| self.shaky(now, elapsed, least / 2)) {
            None if elapsed >= least => Verdict::Healthy,
            None => Verdict::Wait(format!("it runs for {} s", elapsed.as_secs())),
            Some(what) if elapsed >= self.budget.time => {
                Verdict::Unwell(format!("{what}, {} s after its start", elapsed.as_secs()))
            }
            Some(what) => Verdict::Wait(what),
        }
    }

    /// A task that has failed within the last `calm` and had not before the switch: that it is up just now says nothing.
    fn shaky(&self, now: &State, elapsed: Duration, calm: Duration) -> Option<String> {
        let (name, (_, at)) = self
            .failures
            .iter()
            .filter(|(name, _)| !had_failed(self.before.as_ref(), name))
            .find(|(_, (_, at))| elapsed.saturating_sub(*at) < calm)?;
        let why = now.failures.get(name).map_or("", |(_, why)| why.as_str());
        Some(format!("its task {name} has failed {} s ago: {why}", elapsed.saturating_sub(*at).as_secs()))
    }
}

fn had_failed(before: Option<&State>, name: &str) -> bool {
    before.is_some_and(|before| before.failures.get(name).is_some_and(|was| was.0 > 0))
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
    let hopeless =
        now.failures.iter().find(|(name, (count, _))| *count >= MOST_FAILURES && !had_failed(before, name));
    hopeless.map(|(name, (count, why))| format!("its task {name} has failed {count} times: {why}"))
}

/// What may still come.
fn missing(before: Option<&State>, now: &State, budget: &Budget, commits: u64) -> Option<String> {
    let was_down = |name: &str| before.is_some_and(|before| before.down.contains_key(name));
    if let Some((name, why)) = now.down.iter().find(|(name, _)| !was_down(name)) {
        return Some(format!("its task {name} is down: {why}"));
    }
    if now.commits < commits {
        return Some(format!("{} commits were made of {commits} that are timed", now.commits));
    }
    let before = before?;
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
    // One that had to wait says nothing where there are few.
    let (part, took, were) = if now.commits < MANY_COMMITS {
        ("nine of ten", now.commit_p90_ms, before.commit_p90_ms)
    } else {
        ("99 of 100", now.commit_p99_ms, before.commit_p99_ms)
    };
    let quick = (were * SLOWER).max(QUICK_MS);
    (took > quick).then(|| format!("commits take {took} ms ({part}), at most {quick} were expected"))
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
            commit_p90_ms: 10,
            commit_p99_ms: 12,
            memory_kib: 20 << 10,
            failures: BTreeMap::new(),
            down: BTreeMap::new(),
        }
    }

    /// What a trial comes to that is looked at once.
    fn judge(before: Option<&State>, now: &State, elapsed: Duration, budget: &Budget) -> Verdict {
        Trial::new(before.cloned(), *budget).judge(now, elapsed)
    }

    fn at(second: u64, now: &State) -> Verdict {
        judge(Some(&well()), now, Duration::from_secs(second), &BUDGET)
    }

    const LEAST: Duration = Duration::from_secs(15);

    fn with(change: impl FnOnce(&mut State)) -> State {
        let mut state = well();
        change(&mut state);
        state
    }

    #[test]
    fn as_well_as_before_is_well_but_not_in_the_first_seconds() {
        assert!(matches!(at(2, &well()), Verdict::Wait(_)));
        assert!(matches!(at(14, &well()), Verdict::Wait(_)), "an eighth of 120 s");
        assert_eq!(at(15, &well()), Verdict::Healthy);
        let hour = Budget { time: Duration::from_secs(3600), ..BUDGET };
        let after = |second, budget| judge(Some(&well()), &well(), Duration::from_secs(second), budget);
        assert!(matches!(after(29, &hour), Verdict::Wait(_)));
        assert_eq!(after(30, &hour), Verdict::Healthy);
        let short = Budget { time: Duration::from_secs(10), ..BUDGET };
        assert!(matches!(after(7, &short), Verdict::Wait(_)));
        assert_eq!(after(8, &short), Verdict::Healthy);
        let better = with(|state| *state.links.get_mut("pms-annex").unwrap() = link(true, 0));
        assert_eq!(at(15, &better), Verdict::Healthy);
        let alone = State { commits: COMMITS, commit_p90_ms: 900, ..State::default() };
        assert_eq!(judge(None, &alone, LEAST, &BUDGET), Verdict::Healthy, "nothing to compare with");
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
        assert_eq!(at(15, &with(|state| state.memory_kib = 60 << 10)), Verdict::Healthy);
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
        let few = with(|state| (state.commit_p99_ms, state.commits) = (2000, 20));
        assert_eq!(at(60, &few), Verdict::Healthy, "one of few that had to wait says nothing");
        let slow = with(|state| (state.commit_p90_ms, state.commits) = (3000, 20));
        assert_eq!(
            at(60, &slow),
            Verdict::Wait("commits take 3000 ms (nine of ten), at most 250 were expected".to_owned())
        );
        let was_slow = with(|state| state.commit_p99_ms = 300);
        let slower = with(|state| state.commit_p99_ms = 1200);
        assert_eq!(judge(Some(&was_slow), &slower, LEAST, &BUDGET), Verdict::Healthy);
    }

    #[test]
    fn a_release_whose_commits_were_not_seen_is_not_called_well() {
        let asleep = with(|state| state.commits = 19);
        assert!(Trial::wants_commits(&asleep) && !Trial::wants_commits(&well()));
        assert_eq!(at(60, &asleep), Verdict::Wait("19 commits were made of 20 that are timed".to_owned()));
        assert_eq!(at(120, &asleep), Verdict::Healthy, "as quick as before, as far as there were any");
        let stuck = with(|state| state.commits = 4);
        let Verdict::Unwell(why) = at(120, &stuck) else { panic!() };
        assert!(why.starts_with("4 commits were made of 5"), "{why}");
        assert!(matches!(judge(None, &asleep, LEAST, &BUDGET), Verdict::Wait(_)), "also without a baseline");
    }

    #[test]
    fn a_task_that_fails_ever_again_is_not_called_well_while_it_happens_to_be_up() {
        let failed = |count| {
            with(|state| drop(state.failures.insert("rules".into(), (count, "it panicked: x".into()))))
        };
        let mut trial = Trial::new(Some(well()), BUDGET);
        let mut at = |second, now: &State| trial.judge(now, Duration::from_secs(second));
        assert!(matches!(at(5, &failed(1)), Verdict::Wait(_)));
        assert!(matches!(at(12, &failed(2)), Verdict::Wait(_)));
        let Verdict::Wait(what) = at(17, &failed(2)) else { panic!() };
        assert_eq!(what, "its task rules has failed 5 s ago: it panicked: x");
        assert_eq!(at(20, &failed(2)), Verdict::Healthy, "it was calm for half of the least time");
        let mut trial = Trial::new(Some(failed(7)), BUDGET);
        assert_eq!(trial.judge(&failed(1), LEAST), Verdict::Healthy, "it failed before, too");
    }

    #[test]
    fn a_state_outlives_the_process_and_a_newer_one_has_more_fields() {
        let text = serde_json::to_string(&well()).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), well());
        assert_eq!(serde_json::from_str::<State>(r#"{"of_later":1}"#).unwrap(), State::default());
    }
}
