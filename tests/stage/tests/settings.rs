//! Both ends change the same setting while the line between them is cut. When it is back both show the same value, and both
//! logs the conflict with both values. With the real programs; what is said is read from their command lines.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_stage::house::{GATEWAY, House, Options, PROPERTY};
use engawa_stage::{process, wait};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

struct Ends {
    engawa: PathBuf,
    engawa_cloud: PathBuf,
    config: PathBuf,
    cloud: PathBuf,
}

impl Ends {
    fn gateway(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut all: Vec<OsString> = vec!["settings".into()];
        all.extend(words.iter().map(Into::into));
        all.extend(["--config".into(), self.config.clone().into_os_string()]);
        process::run(&self.engawa, all)
    }

    fn cloud(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut all: Vec<OsString> =
            vec!["settings".into(), "--dir".into(), self.cloud.clone().into_os_string()];
        all.extend(words.iter().map(Into::into));
        process::run(&self.engawa_cloud, all)
    }

    /// The value of a setting: at the gateway, in the cloud.
    fn values(&self, name: &str) -> anyhow::Result<(Value, Value)> {
        let here: Value = serde_json::from_str(&self.gateway(&["get", name, "--json"])?)?;
        let there: Value = serde_json::from_str(&self.cloud(&["get", GATEWAY, name, "--json"])?)?;
        Ok((here["value"].clone(), there["value"].clone()))
    }

    /// Conflicts of a setting in the two logs: (gateway's value, cloud's value, whose stands).
    fn conflicts(&self, name: &str) -> anyhow::Result<[Vec<(Value, Value, Value)>; 2]> {
        let of = |text: String| -> anyhow::Result<Vec<(Value, Value, Value)>> {
            let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
            let conflicts =
                lines.iter().filter(|line| line["note"] == "conflict").map(|line| &line["conflict"]);
            Ok(conflicts
                .map(|one| (one["edge"]["value"].clone(), one["cloud"]["value"].clone(), one["kept"].clone()))
                .collect())
        };
        let here = of(self.gateway(&["log", "--name", name, "--json"])?)?;
        let there = of(self.cloud(&["log", PROPERTY, "--name", name, "--json"])?)?;
        Ok([here, there])
    }
}

fn play(folder: &Path) -> anyhow::Result<()> {
    let mut house = House::open(folder, &Options { rooms: 4, seed: 3, seconds: 60, resync_every_s: 1 })?;
    let ends = Ends {
        engawa: process::program("engawa")?,
        engawa_cloud: process::program("engawa-cloud")?,
        config: house.config().to_owned(),
        cloud: house.cloud_dir(),
    };
    let agree = |name: &str, value: Value| {
        wait::until(&format!("both ends to have {name} {value}"), LONG, || {
            Ok(ends.values(name).ok().filter(|(here, there)| *here == value && *there == value).map(drop))
        })
    };
    wait::until("the gateway to be connected", LONG, || {
        let words = ["gateways".into(), "--json".into(), "--dir".into(), ends.cloud.clone().into_os_string()];
        let listed: Value = serde_json::from_str(&process::run(&ends.engawa_cloud, words)?)?;
        Ok((listed["connected"] == true).then_some(()))
    })?;

    // The line is there: each end's write is soon at the other.
    ends.gateway(&["set", "climate.eco-heating-c", "17.5", "--as", "ann"])?;
    agree("climate.eco-heating-c", 17.5.into())?;
    ends.cloud(&["set", PROPERTY, "climate.eco-heating-c", "18", "--as", "fleet"])?;
    agree("climate.eco-heating-c", 18.0.into())?;
    anyhow::ensure!(
        ends.conflicts("climate.eco-heating-c")? == [vec![], vec![]],
        "one after the other is no conflict"
    );

    // What one end alone may write is refused at the other, with the reason.
    let refused = ends.gateway(&["set", "feature.pre-arrival", "off"]).unwrap_err().to_string();
    anyhow::ensure!(refused.contains("in the cloud only"), "{refused}");
    let refused = ends.cloud(&["set", GATEWAY, "privacy.share-preferences", "on"]).unwrap_err().to_string();
    anyhow::ensure!(refused.contains("at the gateway only"), "{refused}");
    let refused = ends.cloud(&["set", GATEWAY, "climate.comfort-c", "50"]).unwrap_err().to_string();
    anyhow::ensure!(refused.contains("from 5 to 35"), "{refused}");

    house.line.cut(true);
    // Latest wins: the cloud writes after the gateway. Lower wins, whoever was first. The gateway wins.
    ends.gateway(&["set", "climate.comfort-c", "21", "--as", "ann"])?;
    ends.cloud(&["set", GATEWAY, "climate.comfort-c", "23", "--as", "fleet"])?;
    ends.gateway(&["set", "privacy.retention-days", "14"])?;
    ends.cloud(&["set", GATEWAY, "privacy.retention-days", "60"])?;
    ends.cloud(&["set", GATEWAY, "climate.guest-hold-s", "3600"])?;
    ends.gateway(&["set", "climate.guest-hold-s", "1800"])?;
    let apart = ends.values("climate.comfort-c")?;
    anyhow::ensure!(apart == (21.0.into(), 23.0.into()), "offline each end has its own: {apart:?}");
    // A restart of the agent in between changes nothing.
    house.agent.stop()?;
    house.agent.start_again()?;
    wait::until("the agent to answer", LONG, || Ok(house.status().map(drop)))?;
    house.line.cut(false);

    for (name, edge, cloud, value, kept) in [
        ("climate.comfort-c", 21.0, 23.0, 23.0, "cloud"),
        ("privacy.retention-days", 14.0, 60.0, 14.0, "edge"),
        ("climate.guest-hold-s", 1800.0, 3600.0, 1800.0, "edge"),
    ] {
        agree(name, value.into())?;
        let noted = vec![(Value::from(edge), Value::from(cloud), Value::from(kept))];
        wait::until(&format!("both logs to have the conflict of {name}"), LONG, || {
            Ok((ends.conflicts(name)? == [noted.clone(), noted.clone()]).then_some(()))
        })?;
    }
    // The next write has seen both: it stands, and is no conflict.
    ends.gateway(&["set", "climate.comfort-c", "--default"])?;
    wait::until("the default at both ends", LONG, || {
        Ok((ends.values("climate.comfort-c")?.1 == Value::Null).then_some(()))
    })?;
    anyhow::ensure!(ends.conflicts("climate.comfort-c")?.iter().all(|noted| noted.len() == 1));
    // For people: the value, and a conflict in words.
    let listed = ends.gateway(&["list"])?;
    anyhow::ensure!(
        listed.lines().any(|line| line.starts_with("climate.eco-heating-c ") && line.contains(" 18 ")),
        "{listed}"
    );
    let told = ends.cloud(&["log", GATEWAY])?;
    anyhow::ensure!(
        told.contains("CONFLICT, gateway stands: gateway 14 by staff") && told.contains("cloud 60 by cloud"),
        "{told}"
    );
    let rows =
        house.database().number("SELECT count(*) FROM journal WHERE kind = 'setting_note' AND lane = 4")?;
    anyhow::ensure!(rows == 3, "{rows} notes in the lane of the audit");
    preferences(&mut house, &ends)
}

