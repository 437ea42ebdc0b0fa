//! A slot becomes what the manifest says: whatever is old and new, wherever it is cut off, whatever lies in the way.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stand;

use engawa_release::source::{Piece, Source, SourceFault};
use engawa_release::{Held, plan};
use engawa_update::{FetchError, InstallError, Installed, Limits, Progress, Release, install, weigh};
use proptest::prelude::*;
use stand::{Breaking, Stand, list, program};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bounds for tests: a full disk of whoever runs them is not what is tried.
fn limits() -> Limits {
    Limits { reserve: 0, ..Limits::default() }
}

fn run(stand: &Stand, source: &mut dyn Source, limits: Limits) -> Result<Installed, InstallError> {
    install(source, &stand.release, &stand.slot(), &[&stand.old()], limits, &mut |_| true)
}

/// One more line in a program: some bytes more in the middle, and every address behind them is another.
fn next_build(old: &[u8]) -> Vec<u8> {
    let mut new = old.to_vec();
    let middle = new.len() / 2;
    for at in (middle..new.len().saturating_sub(8)).step_by(512) {
        new[at] = new[at].wrapping_add(16);
    }
    new.splice(middle..middle, *b"one more line of a program");
    new
}

#[test]
fn nothing_held_fetches_the_pack_and_something_held_fetches_less() {
    let old = program(400_000, 1);
    let new = next_build(&old);
    let (asset, readme) = (program(90_000, 2), b"read me".to_vec());
    let files: [(&str, &[u8]); 4] =
        [("engawa", &new), ("assets", &asset), ("readme", &readme), ("empty", b"")];
    let bare = Stand::new(&files, &[], false);
    let installed = run(&bare, &mut bare.source(), limits()).unwrap();
    bare.assert_installed(&files);
    assert_eq!(installed.fetched, bare.made.pack.len() as u64);
    assert_eq!(installed.manifest, bare.release.sha256());
    // By a patch, and with a file that is the same.
    let held: [(&str, &[u8]); 2] = [("engawa", &old), ("assets", &asset)];
    let patched = Stand::new(&files, &held, true);
    let by_patch = run(&patched, &mut patched.source(), limits()).unwrap();
    patched.assert_installed(&files);
    assert_eq!(patched.made.patches.len(), 1);
    assert!(by_patch.fetched * 10 < installed.fetched, "{} of {}", by_patch.fetched, installed.fetched);
    // Without the memory for it: by chunks, half of which are there.
    let small = Stand::new(&files, &held, true);
    let tight = Limits { patch_memory: 700_000, ..limits() };
    let by_chunks = run(&small, &mut small.source(), tight).unwrap();
    small.assert_installed(&files);
    assert!(by_chunks.fetched > by_patch.fetched && by_chunks.fetched < installed.fetched, "{by_chunks:?}");
    assert!(by_chunks.kept > 0);
    // Again: everything is there.
    let again = run(&small, &mut Nothing, limits()).unwrap();
    assert_eq!((again.fetched, again.manifest), (0, by_chunks.manifest));
}

/// Who asks has not looked at what is there.
struct Nothing;

impl Source for Nothing {
    fn read(&mut self, name: &str, _: u64, _: usize) -> Result<Option<Piece>, SourceFault> {
        panic!("{name} was asked for")
    }
}

