//! The attacks of the TUF specification (1.0.33, 1.5.2) against a whole box: whoever holds the cloud serves what was not signed, is
//! old, does not end, or does not fit together. Each is refused by its name, and no byte of it ends in a slot that is started.

use crate::stand::{Box, Kind, Shop, triple};
use crate::thief;
use std::fs;
use std::path::{Path, PathBuf};

/// The newest metadata of a role.
pub(crate) fn newest(repository: &Path, role: &str) -> PathBuf {
    let of = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_suffix(&format!(".{role}.json"))?.parse::<u64>().ok()
    };
    let all = fs::read_dir(repository.join("metadata")).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| of(path).is_some()).max_by_key(of).unwrap()
}

/// The file of a target of a version.
fn target(repository: &Path, version: &str, name: &str) -> PathBuf {
    let folder = repository.join("targets/engawa").join(triple()).join(version);
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.into_iter().find(|path| path.to_str().unwrap().ends_with(&format!(".{name}"))).unwrap()
}

fn spoil(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    // From its middle on: of a pack the gateway has much already, and reads little.
    let middle = bytes.len() / 2;
    let spoilt = if bytes.len() > 1 << 20 { bytes.as_mut_slice() } else { &mut bytes[middle..=middle] };
    spoilt.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(file, bytes).unwrap();
}

/// The version is refused for this reason, and what runs is what ran.
pub(crate) fn refused(gateway: &mut Box, attack: &str, version: &str, why: &str) {
    let (done, said) = gateway.send(version);
    assert!(!done, "{attack}: {said}");
    assert!(said.contains(why), "{attack}: expected {why:?} in: {said}");
    let table = gateway.table();
    assert_eq!(table["slots"]["a"]["version"], "1.0.0", "{attack}: {table}");
    assert_eq!((&table["slots"]["active"], &table["slots"]["b"]), (&"a".into(), &().into()), "{attack}");
    assert!(gateway.is_up("pms"), "{attack}: the house goes on");
    println!("{attack}: {}", said.trim());
}

#[test]
#[allow(clippy::print_stdout, reason = "what each is told by")]
fn what_is_not_to_be_trusted_is_never_started() {
    let mut gateway = Box::open();
    let repository = gateway.shop.repository();
    gateway.shop.release("1.1.0", Kind::Good);
    let good = gateway.shop.copy("good");

    // Arbitrary software: bytes that nobody has signed, at each place.
    for (what, file, why) in [
        // In the order in which they are read: what is known to be good is not read again.
        ("the snapshot", newest(&repository, "snapshot"), "not trusted (arbitrary software)"),
        ("metadata of targets", newest(&repository, "targets"), "not trusted (arbitrary software)"),
        (
            "the manifest",
            target(&repository, "1.1.0", "manifest.json"),
            ".manifest.json is not what was signed",
        ),
        ("the pack", target(&repository, "1.1.0", "pack"), ".pack is not what was signed"),
    ] {
        spoil(&file);
        refused(&mut gateway, &format!("arbitrary software ({what})"), "1.1.0", why);
        gateway.shop.put_back(&good);
    }

    // Another shop's release, signed well by keys that are not trusted here.
    let stranger = tempfile::tempdir().unwrap();
    let shop = Shop::open(stranger.path());
    // As many releases as it takes to have newer metadata of each role.
    for version in ["8.0.0", "8.1.0", "9.0.0"] {
        shop.release(version, Kind::Panics);
    }
    gateway.shop.put_back(&shop.repository());
    refused(&mut gateway, "wrong key", "9.0.0", "valid signatures");
    gateway.shop.put_back(&good);

    // Endless data.
    let timestamp = repository.join("metadata/timestamp.json");
    let mut endless = fs::read(&timestamp).unwrap();
    endless.resize(64 << 20, b' ');
    fs::write(&timestamp, endless).unwrap();
    refused(&mut gateway, "endless data", "1.1.0", "endless data");
    gateway.shop.put_back(&good);

    // Mix and match: old metadata under the new name, with a release that is in both. (An older timestamp alone is a copy that is
    // behind, and is asked again; older ones under a newer timestamp take the online keys.)
    refused(&mut gateway, "what is not there", "1.9.0", "no signed metadata names");
    gateway.shop.release("1.3.0", Kind::Panics);
    let better = gateway.shop.copy("better");
    for role in ["snapshot", "targets"] {
        fs::copy(newest(&good, role), newest(&repository, role)).unwrap();
        refused(&mut gateway, &format!("mix and match ({role})"), "1.1.0", "not trusted (");
        gateway.shop.put_back(&better);
    }

    thief::steals_the_online_keys(&mut gateway, &good, "1.1.0");

    // Revoked.
    gateway.shop.done(&["revoke", "1.1.0", "--draft", "revoked"]);
    gateway.shop.done(&["sign", "revoked", "--key", "releases.key", "--yes"]);
    gateway.shop.done(&["publish", "revoked"]);
    refused(&mut gateway, "revoked", "1.1.0", "no signed metadata names");

    // One that the thief's victims have waited for.
    refused(&mut gateway, "another board", "1.4.0", "it is for");

    // Freeze: nobody renews the repository, and the cloud's own time says that its metadata is over.
    fs::remove_dir_all(gateway.shop.folder.join("cloud/release-keys")).unwrap();
    gateway.serve(&["faketime", "-f", "+9d"]);
    refused(&mut gateway, "freeze", "1.4.0", "not trusted (indefinite freeze)");
    assert!(
        gateway
            .steps()
            .iter()
            .all(|(_, step, _)| step == "offered" || step == "refused" || step == "downloading")
    );
}
