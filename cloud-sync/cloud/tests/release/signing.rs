//! Who signs, what signers are shown, and what somebody can do who has everything that the cloud has.

use super::*;

/// Whoever has the cloud's machine writes the draft: his target, and that it has long been there.
#[test]
fn a_signer_is_shown_what_was_slipped_in() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    house.create("next", "1.1.0", &software(2), &[]);
    let evil = manifest("6.6.6");
    let edit = |name: &str| {
        let path = house.path(&format!("next/metadata/{name}"));
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        value["signed"]["targets"][&evil] =
            serde_json::json!({"length": 1, "hashes": {"sha256": "00".repeat(32)}});
        fs::write(path, value.to_string()).unwrap();
    };
    let good = fs::read(house.path("next/metadata/current.targets.json")).unwrap();
    edit("targets.json");
    edit("current.targets.json");
    assert!(!house.done(&["show", "next"]).contains(&evil));
    let root = ["--root", "cloud/releases/metadata/1.root.json"];
    house.refused(&[&["show", "next"][..], &root].concat(), "valid signatures");
    house.refused(&[&["sign", "next", "--key", "releases.key"][..], &root].concat(), "valid signatures");
    let shown = house.done(&["sign", "next", "--key", "releases.key"]);
    assert!(shown.contains(&format!("+ {evil}")) && shown.contains("everything is listed as new"), "{shown}");
    // With what is current as it is, the difference alone.
    fs::write(house.path("next/metadata/current.targets.json"), good).unwrap();
    for more in [&root[..], &[]] {
        let shown = house.done(&[&["sign", "next", "--key", "releases.key"], more].concat());
        assert!(shown.contains(&format!("+ {evil}")), "{shown}");
        assert!(!shown.contains(&manifest("1.0.0")), "{shown}");
    }
    // Nobody is there to be asked.
    let ran = program()
        .args(["release", "sign", "next", "--key", "releases.key"])
        .current_dir(house.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("say --yes"), "{ran:?}");
}

/// Signed once, a delegation would let the thief's key sign releases for ever; a root with his key the same.
#[test]
fn nobody_signs_away_who_may_sign_without_being_told() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    house.done(&["keygen", "thief.key"]);
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(house.path(name)).unwrap()).unwrap() };
    let edit = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut value = read(name);
        change(&mut value["signed"]);
        fs::write(house.path(name), value.to_string()).unwrap();
    };
    let thief = read("thief.key.pub");
    let id = engawa_tuf::PublicKey::from_value(&thief).unwrap().id().to_owned();
    let shown = house.create("next", "1.1.0", &software(2), &["--built", "1700000000"]);
    let line = "number 2, floor 0, application, for any board, built 2023-11-14T22:13:20Z";
    assert!(shown.contains(line), "{shown}");
    let honest = fs::read(house.path("next/metadata/targets.json")).unwrap();
    edit("next/metadata/targets.json", &|signed| {
        signed["delegations"] = serde_json::json!({
            "keys": {&id: thief},
            "roles": [{"name": "aid", "keyids": [&id], "threshold": 1, "terminating": false, "paths": ["engawa/*/*/*"]}],
        });
    });
    assert!(house.done(&["show", "next"]).contains(&format!("! others may sign: `aid`: 1 of {}", &id[..16])));
    house.refused(&["sign", "next", "--key", "releases.key"], "lets others sign releases");
    // Numbers that leave none, where the release itself has a decent one.
    fs::write(house.path("next/metadata/targets.json"), &honest).unwrap();
    edit("next/metadata/targets.json", &|signed| {
        signed["x-engawa-highest"][format!("engawa/{TRIPLE}")]["number"] = serde_json::json!(9_999_999);
    });
    assert!(house.done(&["show", "next"]).contains("! engawa/") && !shown.contains("! engawa/"));
    assert!(house.done(&["show", "next"]).contains("numbers go on from 9999999"));
    // A number beside the manifest's.
    fs::write(house.path("next/metadata/targets.json"), &honest).unwrap();
    edit("next/metadata/targets.json", &|signed| {
        signed["targets"][manifest("1.1.0")]["custom"]["floor"] = serde_json::json!(2);
    });
    house.refused(
        &["sign", "next", "--key", "releases.key"],
        "has number 2 and floor 0, and the metadata say 2 and 2",
    );
    // A manifest that is not the one that would be signed.
    fs::write(house.path("next/metadata/targets.json"), &honest).unwrap();
    let path = house.path(&format!("next/targets/{}", manifest("1.1.0")));
    let own = fs::read(&path).unwrap();
    fs::write(&path, "{}").unwrap();
    house.refused(&["sign", "next", "--key", "releases.key"], "is not what would be signed");
    fs::write(&path, own).unwrap();
    house.done(&["sign", "next", "--key", "releases.key"]);
    house.done(&["publish", "next"]);

    // A root: what comes and goes is told, by a root that the signer's key has signed.
    let shown = house.done(&["root", "keys", "--add", "targets=thief.key.pub", "--targets-threshold", "2"]);
    assert!(shown.contains(&format!("    + {id}")) && shown.contains("    ~ 1 had to sign"), "{shown}");
    assert!(shown.contains("root.json version 1, which nobody has checked"), "{shown}");
    let shown = house.done(&["sign", "keys", "--key", "root.key"]);
    assert!(shown.contains("compared with root.json version 1, which the key"), "{shown}");
    edit("keys/metadata/root.json", &|signed| {
        signed["roles"]["targets"]["threshold"] = serde_json::json!(1);
        signed["roles"]["snapshot"]["keyids"] = serde_json::json!([&id]);
    });
    house.refused(&["sign", "keys", "--key", "root.key"], "could then forge releases");
    // What is said to be current and nobody has signed hides nothing.
    let own = read("keys/metadata/root.json")["signed"].clone();
    edit("keys/metadata/current.root.json", &|signed| signed["roles"] = own["roles"].clone());
    house.refused(&["sign", "keys", "--key", "root.key"], "could then forge releases");
    assert!(house.run(&["sign", "keys", "--key", "root.key"]).out.contains("none of these keys has signed"));
}

