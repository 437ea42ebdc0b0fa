//! What is made is read, what can't be is refused with its reason, and what is planned is the least.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_release::cut::cut;
use engawa_release::manifest::{Form, Kind, Patch};
use engawa_release::pack::{Content, Draft, Former, Made, pack};
use engawa_release::unpack;
use engawa_release::{Digest, Held, Manifest, Way, plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn draft() -> Draft {
    Draft {
        name: "engawa".into(),
        version: "1.2.3".into(),
        number: 9,
        floor: 7,
        kind: Kind::Application,
        triple: "aarch64-unknown-linux-gnu".into(),
        hardware: vec!["rpi4".into()],
        built: 1_800_000_000,
    }
}

/// Bytes in which little comes again, by a seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3] & 0x3f
    };
    (0..length).map(|_| next()).collect()
}

fn made(files: &[(&str, &[u8])], former: &[(&str, &[u8])]) -> Made {
    let files: Vec<_> = files.iter().map(|&(name, bytes)| Content { name, mode: 0o755, bytes }).collect();
    let former: Vec<_> = former.iter().map(|&(name, bytes)| Former { name, bytes }).collect();
    pack(draft(), &files, &former).unwrap()
}

#[test]
fn what_is_made_is_read_and_the_same_files_give_the_same_bytes() {
    let (new, old) = (noise(300_000, 1), noise(280_000, 1));
    let first = made(&[("engawa", &new), ("b", b"")], &[("engawa", &old), ("gone", b"x")]);
    let again = made(&[("engawa", &new), ("b", b"")], &[("engawa", &old), ("gone", b"x")]);
    assert_eq!(first.manifest_bytes, again.manifest_bytes);
    assert!(first.pack == again.pack && first.patches == again.patches);
    assert_eq!(Manifest::read(&first.manifest_bytes).unwrap(), first.manifest);
    assert_eq!(first.manifest.folder().unwrap(), "engawa/aarch64-unknown-linux-gnu/1.2.3");
    assert!(first.manifest.is_for("aarch64-unknown-linux-gnu", "rpi4"));
    assert!(!first.manifest.is_for("aarch64-unknown-linux-gnu", "rpi5"));
    assert!(!first.manifest.is_for("x86_64-unknown-linux-gnu", "rpi4"));
    let system = pack(Draft { kind: Kind::System, ..draft() }, &[], &[]).unwrap();
    assert_eq!(system.manifest.folder().unwrap(), "system/rpi4/1.2.3");
}

