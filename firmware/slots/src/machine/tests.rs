//! The machine alone: events in, actions out.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::table::Verdict;
use proptest::prelude::*;

#[derive(Default)]
struct Memory {
    kept: Vec<Table>,
    full: bool,
}

impl Keep for Memory {
    fn keep(&mut self, table: &mut Table) -> Result<(), String> {
        if self.full {
            return Err("the disk is read-only".to_owned());
        }
        table.sequence += 1;
        self.kept.push(table.clone());
        Ok(())
    }
}

fn release(number: u64, floor: u64) -> Release {
    Release {
        manifest: Digest([u8::try_from(number).unwrap(); 32]),
        number,
        floor,
        version: format!("{number}.0.0"),
    }
}

struct Stand {
    machine: Machine<Memory>,
    now: Duration,
    /// What the slots have, whatever the table says.
    disk: [Option<Release>; 2],
    /// Slots that the disk does not give now.
    dark: [bool; 2],
    running: Option<Slot>,
    answers: Vec<Answer>,
    said: Vec<String>,
    asked_to_end: bool,
    killed: bool,
    left: bool,
}

impl Stand {
    fn new(limits: Limits) -> Self {
        let table = Table::first(Slot::A, release(1, 0));
        let mut stand = Self {
            machine: Machine::new(Memory::default(), table, limits),
            now: Duration::from_secs(100),
            disk: [Some(release(1, 0)), None],
            dark: [false; 2],
            running: None,
            answers: vec![],
            said: vec![],
            asked_to_end: false,
            killed: false,
            left: false,
        };
        stand.tell(Event::Begun);
        stand
    }

    fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.handle(self.now, event) {
                match action {
                    Action::Check { slot, manifest, .. } => {
                        let at = usize::from(slot == Slot::B);
                        let found = self.disk[at].clone().filter(|release| release.manifest == manifest);
                        let unfit = |why: &str, is_unreadable| Unfit { why: why.to_owned(), is_unreadable };
                        let found = found.ok_or_else(|| unfit("engawa has 3 bytes", false));
                        let dark = Err(unfit("engawa can't be read: a loose contact", true));
                        events.push(Event::Checked(slot, if self.dark[at] { dark } else { found }));
                    }
                    Action::Start(slot) => {
                        assert_eq!(self.running, None, "two at once");
                        let table = self.machine.table();
                        assert!(table.may_start(slot), "below the floor");
                        self.running = Some(slot);
                        self.asked_to_end = false;
                        self.killed = false;
                    }
                    Action::Terminate => self.asked_to_end = true,
                    Action::Kill => self.killed = true,
                    Action::Answer { answer, .. } => self.answers.push(answer),
                    Action::Say(text) => self.said.push(text),
                    Action::Leave => self.left = true,
                    Action::NoCheck => {}
                }
            }
        }
    }

    fn exits(&mut self, exit: Exit) {
        self.running = None;
        self.tell(Event::Exited(exit));
    }

    fn fails(&mut self, why: &str, for_good: bool) {
        self.running = None;
        self.tell(Event::NotStarted { why: why.to_owned(), for_good });
    }

    fn ask(&mut self, request: Request) -> Answer {
        self.tell(Event::Asked { ticket: 7, agent: true, request });
        self.answers.pop().unwrap()
    }

    /// Time passes, in steps that a supervisor would take.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.tell(Event::Tick);
        }
    }

    /// The same, with an agent that is alive.
    fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1);
            self.tell(Event::Heartbeat);
        }
    }

    /// Release 2 lies in slot b and is switched to.
    fn bring(&mut self, number: u64, floor: u64) {
        let spare = self.ask(Request::Begin).unwrap();
        let release = release(number, floor);
        self.disk[usize::from(spare == "b")] = Some(release.clone());
        let (manifest, version) = (release.manifest, release.version);
        self.ask(Request::Try { manifest, number, version, rollout: "r9".to_owned() }).unwrap();
        assert!(self.asked_to_end);
        self.exits(Exit::Code(0));
    }

    fn on_trial(limits: Limits) -> Self {
        let mut stand = Self::new(limits);
        stand.tell(Event::Ready);
        stand.bring(2, 1);
        assert_eq!(stand.running, Some(Slot::B));
        stand
    }

    fn ended_with(&self, verdict: Verdict, reason: &str) {
        let outcome = self.machine.table().outcome.as_ref().unwrap();
        assert_eq!((outcome.verdict, outcome.reason.as_str()), (verdict, reason));
        assert_eq!((outcome.number, outcome.rollout.as_str()), (2, "r9"));
        assert_eq!(self.machine.keeper().kept.last(), Some(self.machine.table()), "what is decided is kept");
    }

    fn is_back(&self, reason: &str) {
        self.ended_with(Verdict::RolledBack, reason);
        let table = self.machine.table();
        assert_eq!((table.active, &table.trial, &table.b, table.floor), (Slot::A, &None, &None, 0));
        assert_eq!(table.bad.last().unwrap().reason, reason);
    }
}