#[test]
fn a_number_and_a_time_that_nobody_gets_back_from_are_refused() {
    let house = House::with_repository();
    let files = house.path("files");
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join("engawa"), software(1)).unwrap();
    fs::set_permissions(files.join("engawa"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let create = ["create", "files", "--draft", "next", "--triple", TRIPLE, "--version", "1.0.0"];
    for (more, why) in [
        (["--number", "18446744073709551615"], "at most 9007199254740991"),
        (["--number", "9007199254740992"], "at most 9007199254740991"),
        (["--built", "1700000000000"], "built at 1700000000000 is no time"),
        (["--built", "4102444800"], "built at 4102444800 is 2100-01-01T00:00:00Z"),
    ] {
        house.refused(&[&create[..], &more].concat(), why);
    }
    house.done(&[&create[..], &["--number", "9007199254740991", "--built", "0"]].concat());
    house.refused(
        &[
            "init",
            "other",
            "--root",
            "root.key.pub",
            "--targets",
            "releases.key.pub",
            "--root-threshold",
            "0",
        ],
        "0 is not in",
    );
    // A draft that is there keeps its keys, and no others are made.
    let keys = || fs::read_dir(house.path("cloud/release-keys")).unwrap().count();
    let before = keys();
    house.refused(
        &["init", "first", "--root", "root.key.pub", "--targets", "releases.key.pub"],
        "has a draft already",
    );
    assert_eq!(keys(), before);
    house.refused(&["sign", "next", "--key", "files"], "files is a folder");
}

/// A year after the last release root and targets have both expired: one draft mends both, without a release.
#[test]
fn what_has_expired_is_signed_anew_in_one_draft() {
    let house = House::new();
    house.done(&["keygen", "root.key"]);
    house.done(&["keygen", "releases.key"]);
    let init =
        ["init", "first", "--root", "root.key.pub", "--targets", "releases.key.pub", "--expires-days", "1"];
    house.done(&init);
    house.done(&["sign", "first", "--key", "root.key", "--key", "releases.key"]);
    house.done(&["publish", "first"]);
    assert!(house.done(&["root", "next"]).contains("targets.json version 2"));
    house.done(&["sign", "next", "--key", "root.key"]);
    house.refused(&["publish", "next"], "targets.json is signed by 0 of 1");
    house.done(&["sign", "next", "--key", "root.key", "--key", "releases.key"]);
    house.done(&["publish", "next"]);
    house.done(&["expiry", "--within", "300"]);
    assert!(!house.done(&["root", "third"]).contains("targets.json"), "good for a year");
}

#[test]
fn several_sign_one_after_another_and_a_lost_key_is_replaced() {
    let house = House::new();
    fs::write(house.path("phrase"), "correct horse battery\n").unwrap();
    fs::set_permissions(house.path("phrase"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for key in ["a.key", "d.key", "r.key"] {
        house.done(&["keygen", key, "--passphrase-file", "phrase"]);
    }
    for key in ["b.key", "c.key", "s.key", "t.key"] {
        house.done(&["keygen", key]);
    }
    let sign = |draft: &str, keys: &[&str]| {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", key]).collect();
        house.done(&[&["sign", draft, "--passphrase-file", "phrase"], keys.as_slice()].concat())
    };
    let roots =
        ["--root", "a.key.pub", "--root", "b.key.pub", "--root", "c.key.pub", "--root-threshold", "2"];
    let releases = ["--targets", "r.key.pub", "--targets", "s.key.pub", "--targets-threshold", "2"];
    house.done(&[&["init", "first"], &roots[..], &releases[..]].concat());
    house.refused(&["sign", "first", "--key", "a.key"], "is encrypted");
    house.refused(&["sign", "first", "--key", "d.key", "--passphrase-file", "phrase"], "may sign nothing");
    sign("first", &["a.key"]);
    house.refused(&["publish", "first"], "root.json is signed by 1 of 2");
    // The same again is not another's.
    assert!(sign("first", &["a.key"]).contains("1 of 2"));
    sign("first", &["b.key"]);
    house.refused(&["publish", "first"], "targets.json is signed by 0 of 2");
    sign("first", &["r.key"]);
    sign("first", &["s.key"]);
    house.done(&["publish", "first"]);
    assert!(house.done(&["publish", "first"]).contains("published already"));
    let mut gateway = house.gateway();
    gateway.update(&house.repository()).unwrap();
    // The key c is lost, s and the online keys may be in other hands.
    let key = |name: &str| {
        let value: Value = serde_json::from_slice(&fs::read(house.path(name)).unwrap()).unwrap();
        engawa_tuf::PublicKey::from_value(&value).unwrap().id().to_owned()
    };
    let (lost, stolen) =
        (format!("root={}", &key("c.key.pub")[..16]), format!("targets={}", key("s.key.pub")));
    house.refused(
        &["root", "next", "--remove", "root=ffffffff0", "--rotate-online"],
        "no key of `root` begins",
    );
    house.refused(&["root", "next", "--root-threshold", "4"], "lower the threshold");
    house.refused(&["root", "next", "--add", "snapshot=r.key.pub"], "could then forge releases");
    house.done(&[
        "root",
        "next",
        "--remove",
        &lost,
        "--add",
        "root=d.key.pub",
        "--remove",
        &stolen,
        "--add",
        "targets=t.key.pub",
        "--rotate-online",
    ]);
    sign("next", &["a.key", "d.key", "r.key", "t.key"]);
    house.refused(&["publish", "next"], "root.json is signed by 1 of 2 of the current root's keys");
    sign("next", &["b.key"]);
    let online = || fs::read_dir(house.path("cloud/release-keys")).unwrap().count();
    assert_eq!(online(), 8, "the old keys sign until gateways have the new root");
    house.done(&["publish", "next"]);
    assert_eq!(online(), 4);
    let client = gateway.update(&house.repository()).unwrap();
    assert_eq!(client.root().version, 2);
    assert_eq!(house.gateway().update(&house.repository()).unwrap().root().version, 2);
    // Who still has the lost and the stolen key makes nothing with them.
    house.done(&["root", "third"]);
    house.refused(&["sign", "third", "--key", "c.key", "--passphrase-file", "phrase"], "may sign nothing");
    house.create("release", "1.0.0", &software(1), &[]);
    house.refused(&["sign", "release", "--key", "s.key", "--passphrase-file", "phrase"], "may sign nothing");
}

#[test]
fn a_compromised_cloud_forges_nothing() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    house.release("1.1.0", &software(2), &[]);
    let mut gateway = house.gateway();
    gateway.update(&house.repository()).unwrap();
    let thief = Thief::of(&house);
    let evil = TargetFile {
        length: 4,
        hashes: BTreeMap::from([("sha256".to_owned(), "00".repeat(32))]),
        custom: None,
        other: serde_json::Map::new(),
    };
    // Software of its own, signed by all keys that it has.
    let mut targets = thief.targets(3);
    targets.version = 4;
    targets.targets.insert(manifest("6.6.6"), evil);
    let mut document = Document::new(&targets).unwrap();
    document.sign(&thief.snapshot).unwrap();
    document.sign(&thief.timestamp).unwrap();
    thief.publish(thief.put("4.targets.json", &document), 50);
    for mut victim in [gateway.clone(), house.gateway()] {
        let fault = victim.update(&house.repository()).unwrap_err();
        assert!(matches!(&fault, Fault::Unsigned { role, valid: 0, .. } if role == "targets"), "{fault}");
    }
    // The signature of others' targets on them.
    let before = fs::read(thief.metadata("3.targets.json")).unwrap();
    document.signatures = serde_json::from_slice::<Document>(&before).unwrap().signatures;
    thief.publish(thief.put("4.targets.json", &document), 60);
    assert!(matches!(gateway.clone().update(&house.repository()).unwrap_err(), Fault::Unsigned { .. }));
    // Back to a release with a known hole: who has seen the newer one does not go back.
    let old: Document = serde_json::from_slice(&fs::read(thief.metadata("2.targets.json")).unwrap()).unwrap();
    thief.publish(thief.put("2.targets.json", &old), 70);
    let fault = gateway.clone().update(&house.repository()).unwrap_err();
    assert!(matches!(fault, Fault::Rollback { trusted: 3, offered: 2, .. }), "{fault}");
    // A root that trusts the thief.
    let limits = Limits::default();
    let bytes = fs::read(thief.metadata("1.root.json")).unwrap();
    let root: engawa_tuf::metadata::Root =
        Document::parse(&bytes, "root.json", limits.root, &limits).unwrap().read("root.json").unwrap();
    let mut root = root.next(Instant::now() + SignedDuration::from_hours(1000));
    root.add_key("targets", thief.snapshot.key());
    root.add_key("root", thief.snapshot.key());
    let mut document = Document::new(&root).unwrap();
    document.sign(&thief.snapshot).unwrap();
    thief.put("2.root.json", &document);
    let fault = gateway.clone().update(&house.repository()).unwrap_err();
    assert!(matches!(&fault, Fault::Unsigned { role, .. } if role == "root"), "{fault}");
    fs::remove_file(thief.metadata("2.root.json")).unwrap();
    // Other bytes in a release that is good.
    let good: Document = serde_json::from_slice(&before).unwrap();
    thief.publish(thief.put("3.targets.json", &good), 80);
    let client = gateway.clone().update(&house.repository()).unwrap();
    let mut check = client.target(&format!("engawa/{TRIPLE}/1.1.0/pack")).unwrap().check();
    let length = client.target(&format!("engawa/{TRIPLE}/1.1.0/pack")).unwrap().length;
    check.update(&vec![0; usize::try_from(length).unwrap()]).unwrap();
    assert!(matches!(check.finish(), Err(Fault::WrongDigest { .. })));
    // All that is left is to hold everything back, until that is noticed.
    let fault = gateway
        .update_at(&house.repository(), Instant::now() + SignedDuration::from_hours(24 * 8))
        .unwrap_err();
    assert!(matches!(fault, Fault::Expired { .. }), "{fault}");
}

/// Keys in a token of SoftHSM 2: made there, signing root and releases.
#[test]
fn keys_in_a_token_sign() {
    let modules = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
    let Some(module) = modules.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: SoftHSM 2 is not installed; `make setup-test` installs it");
        return;
    };
    let house = House::new();
    fs::create_dir(house.path("tokens")).unwrap();
    let configuration = house.path("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\n", house.path("tokens").display()))
        .unwrap();
    fs::write(house.path("pin"), "4711\n").unwrap();
    fs::set_permissions(house.path("pin"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let made = std::process::Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "release", "--so-pin", "0815", "--pin", "4711"])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let run = |words: &[&str]| {
        let mut command = program();
        command.arg("release").args(words).args(["--dir", "cloud"]).current_dir(house.folder.path());
        command.args((words[0] == "sign").then_some("--yes"));
        let output = command.env("SOFTHSM2_CONF", &configuration).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let uri = |object: &str, pin: &str| {
        let pin = house.path(pin);
        format!("pkcs11:token=release;object={object}?module-path={module}&pin-source=file:{}", pin.display())
    };
    let (root, releases) = (uri("root-1", "pin"), uri("releases-1", "pin"));
    for (key, public) in [(&root, "root.pub"), (&releases, "releases.pub")] {
        assert_eq!(run(&["keygen", key, "--public", public]), (true, String::new()));
    }
    let again = run(&["keygen", &root, "--public", "again.pub"]);
    assert!(!again.0 && again.1.contains("already"), "{again:?}");
    assert!(run(&["init", "first", "--root", "root.pub", "--targets", "releases.pub"]).0);
    fs::write(house.path("wrong"), "0000\n").unwrap();
    fs::set_permissions(house.path("wrong"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let wrong = run(&["sign", "first", "--key", &uri("root-1", "wrong")]);
    assert!(!wrong.0 && wrong.1.contains("the PIN of the token release is wrong"), "{wrong:?}");
    assert!(wrong.1.contains("locks itself") && wrong.1.lines().count() == 1, "{wrong:?}");
    let missing = run(&["sign", "first", "--key", &uri("root-2", "pin")]);
    assert!(!missing.0 && missing.1.contains("no public key called `root-2`"), "{missing:?}");
    assert_eq!(run(&["sign", "first", "--key", &root, "--key", &releases]), (true, String::new()));
    assert_eq!(run(&["publish", "first"]), (true, String::new()));
    house.gateway().update(&house.repository()).unwrap();
}