fn edit(bytes: &[u8], edits: &[(usize, Vec<u8>, usize)]) -> Vec<u8> {
    let mut new = bytes.to_vec();
    for (at, put, cut) in edits {
        let at = at % (new.len() + 1);
        let end = (at + cut).min(new.len());
        new.splice(at..end, put.iter().copied());
    }
    new
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Any old and new file; the source breaks off after any bytes, or whoever installs is killed there. What comes out is the
    /// new file, and no verified byte is fetched twice.
    #[test]
    fn any_old_and_new_cut_off_anywhere(
        length in 0_usize..400_000,
        seed in any::<u64>(),
        edits in prop::collection::vec(
            (any::<usize>(), prop::collection::vec(any::<u8>(), 0..3_000), 0_usize..20_000), 0..5),
        cuts in prop::collection::vec((0_u64..150_000, 0_u8..3), 0..6),
        piece in 1_000_usize..100_000,
        with_patches in any::<bool>(),
        fresh in any::<bool>(),
    ) {
        let old = program(length, seed);
        let new = if fresh { program(length / 2, seed ^ 1) } else { edit(&old, &edits) };
        let files: [(&str, &[u8]); 2] = [("engawa", &new), ("twice", &new[..new.len() / 2])];
        let stand = Stand::new(&files, &[("engawa", &old)], with_patches);
        let most = plan(&stand.release.manifest, &Held::default(), 0).bytes;
        let (mut given, mut lost, mut first) = (0, 0, None);
        for (left, how) in cuts.into_iter().chain([(u64::MAX, 0)]) {
            let broken = if how == 2 { u64::MAX } else { left };
            let mut source = Breaking { inner: stand.source(), piece, left: broken, given: 0, kills: how == 1 };
            let limits = Limits { piece, ..limits() };
            let mut told = 0;
            let mut watch = |_: &Progress| {
                told += 1;
                how != 2 || told < left / 10_000
            };
            let ended = catch_unwind(AssertUnwindSafe(|| {
                install(&mut source, &stand.release, &stand.slot(), &[&stand.old()], limits, &mut watch)
            }));
            given += source.given;
            match ended {
                Ok(Ok(installed)) => {
                    stand.assert_installed(&files);
                    first.get_or_insert(installed.fetched);
                }
                Ok(Err(error)) => {
                    prop_assert!(error.is_passing(), "{error}");
                    prop_assert!(!list(&stand.slot()).contains(&"manifest.json".to_owned()));
                }
                // Of what was not in its place yet: a piece and a chunk.
                Err(_) => lost += piece as u64 + 132_000,
            }
        }
        stand.assert_installed(&files);
        prop_assert!(given <= most + lost, "{given} bytes came, {most} were needed, {lost} may have been lost");
    }
}

#[test]
fn what_was_fetched_before_a_break_is_not_fetched_again() {
    let new = program(600_000, 3);
    let stand = Stand::new(&[("engawa", &new)], &[], false);
    let all = stand.made.pack.len() as u64;
    let (mut given, mut runs) = (0, 0);
    // A line that breaks every 7,000 bytes: less than a chunk.
    while given < all {
        let mut source =
            Breaking { inner: stand.source(), piece: 4_000, left: 7_000, given: 0, kills: false };
        let ended = run(&stand, &mut source, limits());
        given += source.given;
        runs += 1;
        assert_eq!(ended.is_ok(), given == all, "{ended:?}");
    }
    assert_eq!((given, runs), (all, all.div_ceil(7_000)));
    stand.assert_installed(&[("engawa", &new)]);
}

#[test]
fn a_patch_goes_on_where_it_was() {
    let old = program(300_000, 4);
    let new = next_build(&old);
    let stand = Stand::new(&[("engawa", &new)], &[("engawa", &old)], true);
    let all = stand.made.patches[0].1.len() as u64;
    let mut source = Breaking { inner: stand.source(), piece: 500, left: all / 2, given: 0, kills: true };
    assert!(catch_unwind(AssertUnwindSafe(|| run(&stand, &mut source, limits()))).is_err());
    let installed = run(&stand, &mut stand.source(), limits()).unwrap();
    assert_eq!(installed.fetched, all - all / 2);
    stand.assert_installed(&[("engawa", &new)]);
}

