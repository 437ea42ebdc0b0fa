//! Every catalogue has every text, with the same variables, and none has a fault.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_words::{Arg, Direction, Language, Words};
use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};
use std::collections::{BTreeMap, BTreeSet};

fn source(language: Language) -> String {
    let path = format!("{}/texts/{}.ftl", env!("CARGO_MANIFEST_DIR"), language.tag());
    std::fs::read_to_string(path).unwrap()
}

fn of_inline(inline: &InlineExpression<&str>, found: &mut BTreeSet<String>) {
    match inline {
        InlineExpression::VariableReference { id } => drop(found.insert(id.name.to_owned())),
        InlineExpression::Placeable { expression } => of_expression(expression, found),
        _ => {}
    }
}

fn of_expression(expression: &Expression<&str>, found: &mut BTreeSet<String>) {
    match expression {
        Expression::Inline(inline) => of_inline(inline, found),
        Expression::Select { selector, variants } => {
            of_inline(selector, found);
            for variant in variants {
                of_pattern(&variant.value, found);
            }
        }
    }
}

fn of_pattern(pattern: &Pattern<&str>, found: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            of_expression(expression, found);
        }
    }
}

/// Each key with its variables.
fn texts(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let source = source(language);
    let resource = fluent_syntax::parser::parse(source.as_str())
        .unwrap_or_else(|(_, faults)| panic!("{language:?}: {faults:?}"));
    let mut all = BTreeMap::new();
    for entry in &resource.body {
        if let Entry::Message(message) = entry {
            let mut found = BTreeSet::new();
            of_pattern(message.value.as_ref().unwrap(), &mut found);
            let again = all.insert(message.id.name.to_owned(), found);
            assert!(again.is_none(), "{language:?} has `{}` twice", message.id.name);
        }
    }
    all
}

#[test]
fn every_text_is_in_every_language_with_the_same_variables() {
    let english = texts(Language::En);
    assert!(english.len() > 100, "{}", english.len());
    for language in Language::ALL {
        let other = texts(language);
        let keys = |texts: &BTreeMap<String, _>| texts.keys().cloned().collect::<BTreeSet<_>>();
        let missing: Vec<_> = keys(&english).difference(&keys(&other)).cloned().collect();
        let strange: Vec<_> = keys(&other).difference(&keys(&english)).cloned().collect();
        assert!(missing.is_empty() && strange.is_empty(), "{language:?} lacks {missing:?}, has {strange:?}");
        for (key, variables) in &english {
            assert_eq!(&other[key], variables, "{language:?} `{key}`");
        }
    }
}

#[test]
fn every_text_is_filled_in_without_a_fault() {
    for language in Language::ALL {
        let words = Words::in_language(language);
        for (key, variables) in texts(language) {
            for count in [0_u32, 1, 2, 5, 11, 100] {
                let args: Vec<(&str, Arg<'_>)> = variables
                    .iter()
                    .map(|name| {
                        (name.as_str(), if name == "count" { Arg::from(count) } else { Arg::from("X") })
                    })
                    .collect();
                let text = words.text(&key, &args);
                assert!(!text.is_empty() && !text.contains(['{', '}', '$']) && text != key, "{key}: {text}");
                if variables.contains("count") {
                    assert!(
                        text.contains(&count.to_string()),
                        "{language:?} `{key}` hides the count: {text}"
                    );
                }
            }
        }
    }
}

#[test]
fn languages_fall_back_to_the_houses_and_to_english() {
    for (tags, language) in [
        ([Some("ar-EG"), Some("ja")], Language::Ar),
        ([Some("pt-BR"), Some("ja-JP")], Language::Ja),
        ([None, Some("de")], Language::De),
        ([Some("xx"), Some("yy")], Language::En),
        ([None, None], Language::En),
    ] {
        let words = Words::of(tags);
        assert_eq!(words.language(), language, "{tags:?}");
        assert_eq!(words.say("page-rooms"), Words::in_language(language).say("page-rooms"));
    }
    assert_eq!(Words::accepted(Some("pt, fr;q=0.5"), Some("ja")).language(), Language::Fr);
    assert_eq!(Words::accepted(Some("pt"), Some("ja")).language(), Language::Ja);
    assert_eq!(Words::accepted(None, None).language(), Language::En);
    assert_eq!(Words::of([]).say("no-such-text"), "no-such-text");
}

#[test]
fn what_runs_left_to_right_is_isolated_in_arabic_alone() {
    let time = [("time", Arg::from("06:30"))];
    let arabic = Words::in_language(Language::Ar).text("wake-up-call", &time);
    assert!(arabic.contains("\u{2068}06:30\u{2069}"), "{arabic}");
    assert_eq!(Language::Ar.direction(), Direction::RightToLeft);
    let japanese = Words::in_language(Language::Ja).text("wake-up-call", &time);
    assert!(japanese.contains("ただいま06:30でございます"), "{japanese}");
    let count = [("count", Arg::from(1_u32))];
    assert_eq!(Words::of([]).text("counts-rooms", &count), "1 room");
}

#[test]
fn every_detail_is_found_by_its_english_sentence_and_is_not_english_elsewhere() {
    let details: Vec<_> =
        texts(Language::En).into_iter().filter(|(key, _)| key.starts_with("detail-")).collect();
    assert!(details.len() > 15, "{}", details.len());
    for (key, variables) in details {
        let values: Vec<(String, String)> =
            variables.iter().map(|name| (name.clone(), format!("<{name} 1>"))).collect();
        let args: Vec<(&str, Arg<'_>)> =
            values.iter().map(|(name, value)| (name.as_str(), Arg::from(value.as_str()))).collect();
        let english = Words::of([]).text(&key, &args);
        assert!(Words::has_detail(&english), "{english}");
        assert_eq!(Words::of([]).detail(&english), english);
        for language in Language::ALL.into_iter().filter(|language| *language != Language::En) {
            let words = Words::in_language(language);
            let shown = words.detail(&english);
            assert_eq!(shown, words.text(&key, &args), "{language:?}: another sentence was found");
            assert_ne!(shown, english, "{language:?} `{key}` is English");
            for (_, value) in &values {
                assert!(shown.contains(value.as_str()), "{language:?} `{key}` hides {value}: {shown}");
            }
        }
    }
    assert_eq!(
        Words::in_language(Language::De).detail("Pool zu kalt"),
        "Pool zu kalt",
        "a house's own words"
    );
    assert!(!Words::has_detail("") && !Words::has_detail("water on the floor, says Ann"));
}
