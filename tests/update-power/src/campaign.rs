//! The campaign: a gateway's updates on a disk whose writes are recorded, then every cut.

use crate::disk::{self, MEMORY};
use crate::release::{self, Made};
use crate::supervised::{self, SLOTS, Supervised};
use anyhow::{Context as _, Result, bail, ensure};
use engawa_release::Digest;
use engawa_update::{FolderSource, Limits, Release, install};
use engawa_update_power::cut::{Disk, LIES, Pending};
use engawa_update_power::log::{self, Entry};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

const REPOSITORY: &str = "/tmp/repository";
/// The release that only a gateway that was found after a cut is updated to.
const LAST: u64 = 6;
/// Every so manieth cut is followed by another update, to its end.
const UPDATED: usize = 20;
/// Cuts on a disk that lies, when the teeth are tried.
const TEETH: usize = 200;

/// What may be started from a moment on, and below what nothing may.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    numbers: BTreeSet<u64>,
    floor: u64,
}

impl Allowed {
    fn mark(numbers: &[u64], floor: u64) -> String {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        format!("allow:{}:{floor}", numbers.join(","))
    }

    fn parse(mark: &str) -> Option<Self> {
        let (numbers, floor) = mark.strip_prefix("allow:")?.split_once(':')?;
        let numbers = numbers.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { numbers, floor: floor.parse().ok()? })
    }
}

pub(crate) fn run() -> Result<()> {
    let setting =
        |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let (cuts, seed, teeth) = (setting("CUTS"), setting("SEED"), setting("TEETH"));
    fs::write("/tmp/config", "")?;
    let releases = release::make(Path::new(REPOSITORY), LAST)?;
    let (base, log_bytes) = record(&releases)?;
    let entries = log::read(&log_bytes)?;
    let writes = entries.iter().filter(|entry| entry.write.is_some()).count();
    let flushes = entries.iter().filter(|entry| entry.flush).count();
    println!("update-power: recorded {} updates: {writes} writes, {flushes} flushes", LAST - 2);
    if teeth != 0 {
        return bite(&base, &log_bytes, &entries, &releases, seed);
    }

    // Behind each write, and behind each mark, where what is allowed changes.
    let positions: Vec<usize> = (0..=entries.len())
        .filter(|at| {
            *at == 0 || entries.get(at - 1).is_some_and(|entry| entry.write.is_some() || entry.mark.is_some())
        })
        .collect();
    let step = if cuts == 0 { 1.0 } else { (positions.len() as f64 / cuts as f64).max(1.0) };
    let count = (positions.len() as f64 / step) as usize;
    let begun = Instant::now();
    let (mut kept, mut chance) = (disk_of(&base, &log_bytes, &entries), disk_of(&base, &log_bytes, &entries));
    let mut memory = disk::Memory::open()?;
    let mut tried = 0;
    let mut found = std::collections::BTreeMap::<u64, usize>::new();
    for index in 0..count {
        let position = positions[((index as f64 * step) as usize).min(positions.len() - 1)];
        let allowed = allowed_at(&entries, position)?;
        for (name, image) in [
            ("kept", kept.cut(position, Pending::Kept)),
            ("chance", chance.cut(position, Pending::Chance(seed))),
        ] {
            memory.put(&image)?;
            let goes_on = tried % UPDATED == 0;
            let number = try_cut(&allowed, &releases, goes_on).with_context(|| {
                format!("cut behind entry {position} of {}, {name}, SEED={seed}, {allowed:?}", entries.len())
            })?;
            *found.entry(number).or_default() += 1;
            tried += 1;
        }
        if index % 100 == 99 {
            println!("update-power: {tried} cuts held, {} s", begun.elapsed().as_secs());
        }
    }
    println!(
        "update-power: all held: {tried} cuts in {} s, each with a complete version that may run ({found:?} by number); \
         {} of them updated once more",
        begun.elapsed().as_secs(),
        tried.div_ceil(UPDATED),
    );
    Ok(())
}

fn disk_of<'a>(base: &[u8], log: &'a [u8], entries: &'a [Entry]) -> Disk<'a> {
    Disk::new(base.to_vec(), log, entries)
}

/// What may run after a cut at a position.
fn allowed_at(entries: &[Entry], position: usize) -> Result<Allowed> {
    let marks = entries[..position].iter().rev().filter_map(|entry| entry.mark.as_deref());
    Ok(marks.filter_map(Allowed::parse).next().unwrap_or(Allowed { numbers: BTreeSet::from([1]), floor: 1 }))
}