#[test]
fn a_patch_that_suffered_is_fetched_anew_and_a_false_one_is_not_used() {
    let old = program(300_000, 5);
    let new = next_build(&old);
    let files: [(&str, &[u8]); 1] = [("engawa", &new)];
    let stand = Stand::new(&files, &[("engawa", &old)], true);
    let patch = &stand.made.manifest.patches[0];
    std::fs::create_dir(stand.slot()).unwrap();
    // What was kept of it is not what was fetched.
    std::fs::write(stand.slot().join(format!(".fetch-{}", patch.sha256)), vec![7; 100]).unwrap();
    let installed = run(&stand, &mut stand.source(), limits()).unwrap();
    assert_eq!((installed.fetched, installed.refused.len()), (2 * patch.packed - 100, 0));
    stand.assert_installed(&files);
    // The repository has another one under its name.
    std::fs::remove_dir_all(stand.slot()).unwrap();
    let file = &stand.files(".zst")[0];
    let mut bytes = std::fs::read(file).unwrap();
    bytes[50] ^= 1;
    std::fs::write(file, &bytes).unwrap();
    let installed = run(&stand, &mut stand.source(), limits()).unwrap();
    assert!(installed.refused[0].contains("not what was signed"), "{:?}", installed.refused);
    stand.assert_installed(&files);
    // Or none at all, or a shorter one.
    for change in [None, Some(&bytes[..20])] {
        std::fs::remove_dir_all(stand.slot()).unwrap();
        let _ = std::fs::remove_file(file);
        if let Some(bytes) = change {
            std::fs::write(file, bytes).unwrap();
        }
        let installed = run(&stand, &mut stand.source(), limits()).unwrap();
        assert_eq!(installed.refused.len(), 1);
        stand.assert_installed(&files);
    }
}

#[test]
fn a_repository_that_lies_installs_nothing() {
    let new = program(300_000, 6);
    let stand = Stand::new(&[("engawa", &new)], &[], false);
    let pack = &stand.files(".pack")[0];
    let right = std::fs::read(pack).unwrap();
    let mut flipped = right.clone();
    flipped[right.len() / 2] ^= 1;
    let longer = [right.as_slice(), b"more"].concat();
    for (wrong, told) in [
        (flipped, "is not what was signed: the chunk of "),
        (longer, "were expected"),
        (right[..right.len() - 1].to_vec(), "were expected"),
        (vec![], "were expected"),
    ] {
        std::fs::write(pack, wrong).unwrap();
        let error = run(&stand, &mut stand.source(), limits()).unwrap_err();
        assert!(error.to_string().contains(told) && !error.is_passing(), "{error}");
        assert!(!list(&stand.slot()).contains(&"manifest.json".to_owned()));
    }
    std::fs::remove_file(pack).unwrap();
    let error = run(&stand, &mut stand.source(), limits()).unwrap_err();
    assert!(matches!(error, InstallError::Fetch(FetchError::Absent(_))), "{error}");
    std::fs::write(pack, right).unwrap();
    run(&stand, &mut stand.source(), limits()).unwrap();
    stand.assert_installed(&[("engawa", &new)]);
}

/// More bytes than were asked for, or none, or without end.
struct Lying(usize);

impl Source for Lying {
    fn read(&mut self, _: &str, _: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        let bytes = vec![0; if self.0 == 0 { 0 } else { most + self.0 - 1 }];
        Ok(Some(Piece { bytes, total: 1_000 }))
    }
}

#[test]
fn a_source_that_gives_too_much_or_nothing_is_left() {
    for lying in [0, 2] {
        assert!(engawa_update::fetch(&mut Lying(lying), "metadata/timestamp.json", 10_000).is_err());
    }
    assert!(engawa_update::fetch(&mut Lying(1), "metadata/timestamp.json", 999).is_err(), "endless data");
    let got = engawa_update::fetch(&mut Lying(1), "metadata/timestamp.json", 1_000).unwrap().unwrap();
    assert_eq!(got.len(), 1_000);
}

