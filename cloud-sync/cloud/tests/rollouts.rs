//! Rollouts on both engines: the same histories of chance, with everything that can be asked compared after each step; and the
//! command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod common;
mod server;
mod stand;

use common::{Cloud as Sqlite, EPOCH, GATEWAY};
use engawa_cloud::postgres::{self, Intake, Replica, Store};
use engawa_cloud::rollout::acts::{self, By};
use engawa_cloud::rollout::answer::asked;
use engawa_cloud::rollout::catalogue::{Behind, Catalogue};
use engawa_cloud::rollout::cohorts::Cohorts;
use engawa_cloud::rollout::machine::Now;
use engawa_cloud::rollout::plan::{Cohort, Kind, Plan, Release, Ring, Variant, WHOLE, Who};
use engawa_cloud::rollout::state::{Fleet, MOST_BLOCKS, State, Write};
use engawa_cloud::store::{StoreError, gateways, ingest, rollouts, write};
use engawa_model::{Alert, AlertKind, Change, Timestamp, UpdateNote, UpdateStep};
use engawa_protocol::ports::{CloudStore, Ingested, Row};
use engawa_protocol::update::UpdateAsk;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use server::{enrol, store};
use stand::{Cloud, Engine, the_server};
use std::collections::BTreeMap;
use std::path::Path;

const GATEWAYS: usize = 12;
const TRIPLE: &str = "aarch64-unknown-linux-gnu";
const MINUTE: i64 = 60_000_000;

fn variant(version: &str, number: u64) -> Variant {
    let manifest = format!("engawa/{TRIPLE}/{version}/manifest.json");
    Variant { triple: TRIPLE.into(), hardware: vec![], number, floor: 0, manifest }
}

fn plan(version: &str, number: u64) -> Plan {
    let ring = |name: &str, who| Ring {
        name: name.into(),
        who,
        soak_s: 600,
        in_flight: 4,
        fail_count: 3,
        fail_share: 300,
        worse_by: 300,
    };
    Plan {
        release: Release {
            kind: Kind::Application,
            version: version.into(),
            variants: vec![variant(version, number)],
        },
        cohort: Cohort::default(),
        rings: vec![
            ring("canary", Who::Label("canary".into())),
            ring("third", Who::Share(333)),
            ring("all", Who::Share(WHOLE)),
        ],
        conditions: json!({ "window": { "from": "02:00", "to": "05:00" } }),
        away_after_s: 86_400,
        trial_s: 7_200,
        proof: 0,
        catalogue: 0,
    }
}

/// A fleet on each engine, and what its boxes run.
struct Both {
    sqlite: Sqlite,
    store: Store,
    intake: Intake,
    replica: Replica,
    random: StdRng,
    /// Hours that have passed beyond those of the clock.
    later: i64,
    seqs: BTreeMap<(String, u8), u64>,
    versions: BTreeMap<String, (String, u64)>,
}

impl Both {
    async fn new(seed: u64) -> Self {
        let (_, store) = store(the_server()).await;
        let mut sqlite = Sqlite::new();
        // Thousands of small writes, none of which has to outlive this machine.
        sqlite.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        let mut versions = BTreeMap::new();
        for n in 1..=GATEWAYS {
            let gateway = format!("grand-{n}");
            if gateway != GATEWAY {
                sqlite.enrol(&gateway);
            }
            enrol(&store, "grand", &gateway, EPOCH).await;
            versions.insert(gateway, ("0.2.0".to_owned(), 20));
        }
        let replica = Replica::new("here".into());
        let intake = Intake::start(&store);
        let random = StdRng::seed_from_u64(seed);
        Self { sqlite, intake, store, replica, random, later: 0, seqs: BTreeMap::new(), versions }
    }

    fn now(&self) -> i64 {
        Timestamp::now().as_microsecond() + self.later * 60 * MINUTE
    }

    fn gateway(&mut self) -> String {
        format!("grand-{}", self.random.random_range(1..=GATEWAYS))
    }

    async fn fleets(&self) -> (Fleet, Fleet) {
        let one = rollouts::fleet(&self.sqlite.connection, None).unwrap();
        let other = postgres::rollouts::fleet(&self.store.client().await.unwrap(), None).await.unwrap();
        (one, other)
    }

