//! The judge by example, and against what can be counted minute by minute.

use super::*;

fn zoned(zone: &str, text: &str) -> Timestamp {
    let zone = TimeZone::get(zone).unwrap();
    zone.to_timestamp(text.parse().unwrap()).unwrap()
}

fn vienna(text: &str) -> Timestamp {
    zoned("Europe/Vienna", text)
}

fn facts() -> Facts {
    Facts { zone: TimeZone::get("Europe/Vienna").unwrap(), ..Facts::default() }
}

fn in_window(text: &str) -> Conditions {
    Conditions { window: Some(Hours::parse(text).unwrap()), check_in: None, ..Conditions::default() }
}

fn wait(verdict: &Verdict) -> (Timestamp, &str) {
    match verdict {
        Verdict::Wait { until, why } => (*until, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_is_by_the_property_s_clock_and_goes_over_midnight() {
    let conditions = in_window("23:00-02:00");
    for (at, yes) in [
        ("2026-11-26T22:59", false),
        ("2026-11-26T23:00", true),
        ("2026-11-27T00:30", true),
        ("2026-11-27T01:57", true),
        ("2026-11-27T01:59", false),
        ("2026-11-27T02:00", false),
    ] {
        let verdict = may_switch(&conditions, &facts(), vienna(at));
        assert_eq!(verdict == Verdict::Yes, yes, "{at}: {verdict:?}");
    }
    let verdict = may_switch(&conditions, &facts(), vienna("2026-11-27T01:59"));
    let (until, why) = wait(&verdict);
    assert_eq!(until, vienna("2026-11-27T23:00"));
    assert!(why.contains("23:00-02:00 (Europe/Vienna)"), "{why}");
}

#[test]
fn a_window_knows_the_nights_when_the_clocks_change() {
    // 29 March 2026: 02:00 to 03:00 does not exist; 25 October: it comes twice.
    let hour = in_window("02:00-03:00");
    let (spring, autumn) = ("2026-03-29", "2026-10-25");
    let verdict = may_switch(&hour, &facts(), vienna(&format!("{spring}T01:30")));
    assert_eq!(wait(&verdict).0, vienna("2026-03-30T02:00"), "the night without that hour is passed over");
    let over = may_switch(&hour, &facts(), vienna(&format!("{spring}T03:00")));
    assert!(matches!(over, Verdict::Wait { .. }));
    let begin = vienna(&format!("{autumn}T02:00"));
    for minutes in [0, 59, 61, 117] {
        assert_eq!(may_switch(&hour, &facts(), after(begin, minutes * 60)), Verdict::Yes, "{minutes}");
    }
    assert!(matches!(may_switch(&hour, &facts(), after(begin, 7200)), Verdict::Wait { .. }));
    let part = in_window("01:30-03:30");
    assert_eq!(may_switch(&part, &facts(), vienna(&format!("{spring}T03:10"))), Verdict::Yes);
}

#[test]
fn until_is_the_first_minute_that_is_free_in_any_zone() {
    for zone in ["Europe/Vienna", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
    {
        let tz = TimeZone::get(zone).unwrap();
        let start = zoned(zone, "2026-03-27T12:00");
        let house = Facts {
            zone: tz,
            audits: vec![zoned(zone, "2026-03-26T03:10")],
            next_call: Some(zoned(zone, "2026-03-28T04:30")),
            ..Facts::default()
        };
        let conditions =
            Conditions { window: Some(Hours::parse("02:00-05:00").unwrap()), ..Conditions::default() };
        for step in 0..24 {
            let now = after(start, step * 7211);
            match may_switch(&conditions, &house, now) {
                Verdict::Yes => assert!(blocked(&conditions, &house, now).is_none()),
                Verdict::Wait { until, .. } => {
                    assert!(until > now);
                    assert_eq!(may_switch(&conditions, &house, until), Verdict::Yes, "{zone} {now} {until}");
                    let mut minute = now;
                    while minute < until {
                        let free = blocked(&conditions, &house, minute).is_none();
                        assert!(!free, "{zone}: {minute} is free, before {until}");
                        minute = after(minute, 300);
                    }
                }
                Verdict::Never { why } => panic!("{why}"),
            }
        }
    }
}

#[test]
fn night_audit_is_kept_clear_of_while_it_runs_and_around_its_usual_time() {
    let free = Conditions { check_in: None, ..Conditions::default() };
    let running = Facts { audit_running: true, ..facts() };
    let now = vienna("2026-11-26T03:00");
    assert_eq!(wait(&may_switch(&free, &running, now)).1, "night audit is running");
    let usual = Facts { audits: vec![vienna("2026-11-24T02:55"), vienna("2026-11-25T03:20")], ..facts() };
    for (at, yes) in [
        ("2026-11-26T01:54", true),
        ("2026-11-26T01:56", false),
        ("2026-11-26T04:19", false),
        ("2026-11-26T04:20", true),
    ] {
        assert_eq!(may_switch(&free, &usual, vienna(at)) == Verdict::Yes, yes, "{at}");
    }
    let verdict = may_switch(&free, &usual, vienna("2026-11-26T02:30"));
    assert_eq!(wait(&verdict).0, vienna("2026-11-26T04:20"), "both evenings are kept clear of");
    let midnight = Facts { audits: vec![vienna("2026-11-25T00:10")], ..facts() };
    let before = may_switch(&free, &midnight, vienna("2026-11-25T23:30"));
    assert_eq!(wait(&before).0, vienna("2026-11-26T01:10"), "over midnight");
    let narrow = Conditions { audit_margin_min: 0, ..free };
    assert_eq!(may_switch(&narrow, &usual, vienna("2026-11-26T03:00")), Verdict::Yes);
}

#[test]
fn check_in_is_kept_clear_of_by_the_hours_or_by_what_the_house_knows() {
    let usual = Conditions::default();
    let peak = vienna("2026-11-26T15:00");
    assert_eq!(wait(&may_switch(&usual, &facts(), peak)).0, vienna("2026-11-26T18:00"));
    assert_eq!(may_switch(&usual, &facts(), vienna("2026-11-26T12:00")), Verdict::Yes);
    // A congress that comes in the evening: the afternoon is free.
    let evening = (0..40).map(|n| after(vienna("2026-11-26T20:00"), n * 60)).collect();
    let congress = Facts { arrivals: evening, ..facts() };
    assert_eq!(may_switch(&usual, &congress, peak), Verdict::Yes);
    let verdict = may_switch(&usual, &congress, vienna("2026-11-26T20:15"));
    let (until, why) = wait(&verdict);
    assert!(why.contains("40 guests"), "{why}");
    assert!(until > vienna("2026-11-26T20:45") && until <= vienna("2026-11-26T21:15"), "{until}");
    // Where the times of most are not known, what is known of the others says nothing.
    let vague = Facts { arrivals_sometime: vec![peak; 50], ..congress };
    assert!(matches!(may_switch(&usual, &vague, peak), Verdict::Wait { .. }));
    let any = Conditions { check_in: None, ..usual };
    assert_eq!(may_switch(&any, &vague, peak), Verdict::Yes);
}

#[test]
fn what_is_in_flight_is_waited_for() {
    let free = Conditions { check_in: None, ..Conditions::default() };
    let now = vienna("2026-11-26T10:00");
    let call = |minutes: i64| Facts { next_call: Some(after(now, minutes * 60)), ..facts() };
    let cases = [
        (Facts { postings_in_flight: 1, ..facts() }, "a charge"),
        (Facts { ringing: true, ..facts() }, "rings"),
        (call(4), "about to ring"),
        (Facts { audit_running: true, ..facts() }, "audit"),
    ];
    for (house, word) in cases {
        let verdict = may_switch(&free, &house, now);
        let (until, why) = wait(&verdict);
        assert!(why.contains(word) && until > now && until <= after(now, 600), "{why} {until}");
    }
    assert_eq!(may_switch(&free, &call(6), now), Verdict::Yes);
    let full = Conditions { fullest_percent: Some(90), ..free };
    let house = Facts { occupied_percent: 95, ..facts() };
    assert!(wait(&may_switch(&full, &house, now)).1.contains("95 % full"));
    assert_eq!(may_switch(&full, &Facts { occupied_percent: 90, ..facts() }, now), Verdict::Yes);
}

#[test]
fn before_and_after_bound_it() {
    let now = vienna("2026-11-26T10:00");
    let later = Conditions { not_before: Some(after(now, 3600)), ..Conditions::default() };
    assert_eq!(wait(&may_switch(&later, &facts(), now)).0, after(now, 3600));
    let over = Conditions { not_after: Some(now), ..Conditions::default() };
    assert!(matches!(may_switch(&over, &facts(), now), Verdict::Never { .. }));
}

#[test]
fn the_form_is_pinned_and_what_can_t_be_met_is_refused() {
    let full = r#"{"window":"02:00-05:00","not_before":"2026-11-26T00:00:00Z","not_after":"2026-12-01T00:00:00Z","audit_margin_min":45,"check_in":"13:00-19:00","fullest_percent":95}"#;
    let conditions = Conditions::parse(full.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string(&conditions).unwrap(), full);
    for usual in ["", "{}", r#"{"of_a_later_release":[1]}"#] {
        assert_eq!(Conditions::parse(usual.as_bytes()).unwrap(), Conditions::default(), "{usual}");
    }
    let any_hour = Conditions::parse(br#"{"check_in":null}"#).unwrap();
    assert_eq!(any_hour.check_in, None);
    assert_eq!(Conditions::parse(&serde_json::to_vec(&any_hour).unwrap()).unwrap(), any_hour);
    for (wrong, word) in [
        (r#"{"window":"2-3"}"#, "02:30"),
        (r#"{"window":"02:00-02:00"}"#, "no time at all"),
        (r#"{"window":"02:00-02:05"}"#, "at least 10"),
        (r#"{"window":"15:00-16:00"}"#, "never opens"),
        (r#"{"window":"17:00-18:01"}"#, "less than 120 s are left: it never opens"),
        (r#"{"audit_margin_min":1000}"#, "at most 240"),
        (r#"{"fullest_percent":101}"#, "100 percent"),
        (r#"{"not_before":"2026-12-01T00:00:00Z","not_after":"2026-11-26T00:00:00Z"}"#, "no time between"),
        ("[", "can't be read"),
    ] {
        let error = Conditions::parse(wrong.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{wrong}: {error}");
    }
    for open in ["17:00-19:00", "17:00-18:02", "13:00-15:00", "13:59-18:00", "18:00-14:00"] {
        let text = format!(r#"{{"window":"{open}"}}"#);
        assert!(Conditions::parse(text.as_bytes()).is_ok(), "a part of {open} is free");
    }
}

#[test]
fn who_waits_for_what_never_comes_is_told() {
    let now = vienna("2026-11-26T10:00");
    // The audit is always in the middle of the window, and its berth wider.
    let house = Facts { audits: vec![vienna("2026-11-25T02:30")], ..facts() };
    let narrow = in_window("02:00-03:00");
    let verdict = may_switch(&narrow, &house, now);
    let (until, why) = wait(&verdict);
    assert!(why.contains("the window is 02:00-03:00") && why.contains("no moment"), "{why}");
    assert!(until > now && until <= after(now, 8 * 86_400));
    // A berth that leaves something of it, and a beginning that is far away, are waited for as ever.
    let wide = in_window("01:00-03:00");
    let begins = Conditions { not_before: Some(after(now, 30 * 86_400)), ..wide.clone() };
    for conditions in [wide, begins] {
        let verdict = may_switch(&conditions, &house, now);
        let (until, why) = wait(&verdict);
        assert!(!why.contains("no moment"), "{why}");
        assert_eq!(may_switch(&conditions, &house, until), Verdict::Yes, "{until}");
    }
}

#[test]
fn windows_that_never_meet_are_told() {
    let (house, release) = (in_window("02:00-05:00"), in_window("12:00-14:00"));
    let now = vienna("2026-11-26T06:00");
    let verdict = may_switch_by_both(&house, &release, &facts(), now);
    let (until, why) = wait(&verdict);
    assert_eq!(until, vienna("2026-11-27T02:00"), "whichever is longer");
    assert!(why.contains("(window 02:00-05:00) and the release's (window 12:00-14:00) leave free"), "{why}");
    // That meet for a quarter of an hour.
    let meets = in_window("04:45-14:00");
    let verdict = may_switch_by_both(&house, &meets, &facts(), now);
    assert!(!wait(&verdict).1.contains("leave free"), "{verdict:?}");
    let at = vienna("2026-11-27T04:46");
    assert_eq!(may_switch_by_both(&house, &meets, &facts(), at), Verdict::Yes);
    // Whose meeting the last two minutes are.
    let hardly = in_window("04:59-14:00");
    assert!(wait(&may_switch_by_both(&house, &hardly, &facts(), now)).1.contains("leave free"));
    // A release of next month: its days count from then on.
    let later = Conditions { not_before: Some(vienna("2026-12-26T00:00")), ..in_window("03:00-04:00") };
    let (until, why) = match may_switch_by_both(&house, &later, &facts(), now) {
        Verdict::Wait { until, why } => (until, why),
        other => panic!("{other:?}"),
    };
    assert!(until >= vienna("2026-12-26T00:00") && !why.contains("leave free"), "{until} {why}");
    // One that can't be met alone says so by itself.
    let never = Conditions { not_after: Some(now), ..Conditions::default() };
    assert!(matches!(may_switch_by_both(&house, &never, &facts(), now), Verdict::Never { .. }));
    assert_eq!(may_switch_by_both(&house, &house, &facts(), vienna("2026-11-27T03:00")), Verdict::Yes);
}
