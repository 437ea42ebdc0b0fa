//! The committed inputs, among them each that once broke a promise, and the profiles that every gateway has: an ordinary
//! test, so that they are tried without a fuzzer too.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

use engawa_fuzz::TARGETS;
use std::path::Path;

#[test]
fn the_committed_inputs_hold() {
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut count = 0;
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            // Whoever reads a failure sees which input it was.
            println!("{}", path.display());
            run(&input);
            // Its beginnings are inputs of their own.
            for end in (0..input.len()).step_by(7) {
                run(&input[..end]);
            }
            count += 1;
        }
        assert!(count >= 4, "{name} has {count} inputs");
    }
}

#[test]
fn the_built_in_profiles_hold() {
    for (name, text) in engawa_field::profile::builtin() {
        println!("{name}");
        for answer in
            [&b"\0\x00\x00\x01\x02\x12\x34\x7f\xc0\x80\x00"[..], b"\0\xff\xff", b"\0\x41\x42\x00\x07"]
        {
            engawa_fuzz::profile::text_and_answer(text, &answer[1..]);
        }
    }
}