/// A gateway's life, recorded: the disk before it, and the log.
fn record(releases: &[Made]) -> Result<(Vec<u8>, Vec<u8>)> {
    disk::format()?;
    disk::mount(disk::DISK)?;
    lay_first(&releases[0])?;
    disk::unmount()?;
    let base = disk::read(disk::DISK)?;
    disk::log()?;
    disk::mount(disk::LOGGED)?;
    let mut gateway = Supervised::start()?;
    ensure!(gateway.started(0)?.0 == 1, "the first release is not started");

    // Confirmed.
    update(&mut gateway, &releases[1], &[1, 2], 1)?;
    gateway.order(2, "healthy")?;
    disk::mark(&Allowed::mark(&[2], 2))?;
    // Found unwell by itself.
    let seen = Supervised::starts();
    update(&mut gateway, &releases[2], &[2, 3], 2)?;
    Supervised::tell(3, "unwell")?;
    back_to(&mut gateway, 2, seen + 1)?;
    // Ends in each of its tries.
    let seen = Supervised::starts();
    Supervised::tell(4, "crash")?;
    update(&mut gateway, &releases[3], &[2, 4], 2)?;
    back_to(&mut gateway, 2, seen + 1)?;
    // Confirmed, in the slot of the first one again.
    update(&mut gateway, &releases[4], &[2, 5], 2)?;
    gateway.order(5, "healthy")?;
    disk::mark(&Allowed::mark(&[5], 5))?;
    // Below the floor: refused.
    let spare = gateway.socket.begin()?;
    write_slot(&releases[1], &spare.to_string())?;
    let refused = gateway.socket.try_release(slots_digest(&releases[1])?, 2, &releases[1].version, "back");
    ensure!(refused.is_err(), "a release below the floor is tried");
    gateway.stop()?;
    disk::mark("end")?;
    disk::unmount()?;
    Ok((base, disk::logged()?))
}

/// The spare slot begun, written, and tried; the new version has been started when this is over.
fn update(gateway: &mut Supervised, release: &Made, allowed: &[u64], floor: u64) -> Result<()> {
    let spare = gateway.socket.begin()?;
    write_slot(release, &spare.to_string())?;
    disk::mark(&Allowed::mark(allowed, floor))?;
    switch(gateway, release)
}

fn switch(gateway: &mut Supervised, release: &Made) -> Result<()> {
    let seen = Supervised::starts();
    gateway.socket.try_release(slots_digest(release)?, release.number, &release.version, "rollout")?;
    let (number, _) = gateway.started(seen)?;
    ensure!(number == release.number, "{number} is started, {} was to be tried", release.number);
    Ok(())
}

/// Waits until an agent of this number runs again, and marks that nothing else may from then on.
fn back_to(gateway: &mut Supervised, number: u64, mut seen: usize) -> Result<()> {
    while gateway.started(seen)?.0 != number {
        seen += 1;
    }
    disk::mark(&Allowed::mark(&[number], number))
}

fn slots_digest(release: &Made) -> Result<engawa_slots::Digest> {
    let text = release.manifest.to_string();
    text.parse().map_err(|why| anyhow::anyhow!("{text} is no digest: {why}"))
}

/// The real installer, from the repository and from what the other slot has.
fn write_slot(release: &Made, spare: &str) -> Result<()> {
    let mut source = FolderSource::open(Path::new(REPOSITORY))?;
    let manifest = Release::read(&release.path, release.manifest_bytes.clone())?;
    let other = Path::new(SLOTS).join(if spare == "a" { "b" } else { "a" });
    let limits = Limits { reserve: 1 << 20, sync_every: 64 << 10, ..Limits::default() };
    install(&mut source, &manifest, &Path::new(SLOTS).join(spare), &[&other], limits, &mut |_| true)
        .with_context(|| format!("release {} into slot {spare}", release.number))?;
    Ok(())
}

fn lay_first(release: &Made) -> Result<()> {
    let from = Path::new("/tmp/first");
    fs::create_dir_all(from)?;
    let mut files = vec![from.join(engawa_slots::MANIFEST)];
    fs::write(&files[0], &release.manifest_bytes)?;
    for (name, bytes) in &release.files {
        fs::write(from.join(name), bytes)?;
        fs::set_permissions(from.join(name), fs::Permissions::from_mode(release::mode(name)))?;
        files.push(from.join(name));
    }
    supervised::install(&files.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>())
}