    /// Both engines know the same. When a row came is each engine's own clock.
    async fn compare(&self, after: &str) -> Fleet {
        let (mut one, mut other) = self.fleets().await;
        for fleet in [&mut one, &mut other] {
            for row in fleet.rows.values_mut().flat_map(BTreeMap::values_mut) {
                row.step_micros = 0;
                row.ended_micros = row.ended_micros.map(|_| 0);
                row.told_micros = row.told_micros.map(|_| 0);
            }
            fleet.blocks = std::mem::take(&mut fleet.blocks)
                .into_iter()
                .map(|block| engawa_cloud::rollout::state::Block { at_micros: 0, ..block })
                .collect();
        }
        assert_eq!(one, other, "after {after}");
        let logs = |entries: Vec<engawa_cloud::rollout::state::Entry>| {
            entries
                .into_iter()
                .map(|entry| format!("{entry:?}").split_once(", ").unwrap().1.to_owned())
                .collect::<Vec<_>>()
        };
        let client = self.store.client().await.unwrap();
        assert_eq!(
            logs(rollouts::log(&self.sqlite.connection, None, None, 100_000).unwrap()),
            logs(postgres::rollouts::log(&client, None, None, 100_000).await.unwrap()),
            "after {after}"
        );
        one
    }

    async fn acts(&mut self, of: impl Fn(&Fleet) -> Result<Vec<Write>, StoreError>) -> Result<(), String> {
        let one = write(&mut self.sqlite.connection, |connection| {
            let writes = of(&rollouts::fleet(connection, None)?)?;
            rollouts::apply(connection, &writes)
        });
        let mut client = self.store.client().await.unwrap();
        let other = postgres::rollouts::act(&mut client, None, |fleet| Ok(((), of(fleet)?))).await;
        assert_eq!(one.as_ref().map_err(ToString::to_string), other.as_ref().map_err(ToString::to_string));
        one.map_err(|error| error.to_string())
    }

    async fn seen(&mut self, gateway: &str, connected: bool) {
        let now = self.now();
        write(&mut self.sqlite.connection, |connection| {
            gateways::seen(connection, gateway, connected, "x", now)
        })
        .unwrap();
        let client = self.store.client().await.unwrap();
        postgres::gateways::seen(&client, gateway, &self.replica.id, connected, "x", now).await.unwrap();
    }

    async fn reconcile(&mut self) {
        let versions = [("0.2.0", 20), ("0.3.0", 30), ("0.4.0", 40)];
        let known = versions
            .map(|(version, number)| (Kind::Application, version.to_owned(), variant(version, number)));
        self.reconciles(&Catalogue::of(known.to_vec())).await;
    }

    async fn reconciles(&mut self, catalogue: &Catalogue) {
        let now = Now { micros: self.now(), serving_since: 0 };
        let one = write(&mut self.sqlite.connection, |connection| {
            rollouts::reconcile(connection, Some(catalogue), now)
        });
        let mut client = self.store.client().await.unwrap();
        let other = postgres::rollouts::reconcile(&mut client, Some(catalogue), now).await.unwrap();
        type Went = (Vec<engawa_cloud::rollout::state::Rollout>, Option<Behind>);
        let states = |(changed, behind): Went| {
            let of =
                |rollout: engawa_cloud::rollout::state::Rollout| (rollout.id, rollout.state, rollout.reason);
            (changed.into_iter().map(of).collect::<Vec<_>>(), behind)
        };
        assert_eq!(states(one.unwrap()), states(other.expect("nobody else is at it")));
    }

    /// A gateway asks; what it is told.
    async fn asks(
        &mut self,
        gateway: &str,
        last: Option<(&str, &str)>,
    ) -> engawa_cloud::rollout::answer::Told {
        let (version, number) = self.versions[gateway].clone();
        let (last_rollout, last_outcome) = last.unwrap_or_default();
        let ask = UpdateAsk {
            version,
            number,
            triple: TRIPLE.into(),
            hardware: "b\0oard".into(),
            last_rollout: last_rollout.into(),
            last_outcome: last_outcome.into(),
            ..UpdateAsk::default()
        };
        let at = self.now();
        let (software, last) = asked(&ask, "eu-1", at);
        let cohorts = &Cohorts::default();
        let one = write(&mut self.sqlite.connection, |connection| {
            let (told, writes, fresh) =
                rollouts::told(connection, cohorts, gateway, &software, last.as_ref(), at)?;
            rollouts::apply(connection, &writes)?;
            if fresh {
                rollouts::note_software(connection, gateway, &software)?;
            }
            Ok(told)
        })
        .unwrap();
        let mut client = self.store.client().await.unwrap();
        let other = postgres::rollouts::told(&mut client, cohorts, gateway, &software, last.as_ref(), at)
            .await
            .unwrap();
        assert_eq!(one, other);
        one
    }

