//! A repository over the years: publications that are cut short, timestamps renewed, old releases gone, what expires told.

use super::*;

#[test]
fn a_file_that_was_changed_is_found() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    let client = house.gateway().update(&house.repository()).unwrap();
    let pack = client.target(&format!("engawa/{TRIPLE}/1.0.0/pack")).unwrap();
    let path = house.repository().join("targets").join(&pack.file);
    let good = fs::read(&path).unwrap();
    let mut bytes = good.clone();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    house.refused(&["verify"], "not as it was signed");
    fs::write(&path, good).unwrap();
    // Before it is published, too.
    house.create("next", "1.1.0", &software(2), &[]);
    house.done(&["sign", "next", "--key", "releases.key"]);
    fs::write(house.path(&format!("next/targets/engawa/{TRIPLE}/1.1.0/pack")), b"something else").unwrap();
    house.refused(&["publish", "next"], "is not what was signed");
    assert!(house.gateway().update(&house.repository()).unwrap().target(&manifest("1.1.0")).is_none());
}

/// The files below `dir`, by path.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// Which comes first of two files of the same moment: the file system's clock ticks only every few milliseconds.
fn turn(path: &Path) -> usize {
    let name = path.to_str().unwrap();
    let last = [".targets.json", ".snapshot.json", "timestamp.json", ".root.json", "audit.jsonl"];
    last.iter().position(|end| name.ends_with(end)).map_or(0, |at| at + 1)
}

/// A publication with a new root and a new release, cut after each of its writes, in the order in which the program made them:
/// whoever reads then finds a whole repository, and publishing again mends it.
#[test]
fn a_publication_that_is_cut_short_is_whole_and_is_mended() {
    for rotation in [&["--rotate-online"][..], &["--add", "targets=new.key.pub", "--rotate-online"]] {
        let house = House::with_repository();
        house.done(&["keygen", "new.key"]);
        house.release("1.0.0", &software(1), &[]);
        let mut gateway = house.gateway();
        gateway.update(&house.repository()).unwrap();
        house.done(&[&["root", "next"], rotation].concat());
        house.create("next", "1.1.0", &software(2), &[]);
        house.done(&["sign", "next", "--key", "root.key", "--key", "releases.key"]);
        let before = files(&house.path("cloud"));
        house.done(&["publish", "next"]);
        let after = files(&house.path("cloud"));
        let mut written: Vec<_> = after
            .iter()
            .filter(|(path, bytes)| before.get(*path) != Some(*bytes))
            .map(|(path, _)| {
                let written = fs::metadata(house.path("cloud").join(path)).unwrap().modified().unwrap();
                ((written, turn(path)), path.clone())
            })
            .collect();
        written.sort();
        assert!(written.len() >= 7, "{written:?}");
        for cut in 0..=written.len() {
            fs::remove_dir_all(house.path("cloud")).unwrap();
            let keep = written[..cut].iter().map(|(_, path)| (path, &after[path]));
            for (path, bytes) in before.iter().chain(keep) {
                let path = house.path("cloud").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, bytes).unwrap();
                if path.extension().is_some_and(|extension| extension == "key") {
                    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                }
            }
            // What the cut leaves of the file that was being written.
            if let Some((_, path)) = written.get(cut) {
                let part = house.path("cloud").join(format!("{}.part", path.display()));
                fs::create_dir_all(part.parent().unwrap()).unwrap();
                fs::write(part, &after[path][..after[path].len() / 2]).unwrap();
            }
            // What was announced before the first of these, and is gone where nothing was cut.
            let lines = |files: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<Value> {
                let text = files.get(Path::new("releases/audit.jsonl")).cloned().unwrap_or_default();
                String::from_utf8(text).unwrap().lines().map(|line| line.parse().unwrap()).collect()
            };
            let known = lines(&before);
            let announced: Vec<Value> =
                lines(&after).into_iter().filter(|line| !known.contains(line)).collect();
            assert_eq!(announced.len(), 2, "a root and a release: {announced:?}");
            fs::write(house.repository().join("audit.pending"), serde_json::to_vec(&announced).unwrap())
                .unwrap();
            let at = written.get(cut).map(|(_, path)| path);
            let mut gateways = [gateway.clone(), house.gateway()];
            for gateway in &mut gateways {
                let client = gateway
                    .update(&house.repository())
                    .unwrap_or_else(|fault| panic!("before {at:?}: {fault}"));
                assert!(client.target(&manifest("1.0.0")).is_some(), "before {at:?}");
            }
            house.done(&["publish", "next"]);
            for gateway in &mut gateways {
                let client = gateway
                    .update(&house.repository())
                    .unwrap_or_else(|fault| panic!("after {at:?}: {fault}"));
                assert!(client.target(&manifest("1.1.0")).is_some(), "after {at:?}");
                assert_eq!(client.root().version, 2);
            }
            let audit = lines(&files(&house.path("cloud")));
            let count = |what: &str, detail: &str| {
                let is =
                    |line: &&Value| line["what"] == what && line["detail"].as_str().unwrap().contains(detail);
                audit.iter().filter(is).count()
            };
            let counts = [count("root", "root 2"), count("published", "/1.1.0"), audit.len()];
            assert_eq!(counts, [1, 1, known.len() + 2], "each once, cut before {at:?}: {audit:#?}");
        }
        house.done(&["verify"]);
    }
}

