//! `engawa-cloud tail`: a room's or a device's values as they come.
//!
//! The command that asks for them is durable, as any; the values are not: they come beside the journal, over whichever
//! replica has the gateway's connection.

use crate::asker;
use crate::cli::{DONE, NOT_DONE, NOT_ENDED};
use crate::desk::{Desk, Home, runtime};
use crate::output::{note, plain, say};
use anyhow::{Context, bail};
use engawa_cloud::live::{self, Told};
use engawa_cloud::postgres;
use engawa_model::{Action, CommandKey, Timestamp, Watched};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// How often the command's end is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// How long after its time the end of a tail is waited for.
const LATE: Duration = Duration::from_secs(10);
/// How long the last values may be on their way after the tail's end is known.
const LAST_VALUES: Duration = Duration::from_secs(3);
/// How long a gateway that is not connected may take for the command, seconds: nobody sits before it for longer.
const EXPIRES_S: u32 = 60;

/// What is to be watched.
#[derive(clap::Args)]
pub(crate) struct Watching {
    /// Which gateway.
    gateway: String,
    /// room/NUMBER or device/NAME.
    #[arg(value_parser = Watched::parse)]
    of: Watched,
    /// How long, seconds, up to an hour.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=i64::from(engawa_model::LONGEST_TAIL_S)))]
    seconds: u32,
    /// Who asks, for the audit; without it, the login.
    #[arg(long = "as", value_name = "NAME", value_parser = asker::name)]
    who: Option<String>,
    /// One JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
}

/// What comes next.
enum Next {
    Told(Told),
    Nothing,
    Interrupted,
    Gone,
}

/// Prints values until the tail is over.
pub(crate) fn tail(home: &Home, tail: Watching) -> anyhow::Result<u8> {
    let desk = home.desk()?;
    desk.require(Some(&tail.gateway))?;
    if !desk.is_served()? {
        bail!("no `engawa-cloud serve` runs for this cloud: there is nothing to watch");
    }
    let own;
    let runtime = match &desk {
        Desk::Postgres(runtime, _) => runtime,
        Desk::File(_) => {
            own = runtime()?;
            &own
        }
    };
    let key = CommandKey::new(format!("tail-{:016x}", rand::random::<u64>()));
    // Heard from before it is asked for: nothing of it is missed.
    let mut heard = listen(&desk, runtime, &tail.gateway, key.as_str())?;
    let by = asker::asker(tail.who.clone());
    let action = Action::Tail { of: tail.of.clone(), for_s: tail.seconds, by: by.clone() };
    let now = Timestamp::now();
    let expires = now + jiff::SignedDuration::from_secs(i64::from(EXPIRES_S));
    let sent = desk.send(&tail.gateway, &key, &action, now, expires)?;
    let end = |key: &CommandKey| -> anyhow::Result<()> {
        let action = Action::EndTail { tail: key.clone(), by: by.clone() };
        let now = Timestamp::now();
        let end = CommandKey::new(format!("end-{key}"));
        let expires = now + jiff::SignedDuration::from_secs(i64::from(tail.seconds));
        desk.send(&tail.gateway, &end, &action, now, expires).map(drop)
    };
    let longest = Duration::from_secs(u64::from(EXPIRES_S) + u64::from(tail.seconds)) + LATE;
    let (deadline, mut look_at) = (Instant::now() + longest, Instant::now() + LOOK);
    let mut dropped = 0;
    loop {
        match next(runtime, &mut heard) {
            Next::Told(told) => {
                let over = told.ended.clone();
                if let Err(error) = show(&tail, &told, &mut dropped) {
                    // Nobody reads on.
                    end(&key)?;
                    return Err(error);
                }
                if let Some(why) = over {
                    note(&plain(&format!("the tail is over: {why}")));
                    // Of all of the gateway: its connection has ended before the tail.
                    return Ok(if told.tail.is_empty() { NOT_DONE } else { DONE });
                }
            }
            Next::Interrupted => {
                end(&key)?;
                note("the tail is ended");
                return Ok(DONE);
            }
            Next::Gone => {
                bail!("`serve` has ended, or the database's connection: the tail goes on to its end unheard")
            }
            Next::Nothing => {}
        }
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK;
            let command = desk.command(&tail.gateway, sent.seq)?.context("the command is gone")?;
            if let Some(outcome) = &command.outcome {
                drain(runtime, &mut heard, outcome == "done", |told| show(&tail, told, &mut dropped))?;
                let reason = command.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                note(&plain(&format!("{outcome}{reason}")));
                return Ok(if outcome == "done" { DONE } else { NOT_DONE });
            }
        }
        if Instant::now() >= deadline {
            end(&key)?;
            note("the tail has not ended in time: is the gateway connected?");
            return Ok(NOT_ENDED);
        }
    }
}

/// Shows what is still on its way when the command's end is known: the rows that tell of it may overtake live values. One
/// that has run ends with a word of its own.
fn drain(
    runtime: &Runtime,
    heard: &mut mpsc::Receiver<Told>,
    has_run: bool,
    mut show: impl FnMut(&Told) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let given_up = Instant::now() + if has_run { LAST_VALUES } else { Duration::ZERO };
    loop {
        match next(runtime, heard) {
            Next::Told(told) => {
                show(&told)?;
                if told.ended.is_some() {
                    return Ok(());
                }
            }
            Next::Nothing if Instant::now() < given_up => {}
            _ => return Ok(()),
        }
    }
}

fn listen(desk: &Desk, runtime: &Runtime, gateway: &str, tail: &str) -> anyhow::Result<mpsc::Receiver<Told>> {
    match desk {
        Desk::File(dir) => runtime
            .block_on(live::watch(dir, gateway, tail))
            .context("`serve` can't be asked for live values: is it of this release, and is this its user?"),
        Desk::Postgres(_, store) => {
            let mut all = runtime.block_on(postgres::live::listen(store, gateway))?;
            let (mine, heard) = mpsc::channel(1);
            let (gateway, tail) = (gateway.to_owned(), tail.to_owned());
            runtime.spawn(async move {
                while let Some(told) = all.recv().await {
                    if told.is_for(&gateway, &tail) && mine.send(told).await.is_err() {
                        return;
                    }
                }
            });
            Ok(heard)
        }
    }
}

fn next(runtime: &Runtime, heard: &mut mpsc::Receiver<Told>) -> Next {
    runtime.block_on(async {
        tokio::select! {
            told = heard.recv() => told.map_or(Next::Gone, Next::Told),
            _ = tokio::signal::ctrl_c() => Next::Interrupted,
            () = tokio::time::sleep(LOOK) => Next::Nothing,
        }
    })
}

fn show(tail: &Watching, told: &Told, dropped: &mut u64) -> anyhow::Result<()> {
    for (at, value) in &told.values {
        if tail.json {
            say(&json!({ "at": at, "gateway": tail.gateway, "value": value }).to_string())?;
            continue;
        }
        let at = at.map_or_else(|| "-".to_owned(), |at| format!("{at:.3}"));
        let word = |field: &str| value[field].as_str().unwrap_or("-").to_owned();
        let reading = match &value["value"] {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        say(&plain(&format!("{at:<24}  {:<32}  {reading:>10}  {}", word("point"), word("quality"))))?;
    }
    if told.dropped > *dropped {
        note(&format!("{} values were dropped on the way", told.dropped - *dropped));
        *dropped = told.dropped;
    }
    if told.missed > 0 {
        note(&format!("{} frames were missed: this end, or the database, was too slow", told.missed));
    }
    Ok(())
}