#[test]
fn a_version_that_is_healthy_stays_and_raises_the_floor() {
    let mut stand = Stand::on_trial(Limits::default());
    stand.tell(Event::Ready);
    stand.live(30);
    let status = stand.ask(Request::Status).unwrap();
    assert!(status.starts_with("state=running slot=b active=a version=2.0.0 number=2 "), "{status}");
    assert!(status.ends_with(" floor=0 trial=r9 tries=1 left=570"), "{status}");
    stand.ask(Request::Healthy).unwrap();
    stand.ended_with(Verdict::Confirmed, "");
    assert_eq!((stand.machine.table().active, stand.machine.table().floor), (Slot::B, 1));
    assert_eq!(stand.ask(Request::Outcome).unwrap(), "confirmed 2 2.0.0 r9 ");
    stand.ask(Request::OutcomeSeen).unwrap();
    assert_eq!(stand.ask(Request::Outcome).unwrap(), "none");
    stand.live(1000);
    assert_eq!(stand.running, Some(Slot::B));
    assert_eq!(stand.ask(Request::Healthy), Err("no trial runs".to_owned()));
    // The next one in the same life of the supervisor has as much time.
    stand.bring(3, 1);
    stand.tell(Event::Ready);
    stand.live(599);
    assert_eq!(stand.running, Some(Slot::A));
    stand.ask(Request::Healthy).unwrap();
    assert_eq!(stand.ask(Request::Outcome).unwrap(), "confirmed 3 3.0.0 r9 ");
}

#[test]
fn a_version_that_crashes_has_three_tries() {
    let mut stand = Stand::on_trial(Limits::default());
    for _ in 0..2 {
        stand.exits(Exit::Signal(9));
        assert_eq!(stand.running, None, "it rests first");
        stand.pass(5);
        assert_eq!(stand.running, Some(Slot::B));
    }
    stand.exits(Exit::Signal(9));
    assert_eq!(stand.running, Some(Slot::A), "the old one waits for nothing");
    stand.is_back("it was killed 3 times in its trial: signal 9");
}

#[test]
fn tries_are_counted_before_each_start_so_that_one_which_takes_the_box_along_has_had_its_own() {
    let stand = Stand::on_trial(Limits::default());
    let mut table = stand.machine.keeper().kept.last().unwrap().clone();
    for tries in 2..=3 {
        // The power goes, and comes again.
        let mut next = Machine::new(Memory::default(), table, Limits::default());
        next.handle(Duration::ZERO, Event::Begun);
        let started = next.handle(Duration::ZERO, Event::Checked(Slot::B, Ok(release(2, 1))));
        assert!(started.contains(&Action::Start(Slot::B)));
        table = next.keeper().kept.last().unwrap().clone();
        assert_eq!(table.trial.as_ref().unwrap().tries, tries);
    }
    let mut next = Machine::new(Memory::default(), table, Limits::default());
    next.handle(Duration::ZERO, Event::Begun);
    assert!(
        next.handle(Duration::ZERO, Event::Checked(Slot::A, Ok(release(1, 0))))
            .contains(&Action::Start(Slot::A))
    );
    let reason = &next.table().outcome.as_ref().unwrap().reason;
    assert_eq!(
        reason,
        "it was started 3 times in its trial and never confirmed: nobody saw why the last one ended"
    );
}

