//! The task in a house of its own, without a cloud: what is wanted, and what of it is done.

use super::*;
use crate::config;
use crate::house::{House, Shared};
use crate::outlets::Outlets;
use crate::publishing::Publishing;
use crate::supervisor::Supervisor as Tasks;
use crate::updates::TRIPLE;
use crate::updates::Watch;
use crate::updates::system::{is_image, request};
use engawa_model::Property;
use engawa_protocol::update::UpdateTold;
use engawa_release::conditions::Hours;
use engawa_slots::{Slot, Supervisor};
use engawa_store::{DatabaseKey, Limits as StoreLimits, Store};
use jiff::SignedDuration;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A running house, and what updates work with.
struct Stand {
    dir: tempfile::TempDir,
    updates: Updates,
    shared: Arc<Shared>,
    closing: CancellationToken,
    house: tokio::task::JoinHandle<()>,
}

impl Stand {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engawa.toml");
        let text = "[property]\nid = 'test'\nname = 'Test'\nzone = 'UTC'\ncurrency = 'EUR'\nrooms = ['101']\n\
                    [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n\
                    [store]\ndir = 'data'\n[update]\ndir = 'slots'\nroot = 'root.json'\ncheck_in = 'any'\n";
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path).map_err(|reports| format!("{reports:?}")).unwrap();
        let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
        let store = Store::open(&dir.path().join("data"), &key, StoreLimits::default()).unwrap();
        let property = Property::new(engawa_model::testing::house(["101"]));
        let closing = CancellationToken::new();
        let (house, door, shared) =
            House::new(property, store, Outlets::default(), Publishing::default(), closing.clone());
        let house = tokio::spawn(async move { house.run().await.unwrap() });
        let watch = Watch::new(Arc::clone(&shared), Vec::new(), Tasks::default());
        let config = loaded.config.update.clone().unwrap();
        let (updates, _) = Updates::new(&loaded, config, door, watch, None);
        std::fs::create_dir_all(updates.config.dir.join("system/bundle")).unwrap();
        std::fs::create_dir_all(dir.path().join("state")).unwrap();
        Self { dir, updates, shared, closing, house }
    }

    /// The task on system image 1.0.0-1, which is good, in release 1.0.0.
    async fn run(&self) -> Run<'_> {
        let mut run = Run::new(&self.updates, self.updates.wishes.lock().await, self.closing.clone());
        run.running = Some(status(Slot::A));
        run.image = Some(Image { version: "1.0.0".into(), number: 1 });
        run.installer = Installer::telling_in(&self.updates.config.dir, self.dir.path());
        self.installer_says("confirmed", "1.0.0-1");
        run
    }

    fn installer_says(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join("state").join(file), format!("{text}\n")).unwrap();
    }

    fn has_bundle(&self) -> bool {
        self.updates.config.dir.join("system/bundle").exists()
    }

    /// Steps that the house knows, with their reasons.
    fn steps(&self) -> Vec<(String, UpdateStep, String)> {
        self.shared.look(|property| {
            let step = |note: &UpdateNote| {
                (note.version.clone(), note.step, note.reason.clone().unwrap_or_default())
            };
            property.updates().map(|(_, note)| step(note)).collect()
        })
    }

    async fn close(self) {
        self.closing.cancel();
        self.house.await.unwrap();
    }
}

fn status(active: Slot) -> Status {
    Status {
        state: "running".into(),
        slot: active,
        active,
        version: "1.0.0".into(),
        number: 1,
        manifest: engawa_slots::Digest([7; 32]),
        floor: 0,
        trial: None,
    }
}

fn told(rollout: &str, version: &str, target: &str) -> UpdateTold {
    UpdateTold {
        rollout: rollout.to_owned(),
        version: version.to_owned(),
        number: 2,
        target: format!("{target}/{version}/manifest.json"),
        ..UpdateTold::default()
    }
}

fn wanted(rollout: &str, version: &str, target: &str) -> Wanted {
    let told = told(rollout, version, target);
    Wanted {
        by: By::Rollout { id: told.rollout, attempt: 0, back: false },
        version: told.version,
        number: told.number,
        target: told.target,
        conditions: String::new(),
    }
}