    async fn tells(&mut self, gateway: &str, lane: u8, change: &Change) {
        let seq = self.seqs.entry((gateway.to_owned(), lane)).or_default();
        *seq += 1;
        let at_micros = i64::try_from(*seq).unwrap();
        let row = Row {
            seq: *seq,
            at_micros,
            kind: change.kind().into(),
            body: serde_json::to_vec(change).unwrap(),
        };
        let (seq, now) = (*seq, Timestamp::now().as_microsecond());
        // The same row again changes nothing: its mark is there.
        for _ in 0..2 {
            let one = write(&mut self.sqlite.connection, |connection| {
                ingest::ingest(connection, gateway, EPOCH, lane, std::slice::from_ref(&row), now)
            });
            assert_eq!(one.unwrap(), Ingested::Upto(seq));
            let other = self.intake.ingest(gateway, EPOCH, lane, vec![row.clone()]).await;
            assert_eq!(other.unwrap(), Ingested::Upto(seq));
        }
    }

    async fn updates(&mut self, gateway: &str, rollout: &str, version: &str, number: u64, step: UpdateStep) {
        let reason = (step == UpdateStep::RolledBack).then(|| "the PMS link\u{1b} is down".to_owned());
        let rollout = (!rollout.is_empty()).then(|| rollout.to_owned());
        let update = UpdateNote { rollout, attempt: 0, version: version.into(), number, step, reason };
        self.tells(gateway, 4, &Change::Update { update }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_decide_alike() {
    let seeds: u64 = std::env::var("ROLLOUTS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    let began = std::time::Instant::now();
    let mut turns = 0;
    for seed in 0..seeds {
        let mut both = Both::new(seed).await;
        let who = || By { who: "ann", why: "a reason", micros: 5 };
        for n in 1..=GATEWAYS {
            let gateway = format!("grand-{n}");
            both.replica.beat(&both.store).await.unwrap();
            both.seen(&gateway, true).await;
            both.asks(&gateway, None).await;
        }
        both.acts(|fleet| Ok(acts::label(fleet, "grand-4", "canary", true, who())?)).await.unwrap();
        for (version, number) in [("0.3.0", 30), ("0.4.0", 40)] {
            let id = format!("r-{}", number / 10 - 2);
            both.acts(|fleet| Ok(acts::create(fleet, plan(version, number), who())?.1)).await.unwrap();
            both.acts(|fleet| Ok(acts::start(fleet, &id, who())?)).await.unwrap();
            for turn in 0..30 {
                turns += 1;
                let gateway = both.gateway();
                let roll: u32 = both.random.random_range(0..100);
                match roll {
                    0..25 => {
                        let told = both.asks(&gateway, None).await;
                        if !told.version.is_empty() {
                            use UpdateStep::{Downloading, Switching, Waiting};
                            for step in [Downloading, Waiting, Switching] {
                                both.updates(&gateway, &told.rollout, &told.version, told.number, step).await;
                            }
                            let ends = [
                                UpdateStep::Confirmed,
                                UpdateStep::Confirmed,
                                UpdateStep::RolledBack,
                                UpdateStep::Failed,
                            ];
                            let end = ends[both.random.random_range(0..if turn % 3 == 0 { 4 } else { 2 })];
                            both.updates(&gateway, &told.rollout, &told.version, told.number, end).await;
                            if end == UpdateStep::Confirmed {
                                both.versions.insert(gateway, (told.version, told.number));
                            }
                        }
                    }
                    25..30 => {
                        both.asks(&gateway, Some((&id, "rolled back"))).await;
                    }
                    30..35 => both.updates(&gateway, "", "0.9.0", 0, UpdateStep::RolledBack).await,
                    35..38 => both.updates(&gateway, "r-77", "0.3.0", 30, UpdateStep::Confirmed).await,
                    38..43 => {
                        let alert = Alert {
                            kind: AlertKind::PostingDoubtful,
                            source: "agent".into(),
                            active: true,
                            count: 1,
                            first: Timestamp::UNIX_EPOCH,
                            last: Timestamp::UNIX_EPOCH,
                            text: String::new(),
                            level: 0,
                            acknowledged: None,
                        };
                        both.tells(&gateway, 2, &Change::Alert { alert }).await;
                    }
                    43..47 => {
                        let on = both.random.random_bool(0.7);
                        both.seen(&gateway, on).await;
                    }
                    47..49 => both.later += 1,
                    49 => drop(both.acts(|fleet| Ok(acts::pause(fleet, &id, who())?)).await),
                    50..53 => drop(both.acts(|fleet| Ok(acts::resume(fleet, &id, who())?)).await),
                    53 if turn > 15 => drop(both.acts(|fleet| Ok(acts::back(fleet, &id, who())?)).await),
                    54 => drop(both.acts(|fleet| Ok(acts::retry(fleet, &id, &gateway, who())?)).await),
                    55 => {
                        let on = both.random.random_bool(0.5);
                        drop(both.acts(|fleet| Ok(acts::label(fleet, &gateway, "canary", on, who())?)).await);
                    }
                    56 => drop(
                        both.acts(|fleet| {
                            Ok(acts::block(fleet, Kind::Application, version, &gateway, who())?)
                        })
                        .await,
                    ),
                    57 => drop(
                        both.acts(|fleet| {
                            Ok(acts::unblock(fleet, Kind::Application, version, &gateway, who())?)
                        })
                        .await,
                    ),
                    _ => both.reconcile().await,
                }
                if turn % 20 == 0 {
                    both.replica.beat(&both.store).await.unwrap();
                    both.compare(&format!("turn {turn} of seed {seed} ({roll})")).await;
                }
            }
            let fleet = both.compare(&format!("{version} of seed {seed}")).await;
            assert!(fleet.rows_of(&id).count() > 0);
            drop(both.acts(|fleet| Ok(acts::abort(fleet, &id, who())?)).await);
        }
        let fleet = both.compare("all").await;
        assert!(fleet.blocks.iter().any(|block| block.version == "0.9.0" && !block.gateway.is_empty()));
        let alerts: u32 = fleet.rows.values().flat_map(BTreeMap::values).map(|row| row.alerts).sum();
        assert!(alerts > 0 || seed > 0, "no alert was counted");
        let oldest = fleet.rollouts.values().min_by_key(|rollout| rollout.number).unwrap().id.clone();
        both.acts(|_| Ok(vec![Write::Forget(oldest.clone())])).await.unwrap();
        let fleet = both.compare("all but the oldest").await;
        assert!(!fleet.rollouts.contains_key(&oldest) && fleet.rows_of(&oldest).count() == 0);
        both.keeps_its_audit().await;
    }
    println!("{turns} turns alike in {:?}", began.elapsed());
}

impl Both {
    async fn keeps_its_audit(&mut self) {
        for sql in ["UPDATE rollout_log SET who = 'nobody'", "DELETE FROM rollout_log"] {
            let one = self.sqlite.connection.execute(sql, []).unwrap_err().to_string();
            let client = self.store.client().await.unwrap();
            let other = client.execute(sql, &[]).await.unwrap_err();
            let other = other.as_db_error().unwrap().message().to_owned();
            assert_eq!(
                (one.as_str(), other.as_str()),
                ("the audit is not changed", "the audit is not changed")
            );
        }
    }
}

/// Of versions that a gateway went back from the newest sixteen are kept; what somebody has blocked stays.
#[tokio::test(flavor = "multi_thread")]
async fn both_engines_keep_as_many_blocks() {
    let mut both = Both::new(0).await;
    let who = || By { who: "ann", why: "a reason", micros: 1 };
    both.acts(|fleet| Ok(acts::block(fleet, Kind::Application, "0.1.0", "grand-1", who())?)).await.unwrap();
    for n in 0..20 {
        both.updates("grand-1", "", &format!("1.0.{n}"), 0, UpdateStep::RolledBack).await;
        both.updates("grand-2", "", &format!("1.0.{}", n / 10), 0, UpdateStep::RolledBack).await;
    }
    let fleet = both.compare("twenty versions").await;
    let of = |gateway: &str| -> Vec<&str> {
        let own = fleet.blocks.iter().filter(|block| block.gateway == gateway);
        own.map(|block| block.version.as_str()).collect()
    };
    assert_eq!(of("grand-1").len(), MOST_BLOCKS + 1);
    assert!(of("grand-1").contains(&"0.1.0") && of("grand-1").contains(&"1.0.19"));
    assert!(!of("grand-1").contains(&"1.0.3"), "the oldest went");
    assert_eq!(of("grand-2"), ["1.0.0", "1.0.1"]);
}

/// Who may be told something at any time asks each minute: who is meant, and whoever has had its turn while the rollout goes on.
#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_be_next_asks_soon() {
    let mut both = Both::new(0).await;
    let who = || By { who: "ann", why: "a reason", micros: 1 };
    for gateway in ["grand-1", "grand-2", "grand-3"] {
        both.replica.beat(&both.store).await.unwrap();
        both.seen(gateway, true).await;
        assert_eq!(both.asks(gateway, None).await.ask_again_s, 900);
    }
    let mut plan = plan("0.3.0", 30);
    plan.cohort.gateways = ["grand-1", "grand-2"].map(str::to_owned).into();
    both.acts(|fleet| Ok(acts::label(fleet, "grand-1", "canary", true, who())?)).await.unwrap();
    both.acts(|fleet| Ok(acts::create(fleet, plan.clone(), who())?.1)).await.unwrap();
    both.acts(|fleet| Ok(acts::start(fleet, "r-1", who())?)).await.unwrap();
    both.reconcile().await;
    let told = both.asks("grand-1", None).await;
    assert_eq!((told.version.as_str(), told.attempt, told.back), ("0.3.0", 0, false));
    assert_eq!(both.asks("grand-2", None).await.ask_again_s, 60, "it may be next");
    assert_eq!(both.asks("grand-3", None).await.ask_again_s, 900, "it is not meant");
    both.updates("grand-1", "r-1", "0.3.0", 30, UpdateStep::Confirmed).await;
    both.versions.insert("grand-1".into(), ("0.3.0".into(), 30));
    assert_eq!(both.asks("grand-1", None).await.ask_again_s, 60, "it has it, and may be to go back");
    let (one, other) = both.fleets().await;
    assert_eq!(one.rollouts["r-1"].plan.cohort, plan.cohort, "it is kept beside the plan");
    assert_eq!(one.rollouts, other.rollouts);
    // Halted, somebody has it go back; at its end nothing is to come any more.
    both.acts(|fleet| Ok(acts::pause(fleet, "r-1", who())?)).await.unwrap();
    assert_eq!(both.asks("grand-1", None).await.ask_again_s, 60);
    both.acts(|fleet| Ok(acts::back(fleet, "r-1", who())?)).await.unwrap();
    assert_eq!(both.asks("grand-1", None).await.ask_again_s, 60, "it is turned round in a moment");
    both.reconcile().await;
    let told = both.asks("grand-1", None).await;
    assert_eq!((told.version.as_str(), told.back), ("0.2.0", true));
    both.updates("grand-1", "r-1", "0.2.0", 20, UpdateStep::Confirmed).await;
    both.versions.insert("grand-1".into(), ("0.2.0".into(), 20));
    assert_eq!(both.asks("grand-1", None).await.ask_again_s, 60);
    both.reconcile().await;
    assert_eq!(both.fleets().await.0.rollouts["r-1"].state, State::Aborted);
    assert_eq!(both.asks("grand-1", None).await.ask_again_s, 900, "it is over");
}

/// A replica whose copy of the repository is behind what another one has seen halts nothing by what it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_behind_concludes_nothing() {
    let mut both = Both::new(0).await;
    let who = || By { who: "ann", why: "a reason", micros: 1 };
    both.replica.beat(&both.store).await.unwrap();
    both.seen("grand-1", true).await;
    both.asks("grand-1", None).await;
    both.acts(|fleet| Ok(acts::create(fleet, plan("0.3.0", 30), who())?.1)).await.unwrap();
    both.acts(|fleet| Ok(acts::start(fleet, "r-1", who())?)).await.unwrap();
    let all = || Catalogue::of(vec![(Kind::Application, "0.3.0".into(), variant("0.3.0", 30))]);
    both.reconciles(&all().at(7)).await;
    both.reconciles(&Catalogue::default().at(6)).await;
    let state = |fleets: (Fleet, Fleet)| {
        let of = |fleet: Fleet| fleet.rollouts["r-1"].state;
        (of(fleets.0), of(fleets.1))
    };
    assert_eq!(state(both.fleets().await), (State::Running, State::Running));
    // Nobody has seen that one for longer than a timestamp lives: the repository was begun anew.
    both.later = 24 * 9;
    both.replica.beat(&both.store).await.unwrap();
    both.reconciles(&Catalogue::default().at(6)).await;
    assert_eq!(state(both.fleets().await), (State::Halted, State::Halted));
}

/// By such a copy whoever goes back to what it has goes back; who would go back to what it lacks waits for a newer one, and that
/// is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_behind_takes_back_to_what_it_has() {
    let mut both = Both::new(0).await;
    let who = || By { who: "ann", why: "a reason", micros: 1 };
    both.replica.beat(&both.store).await.unwrap();
    both.versions.insert("grand-2".into(), ("0.2.9".into(), 29));
    for gateway in ["grand-1", "grand-2"] {
        both.seen(gateway, true).await;
        both.asks(gateway, None).await;
        both.acts(|fleet| Ok(acts::label(fleet, gateway, "canary", true, who())?)).await.unwrap();
    }
    both.acts(|fleet| Ok(acts::create(fleet, Plan { catalogue: 7, ..plan("0.3.0", 30) }, who())?.1))
        .await
        .unwrap();
    both.acts(|fleet| Ok(acts::start(fleet, "r-1", who())?)).await.unwrap();
    let of = |versions: &[(&str, u64)]| {
        let all = versions.iter().map(|(version, number)| (*version, variant(version, *number)));
        Catalogue::of(
            all.map(|(version, variant)| (Kind::Application, version.to_owned(), variant)).collect(),
        )
    };
    let newest = of(&[("0.2.0", 20), ("0.2.9", 29), ("0.3.0", 30)]).at(7);
    let behind = of(&[("0.2.0", 20)]).at(6);
    both.reconciles(&newest).await;
    for gateway in ["grand-1", "grand-2"] {
        assert_eq!(both.asks(gateway, None).await.version, "0.3.0");
        both.updates(gateway, "r-1", "0.3.0", 30, UpdateStep::Confirmed).await;
        both.versions.insert(gateway.into(), ("0.3.0".into(), 30));
        both.asks(gateway, None).await;
    }
    both.acts(|fleet| Ok(acts::back(fleet, "r-1", who())?)).await.unwrap();
    both.reconciles(&behind).await;
    let told = both.asks("grand-1", None).await;
    assert_eq!((told.version.as_str(), told.back), ("0.2.0", true));
    assert_eq!(both.asks("grand-2", None).await.version, "", "where it would go is not known");
    both.updates("grand-1", "r-1", "0.2.0", 20, UpdateStep::Confirmed).await;
    both.versions.insert("grand-1".into(), ("0.2.0".into(), 20));
    both.asks("grand-1", None).await;
    both.reconciles(&behind).await;
    let fleet = both.compare("a copy that is behind").await;
    let (state, reason) = (fleet.rollouts["r-1"].state, &fleet.rollouts["r-1"].reason);
    assert!(state == State::RollingBack && reason.starts_with("by ann: a reason; some wait, "), "{reason}");
    let waits = || rollouts::log(&both.sqlite.connection, Some("r-1"), None, 100).unwrap();
    assert_eq!(waits().iter().filter(|entry| entry.what == "waits").count(), 1, "it is told once");
    both.reconciles(&newest).await;
    let (fleet, _) = both.fleets().await;
    assert_eq!(fleet.rollouts["r-1"].reason, "by ann: a reason");
    let told = both.asks("grand-2", None).await;
    assert_eq!((told.version.as_str(), told.back), ("0.2.9", true));
    both.updates("grand-2", "r-1", "0.2.9", 29, UpdateStep::Confirmed).await;
    both.versions.insert("grand-2".into(), ("0.2.9".into(), 29));
    both.asks("grand-2", None).await;
    both.reconciles(&newest).await;
    let fleet = both.compare("all are back").await;
    assert_eq!(fleet.rollouts["r-1"].reason, "rolled back: 2 gateways went back");
}

#[tokio::test]
async fn one_replica_at_a_time_goes_on_with_rollouts() {
    let (_, store) = store(the_server()).await;
    let mut one = store.client().await.unwrap();
    let holding = one.transaction().await.unwrap();
    holding.execute("SELECT pg_advisory_xact_lock(x'656e676177610007'::bigint)", &[]).await.unwrap();
    let mut other = store.client().await.unwrap();
    let now = Now { micros: 1, serving_since: 0 };
    assert_eq!(postgres::rollouts::reconcile(&mut other, None, now).await.unwrap(), None);
    // Its lock is gone with its transaction.
    holding.rollback().await.unwrap();
    let went = postgres::rollouts::reconcile(&mut other, None, now).await.unwrap();
    assert_eq!(went, Some((vec![], None)));
}

/// A repository as its metadata tell of it.
fn publish(dir: &Path, versions: &[(&str, u64)]) {
    let metadata = dir.join("releases/metadata");
    std::fs::create_dir_all(&metadata).unwrap();
    let mut targets = serde_json::Map::new();
    for (version, number) in versions {
        let folder = format!("engawa/{TRIPLE}/{version}");
        std::fs::create_dir_all(dir.join("releases/targets").join(&folder)).unwrap();
        let file = dir.join("releases/targets").join(&folder).join(format!("{number:064x}.manifest.json"));
        std::fs::write(file, json!({ "triple": TRIPLE, "hardware": ["rpi-cm4"] }).to_string()).unwrap();
        let custom = json!({ "version": version, "number": number, "floor": 1, "kind": "application" });
        let hashes = json!({ "sha256": format!("{number:064x}") });
        targets.insert(
            format!("{folder}/manifest.json"),
            json!({ "length": 1, "hashes": hashes, "custom": custom }),
        );
    }
    let file = |name: &str, signed: serde_json::Value| {
        std::fs::write(metadata.join(name), json!({ "signed": signed, "signatures": [] }).to_string())
            .unwrap();
    };
    file("timestamp.json", json!({ "version": 9, "meta": { "snapshot.json": { "version": 4 } } }));
    file(
        "4.snapshot.json",
        json!({ "version": 4, "meta": { "targets.json": { "version": 7 }, "root.json": { "version": 1 } } }),
    );
    file("7.targets.json", json!({ "version": 7, "targets": targets }));
}

fn the_command_line(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let refuses = |arguments: &[&str], why: &str| {
        let ran = cloud.run("rollout", arguments);
        assert!(ran.status == 1 && ran.err.contains(why), "{arguments:?}: {ran:?}");
    };
    refuses(&["create", "0.3.0"], "the repository has no metadata/timestamp.json");
    publish(Path::new(cloud.dir()), &[("0.2.0", 20), ("0.3.0", 30)]);
    refuses(&["create", "0.4.0"], "release 0.4.0 is not in the repository: publish it first");
    refuses(&["create", "0.4.0"], "it has 0.3.0, 0.2.0");
    refuses(&["create", "0.3.0", "--gateway", "grand-1"], "there is no gateway `grand-1`");
    refuses(&["create", "0.3.0", "--window", "14:30-15:30"], "never opens");
    refuses(
        &["create", "0.3.0", "--ring", "a:50%", "--ring", "b:20%"],
        "more of the cohort than in the rings before",
    );
    let wrong = cloud.run("rollout", &["create", "0.3.0", "--ring", "a"]);
    assert!(wrong.status == 2 && wrong.err.contains("it has no `:`"), "{wrong:?}");
    refuses(&["create", "0.3.0", "--start"], "there is no gateway in its cohort (all gateways)");
    refuses(&["create", "0.3.0", "--not-after", "2020-01-01T00:00:00Z"], "its time is over");
    assert!(cloud.does("rollout", &["list", "--json"]).json().is_empty(), "what is refused leaves nothing");

    for (words, none) in [
        (&["list"][..], "there is no rollout"),
        (&["blocked"], "no version is blocked"),
        (&["log"], "the audit has no line yet"),
        (&["log", "--gateway", "zz"], "the audit has no line of gateway `zz`"),
        (&["fleet"], "there is no gateway"),
    ] {
        assert!(cloud.does("rollout", words).out.starts_with(none), "{words:?}");
        assert_eq!(cloud.does("rollout", &[words, &["--json"]].concat()).out, "", "{words:?}");
    }
    refuses(&["log", "zz"], "there is no rollout `zz`");
    // What the repository's own audit says is taken up by `serve`, line by line, once.
    let audit = Path::new(cloud.dir()).join("releases/audit.jsonl");
    let line = |who: &str| {
        let of = ["2.targets.json", "00"];
        json!({"at_micros": 1, "who": who, "what": "published", "detail": "engawa/t/0.2.0", "of": of})
            .to_string()
    };
    let whos = || {
        let log = cloud.does("rollout", &["log", "--json"]).json();
        log.iter().map(|entry| entry["who"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (lines, expected) in [(vec!["ann"], vec!["ann"]), (vec!["ann", "ann", "ben"], vec!["ben", "ann"])] {
        let text: String = lines.into_iter().map(|who| line(who) + "\n").collect();
        std::fs::write(&audit, text).unwrap();
        let deadline = std::time::Instant::now() + stand::LONGEST;
        while whos() != expected {
            assert!(std::time::Instant::now() < deadline, "{:?}", whos());
        }
    }

    let claimed = ["--property", "grand", "--gateway", "grand-1"];
    cloud.does("claim", &claimed);
    cloud.change("UPDATE gateway SET enrolled_at = 1");
    cloud.change(&format!(
        "INSERT INTO gateway_software (gateway, version, number, slot, triple, hardware, system, system_number, state, floor, region, asked_micros)
         VALUES ('grand-1', '0.2.0', 20, 'a', '{TRIPLE}', 'rpi-cm4', '', 0, 'idle', 1, '', 1)"
    ));
    cloud.does("rollout", &["label", "grand-1", "--add", "canary"]);
    let arguments = [
        "create",
        "0.3.0",
        "--label",
        "canary",
        "--ring",
        "first:label=canary,soak=1d",
        "--ring",
        "rest:all",
        "--window",
        "02:00-05:00",
        "--not-during",
        "night-audit",
        "--not-before",
        "2026-12-01T00:00:00Z",
        "--as",
        "ann",
        "--why",
        "a fix",
        "--json",
    ];
    let made = cloud.does("rollout", &arguments).json().remove(0);
    assert_eq!((&made["id"], &made["state"], &made["reached"]), (&json!("r-1"), &json!("draft"), &json!(1)));
    assert_eq!(made["plan"]["conditions"]["check_in"], json!(null));
    assert_eq!(made["plan"]["conditions"]["not_before"], "2026-12-01T00:00:00Z");
    assert_eq!(made["plan"]["release"]["variants"][0]["hardware"], json!(["rpi-cm4"]));
    refuses(&["pause", "r-1"], "rollout r-1 is draft: pause needs one that is running");
    refuses(&["show", "r-2"], "there is no rollout `r-2`");
    cloud.does("rollout", &["start", "r-1", "--as", "ann"]);
    cloud.does("rollout", &["pause", "r-1", "--as", "ben", "--why", "the weekend"]);
    let shown = cloud.does("rollout", &["show", "r-1"]).out;
    for words in ["PAUSED: by ben: the weekend", "rollout resume r-1", "label canary", "first", "rest"] {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
    cloud.does("rollout", &["resume", "r-1"]);
    // It goes on in `serve`: the gateway is not there.
    let blocked = cloud.does("rollout", &["block", "0.3.0", "--why", "a leak"]).out;
    assert!(!blocked.contains("written right"), "{blocked}");
    // A slip is not told like a version that is blocked.
    assert!(cloud.does("rollout", &["block", "0.3.O"]).out.contains("written right"));
    refuses(&["block", "0.3.O"], "is blocked already, by ");
    cloud.does("rollout", &["unblock", "0.3.O"]);
    let halted = || cloud.does("rollout", &["show", "r-1", "--json"]).json().remove(0);
    let deadline = std::time::Instant::now() + stand::LONGEST;
    while halted()["state"] != "halted" {
        assert!(std::time::Instant::now() < deadline, "{}", halted());
    }
    refuses(&["create", "0.3.0"], "version 0.3.0 is blocked");
    refuses(&["block", "0.3.0"], "is blocked already, by");
    assert!(cloud.does("rollout", &["blocked"]).out.contains("a leak"));
    cloud.does("rollout", &["unblock", "0.3.0"]);
    cloud.does("rollout", &["abort", "r-1", "--as", "ann"]);
    refuses(&["abort", "r-1"], "rollout r-1 is aborted already");
    let log = cloud.does("rollout", &["log", "r-1", "--json"]).json();
    let log: Vec<&str> = log.iter().rev().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(log, ["created", "started", "paused", "resumed", "halted", "aborted"]);
    assert!(cloud.does("rollout", &["list"]).out.contains("r-1      application 0.3.0        aborted"));
    assert_eq!(cloud.does("rollout", &["fleet", "--json"]).json()[0]["version"], "0.2.0");
}

#[test]
fn the_command_line_on_sqlite() {
    the_command_line(Engine::Sqlite);
}

#[test]
fn the_command_line_on_postgresql() {
    the_command_line(Engine::Postgres);
}

/// A replica that has no turn for a gateway tells it nothing, and when to come again.
#[tokio::test]
async fn without_a_rollout_nothing_is_wanted() {
    let cloud = Sqlite::new();
    let (writer, _ended) = engawa_cloud::store::Writer::start(&cloud.path()).unwrap();
    let authority = engawa_link::pki::CertificateAuthority::create("x").unwrap().in_region("eu-1").unwrap();
    let end = engawa_cloud::end::End::new(cloud.path(), writer, authority);
    let ask =
        UpdateAsk { version: "0.2.0".into(), number: 20, triple: TRIPLE.into(), ..UpdateAsk::default() };
    let told = end.update_told(GATEWAY, &ask).await.unwrap();
    assert!(told.version.is_empty() && told.fault.is_empty() && told.ask_again_s >= 600, "{told:?}");
    assert_eq!(cloud.query("SELECT version, number, region FROM gateway_software"), ["0.2.0|20|eu-1"]);
}
