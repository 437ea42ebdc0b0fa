//! What a list may hold, and what a text may be.

use super::*;

#[test]
fn a_list_has_an_end_up_to_its_bounds() {
    for (pages, gathered, endless) in [
        (0, [0, 0], false),
        (MOST_PAGES, [MOST_STAYS, 0], false),
        (MOST_PAGES + 1, [0, 0], true),
        (1, [MOST_STAYS + 1, 0], true),
        (1, [MOST_STAYS - 1, 1], false),
        (1, [MOST_STAYS - 1, 2], true),
        (1, [0, MOST_STAYS + 1], true),
    ] {
        assert_eq!(has_no_end(pages, gathered), endless, "{pages} {gathered:?}");
    }
}

#[test]
fn a_language_is_kept_where_it_is_one() {
    for (text, want) in [
        (Some("de"), Some("de")),
        (Some(" pt_BR "), Some("pt-BR")),
        (Some("zh-Hant-TW"), Some("zh-Hant-TW")),
        (Some("d"), None),
        (Some(""), None),
        (Some("E"), None),
        (Some("de DE"), None),
        (Some("de;q=1"), None),
        (Some("français"), None),
        (None, None),
    ] {
        assert_eq!(language(text).as_deref(), want, "{text:?}");
    }
    assert_eq!(language(Some("Okonkwo")), None, "a name");
}

#[test]
fn a_text_about_a_person_is_kept_without_blanks_and_card_numbers() {
    let told = |text| personal(text).map(|text| text.reveal().clone());
    assert_eq!(told(Some("  Okonkwo ")), Some("Okonkwo".to_owned()));
    assert_eq!(told(Some("  ")), None);
    assert_eq!(told(None), None);
    let masked = told(Some("Okonkwo 4111 1111 1111 1111")).unwrap();
    assert!(masked.starts_with("Okonkwo ") && !masked.contains("1111 1111 1111"), "{masked}");
}

#[test]
fn a_day_is_that_of_the_propertys_zone() {
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().ok();
    assert_eq!(day(at("2026-07-15T14:59:59Z"), &zone).unwrap().to_string(), "2026-07-15");
    assert_eq!(day(at("2026-07-15T15:00:00Z"), &zone).unwrap().to_string(), "2026-07-16");
    assert_eq!(day(None, &zone), None);
}