#[test]
fn what_lies_in_the_way_is_no_way_out() {
    let new = program(100_000, 7);
    let files: [(&str, &[u8]); 2] = [("engawa", &new), ("other", b"other")];
    let stand = Stand::new(&files, &[], false);
    let (slot, outside) = (stand.slot(), stand.dir.path().join("outside"));
    std::fs::create_dir(&slot).unwrap();
    std::fs::write(&outside, "precious").unwrap();
    let link = |name: &str| std::os::unix::fs::symlink(&outside, slot.join(name)).unwrap();
    link("of-another-release");
    std::fs::create_dir_all(slot.join("folder/in/it")).unwrap();
    std::os::unix::fs::symlink(stand.dir.path(), slot.join("folder/up")).unwrap();
    std::fs::write(slot.join("engawa-old"), "old").unwrap();
    link("engawa");
    link(".part-other");
    link("manifest.json");
    let made = std::process::Command::new("mkfifo").arg(slot.join(".part-engawa")).status().unwrap();
    assert!(made.success());
    run(&stand, &mut stand.source(), limits()).unwrap();
    stand.assert_installed(&files);
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "precious");
    assert!(stand.dir.path().join("repository").exists());
}

#[test]
fn a_disk_that_does_not_keep_what_was_written_is_noticed() {
    let new = program(200_000, 8);
    let stand = Stand::new(&[("engawa", &new)], &[], false);
    let part = stand.slot().join(".part-engawa");
    let mut spoil = |progress: &Progress| {
        if progress.written == progress.to_write {
            use std::os::unix::fs::FileExt;
            let file = std::fs::File::options().write(true).open(&part).unwrap();
            file.write_all_at(b"?", 1_000).unwrap();
        }
        true
    };
    let mut source = stand.source();
    let ended = install(&mut source, &stand.release, &stand.slot(), &[], limits(), &mut spoil);
    assert!(matches!(ended, Err(InstallError::Medium { ref file }) if file == "engawa"), "{ended:?}");
    assert!(list(&stand.slot()).is_empty());
    // What spoils later is found the next time.
    run(&stand, &mut stand.source(), limits()).unwrap();
    let mut bytes = new.clone();
    bytes[77] ^= 1;
    std::fs::write(stand.slot().join("engawa"), bytes).unwrap();
    run(&stand, &mut stand.source(), limits()).unwrap();
    stand.assert_installed(&[("engawa", &new)]);
}

#[test]
fn too_little_room_is_told_before_anything_is_written() {
    let new = program(200_000, 9);
    let stand = Stand::new(&[("engawa", &new)], &[], false);
    let full = Limits { reserve: u64::MAX / 2, ..limits() };
    let error = run(&stand, &mut Nothing, full).unwrap_err();
    assert!(matches!(error, InstallError::Space { needed, .. } if needed > 200_000), "{error}");
    assert!(list(&stand.slot()).is_empty());
}

/// A file whose blocks take this much, whatever is in it.
fn bulky(path: &Path, mib: u64) {
    let (file, some) = (std::fs::File::create(path).unwrap(), program(1 << 20, mib));
    (0..mib).for_each(|_| std::io::Write::write_all(&mut &file, &some).unwrap());
    file.sync_all().unwrap();
}

#[test]
fn without_room_the_release_that_lies_there_stays_and_what_is_removed_counts_as_room() {
    let new = program(200_000, 9);
    let stand = Stand::new(&[("engawa", &new)], &[], false);
    std::fs::create_dir(stand.slot()).unwrap();
    for name in ["engawa", "of-the-former-release"] {
        bulky(&stand.slot().join(name), 32);
    }
    std::fs::write(stand.slot().join("manifest.json"), "the former one's").unwrap();
    let full = Limits { reserve: u64::MAX / 2, ..limits() };
    let error = run(&stand, &mut Nothing, full).unwrap_err();
    let InstallError::Space { needed, free, .. } = error else { panic!("{error}") };
    assert!(error.is_passing(), "somebody may make room");
    assert_eq!(list(&stand.slot()).len(), 3, "it is there as it was");
    let own = needed - u64::MAX / 2;
    // Without what goes with the former release there would not be room enough. Others use this disk too.
    let reserve = free - own - (32 << 20);
    let weighed = weigh(&stand.release, &stand.slot(), &[], Limits { reserve, ..limits() }).unwrap();
    assert_eq!(list(&stand.slot()).len(), 3);
    weighed.install(&mut stand.source(), &mut |_| true).unwrap();
    stand.assert_installed(&[("engawa", &new)]);
}