fn wish(folder: &Path) -> Wish {
    Wish {
        key: CommandKey::new("command-1"),
        version: "1.1.0".into(),
        window: None,
        from: Some(folder.to_owned()),
        clock_is_right: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_take_the_place_of_an_image_that_is_installed_or_tried() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    let image = wanted("r1", "2.0.0", "system/virt");
    let asked = request("2.0.0", 2, "r1");
    run.kept.wanted = Some(image.clone());
    run.installer.ask(&asked).unwrap();
    run.wish(wish(stand.dir.path())).await.unwrap();
    assert_eq!(run.kept.wanted, Some(image.clone()), "it is being installed");
    // The machine has come up with it.
    run.installer.forget().unwrap();
    stand.installer_says("written", &asked);
    run.image = Some(Image { version: "2.0.0".into(), number: 2 });
    run.wish(wish(stand.dir.path())).await.unwrap();
    assert_eq!(run.kept.wanted, Some(image), "it is on trial");
    assert_eq!(run.what_runs().state, "trial");
    // Whatever is wanted: the box may go back from it.
    run.kept.wanted = Some(wanted("r2", "1.1.0", "engawa/t"));
    assert_eq!(run.what_runs().state, "trial");
    run.kept.wanted = None;
    assert_eq!(run.what_runs().state, "trial");
    stand.installer_says("confirmed", "2.0.0-2");
    assert_eq!(run.what_runs().state, "idle");
    run.wish(wish(stand.dir.path())).await.unwrap();
    assert_eq!(run.kept.wanted.as_ref().and_then(Wanted::command), Some("command-1"));
    drop(run);
    stand.close().await;
}

/// Version alone does not say that a release is the one that runs: the digest of its manifest does, where it is known.
#[tokio::test(flavor = "multi_thread")]
async fn another_release_of_the_version_that_runs_is_not_taken_for_it() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    let same = || Wish { version: "1.0.0".into(), ..wish(stand.dir.path()) };
    let metadata = stand.updates.config.dir.join("metadata");
    std::fs::create_dir_all(&metadata).unwrap();
    let trusts = |digest: [u8; 32]| {
        let digest = engawa_release::Digest::from(digest).to_string();
        let path = format!("engawa/{TRIPLE}/1.0.0/manifest.json");
        let text = format!(
            r#"{{"signatures":[],"signed":{{"_type":"targets","spec_version":"1.0.33","version":1,"expires":"2099-01-01T00:00:00Z",
                "targets":{{"{path}":{{"length":1,"hashes":{{"sha256":"{digest}"}}}}}}}}}}"#
        );
        std::fs::write(metadata.join("targets.json"), text).unwrap();
    };
    run.wish(same()).await.unwrap();
    assert_eq!(run.kept.wanted, None, "nothing else is known: it runs already");
    trusts([7; 32]);
    run.wish(same()).await.unwrap();
    assert_eq!(run.kept.wanted, None, "it is what runs");
    trusts([8; 32]);
    run.wish(same()).await.unwrap();
    assert_eq!(run.kept.wanted.as_ref().map(|wanted| wanted.version.as_str()), Some("1.0.0"));
    drop(run);
    stand.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_of_an_image_goes_when_the_image_is_wanted_no_longer() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    run.kept.wanted = Some(wanted("r1", "2.0.0", "system/virt"));
    run.clear_images().await.unwrap();
    assert!(stand.has_bundle(), "it is still wanted");
    run.told(UpdateTold::default()).await.unwrap();
    assert_eq!(run.kept.wanted, None);
    run.clear_images().await.unwrap();
    assert!(!stand.has_bundle());
    drop(run);
    stand.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_has_stopped_ends_only_what_it_was_done_for() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    let (before, after) = (wanted("r1", "1.1.0", "engawa/t"), wanted("r2", "1.1.0", "engawa/t"));
    run.kept.wanted = Some(after.clone());
    let refused = || Stop::Refused("it is for another board".into());
    run.stopped(&before, refused()).await.unwrap();
    assert_eq!((&run.kept.wanted, &run.kept.last), (&Some(after.clone()), &None));
    // Its number has become known on the way.
    run.stopped(&Wanted { number: 0, ..after }, refused()).await.unwrap();
    assert_eq!(run.kept.wanted, None);
    let why = "it is for another board".to_owned();
    assert_eq!(stand.steps(), [("1.1.0".to_owned(), UpdateStep::Refused, why)]);
    drop(run);
    stand.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_nobody_below_could_be_told_of_is_declined() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    // Long enough that the cloud has heard of what was before.
    run.started = Instant::now().checked_sub(GLANCE).unwrap();
    for offer in [told("two words", "2.0.0", "system/virt"), told("r1", "2.0.0 3", "system/virt")] {
        run.told(offer.clone()).await.unwrap();
        assert_eq!(run.kept.wanted, None);
        let last = run.kept.last.clone().unwrap();
        assert_eq!(
            (last.step, last.rollout, last.version),
            (UpdateStep::Refused, offer.rollout, offer.version)
        );
        assert!(last.reason.contains("can't be a"), "{}", last.reason);
    }
    assert_eq!(stand.steps().len(), 2, "{:?}", stand.steps());
    run.told(told("r1", "2.0.0", "system/virt")).await.unwrap();
    assert!(run.kept.wanted.as_ref().is_some_and(|wanted| is_image(&wanted.target)));
    drop(run);
    stand.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_waits_for_hours_that_hold_until_it_is_installed() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    let now = run.now().at;
    let open_for = |minutes: i64| {
        let clock = |minutes| {
            let at = now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
            at.strftime("%H:%M").to_string()
        };
        let window = Some(Hours::new(&clock(-5), &clock(minutes)).unwrap());
        let conditions = serde_json::to_string(&Conditions { window, ..unconditional() }).unwrap();
        Wanted { conditions, ..wanted("r1", "2.0.0", "system/virt") }
    };
    run.ready = Some(Ready { manifest: engawa_release::Digest::of(b""), number: 2, fetched: 0 });
    let short = open_for(8);
    run.kept.wanted = Some(short.clone());
    // Judged before any byte of the line: there is none.
    run.go_on_with_image(&short).await.unwrap();
    let steps = stand.steps();
    assert!(
        matches!(&*steps, [(_, UpdateStep::Waiting, why)] if why.contains("takes up to 10 min")),
        "{steps:?}"
    );
    assert_eq!(run.may_switch(&short).unwrap(), engawa_release::conditions::Verdict::Yes);
    // In good hours the cloud is asked again, and none is there: nothing is told to the installer.
    let long = open_for(60);
    run.kept.wanted = Some(long.clone());
    run.go_on_with_image(&long).await.unwrap();
    let steps = stand.steps();
    assert!(
        matches!(&*steps, [_, (_, UpdateStep::Waiting, why)] if why.contains("can't be asked")),
        "{steps:?}"
    );
    assert_eq!(run.installer.told().asked, None);
    drop(run);
    stand.close().await;
}