#[test]
fn silence_slowness_hunger_and_its_own_word_bring_the_old_version_back() {
    let limits = || Limits { memory: Some(256), ..Limits::default() };
    let mut hangs = Stand::on_trial(limits());
    hangs.tell(Event::Ready);
    hangs.live(10);
    hangs.pass(19);
    assert!(!hangs.asked_to_end);
    hangs.pass(1);
    assert!(hangs.asked_to_end);
    hangs.is_back("no heartbeat for 20 s");
    hangs.pass(2);
    assert!(hangs.killed, "one that hangs does not hear");
    hangs.exits(Exit::Signal(9));
    assert_eq!(hangs.running, Some(Slot::A));

    let mut silent = Stand::on_trial(limits());
    silent.tell(Event::Heartbeat);
    silent.pass(60);
    silent.is_back("it was not ready within 60 s");

    let mut undecided = Stand::on_trial(limits());
    undecided.tell(Event::Ready);
    undecided.live(599);
    assert!(!undecided.asked_to_end);
    undecided.live(1);
    undecided.is_back("it was not confirmed within 600 s");

    let mut hungry = Stand::on_trial(limits());
    hungry.tell(Event::Ready);
    hungry.tell(Event::Memory(412));
    hungry.tell(Event::Memory(200));
    hungry.tell(Event::Memory(412));
    assert!(!hungry.asked_to_end, "a peak is none");
    hungry.tell(Event::Memory(412));
    hungry.is_back("412 MiB of memory, its budget is 256");

    let mut honest = Stand::on_trial(limits());
    honest.ask(Request::Unwell("the PMS link of lobby is down".to_owned())).unwrap();
    honest.is_back("the PMS link of lobby is down");
}

#[test]
fn a_start_that_moves_has_the_time_of_the_trial_and_no_more() {
    let mut moves = Stand::on_trial(Limits::default());
    for _ in 0..39 {
        moves.tell(Event::Extended(Duration::from_secs(60)));
        moves.pass(15);
    }
    assert!(!moves.asked_to_end && moves.machine.feeds(moves.now));
    moves.tell(Event::Ready);
    moves.live(10);
    moves.ask(Request::Healthy).unwrap();
    moves.ended_with(Verdict::Confirmed, "");

    let mut hangs = Stand::on_trial(Limits::default());
    hangs.tell(Event::Extended(Duration::MAX));
    hangs.pass(599);
    assert!(!hangs.asked_to_end);
    hangs.pass(1);
    hangs.is_back("it was not ready within 600 s");
    let mut stops_moving = Stand::on_trial(Limits::default());
    stops_moving.pass(30);
    stops_moving.tell(Event::Extended(Duration::from_secs(60)));
    stops_moving.pass(60);
    stops_moving.is_back("it was not ready within 90 s");
}

#[test]
fn the_trial_goes_on_over_a_crash() {
    let mut stand = Stand::on_trial(Limits::default());
    stand.tell(Event::Ready);
    stand.live(500);
    stand.exits(Exit::Code(101));
    stand.pass(2);
    stand.tell(Event::Ready);
    stand.live(98);
    stand.is_back("it was not confirmed within 600 s");
}

#[test]
fn what_was_undone_is_not_tried_again_in_the_same_rollout_but_in_another_one_or_when_it_is_forgotten() {
    let mut stand = Stand::on_trial(Limits::default());
    stand.ask(Request::Unwell("no".to_owned())).unwrap();
    stand.exits(Exit::Code(0));
    let asking = |rollout: &str| {
        let Release { manifest, number, version, .. } = release(2, 1);
        Request::Try { manifest, number, version, rollout: rollout.to_owned() }
    };
    let why = stand.ask(asking("r9")).unwrap_err();
    assert_eq!(why, "version 2.0.0 was tried in this rollout already and undone: no");
    stand.ask(Request::Forget(release(2, 1).manifest)).unwrap();
    stand.ask(asking("r9")).unwrap();
    stand.exits(Exit::Code(0));
    stand.ask(Request::Unwell("no".to_owned())).unwrap();
    stand.exits(Exit::Code(0));
    stand.ask(asking("r10")).unwrap();
}