/// The disk in memory as a cut has left it: mounted, and the supervisor started on it. Which number has come up.
fn try_cut(allowed: &Allowed, releases: &[Made], goes_on: bool) -> Result<u64> {
    disk::mount(MEMORY)?;
    let found = start_after_cut(allowed, releases, goes_on);
    // Whatever was found is told first; a disk in use would hide it.
    let unmounted = if found.is_ok() { disk::unmount() } else { supervised::clear() };
    let number = found?;
    unmounted?;
    Ok(number)
}

fn start_after_cut(allowed: &Allowed, releases: &[Made], goes_on: bool) -> Result<u64> {
    let mut gateway = Supervised::start()?;
    let (number, slot) = gateway.started(0)?;
    ensure!(allowed.numbers.contains(&number), "release {number} is started: {}", supervised::said());
    let release =
        releases.iter().find(|release| release.number == number).context("a release that nobody has made")?;
    complete(release, Path::new(&slot))?;
    let status = gateway.socket.status()?;
    ensure!(status.floor >= allowed.floor, "the floor is {}", status.floor);
    ensure!(status.number == number, "the supervisor says that {} runs", status.number);
    if goes_on {
        update_once_more(&mut gateway, releases.last().context("no release")?, number)?;
    }
    gateway.stop()?;
    ensure!(disk::errors(MEMORY)? == 0, "the kernel has found the file system broken");
    Ok(number)
}

/// It is not only alive: it can be updated.
fn update_once_more(gateway: &mut Supervised, last: &Made, running: u64) -> Result<()> {
    if gateway.socket.status()?.trial.is_some() {
        gateway.order(running, "healthy")?;
    }
    let spare = gateway.socket.begin()?;
    write_slot(last, &spare.to_string())?;
    switch(gateway, last)?;
    gateway.order(last.number, "healthy")?;
    let status = gateway.socket.status()?;
    ensure!(
        status.floor == last.number && status.trial.is_none(),
        "the last release was not confirmed: {status:?}"
    );
    complete(last, &Path::new(SLOTS).join(spare.to_string()))
}

/// Every byte of a slot is what was released, whatever the supervisor thinks.
fn complete(release: &Made, slot: &Path) -> Result<()> {
    let manifest = slot.join(engawa_slots::MANIFEST);
    let manifest = fs::read(&manifest).with_context(|| manifest.display().to_string())?;
    ensure!(Digest::of(&manifest) == release.manifest, "{}: the manifest is another one", slot.display());
    for (name, bytes) in &release.files {
        let found = fs::read(slot.join(name)).with_context(|| name.clone())?;
        ensure!(found == *bytes, "{}/{name} is not what was released, and was started", slot.display());
    }
    Ok(())
}

/// Disks that lie about flushes: the checks above must find them, or they would find nothing.
fn bite(base: &[u8], log: &[u8], entries: &[Entry], releases: &[Made], seed: u64) -> Result<()> {
    let mut memory = disk::Memory::open()?;
    let mut found = 0;
    for index in 0..TEETH {
        let position = entries.len() * (index + 1) / TEETH;
        let mut lying = disk_of(base, log, entries);
        memory.put(&lying.cut(position, Pending::Lying { seed: seed + index as u64, flushes: LIES }))?;
        if let Err(why) = allowed_at(entries, position).and_then(|allowed| try_cut(&allowed, releases, false))
        {
            found += 1;
            if found <= 5 {
                println!("update-power: a disk that lies, behind entry {position}: {why:#}");
            }
        }
    }
    if found == 0 {
        bail!(
            "{TEETH} disks that lie about their flushes, and nothing was noticed: these tests have no teeth"
        );
    }
    println!(
        "update-power: all held: {found} of {TEETH} disks that lie were noticed; those that keep their word are never"
    );
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_read_as_it_was_marked() {
        let allowed = Allowed::parse(&Allowed::mark(&[2, 3], 2)).unwrap();
        assert_eq!(allowed, Allowed { numbers: BTreeSet::from([2, 3]), floor: 2 });
        assert_eq!(Allowed::parse("end"), None);
        assert!(Path::new(SLOTS).starts_with(disk::MOUNTED));
    }
}
