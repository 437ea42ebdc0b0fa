//! Small sources behind the switch: what they become, and that the compiled program does what each mutant says.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_mutants::blame::{Blame, Message, blame};
use engawa_mutants::mutant::{Genre, Mutant, Place, Span, read};
use engawa_mutants::rewrite::{Of, rewrite};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn place(source: &str, at: usize) -> Place {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// The mutants of `source`: each of a genre, at the text that follows `before|`, with its replacement.
fn mutants(source: &str, all: &[(Genre, &str, &str)]) -> Vec<Mutant> {
    let one = |(number, (genre, needle, replacement)): (u32, &(Genre, &str, &str))| {
        let (before, from) = needle.split_once('|').unwrap();
        let at = source.find(&needle.replacen('|', "", 1)).expect(needle) + before.len();
        let span = Span { start: place(source, at), end: place(source, at + from.len()) };
        let (file, package) = ("src/lib.rs".to_owned(), "one".to_owned());
        Mutant {
            number,
            file,
            genre: *genre,
            name: needle.to_string(),
            package,
            replacement: replacement.to_string(),
            span,
        }
    };
    (1..).zip(all).map(one).collect()
}

fn rewritten(source: &str, mutants: &[Mutant], keep_const: &[&str]) -> engawa_mutants::rewrite::Rewritten {
    let keep_const: BTreeSet<String> = keep_const.iter().map(|name| name.to_string()).collect();
    rewrite(source, &mutants.iter().collect::<Vec<_>>(), &keep_const).unwrap()
}

/// The text without the marks that say whose it is.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        rest = &rest[start..][rest[start..].find("*/").unwrap() + 2..];
    }
    out + rest
}

#[test]
fn without_mutants_a_file_stays_as_it_is() {
    let source = "//! Ünicode.\nconst A: u8 = 1 + 2; // tail\nfn f() -> bool { A < 3 && !true }\n";
    assert_eq!(rewritten(source, &[], &[]).text, source);
}

#[test]
fn an_operator_is_replaced_in_the_text_of_all_that_it_may_group_anew() {
    let source = "fn f(a: bool, b: bool, c: bool) -> bool { a && b && c }";
    let found = rewritten(source, &mutants(source, &[(Genre::BinaryOperator, "a |&& b", "||")]), &[]);
    assert_eq!(
        bare(&found.text),
        "fn f(a: bool, b: bool, c: bool) -> bool { (if crate::mutant(1) {a  ||  b && c} else {a && b && c}) }"
    );
}

#[test]
fn what_can_not_ask_the_switch_is_set_aside() {
    let source = "const A: u8 = 1 + 2;\nconst fn two() -> u8 { 1 + 1 }\nfn many() -> impl Iterator<Item = u8> { 0..3 }\nfn f() { println!(\"{}\", 4 + 5) }\n";
    let all = mutants(
        source,
        &[
            (Genre::BinaryOperator, "1 |+ 2", "-"),
            (Genre::BinaryOperator, "1 |+ 1", "-"),
            (Genre::FnValue, "|0..3", "::std::iter::empty()"),
            (Genre::BinaryOperator, "4 |+ 5", "-"),
        ],
    );
    let found = rewritten(source, &all, &["two"]);
    assert_eq!(found.text, source);
    assert_eq!(found.aside.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3, 4]));
    // Nobody needs `two` in a constant: it stops being `const` and has its mutant.
    let found = rewritten(source, &all, &[]);
    assert!(bare(&found.text).contains("fn two() -> u8 { (if crate::mutant(2) {1  -  1} else {1 + 1}) }"));
    assert!(!found.text.contains("const fn"));
}