#[test]
fn requests_that_do_not_fit_are_refused_with_the_reason() {
    let mut stand = Stand::new(Limits::default());
    let asking = |number: u64, version: &str| Request::Try {
        manifest: release(2, 1).manifest,
        number,
        version: version.to_owned(),
        rollout: "-".to_owned(),
    };
    assert_eq!(stand.ask(Request::Begin).unwrap(), "b");
    // What is wrong and stays so has no word that it passes.
    assert!(stand.ask(asking(2, "2.0.0")).unwrap_err().starts_with("slot b is not complete: "));
    stand.disk[1] = Some(release(2, 1));
    assert!(
        stand.ask(asking(3, "2.0.0")).unwrap_err().contains("the manifest is of version 2.0.0, number 2")
    );
    stand.tell(Event::Asked { ticket: 1, agent: false, request: Request::Unwell("x".to_owned()) });
    assert!(stand.answers.pop().unwrap().is_err());
    stand.ask(asking(2, "2.0.0")).unwrap();
    let is_passing = |answer: Answer| crate::request::is_later(&answer.unwrap_err()).is_some();
    assert!(is_passing(stand.ask(Request::Begin)), "the trial's slot");
    assert!(is_passing(stand.ask(asking(2, "2.0.0"))), "one at a time");
    stand.exits(Exit::Code(0));
    stand.ask(Request::Healthy).unwrap();
    // The floor is 1 now: number 1 may still be gone back to, number 0 is never started.
    stand.ask(Request::Begin).unwrap();
    assert!(stand.ask(asking(0, "0.0.0")).unwrap_err().contains("below the floor of 1"));
}

#[test]
fn a_broken_active_slot_is_replaced_by_a_whole_other_one_and_never_by_one_below_the_floor() {
    for floor in [1, 2] {
        let mut stand = Stand::new(Limits::default());
        stand.bring(2, floor);
        stand.ask(Request::Healthy).unwrap();
        stand.disk[1] = None;
        stand.exits(Exit::Signal(7));
        stand.pass(1);
        if floor == 1 {
            assert_eq!(stand.running, Some(Slot::A));
            let outcome = stand.machine.table().outcome.clone().unwrap();
            assert_eq!((outcome.verdict, outcome.number), (Verdict::Failed, 2));
            assert!(outcome.reason.contains("engawa has 3 bytes"), "{}", outcome.reason);
        } else {
            assert_eq!(stand.running, None);
            assert!(stand.ask(Request::Status).unwrap().starts_with("state=stuck "));
            // A disk that can be read again is noticed.
            stand.disk[1] = Some(release(2, 2));
            stand.pass(61);
            assert_eq!(stand.running, Some(Slot::B));
        }
    }
}

#[test]
fn a_disk_that_can_not_be_written_switches_nothing_and_still_starts_the_confirmed_version() {
    let mut stand = Stand::new(Limits::default());
    stand.ask(Request::Begin).unwrap();
    stand.disk[1] = Some(release(2, 1));
    stand.machine.keep.full = true;
    let Release { manifest, number, version, .. } = release(2, 1);
    let wish = Request::Try { manifest, number, version, rollout: "r9".to_owned() };
    assert_eq!(stand.ask(wish.clone()), Err("later: the disk is read-only".to_owned()));
    stand.dark[1] = true;
    let unread = "later: slot b can't be read: engawa can't be read: a loose contact";
    assert_eq!(stand.ask(wish.clone()), Err(unread.to_owned()));
    stand.dark[1] = false;
    assert!(!stand.asked_to_end);
    stand.machine.keep.full = false;
    stand.ask(wish).unwrap();
    stand.machine.keep.full = true;
    stand.exits(Exit::Code(0));
    assert_eq!(stand.running, Some(Slot::A), "a try that can't be counted is none");
    let table = stand.machine.table();
    let outcome = table.outcome.as_ref().unwrap();
    assert_eq!(
        (outcome.verdict, outcome.reason.as_str()),
        (Verdict::Failed, "its try can't be counted: the disk is read-only")
    );
    assert_eq!((&table.bad[..], &table.b), (&[][..], &None), "the release is not blamed, and is no way back");
    stand.exits(Exit::Signal(6));
    stand.pass(1);
    assert_eq!(stand.running, Some(Slot::A));
}