/// A server whose clock is days ahead renews the timestamp; what it signs then, gateways of that time take.
#[test]
fn the_server_renews_the_timestamp() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    let init =
        program().args(["init", "--name", "127.0.0.1", "--dir"]).arg(house.path("cloud")).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let version = || {
        let bytes = fs::read(house.repository().join("metadata/timestamp.json")).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()["signed"]["version"].as_u64().unwrap()
    };
    let before = version();
    let library = faketime();
    // A bare name is a file in the folder that the program runs in.
    let metrics = house.path("releases.prom");
    let mut server = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(house.path("cloud"))
        .args(["--releases-metrics", "releases.prom"])
        .current_dir(house.folder.path())
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "+5d")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Clock::now() + LONGEST;
    while version() == before && Clock::now() < deadline && server.try_wait().unwrap().is_none() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    while !metrics.exists() && Clock::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let ended = server.try_wait().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!((version(), ended), (before + 1, None));
    let metrics = fs::read_to_string(metrics).unwrap();
    assert!(metrics.contains("days_left{role=\"timestamp\"} 7"), "{metrics}");
    let in_ten_days = Instant::now() + SignedDuration::from_hours(24 * 10);
    assert!(
        house
            .gateway()
            .update_at(&house.repository(), in_ten_days)
            .unwrap()
            .target(&manifest("1.0.0"))
            .is_some()
    );
}

/// Root and targets are told in days, and a job can fail by them in time.
#[test]
fn what_expires_is_told_in_days() {
    let house = House::with_repository();
    let told = house.done(&["expiry", "--json"]);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let days =
        |role: &str| told.iter().find(|line| line["role"] == role).unwrap()["days_left"].as_i64().unwrap();
    assert!((363..=365).contains(&days("root")) && (363..=365).contains(&days("targets")), "{told:?}");
    assert!((5..=7).contains(&days("timestamp")) && (28..=30).contains(&days("snapshot")), "{told:?}");
    house.done(&["expiry", "--within", "300"]);
    house.refused(&["expiry", "--within", "400"], "sign it anew");
    let metrics = house.done(&["expiry", "--metrics"]);
    assert!(metrics.contains("engawa_release_metadata_days_left{role=\"root\"} 36"), "{metrics}");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/releases.rules.yml");
    let rules = fs::read_to_string(rules).unwrap();
    let asked = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect::<Vec<_>>();
    assert!(asked.len() >= 4, "{asked:?}");
    let gauge = "engawa_release_metadata_expiry_timestamp_seconds{role=";
    assert!(asked.iter().all(|rule| rule.contains(gauge)) && metrics.contains(gauge));
    let listed = house.done(&["list"]);
    assert!(listed.contains("root ") && listed.contains(" days left"), "{listed}");
}