#[test]
fn where_every_wildcard_has_a_guard_no_other_arm_can_go() {
    let arms = |last: &str| {
        format!(
            "fn f(a: Option<u8>, b: bool) -> u8 {{ match a {{ _ if b => 1, Some(n) => n, {last} => 0 }} }}"
        )
    };
    for (last, unviable) in [("None", true), ("other", false), ("_", false)] {
        let source = arms(last);
        let found = rewritten(&source, &mutants(&source, &[(Genre::MatchArm, "1, |Some(n) => n", "")]), &[]);
        assert_eq!(found.unviable.len(), usize::from(unviable), "{last}");
        assert_eq!(bare(&found.text).contains("Some(n) if !crate::mutant(1)"), !unviable, "{last}");
    }
}

#[test]
fn a_chain_with_let_stays_whole_and_its_operands_are_mutated() {
    let source =
        "fn f(a: Option<u8>, b: u8) -> bool { if b > 1 && let Some(c) = a && c < b { true } else { false } }";
    let all = mutants(
        source,
        &[
            (Genre::BinaryOperator, "b |> 1", "<"),
            (Genre::BinaryOperator, "1 |&& let", "||"),
            (Genre::BinaryOperator, "c |< b", "=="),
        ],
    );
    let found = rewritten(source, &all, &[]);
    assert_eq!(found.unviable, [2]);
    assert!(
        bare(&found.text).contains(
            "if (if crate::mutant(1) {b  <  1} else {b > 1}) && let Some(c) = a && (if crate::mutant(3) {c  ==  b} else {c < b}) {"
        ),
        "{}",
        found.text
    );
}

const PROGRAM: &str = r#"
struct Given { a: i32, b: i32 }
const fn plus(a: i32, b: i32) -> i32 {
    a + b * 2
}
fn word(n: i32, shout: bool) -> &'static str {
    match n {
        1 if shout => "ONE",
        1 => "one",
        2 => { let mut n = n; n += 1; if n == 3 { "two" } else { "odd" } }
        _ => "many",
    }
}
fn given() -> Given {
    let base = Given { a: 1, b: 1 };
    Given { a: 7, ..base }
}
fn negated(a: bool) -> bool { !(a || [1, 2].iter().any(|n| *n > 1 && a)) }
fn main() {
    let given = given();
    println!("{} {} {} {} {} {} {}", plus(1, 2), word(1, true), word(1, false), word(2, true), word(3, true), given.a + given.b, negated(false));
}
"#;

/// The switch in a program of its own: what the environment says, as `tests/mutants` appends it.
const SWITCH: &str = include_str!("../src/edges/switch.in");