#[test]
fn one_that_crashes_again_and_again_rests_longer_each_time_and_a_settled_one_does_not() {
    let mut stand = Stand::new(Limits::default());
    let mut rests = vec![];
    for _ in 0..9 {
        stand.exits(Exit::Code(1));
        let from = stand.now;
        while stand.running.is_none() {
            stand.pass(1);
        }
        rests.push((stand.now - from).as_secs());
    }
    assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    stand.tell(Event::Ready);
    stand.live(61);
    stand.exits(Exit::Code(1));
    stand.pass(1);
    assert_eq!(stand.running, Some(Slot::A));
}

#[test]
fn a_supervisor_that_was_held_up_blames_nobody_and_a_clock_that_goes_back_makes_nothing_due() {
    let mut stand = Stand::new(Limits::default());
    stand.tell(Event::Ready);
    stand.live(5);
    stand.now += Duration::from_secs(3600);
    stand.tell(Event::Tick);
    assert!(!stand.asked_to_end);
    assert!(stand.machine.feeds(stand.now));
    stand.now -= Duration::from_secs(1800);
    stand.tell(Event::Tick);
    stand.tell(Event::Heartbeat);
    assert!(!stand.asked_to_end);
    stand.now += Duration::from_secs(1800);
    stand.pass(21);
    assert!(stand.asked_to_end, "real silence is noticed all the same");
}

#[test]
fn a_watchdog_is_fed_while_the_agent_lives_or_is_helped_and_not_for_ever() {
    let mut stand = Stand::new(Limits::default());
    assert!(stand.machine.feeds(stand.now));
    stand.tell(Event::Ready);
    stand.live(100);
    assert!(stand.machine.feeds(stand.now));
    stand.pass(19);
    assert!(stand.machine.feeds(stand.now));
    // It is killed and started again and again, and never gets ready.
    for _ in 0..300 {
        stand.pass(1);
        if stand.killed {
            stand.exits(Exit::Signal(9));
        }
    }
    assert!(!stand.machine.feeds(stand.now));
}

#[test]
fn a_box_that_is_restarted_three_times_in_a_trial_goes_back_and_says_so() {
    let mut table = Stand::on_trial(Limits::default()).machine.table().clone();
    for _ in 0..3 {
        let mut next = Machine::new(Memory::default(), table, Limits::default());
        next.handle(Duration::ZERO, Event::Begun);
        next.handle(Duration::ZERO, Event::Checked(Slot::B, Ok(release(2, 1))));
        next.handle(Duration::ZERO, Event::Stop);
        table = next.keeper().kept.last().unwrap().clone();
    }
    let reason = table.outcome.unwrap().reason;
    assert_eq!(reason, "it was started 3 times in its trial and never confirmed: the supervisor was stopped");
}

#[test]
fn what_can_not_be_executed_has_one_try_and_a_confirmed_version_rests() {
    let mut stand = Stand::on_trial(Limits::default());
    stand.running = None;
    stand.fails("Exec format error", true);
    stand.is_back("it can't be started: Exec format error");
    assert_eq!(stand.running, Some(Slot::A));
    stand.fails("too many processes", false);
    stand.pass(1);
    assert_eq!(stand.running, Some(Slot::A));
    stand.tell(Event::Stop);
    stand.fails("no memory", false);
    assert!(stand.left);
}

#[test]
fn a_machine_that_lacks_something_for_a_moment_costs_a_try_and_no_more() {
    let mut stand = Stand::on_trial(Limits::default());
    for _ in 0..2 {
        stand.fails("Resource temporarily unavailable", false);
        assert!(stand.machine.table().trial.is_some());
        stand.pass(2);
        assert_eq!(stand.running, Some(Slot::B));
    }
    let mut better = Stand::on_trial(Limits::default());
    better.fails("Resource temporarily unavailable", false);
    better.pass(2);
    better.tell(Event::Ready);
    better.live(10);
    better.ask(Request::Healthy).unwrap();
    better.ended_with(Verdict::Confirmed, "");
    stand.fails("Resource temporarily unavailable", false);
    stand.is_back("it could not be started 3 times in its trial: Resource temporarily unavailable");
}