#[test]
fn a_field_of_a_newer_release_is_passed_over_and_a_newer_format_is_told() {
    let made = made(&[("engawa", b"program")], &[]);
    let mut value: Value = serde_json::from_slice(&made.manifest_bytes).unwrap();
    value["of_the_future"] = json!({"any": 1});
    value["files"][0]["owner"] = json!("root");
    assert_eq!(Manifest::read(value.to_string().as_bytes()).unwrap(), made.manifest);
    let error = Manifest::read(br#"{"format": 2, "nothing": "else"}"#).unwrap_err().to_string();
    assert!(error.contains("format 2"), "{error}");
}

#[test]
fn what_can_t_be_is_refused_with_its_reason() {
    let old = noise(60_000, 3);
    let new = [&old[..], b"more"].concat();
    let good: Value =
        serde_json::from_slice(&made(&[("engawa", &new)], &[("engawa", &old)]).manifest_bytes).unwrap();
    assert_eq!(good["patches"].as_array().unwrap().len(), 1);
    let table: &[(&str, Value, &str)] = &[
        ("/version", json!("newest"), "no semantic version"),
        ("/version", json!(format!("1.0.0-{}", "a".repeat(59))), "at most 64"),
        ("/floor", json!(10), "below the release's own floor"),
        ("/files/0/name", json!("agent"), "no executable file `engawa`"),
        ("/files/0/mode", json!(0o644), "no executable file `engawa`"),
        ("/name", json!("../engawa"), "begins with a dot"),
        ("/triple", json!("a/b"), "can't be a name"),
        ("/hardware/0", json!(""), "it is empty"),
        ("/hardware", json!(vec!["b"; 33]), "33 kinds of board"),
        ("/kind", json!("firmware"), "can't be read"),
        ("/cut", json!({"min": 0, "average": 1, "max": 2}), "can't be cut"),
        ("/files/0/name", json!("../../etc/passwd"), "begins with a dot"),
        ("/files/0/name", json!("manifest.json"), "the manifest's"),
        ("/files/0/name", json!("etc/passwd"), "only a-z"),
        ("/files/0/mode", json!(0o4755), "mode 4755"),
        ("/files/0/mode", json!(0o777), "mode 777"),
        ("/files/0/size", json!(1), "its chunks come to"),
        ("/files/0/sha256", json!("abc"), "can't be read"),
        ("/files/0/chunks/0/size", json!(0), "no bytes"),
        ("/files/0/chunks/0/size", json!(2_000_000), "longer than a chunk"),
        ("/files/0/chunks/0/packed", json!(0), "no bytes"),
        ("/files/0/chunks/0/packed", json!(1_500_000), "longer packed"),
        ("/files/0/chunks/0/at", json!(u64::MAX), "outside the pack"),
        ("/pack/size", json!(10), "outside the pack"),
        ("/patches/0/file", json!("other"), "no such file"),
        ("/patches/0/packed", json!(0), "no bytes"),
        ("/patches/0/size", json!(u64::MAX), "too long"),
        ("/patches/0/from", good["files"][0]["sha256"].clone(), "what it was before"),
    ];
    for (place, wrong, told) in table {
        let mut value = good.clone();
        *value.pointer_mut(place).unwrap() = wrong.clone();
        let error = Manifest::read(value.to_string().as_bytes()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let words = format!("{error}: {source}");
        assert!(words.contains(told), "{place} {wrong}: {words}");
    }
    let mut twice = good.clone();
    let file = twice["files"][0].clone();
    twice["files"].as_array_mut().unwrap().push(file.clone());
    assert!(Manifest::read(twice.to_string().as_bytes()).unwrap_err().to_string().contains("two files"));
    let mut many = good.clone();
    many["files"] = json!(vec![file; 65]);
    assert!(Manifest::read(many.to_string().as_bytes()).unwrap_err().to_string().contains("65 files"));
    assert!(Manifest::read(&vec![b' '; (8 << 20) + 1]).unwrap_err().to_string().contains("8388609 bytes"));
    assert!(Manifest::read(b"").is_err() && Manifest::read(b"[]").is_err());
}

#[test]
fn a_release_that_unpacks_to_too_much_is_no_release() {
    // Chunk by chunk it would pass: many times the same megabyte of nothing.
    let zero = made(&[("engawa", &vec![0; 1 << 20])], &[]);
    let mut value: Value = serde_json::from_slice(&zero.manifest_bytes).unwrap();
    let chunks = value["files"][0]["chunks"].as_array().unwrap().clone();
    let times = 3_000;
    value["files"][0]["chunks"] = json!(chunks.iter().cycle().take(chunks.len() * times).collect::<Vec<_>>());
    value["files"][0]["size"] = json!((times as u64) << 20);
    let error = Manifest::read(value.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("unpacks to"), "{error}");
    let small = 40;
    value["files"][0]["chunks"] = json!(chunks.iter().cycle().take(chunks.len() * small).collect::<Vec<_>>());
    value["files"][0]["size"] = json!((small as u64) << 20);
    let error = Manifest::read(value.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("unpacks to"), "{error}");
}

/// What the supervisor judges by too.
#[test]
fn the_supervisors_bounds_are_no_narrower() {
    use engawa_release::manifest::{MOST_FILES, MOST_VERSION};
    assert_eq!(MOST_VERSION, engawa_slots::table::WORD_MOST);
    const { assert!(engawa_slots::check::FILES_MOST >= MOST_FILES) };
    const { assert!(engawa_slots::check::MANIFEST_MOST >= engawa_release::manifest::MOST_MANIFEST as u64) };
    assert_eq!(engawa_slots::MANIFEST, engawa_release::name::MANIFEST);
    assert_eq!(engawa_slots::PROGRAM, engawa_release::manifest::PROGRAM);
    // Every byte, in every place, and every length.
    let around =
        (0..=u8::MAX).map(char::from).flat_map(|letter| [format!("{letter}x"), format!("x{letter}")]);
    let lengths = (0..=engawa_release::name::MOST_FILE_NAME + 1).map(|length| "x".repeat(length));
    for name in around.chain(lengths).chain(["", ".", "..", "ü"].map(str::to_owned)) {
        let ours = engawa_release::name::file(&name).is_ok();
        assert_eq!(ours, engawa_slots::check::is_file_name(&name), "{name:?}");
    }
    let text = format!("\"{}\"", engawa_release::Digest::of(b"x"));
    let read: engawa_release::Digest = serde_json::from_str(&text).unwrap();
    assert_eq!(*read.as_bytes(), text.trim_matches('"').parse::<engawa_slots::Digest>().unwrap().0);
    assert!("A".repeat(64).parse::<engawa_slots::Digest>().is_err());
    assert!("A".repeat(64).parse::<engawa_release::Digest>().is_err());
}

#[test]
fn names_and_modes_are_refused_when_a_release_is_made() {
    for (name, mode) in [(".hidden", 0o755), ("engawa", 0o4755), ("a/b", 0o644)] {
        assert!(pack(draft(), &[Content { name, mode, bytes: b"x" }], &[]).is_err(), "{name}");
    }
    assert!(pack(Draft { version: "1".into(), ..draft() }, &[], &[]).is_err());
}

#[test]
fn chunks_and_patches_are_what_they_say_or_nothing() {
    let old = noise(200_000, 5);
    let new = [&old[..90_000], b"inserted", &old[90_000..]].concat();
    let made = made(&[("engawa", &new)], &[("engawa", &old)]);
    let file = &made.manifest.files[0];
    let mut whole = vec![];
    for chunk in &file.chunks {
        let range = usize::try_from(chunk.at).unwrap()..usize::try_from(chunk.at + chunk.packed).unwrap();
        whole.extend(unpack::chunk(chunk, &made.pack[range.clone()]).unwrap());
        let mut spoilt = made.pack[range.clone()].to_vec();
        let middle = spoilt.len() / 2;
        spoilt[middle] ^= 0x10;
        assert!(unpack::chunk(chunk, &spoilt).is_err());
        assert!(unpack::chunk(chunk, &made.pack[range.start..range.end - 1]).is_err());
        let shorter = engawa_release::Chunk { size: chunk.size - 1, ..*chunk };
        assert!(matches!(
            unpack::chunk(&shorter, &made.pack[range]),
            Err(unpack::UnpackError::Length { longer: true, .. })
        ));
    }
    assert!(whole == new);
    let (patch, bytes) = (&made.manifest.patches[0], &made.patches[0].1);
    assert!(bytes.len() < 2_000, "{}", bytes.len());
    let mut out = vec![];
    unpack::patch(patch, &old, bytes.as_slice(), (file.size, file.sha256), &mut out).unwrap();
    assert!(out == new);
    let apply = |old: &[u8], bytes: &[u8], size: u64| {
        let mut out = vec![];
        let ended = unpack::patch(patch, old, bytes, (size, file.sha256), &mut out);
        assert!(out.len() as u64 <= size, "never more than it may be");
        ended
    };
    assert!(matches!(apply(&old[1..], bytes, file.size), Err(unpack::UnpackError::Other { .. })));
    assert!(matches!(
        apply(&old, bytes, file.size - 1),
        Err(unpack::UnpackError::Length { longer: true, .. })
    ));
    assert!(apply(&old, bytes, file.size + 1).is_err());
    assert!(apply(&old, &bytes[..bytes.len() / 2], file.size).is_err());
    let mut spoilt = bytes.clone();
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 0x10;
    assert!(apply(&old, &spoilt, file.size).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is held: a plan fetches no chunk that is held, none twice, never more than the pack, and with what it fetches all
    /// files can be made.
    #[test]
    fn a_plan_is_enough_and_no_more(
        seed in any::<u64>(),
        lengths in prop::collection::vec(0_usize..120_000, 1..4),
        held in prop::collection::vec(any::<bool>(), 64),
        keeps in any::<bool>(),
        memory in prop::sample::select(vec![0_u64, 100_000, u64::MAX]),
    ) {
        let contents: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(n, length)| noise(*length, seed ^ (n as u64 / 2))).collect();
        let names = ["engawa", "b", "c"];
        let files: Vec<(&str, &[u8])> =
            contents.iter().enumerate().map(|(n, bytes)| (names[n], bytes.as_slice())).collect();
        let old = [&contents[0][..contents[0].len() / 2], b"old".as_slice()].concat();
        let made = made(&files, &[("engawa", &old)]);
        let manifest = &made.manifest;
        let all: Vec<_> = manifest.files.iter().flat_map(|file| &file.chunks).collect();
        let mut have = Held::default();
        for (chunk, held) in all.iter().zip(held.iter().cycle()) {
            if *held {
                have.chunks.insert(chunk.sha256);
            }
        }
        if keeps {
            have.files.insert(Digest::of(&old));
            cut(old.as_slice(), manifest.cut, |_, sha256, _| {
                have.chunks.insert(sha256);
                Ok(())
            }).unwrap();
        }
        let plan = plan(manifest, &have, memory);
        prop_assert!(plan.bytes <= manifest.pack.size);
        prop_assert!(plan.memory <= memory);
        let fetched: BTreeSet<Digest> = plan.fetch.iter().map(|chunk| chunk.sha256).collect();
        prop_assert_eq!(fetched.len(), plan.fetch.len());
        prop_assert!(fetched.is_disjoint(&have.chunks));
        prop_assert!(plan.fetch.windows(2).all(|pair| pair[0].at + pair[0].packed <= pair[1].at));
        let patched: BTreeSet<Digest> = manifest.files.iter().zip(&plan.ways)
            .filter(|(_, way)| matches!(way, Way::Patch(_)))
            .flat_map(|(file, _)| file.chunks.iter().map(|chunk| chunk.sha256)).collect();
        for (file, way) in manifest.files.iter().zip(&plan.ways) {
            for chunk in file.chunks.iter().filter(|_| *way == Way::Chunks) {
                let there = [&fetched, &have.chunks, &patched].iter().any(|set| set.contains(&chunk.sha256));
                prop_assert!(there, "{} lacks a chunk", file.name);
            }
        }
    }
}

/// What `zstd --patch-from` writes.
fn patch_from(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), 19, old).unwrap();
    encoder.window_log(19).unwrap();
    std::io::Write::write_all(&mut encoder, new).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn either_kind_of_patch_gives_the_new_file_or_nothing() {
    let old = noise(256 << 10, 11);
    // A program whose addresses have all changed.
    let mut new = old.clone();
    new.iter_mut().step_by(40).for_each(|byte| *byte = byte.wrapping_add(16));
    let made = made(&[("engawa", &new)], &[("engawa", &old)]);
    let (differences, by_differences) = (&made.manifest.patches[0], &made.patches[0].1);
    assert_eq!(differences.form, Form::Bsdiff, "it is much the shorter one");
    assert!(by_differences.len() * 8 < made.pack.len(), "{} of {}", by_differences.len(), made.pack.len());
    let by_prefix = patch_from(&old, &new);
    let prefix = Patch { form: Form::Zstd, packed: by_prefix.len() as u64, ..differences.clone() };
    for (patch, bytes) in [(differences, by_differences), (&prefix, &by_prefix)] {
        let form = patch.form;
        let apply = |bytes: &[u8]| {
            let mut out = vec![];
            let file = &made.manifest.files[0];
            unpack::patch(patch, &old, bytes, (file.size, file.sha256), &mut out).map(|()| out)
        };
        assert!(apply(bytes).unwrap() == new, "{form:?}");
        for at in (0..bytes.len()).step_by(bytes.len() / 40) {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 4;
            // A bit that means nothing is no harm.
            assert!(apply(&spoilt).map_or(true, |out| out == new), "{form:?}: a bit at {at}");
            assert!(apply(&bytes[..at]).is_err(), "{form:?}: the first {at} bytes");
        }
    }
    // Of a newer release: there are the chunks.
    let mut value: Value = serde_json::from_slice(&made.manifest_bytes).unwrap();
    value["patches"][0]["form"] = json!("of_the_future");
    let newer = Manifest::read(value.to_string().as_bytes()).unwrap();
    let held = Held { files: BTreeSet::from([differences.from]), ..Held::default() };
    assert!(matches!(plan(&made.manifest, &held, u64::MAX).ways[0], Way::Patch(0)));
    assert!(matches!(plan(&newer, &held, u64::MAX).ways[0], Way::Chunks));
}

#[test]
fn differences_that_can_t_be_are_no_file() {
    let old = noise(1_000, 12);
    let made = made(&[("engawa", &[&old[..], b"x"].concat())], &[("engawa", &old)]);
    let file = &made.manifest.files[0];
    let patch = Patch { form: Form::Bsdiff, ..made.manifest.patches[0].clone() };
    let head = |numbers: [u64; 3]| numbers.map(u64::to_le_bytes).concat();
    let minus = 1 << 63;
    for (plain, what) in [
        (head([u64::MAX, 0, 0]), "fewer than no bytes that differ"),
        (head([0, minus | 5, 0]), "fewer than no new bytes"),
        (head([minus - 1, 0, 0]), "more than there are"),
        ([head([9, 0, 0]), vec![0; 5]].concat(), "cut off in the differences"),
        ([head([0, 9, 0]), vec![0; 5]].concat(), "cut off in what is new"),
        (head([1, 0, 0])[..20].to_vec(), "cut off in the numbers"),
        ([head([0, 0, minus | 7]), head([1_001, 0, 0]), vec![0; 1_001]].concat(), "before the old file"),
        ([head([0, 0, minus - 1]), head([1_001, 0, 0]), vec![0; 1_001]].concat(), "beyond the old file"),
        ([head([0, 2_000, 0]), vec![0; 2_000]].concat(), "longer than the file"),
        (vec![], "nothing"),
    ] {
        let packed = zstd::bulk::compress(&plain, 3).unwrap();
        let mut out = vec![];
        let ended = unpack::patch(&patch, &old, packed.as_slice(), (file.size, file.sha256), &mut out);
        assert!(ended.is_err() && out.len() as u64 <= file.size, "{what}");
    }
}