#[test]
fn each_mutant_does_its_change_and_none_of_them_nothing() {
    let all = mutants(
        PROGRAM,
        &[
            (Genre::BinaryOperator, "a |+ b * 2", "*"),
            (Genre::BinaryOperator, "b |* 2", "+"),
            (Genre::FnValue, "|a + b * 2", "1"),
            (Genre::MatchArmGuard, "1 if |shout", "false"),
            (Genre::MatchArmGuard, "1 if |shout", "true"),
            (Genre::MatchArm, "|1 if shout => \"ONE\",", ""),
            (Genre::MatchArm, "|2 => {", ""),
            (Genre::BinaryOperator, "n |+= 1", "-="),
            (Genre::StructField, "|a: 7,", ""),
            (Genre::UnaryOperator, "|!(a || ", ""),
            (Genre::BinaryOperator, "(a ||| [", "&&"),
            (Genre::FnValue, "|match n {", "\"xyzzy\""),
        ]
        .map(|(genre, needle, to)| (genre, needle, to)),
    );
    let found = rewritten(PROGRAM, &all, &[]);
    assert_eq!((found.aside.len(), found.unviable.len()), (0, 0));
    let folder = std::env::temp_dir().join(format!("engawa-mutants-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let source = folder.join("main.rs");
    std::fs::write(&source, found.text + &SWITCH.replace("@COUNT@", "20")).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let (program, plain) = (folder.join("program"), folder.join("plain"));
    std::fs::write(folder.join("plain.rs"), PROGRAM).unwrap();
    for (from, to) in [(&source, &program), (&folder.join("plain.rs"), &plain)] {
        let done = Command::new(&rustc)
            .args(["--edition", "2024", "-A", "warnings", "-o"])
            .arg(to)
            .arg(from)
            .output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let says = |program: &std::path::Path, mutant: &str| {
        let done = Command::new(program).env("MUTANT", mutant).output().unwrap();
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    };
    let usual = "5 ONE one two many 8 true";
    assert_eq!(says(&plain, ""), usual);
    assert_eq!(says(&program, ""), usual);
    assert_eq!(says(&program, "0"), usual);
    for (number, expected) in [
        (1, "4 ONE one two many 8 true"),
        (2, "5 ONE one two many 8 true"),
        (3, "1 ONE one two many 8 true"),
        (4, "5 one one two many 8 true"),
        (5, "5 ONE ONE two many 8 true"),
        (6, "5 one one two many 8 true"),
        (7, "5 ONE one many many 8 true"),
        (8, "5 ONE one odd many 8 true"),
        (9, "5 ONE one two many 2 true"),
        (10, "5 ONE one two many 8 false"),
        (11, "5 ONE one two many 8 true"),
        (12, "5 xyzzy xyzzy xyzzy xyzzy 8 true"),
    ] {
        assert_eq!(says(&program, &number.to_string()), expected, "mutant {number}");
    }
    // Recording changes nothing and names what was reached.
    let reached = folder.join("reached");
    let done =
        Command::new(&program).env("MUTANT", "record").env("MUTANT_REACHED", &reached).output().unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap().trim_end(), usual);
    let numbers: BTreeSet<u32> =
        std::fs::read_to_string(&reached).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=12).collect());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_error_is_blamed_on_the_mutant_in_whose_text_it_is() {
    let source = "fn f(a: u8) -> u8 { a + 1 }\nconst X: u8 = g();\nconst fn g() -> u8 { 1 }";
    let found = rewritten(source, &mutants(source, &[(Genre::BinaryOperator, "a |+ 1", "-")]), &[]);
    let whole = found.regions.iter().find(|region| region.of == Of::Switch(vec![1])).unwrap().range.clone();
    let at = found.text.find("a  -  1").unwrap();
    let regions = BTreeMap::from([("src/lib.rs".to_owned(), found.regions)]);
    let error = |from: usize, to: usize, code: &str, text: &str| -> Message {
        let span =
            format!(r#"{{"file_name":"src/lib.rs","byte_start":{from},"byte_end":{to},"is_primary":true}}"#);
        let json = format!(
            r#"{{"level":"error","message":"{text}","code":{{"code":"{code}"}},"spans":[{span}],"rendered":null}}"#
        );
        serde_json::from_str(&json).unwrap()
    };
    assert_eq!(blame(&error(at, at + 3, "E0369", "no"), &regions), Blame::Mutants(vec![1]));
    assert_eq!(blame(&error(whole.start, whole.end, "E0308", "no"), &regions), Blame::Switch(vec![1]));
    assert_eq!(blame(&error(0, 2, "E0308", "no"), &regions), Blame::Other);
    let constant = "cannot call non-const associated function `Kind::<u8>::g` in constants";
    assert_eq!(blame(&error(0, 2, "E0015", constant), &regions), Blame::KeepConst("g".to_owned()));
}

#[test]
fn a_source_that_does_not_parse_says_where() {
    let error = rewrite("fn f() {\n  1 +\n}\n", &[], &BTreeSet::new()).unwrap_err().to_string();
    assert!(error.starts_with("3:"), "{error}");
}

#[test]
fn the_list_of_cargo_mutants_is_read_and_numbered() {
    let json = r#"[{"diff":"","file":"src/a.rs","function":null,"genre":"StructField","name":"src/a.rs:1:2: delete field a",
        "package":"a","replacement":"","span":{"start":{"line":1,"column":2},"end":{"line":1,"column":5}}}]"#;
    let all = read(json, 7).unwrap();
    assert_eq!(
        (all[0].number, all[0].genre, all[0].span.start),
        (7, Genre::StructField, Place { line: 1, column: 2 })
    );
    assert!(read("[{}]", 1).unwrap_err().to_string().contains("missing field"));
}