#[test]
fn what_can_not_be_read_is_read_again_and_the_other_one_stands_in_for_one_start() {
    let two = |floor| {
        let mut stand = Stand::new(Limits::default());
        stand.bring(2, floor);
        stand.ask(Request::Healthy).unwrap();
        stand.ask(Request::OutcomeSeen).unwrap();
        stand.dark[1] = true;
        stand.exits(Exit::Signal(7));
        stand.pass(1);
        assert_eq!(stand.running, None);
        stand
    };
    // A contact that is loose for two seconds.
    let mut loose = two(1);
    loose.pass(1);
    loose.dark[1] = false;
    loose.pass(1);
    assert_eq!(loose.running, Some(Slot::B));
    // For longer: nothing is given up by it.
    let mut stand = two(1);
    stand.pass(2);
    assert_eq!(stand.running, Some(Slot::A));
    let before = stand.machine.table().clone();
    assert_eq!((before.active, before.b.as_ref().unwrap().number, &before.outcome), (Slot::B, 2, &None));
    let status = stand.ask(Request::Status).unwrap();
    assert!(status.starts_with("state=running slot=a active=b version=1.0.0 number=1 "), "{status}");
    let Release { manifest, number, version, .. } = release(1, 0);
    let wish = Request::Try { manifest, number, version, rollout: "r9".to_owned() };
    assert!(stand.ask(wish).unwrap_err().contains("slot a runs in place of the other one"));
    stand.dark[1] = false;
    stand.exits(Exit::Code(1));
    stand.pass(2);
    assert_eq!((stand.running, stand.machine.table()), (Some(Slot::B), &before));
    // One that stays so is overwritten by the next release, and never the one that runs.
    let mut worn = two(1);
    worn.pass(2);
    assert_eq!(worn.running, Some(Slot::A));
    assert_eq!(worn.ask(Request::Begin).unwrap(), "b");
    let table = worn.machine.table();
    assert_eq!((table.active, &table.b), (Slot::A, &None));
    assert_eq!(table.outcome.as_ref().unwrap().reason, "its files could not be read");
    worn.dark[1] = false;
    worn.disk[1] = Some(release(3, 1));
    let Release { manifest, number, version, .. } = release(3, 1);
    worn.ask(Request::Try { manifest, number, version, rollout: "r9".to_owned() }).unwrap();
    worn.exits(Exit::Code(0));
    assert_eq!(worn.running, Some(Slot::B));
    // Below the floor nothing stands in; the disk is asked again, each minute.
    let mut alone = two(2);
    alone.pass(2);
    assert_eq!(alone.running, None);
    assert!(alone.ask(Request::Status).unwrap().starts_with("state=stuck "));
    alone.pass(59);
    alone.dark[1] = false;
    alone.pass(1);
    assert_eq!(alone.running, Some(Slot::B));
}

#[test]
fn a_trial_that_the_disk_does_not_bear_is_not_the_release_s_fault() {
    let mut stand = Stand::on_trial(Limits::default());
    stand.dark[1] = true;
    stand.exits(Exit::Signal(7));
    stand.pass(2);
    stand.dark[1] = false;
    stand.pass(1);
    assert_eq!(stand.running, Some(Slot::B), "read again in time");
    stand.dark[1] = true;
    stand.exits(Exit::Signal(7));
    stand.pass(10);
    assert_eq!(stand.running, Some(Slot::A));
    stand.ended_with(Verdict::Failed, "its files can't be read: engawa can't be read: a loose contact");
    assert_eq!((&stand.machine.table().bad[..], &stand.machine.table().b), (&[][..], &None));
}