#[test]
fn what_can_not_be_read_is_removed_and_made_anew() {
    let old = program(300_000, 11);
    let new = next_build(&old);
    let files: [(&str, &[u8]); 2] = [("engawa", &new), ("other", b"other")];
    let stand = Stand::new(&files, &[("engawa", &old)], true);
    let chunk = stand.release.manifest.files[1].chunks[0].sha256;
    let patch = stand.made.manifest.patches[0].sha256;
    let slot = stand.slot();
    // Folders are what any reading of a file fails at.
    for name in
        ["other", "manifest.json", ".part-engawa", &*format!(".fetch-{patch}"), &*format!(".fetch-{chunk}")]
    {
        std::fs::create_dir_all(slot.join(name).join("lost+found")).unwrap();
    }
    let installed = run(&stand, &mut stand.source(), limits()).unwrap();
    assert!(installed.refused.is_empty(), "{:?}", installed.refused);
    stand.assert_installed(&files);
}

#[test]
fn one_at_a_time_and_stopped_when_told() {
    let new = program(200_000, 10);
    let stand = Stand::new(&[("engawa", &new)], &[], false);
    let mut beside = None;
    let mut watch = |_: &Progress| {
        beside.get_or_insert_with(|| run(&stand, &mut stand.source(), limits()));
        false
    };
    let mut source = stand.source();
    let ended = install(&mut source, &stand.release, &stand.slot(), &[], limits(), &mut watch);
    assert!(matches!(ended, Err(InstallError::Stopped)), "{ended:?}");
    assert!(matches!(beside, Some(Err(InstallError::Busy(_)))), "{beside:?}");
    run(&stand, &mut stand.source(), limits()).unwrap();
}

#[test]
fn a_manifest_is_what_was_signed() {
    let stand = Stand::new(&[("engawa", b"x")], &[], false);
    let (path, sha256) = (stand.release.path.clone(), stand.release.sha256());
    let length = stand.release.bytes.len() as u64;
    let release = Release::fetch(&mut stand.source(), &path, length, sha256).unwrap();
    assert_eq!(release.manifest, stand.made.manifest);
    assert!(Release::fetch(&mut stand.source(), &path, length + 1, sha256).is_err());
    assert!(Release::fetch(&mut stand.source(), &path, u64::MAX, sha256).is_err());
    let file = &stand.files("manifest.json")[0];
    let mut bytes = std::fs::read(file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let error = Release::fetch(&mut stand.source(), &path, length, sha256).unwrap_err();
    assert!(error.to_string().contains("not what was signed"), "{error}");
    assert!(Release::fetch(&mut stand.source(), "engawa/../manifest.json", length, sha256).is_err());
    assert!(Release::read("engawa/x.json", stand.release.bytes.clone()).is_err());
}

#[test]
fn permissions_are_the_manifest_s() {
    use std::os::unix::fs::PermissionsExt;
    let stand = Stand::new(&[("engawa", b"x")], &[], false);
    run(&stand, &mut stand.source(), limits()).unwrap();
    let mode = |name: &str| std::fs::metadata(stand.slot().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("engawa"), mode("manifest.json")), (0o755, 0o644));
    // Somebody has changed them: it is put right, without the source.
    std::fs::set_permissions(stand.slot().join("engawa"), PermissionsExt::from_mode(0o777)).unwrap();
    run(&stand, &mut stand.source(), limits()).unwrap();
    assert_eq!(mode("engawa"), 0o755);
}

#[test]
fn a_slot_that_can_t_be_made_is_told() {
    let stand = Stand::new(&[("engawa", b"x")], &[], false);
    let nowhere = Path::new("/nonexistent/slot");
    let error =
        install(&mut stand.source(), &stand.release, nowhere, &[], limits(), &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/slot"), "{error}");
}
