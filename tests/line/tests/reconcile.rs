//! A gateway whose whole folder was put back, stamp and all, and whose house lived on: the cloud turns it away, and
//! `engawa sync reconcile` brings both together. The real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use anyhow::{Context, ensure};
use engawa_line::agree::Both;
use engawa_stage::house::{GATEWAY, House, Options};
use engawa_stage::{process, wait};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// What `engawa sync ...` says, and whether it ended well.
fn sync(house: &House, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(process::program("engawa")?);
    let ran = command.arg("sync").args(arguments).arg(house.config()).output()?;
    let text = [ran.stdout, ran.stderr].concat();
    Ok((ran.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[test]
fn a_journal_that_went_its_own_way_is_reconciled_with_the_cloud() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("engawa-reconcile-").tempdir()?;
    let options = Options { rooms: 6, seed: 11, seconds: 60, resync_every_s: 1 };
    let mut house = House::open(folder.path(), &options)?;
    let (store, kept) = (folder.path().join("agent"), folder.path().join("kept"));
    let both =
        Both { store: store.clone(), cloud: house.cloud_dir().join("cloud.db"), gateway: GATEWAY.to_owned() };
    wait::until("rows in the cloud", LONG, || {
        Ok(both
            .edge()
            .ok()
            .and_then(|edge| both.cloud(edge.epoch).ok())
            .filter(|cloud| cloud.rows.len() > 50))
    })?;
    house.agent.stop()?;
    copy(&store, &kept)?;
    let (epoch, then) = (both.edge()?.epoch, both.cloud(both.edge()?.epoch)?.rows.len());
    house.agent.start_again()?;
    wait::until("rows that the copy does not have", LONG, || {
        Ok((both.cloud(epoch)?.rows.len() > then + 150).then_some(()))
    })?;
    // The folder is put back while nobody looks, and the house lives on.
    house.agent.kill()?;
    std::fs::remove_dir_all(&store)?;
    copy(&kept, &store)?;
    house.agent.start_again()?;
    wait::until("the cloud to turn it away", LONG, || {
        house.agent.must_run()?;
        Ok(house.agent.output()?.contains("engawa sync reconcile").then_some(()))
    })?;
    ensure!(both.edge()?.epoch == epoch, "it takes itself for what it was");

    let (good, said) = sync(&house, &["reconcile"])?;
    ensure!(
        good && said.contains("the cloud has others") && said.contains("with --yes it is done"),
        "{said}"
    );
    let (good, said) = sync(&house, &["reconcile", "--yes"])?;
    ensure!(!good && said.contains("the agent is running"), "{said}");
    let (good, said) = sync(&house, &[])?;
    ensure!(good && said.contains(&format!("epoch {epoch}")) && said.contains("telemetry"), "{said}");
    house.agent.stop()?;
    let (good, said) = sync(&house, &["reconcile", "--yes"])?;
    ensure!(good && said.contains("done: the new epoch begins"), "{said}");
    let before = both.cloud(epoch)?;
    house.agent.start_again()?;
    let epoch_now = wait::until("a new epoch", LONG, || {
        house.agent.must_run()?;
        Ok(both.edge().ok().map(|edge| edge.epoch).filter(|now| *now != epoch))
    })?;
    // Everything of it comes: a row for each number, or a gap where the cloud has it under its old one.
    house.hotel.kill()?;
    let mut differs = String::new();
    let agreed = wait::until("both to agree", LONG, || {
        let (edge, cloud) = (both.edge()?, both.cloud(epoch_now)?);
        let gaps: BTreeMap<(u8, u64), u64> = cloud
            .rows
            .iter()
            .filter(|(_, row)| row.1 == "gap")
            .filter_map(|((lane, to), row)| {
                let body: serde_json::Value = serde_json::from_slice(&row.2).ok()?;
                Some(((*lane, *to), body["from"].as_u64()?))
            })
            .collect();
        let missing = edge.rows.iter().filter(|((lane, seq), row)| {
            let said =
                gaps.range((*lane, *seq)..=(*lane, u64::MAX)).next().is_some_and(|(_, from)| from <= seq);
            cloud.rows.get(&(*lane, *seq)) != Some(*row) && !said
        });
        let missing: Vec<_> = missing.map(|(at, _)| *at).collect();
        differs = format!("{} rows are not in the cloud, such as {:?}", missing.len(), missing.first());
        Ok((missing.is_empty() && edge.heads == edge.acked).then_some(edge.rows.len()))
    });
    agreed.with_context(|| differs.clone())?;
    ensure!(both.cloud(epoch)?.rows == before.rows, "what the cloud has of the old epoch stays as it is");
    // No time at which the house did something is there twice: rows of the copy that the cloud has are not sent again.
    let (old, new) = (both.cloud(epoch)?, both.cloud(epoch_now)?);
    let twice =
        new.rows.values().filter(|row| row.1 != "gap" && old.rows.values().any(|other| other == *row));
    ensure!(twice.count() == 0, "rows are in both epochs");
    let (good, said) = sync(&house, &["reconcile"])?;
    ensure!(good && said.contains("nothing is to be reconciled"), "{said}");
    Ok(())
}