/// What a guest prefers leaves the house where that is switched on, comes from the cloud then, and goes at both ends with
/// the guest's data.
fn preferences(house: &mut House, ends: &Ends) -> anyhow::Result<()> {
    let name = "guest.temperature-c";
    let database = house.database();
    let in_house = "SELECT stay FROM stay WHERE left_at IS NULL ORDER BY stay LIMIT 1";
    wait::until("a guest", LONG, || Ok(database.rows(in_house)?.pop()))?;
    // Nobody comes or goes any more.
    house.hotel.kill()?;
    house.settle(LONG)?;
    let stay = database.rows(in_house)?.pop().and_then(|row| row["stay"].as_str().map(str::to_owned));
    let Some(stay) = stay else { anyhow::bail!("the guest has left in the last moment") };
    let refused = ends.cloud(&["set", GATEWAY, name, "20", "--stay", &stay]).unwrap_err().to_string();
    anyhow::ensure!(refused.contains("keeps guests' preferences to itself"), "{refused}");
    ends.gateway(&["set", name, "20.5", "--stay", &stay])?;
    ends.gateway(&["set", "privacy.share-preferences", "on"])?;
    wait::until("the cloud to know that it is shared", LONG, || {
        Ok((ends.values("privacy.share-preferences")?.1 == Value::Bool(true)).then_some(()))
    })?;
    let there = |wanted: Value| {
        wait::until(&format!("{wanted} in the cloud"), LONG, || {
            let found = ends.cloud(&["get", GATEWAY, name, "--stay", &stay, "--json"])?;
            Ok((serde_json::from_str::<Value>(&found)?["value"] == wanted).then_some(()))
        })
    };
    // What was noted before is told then.
    there(20.5.into())?;
    ends.gateway(&["set", name, "21.5", "--stay", &stay])?;
    there(21.5.into())?;
    ends.cloud(&["set", GATEWAY, name, "19.5", "--stay", &stay, "--as", "app"])?;
    let here = |wanted: &str| {
        wait::until(&format!("{wanted} at the gateway"), LONG, || {
            let asked = ["list", "--stay", &stay, "--as", "ann", "--reason", "test"];
            Ok(ends
                .gateway(&asked)?
                .lines()
                .any(|line| line.starts_with(name) && line.contains(wanted))
                .then_some(()))
        })
    };
    here(" 19.5 ")?;
    let config = ends.config.display().to_string();
    process::run(&ends.engawa, ["guest", "erase", &stay, "--as", "ann", "--reason", "asked", &config])?;
    there(Value::Null)?;
    here(" - ")?;
    wait::until("the journal and the commands to have lost it", LONG, || {
        let left = "SELECT (SELECT count(*) FROM journal WHERE kind = 'preference'
                            AND json_extract(body, '$.register') IS NOT NULL)
                         + (SELECT count(*) FROM command WHERE kind = 'merge-preference'
                            AND json_extract(body, '$.action.register') IS NOT NULL)";
        let kept = database.number("SELECT count(*) FROM journal WHERE kind = 'preference'")?;
        anyhow::ensure!(kept > 0, "the rows themselves stay");
        Ok((database.number(left)? == 0).then_some(()))
    })
}

#[test]
fn what_both_ends_set_while_the_line_was_cut_is_the_same_at_both_and_in_both_logs() {
    let folder = tempfile::Builder::new().prefix("engawa-settings-").tempdir().unwrap();
    if let Err(error) = play(folder.path()) {
        panic!("logs in {}: {error:#}", folder.keep().display());
    }
}