/// A supervisor's socket that answers each question by the next of `answers`; an empty one hangs up.
fn answering(path: &Path, answers: Vec<String>) -> std::thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            if !answer.is_empty() {
                writeln!(stream, "{answer}").unwrap();
            }
            line.trim_end().to_owned()
        };
        answers.into_iter().map(answer).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_yes_was_lost_on_the_way_ends_by_what_the_supervisor_says_of_itself() {
    let stand = Stand::open();
    let mut run = stand.run().await;
    let path = stand.dir.path().join("socket");
    let now = |active: &str| {
        let manifest = engawa_slots::Digest([7; 32]);
        format!(
            "ok state=running slot=b active={active} version=1.1.0 number=2 manifest={manifest} floor=0 trial= tries=0 left=0"
        )
    };
    let refused = "error no trial runs".to_owned();
    // The answer to the first is lost, and to the question after it; then a trial that was undone; then the confirmed one.
    let answers = vec![String::new(), String::new(), refused.clone(), now("a"), refused, now("b")];
    let asked = answering(&path, answers);
    let tried = Status { slot: Slot::B, ..status(Slot::A) };
    let supervisor = Supervisor::at(&path);
    for stays in [false, false, true] {
        assert_eq!(run.confirm(&supervisor, &tried).await.unwrap(), stays);
    }
    assert_eq!(run.running.as_ref().map(|status| status.active), Some(Slot::B));
    assert_eq!(asked.join().unwrap(), ["healthy", "status"].repeat(3));
    drop(run);
    stand.close().await;
}
