//! PMS conversations (`fias/*.case`, grammar in `fias/README.md`), replayed through the link, the model and the store:
//! in memory with virtual time, and over a real socket through the TCP shell with a clock driven by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod fias_replay;

use fias_replay::{case, memory, socket};

/// One test a case and way of replay, so that a failure names both.
macro_rules! cases {
    ($($name:ident $file:literal),* $(,)?) => {
        const FILES: &[&str] = &[$($file),*];
        mod in_memory { $(#[test] fn $name() { let _ = super::memory::replay(&super::case::load($file)); })* }
        mod over_a_socket { $(#[test] fn $name() { super::socket::replay(&super::case::load($file)); })* }
    };
}

cases! {
    start_unsolicited_ls "01-start-unsolicited-ls",
    start_we_speak_first "02-start-we-speak-first",
    restart_without_close "03-restart-without-close",
    resync_envelope "04-resync-envelope",
    resync_no_envelope "05-resync-no-envelope",
    resync_is_a_difference "06-resync-is-a-difference",
    resync_cut "07-resync-cut",
    share "08-share",
    move_ "09-move",
    duplicate_checkin "10-duplicate-checkin",
    posting_ok "11-posting-ok",
    posting_refused "12-posting-refused",
    posting_answer_lost "13-posting-answer-lost",
    posting_killed "14-posting-killed",
    night_audit "15-night-audit",
    malformed "16-malformed",
    silent_link "17-silent-link",
    card_number "18-card-number",
    no_ping_pong "19-no-ping-pong",
    room_status "20-room-status",
    share_move_two_gs "22-share-move-two-gs",
    charset "23-charset",
    night_audit_refusal "24-night-audit-refusal",
    resync_ignored "25-resync-ignored",
    nothing_during_resync "26-nothing-during-resync",
    missed_checkout "27-missed-checkout",
    resync_move_vacated_first "28-resync-move-vacated-first",
    list_without_end "29-list-without-end",
    card_number_in_kept_fields "30-card-number-in-kept-fields",
    messages "31-messages",
    bill_and_check_out "32-bill-and-check-out",
    keys "33-keys",
    charges_of_every_kind "34-charges-of-every-kind",
    inquiry "35-inquiry",
    locator "36-locator",
    room_reports "37-room-reports",
    link_description "38-link-description",
    no_answer "39-no-answer",
    key_answer_after_the_list "40-key-answer-after-the-list",
    not_configured "41-not-configured",
    card_number_going_out "42-card-number-going-out",
    wake_up "43-wake-up",
    wake_up_by_staff "44-wake-up-by-staff",
}

#[test]
fn every_case_in_the_folder_is_replayed() {
    let mut found: Vec<String> = std::fs::read_dir(case::folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".case")?.to_owned()))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}