#[test]
fn the_supervisor_leaves_when_the_agent_has_left() {
    let mut stand = Stand::new(Limits::default());
    stand.tell(Event::Stop);
    assert!(stand.asked_to_end && !stand.left);
    stand.pass(16);
    assert!(stand.killed);
    stand.exits(Exit::Signal(9));
    assert!(stand.left);
    let mut resting = Stand::new(Limits::default());
    resting.exits(Exit::Code(1));
    resting.tell(Event::Stop);
    assert!(resting.left);
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Ready,
    Beat,
    Exit(bool),
    Memory(u64),
    Bring(u64, u64),
    Healthy,
    Unwell,
    Spoil(bool),
    Dark(bool, bool),
    Fail(bool),
    Full(bool),
    Power,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u64..30).prop_map(Step::Pass),
        Just(Step::Ready),
        Just(Step::Beat),
        any::<bool>().prop_map(Step::Exit),
        (100_u64..400).prop_map(Step::Memory),
        (1_u64..9, 0_u64..9).prop_map(|(number, floor)| Step::Bring(number, floor.min(number))),
        Just(Step::Healthy),
        Just(Step::Unwell),
        any::<bool>().prop_map(Step::Spoil),
        any::<(bool, bool)>().prop_map(|(second, dark)| Step::Dark(second, dark)),
        any::<bool>().prop_map(Step::Fail),
        any::<bool>().prop_map(Step::Full),
        Just(Step::Power),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens: one agent at a time, nothing below a floor that was kept, tries within their bound, and every
    /// table that is kept can be read again.
    #[test]
    fn whatever_happens_the_rules_hold(steps in proptest::collection::vec(step(), 1..60)) {
        let limits = Limits { memory: Some(256), ..Limits::default() };
        let mut stand = Stand::new(limits.clone());
        let (mut floor, mut seen) = (0, 0);
        for step in steps {
            match step {
                Step::Pass(seconds) => stand.pass(seconds),
                Step::Ready => stand.tell(Event::Ready),
                Step::Beat => stand.tell(Event::Heartbeat),
                Step::Exit(by_signal) if stand.running.is_some() => {
                    stand.exits(if by_signal { Exit::Signal(9) } else { Exit::Code(0) });
                }
                Step::Memory(mib) => stand.tell(Event::Memory(mib)),
                Step::Bring(number, new_floor) => {
                    if let Ok(spare) = stand.ask(Request::Begin) {
                        let release = release(number, new_floor);
                        prop_assert_ne!(stand.running.map(Slot::name), Some(&*spare), "what runs is not overwritten");
                        stand.disk[usize::from(spare == "b")] = Some(release.clone());
                        let Release { manifest, version, .. } = release;
                        let _ = stand.ask(Request::Try { manifest, number, version, rollout: "r9".to_owned() });
                    }
                }
                Step::Healthy => { let _ = stand.ask(Request::Healthy); }
                Step::Unwell => { let _ = stand.ask(Request::Unwell("no".to_owned())); }
                Step::Spoil(second) => {
                    let spare = stand.machine.table().spare();
                    if second == (spare == Slot::B) { stand.disk[usize::from(second)] = None; }
                }
                Step::Dark(second, dark) => stand.dark[usize::from(second)] = dark,
                Step::Fail(for_good) if stand.running.is_some() => stand.fails("no", for_good),
                Step::Full(full) => stand.machine.keep.full = full,
                Step::Power => if let Some(table) = stand.machine.keeper().kept.last().cloned() {
                    stand.running = None;
                    let kept = std::mem::take(&mut stand.machine.keep.kept);
                    stand.machine = Machine::new(Memory { kept, full: false }, table, limits.clone());
                    stand.tell(Event::Begun);
                },
                Step::Exit(_) | Step::Fail(_) => {}
            }
            if stand.asked_to_end && stand.running.is_some() {
                stand.exits(Exit::Signal(15));
            }
            let kept = &stand.machine.keeper().kept;
            for table in &kept[seen..] {
                let page = table.page().unwrap();
                prop_assert_eq!(&Table::of_page(&page).unwrap(), table);
                prop_assert!(table.floor >= floor, "the floor never sinks");
                floor = table.floor;
                prop_assert!(table.trial.as_ref().is_none_or(|trial| trial.tries <= limits.tries));
            }
            seen = kept.len();
        }
    }
}