/// A clock that is behind the newest timestamp signs nothing, nor one that is beyond what people have signed.
#[test]
fn a_clock_that_is_wrong_signs_nothing() {
    let house = House::with_repository();
    house.done(&["renew"]);
    let library = faketime();
    let at = |offset: &str, words: &[&str]| {
        let mut command = program();
        command.arg("release").args(words).args(["--dir", "cloud"]).current_dir(house.folder.path());
        let output = command.env("LD_PRELOAD", &library).env("FAKETIME", offset).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let before = files(&house.repository());
    let (ok, why) = at("-2d", &["renew"]);
    assert!(!ok && why.contains("set the clock"), "{why}");
    let (ok, why) = at("+400d", &["renew"]);
    assert!(!ok && why.contains("has expired"), "{why}");
    assert_eq!(before, files(&house.repository()));
    let (ok, why) = at("+60d", &["renew"]);
    assert!(ok, "a person may, after a long time: {why}");
    // That clock was ahead, and is set now: the way out is in the words.
    let before = files(&house.repository());
    house.refused(&["renew"], "--clock-is-right");
    house.create("next", "1.0.0", &software(1), &["--level", "1"]);
    house.done(&["sign", "next", "--key", "releases.key"]);
    house.refused(&["publish", "next"], "--clock-is-right");
    assert_eq!(before, files(&house.repository()));
    let mut known = house.gateway();
    let version = |client: Client| client.timestamp().map(|timestamp| timestamp.version);
    let ahead = version(known.update(&house.repository()).unwrap());
    house.done(&["renew", "--clock-is-right"]);
    let mended = version(known.update(&house.repository()).unwrap());
    assert_eq!(
        mended,
        ahead.map(|version| version + 1),
        "who has taken the one of the wrong clock takes this one"
    );
    // It is needed once.
    house.done(&["renew"]);
    let (ok, why) = at("+60d", &["renew"]);
    assert!(ok, "{why}");
    house.done(&["publish", "next", "--clock-is-right"]);
    assert!(known.update(&house.repository()).unwrap().target(&manifest("1.0.0")).is_some());
    house.done(&["renew"]);
}

/// Old releases go, but for those that a gateway runs.
#[test]
fn old_releases_are_retired() {
    let house = House::with_repository();
    let init =
        program().args(["init", "--name", "127.0.0.1", "--dir"]).arg(house.path("cloud")).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let versions = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"];
    for (version, mark) in versions.into_iter().zip(1..) {
        house.release(version, &software(mark), &["--patches-from", "0", "--level", "1"]);
    }
    // One gateway runs 1.1.0.
    let database = house.path("cloud").join(store::DATABASE_FILE);
    let mut connection = store::open(&database).unwrap();
    store::write(&mut connection, |connection| {
        gateways::claim(connection, "grand", "grand-1", None, "secret", 0, i64::MAX)?;
        assert!(gateways::enrol(connection, "secret", "csr", 1, |_| Ok("certificate".into()))?.is_ok());
        let software = Software { version: "1.1.0".into(), number: 2, ..Software::default() };
        rollouts::note_software(connection, "grand-1", &software)
    })
    .unwrap();
    house.refused(&["retire", "--keep", "4", "--draft", "none"], "nothing is retired");
    house.refused(&["retire", "--keep", "0", "--draft", "none"], "expected a number from 1 on");
    let said = house.done(&["retire", "--keep", "1", "--draft", "old"]);
    assert!(said.contains("/1.1.0, which a gateway or a rollout has"), "{said}");
    house.done(&["sign", "old", "--key", "releases.key"]);
    // Meanwhile a gateway gets one that is to go: by the draft alone it could not be put back there, nor go back.
    let runs = |version: &str| {
        let mut connection = store::open(&database).unwrap();
        let software = Software { version: version.into(), number: 2, ..Software::default() };
        store::write(&mut connection, |connection| rollouts::note_software(connection, "grand-1", &software))
            .unwrap();
    };
    runs("1.2.0");
    let before = files(&house.repository());
    house.refused(
        &["publish", "old"],
        &format!("engawa/{TRIPLE}/1.2.0 would go, and a gateway or a rollout has it"),
    );
    let (there, away) = (house.path("cloud").join(store::DATABASE_FILE), house.path("away"));
    drop(connection);
    fs::rename(&there, &away).unwrap();
    house.refused(&["publish", "old"], "--even-in-use");
    fs::rename(&away, &there).unwrap();
    assert_eq!(before, files(&house.repository()));
    house.done(&["publish", "old", "--even-in-use"]);
    runs("1.1.0");
    let client = house.gateway().update(&house.repository()).unwrap();
    let there: Vec<bool> =
        versions.iter().map(|version| client.target(&manifest(version)).is_some()).collect();
    assert_eq!(there, [false, true, false, true]);
    // What goes leaves its number: the next one is above all that were ever given.
    let folder = |version: &str| house.repository().join(format!("targets/engawa/{TRIPLE}/{version}"));
    assert!(folder("1.0.0").exists(), "whoever reads older metadata just now finds its files");
    house.release("2.0.0", &software(9), &["--patches-from", "0", "--level", "1"]);
    house.done(&["verify"]);
    // What is revoked goes whoever has it.
    house.done(&["revoke", "1.1.0", "--draft", "revoked"]);
    house.done(&["sign", "revoked", "--key", "releases.key"]);
    house.done(&["publish", "revoked"]);
    let listed = house.done(&["list", "--json"]);
    let numbers: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(numbers.iter().any(|line| line["version"] == "2.0.0" && line["number"] == 5), "{listed}");
}

/// Who published, revoked, retired, signed what is in the audit: of the repository where there is no database, of the cloud once
/// there is one, and each once. And what was published keeps its version.
#[test]
fn the_audit_knows_publications() {
    let house = House::with_repository();
    house.create("one", "1.0.0", &software(1), &[]);
    house.done(&["sign", "one", "--key", "releases.key"]);
    house.done(&["publish", "one", "--as", "ann"]);
    let entries = |house: &House| -> Vec<Value> {
        house.done(&["log", "--json"]).lines().map(|line| line.parse().unwrap()).collect()
    };
    let key = {
        let targets = fs::read(house.repository().join("metadata/2.targets.json")).unwrap();
        let targets: Value = serde_json::from_slice(&targets).unwrap();
        targets["signatures"][0]["keyid"].as_str().unwrap().to_owned()
    };
    let all = entries(&house);
    let whats: Vec<&str> = all.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["published", "signed_anew", "root"], "newest first: {all:#?}");
    assert_eq!(all[0]["who"], "ann");
    assert_eq!(
        all[0]["detail"],
        format!(
            "engawa/{TRIPLE}/1.0.0, number 1, floor 0; targets 2, snapshot 2, timestamp 2; signed by {key}"
        )
    );
    // The cloud takes them up as soon as there is one; what comes later is entered at once.
    let init =
        program().args(["init", "--name", "127.0.0.1", "--dir"]).arg(house.path("cloud")).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    house.done(&["revoke", "1.0.0", "--draft", "revoked"]);
    house.done(&["sign", "revoked", "--key", "releases.key"]);
    house.done(&["publish", "revoked", "--as", "bob"]);
    house.done(&["publish", "revoked", "--as", "bob"]);
    house.done(&["renew", "--as", "cleo"]);
    let log = || {
        let ran =
            program().args(["rollout", "log", "--json", "--dir"]).arg(house.path("cloud")).output().unwrap();
        let lines = String::from_utf8(ran.stdout).unwrap();
        let lines = lines.lines().map(|line| line.parse::<Value>().unwrap());
        let of = |line: Value, name: &str| line[name].as_str().unwrap().to_owned();
        lines.map(|line| (of(line.clone(), "what"), of(line, "who"))).collect::<Vec<_>>()
    };
    let told = log();
    let told: Vec<(&str, &str)> = told.iter().map(|(what, who)| (what.as_str(), who.as_str())).collect();
    assert_eq!(told[..3], [("renewed", "cleo"), ("revoked", "bob"), ("published", "ann")]);
    assert_eq!(told.len(), 5, "each once: {told:?}");
    // A version that was published is not used again for other bytes, though it is in the repository no longer.
    let files = house.path("files-1.0.0");
    fs::write(files.join("engawa"), software(2)).unwrap();
    let create = ["create", "files-1.0.0", "--triple", TRIPLE, "--version", "1.0.0", "--draft"];
    house.refused(&[&create[..], &["again"]].concat(), "/1.0.0 was published before with other content");
    // Made where nobody knew of that, it is refused where it is published.
    let audit = house.repository().join("audit.jsonl");
    fs::rename(&audit, house.path("away")).unwrap();
    house.done(&[&create[..], &["elsewhere"]].concat());
    house.done(&["sign", "elsewhere", "--key", "releases.key"]);
    fs::rename(house.path("away"), &audit).unwrap();
    house.refused(&["publish", "elsewhere", "--as", "eve"], "by ann");
    assert_eq!(log().len(), 5);
    // Published without the database, and cut: `serve` enters it.
    fs::rename(house.path("cloud").join(store::DATABASE_FILE), house.path("database")).unwrap();
    house.release("1.1.0", &software(3), &[]);
    fs::rename(house.path("database"), house.path("cloud").join(store::DATABASE_FILE)).unwrap();
    assert_eq!(log().len(), 5);
    let mut serving = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(house.path("cloud"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Clock::now() + LONGEST;
    while log().len() < 6 && Clock::now() < until {
        std::thread::yield_now();
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
    let told = log();
    assert_eq!((told.len(), told[0].0.as_str()), (6, "published"), "{told:?}");
}

/// By its library, not by the program `faketime`, which leaves something in /dev/shm when it is killed.
fn faketime() -> PathBuf {
    let folders = ["x86_64-linux-gnu/faketime", "aarch64-linux-gnu/faketime", "faketime"];
    let libraries = folders.map(|folder| PathBuf::from(format!("/usr/lib/{folder}/libfaketimeMT.so.1")));
    let library = libraries.into_iter().find(|path| path.exists());
    library.expect("libfaketime: `make setup-test` installs it (package faketime)")
}
