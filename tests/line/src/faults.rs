//! Faults of the line, the processes, the disks and the clocks, put on a house and taken off again.

use anyhow::{Context, ensure};
use engawa_relay::Weather;
use engawa_stage::house::House;
use engawa_stage::process::{self, Running};
use engawa_stage::wait;
use rand::Rng;
use rand::rngs::StdRng;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How large a disk is, KiB.
const DISK_KIB: u32 = 96 << 10;
/// How long lifting a fault may take.
const LIFTED: Duration = Duration::from_secs(10);
/// What `date` is a year away.
const A_YEAR: &str = "365d";
/// Where Debian has libfaketime.
const FAKETIME: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The gateway.
    Agent,
    /// The cloud.
    Cloud,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A bad line.
    Storm(Box<Weather>),
    /// No UDP, so that the line goes by TCP; the gateway starts anew.
    NoUdp,
    /// No line.
    Cut,
    /// `kill -9`, and started again when the fault ends.
    Kill(Victim),
    /// SIGSTOP, and SIGCONT when it ends.
    Freeze(Victim),
    /// Not a byte free.
    FullDisk(Victim),
    /// Nothing can be written.
    ReadOnlyDisk(Victim),
    /// The clock is a year ahead, or behind, and right again when it ends.
    Clock(Victim, bool),
}

/// The faults of a short history: every kind once.
pub fn each_kind(random: &mut StdRng) -> Vec<(Fault, Duration)> {
    let ms = Duration::from_millis;
    let (agent, cloud) = (Victim::Agent, Victim::Cloud);
    vec![
        (storm(random), ms(2_500)),
        (Fault::FullDisk(agent), ms(1_000)),
        (Fault::Kill(cloud), ms(200)),
        (Fault::Freeze(cloud), ms(1_000)),
        (Fault::FullDisk(cloud), ms(1_000)),
        (Fault::Clock(cloud, true), ms(1_000)),
        (Fault::ReadOnlyDisk(agent), ms(1_000)),
        (Fault::Kill(agent), ms(200)),
        (Fault::Freeze(agent), ms(1_000)),
        (Fault::ReadOnlyDisk(cloud), ms(1_000)),
        (Fault::Clock(agent, true), ms(1_000)),
        (Fault::NoUdp, ms(3_500)),
        (Fault::Cut, ms(1_000)),
    ]
}

/// Faults by chance.
pub fn by_chance(random: &mut StdRng, count: usize) -> Vec<(Fault, Duration)> {
    let one = |random: &mut StdRng| {
        let victim = if random.random() { Victim::Agent } else { Victim::Cloud };
        let fault = match random.random_range(0..10) {
            0..3 => storm(random),
            3 => Fault::NoUdp,
            4 => Fault::Cut,
            5 => Fault::Kill(victim),
            6 => Fault::Freeze(victim),
            7 => Fault::FullDisk(victim),
            8 => Fault::ReadOnlyDisk(victim),
            _ => Fault::Clock(victim, random.random()),
        };
        // Sometimes longer than the line's own patience.
        let longest = if random.random_range(0..5) == 0 { 25_000 } else { 4_000 };
        (fault, Duration::from_millis(random.random_range(100..longest)))
    };
    (0..count).map(|_| one(random)).collect()
}

fn storm(random: &mut StdRng) -> Fault {
    let ms = |random: &mut StdRng, most| Duration::from_millis(random.random_range(0..most));
    Fault::Storm(Box::new(Weather {
        seed: random.random(),
        loss: random.random_range(0.05..0.4),
        delay: ms(random, 200),
        jitter: ms(random, 100),
        reorder: random.random_range(0.0..0.2),
        duplicate: random.random_range(0.0..0.2),
        bits_per_second: Some(random.random_range(500_000..10_000_000)),
        rebind_every: Some(Duration::from_millis(random.random_range(300..3_000))),
        ..Weather::default()
    }))
}

/// What a machine can do of it.
#[derive(Clone, Debug)]
pub struct Means {
    folder: PathBuf,
    disks: bool,
    faketime: Option<PathBuf>,
}

impl Means {
    /// Puts the two ends' folders below `folder` on disks of their own, where the machine lets us. Says on standard
    /// error which faults it can't make.
    ///
    /// # Errors
    /// The system's.
    pub fn prepare(folder: &Path) -> anyhow::Result<Self> {
        let mut disks = true;
        for end in ["agent", "cloud"] {
            let dir = folder.join(end);
            std::fs::create_dir_all(&dir)?;
            let options = format!("size={DISK_KIB}k,mode=0700");
            let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(Into::into).into_iter();
            disks &= process::run(Path::new("mount"), mount.chain([dir.into_os_string()])).is_ok();
        }
        if !disks {
            eprintln!("no disks of our own (mount needs root): full and read-only disks are left out");
        }
        let faketime = FAKETIME.iter().map(PathBuf::from).find(|path| path.exists());
        if faketime.is_none() {
            eprintln!("no libfaketime (package faketime): clocks that jump are left out");
        }
        for end in [Victim::Agent, Victim::Cloud] {
            std::fs::write(clock_of(folder, end), "+0")?;
        }
        Ok(Self { folder: folder.to_owned(), disks, faketime })
    }

    fn disk(&self, victim: Victim) -> PathBuf {
        self.folder.join(match victim {
            Victim::Agent => "agent",
            Victim::Cloud => "cloud",
        })
    }

    /// Starts an end anew with a clock that can be set.
    ///
    /// # Errors
    /// It does not start.
    pub fn with_clocks(&self, house: &mut House) -> anyhow::Result<()> {
        let Some(library) = &self.faketime else { return Ok(()) };
        for victim in [Victim::Cloud, Victim::Agent] {
            let process = end(house, victim);
            process.with_environment("LD_PRELOAD", library);
            process.with_environment("FAKETIME_TIMESTAMP_FILE", clock_of(&self.folder, victim));
            process.with_environment("FAKETIME_NO_CACHE", "1");
            process.with_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            process.stop()?;
            process.start_again()?;
        }
        Ok(())
    }

    /// Puts a fault on the house for `long`, then takes it off. False where this machine can't make it.
    ///
    /// # Errors
    /// The system's.
    pub fn suffer(&self, house: &mut House, fault: &Fault, long: Duration) -> anyhow::Result<bool> {
        match fault {
            Fault::Storm(weather) => {
                house.line.set(|now| *now = (**weather).clone());
                keep_running(house, long)?;
                house.line.set(|now| *now = Weather::default());
            }
            Fault::NoUdp => {
                house.line.set(|weather| weather.udp_blocked = true);
                house.agent.kill()?;
                house.agent.start_again()?;
                keep_running(house, long)?;
                house.line.set(|weather| weather.udp_blocked = false);
            }
            Fault::Cut => {
                house.line.cut(true);
                keep_running(house, long)?;
                house.line.cut(false);
            }
            Fault::Kill(victim) => {
                end(house, *victim).kill()?;
                // How long a service manager takes to notice.
                wait::pause(long);
                end(house, *victim).start_again()?;
            }
            Fault::Freeze(victim) => {
                end(house, *victim).signal("STOP")?;
                wait::pause(long);
                end(house, *victim).signal("CONT")?;
            }
            Fault::FullDisk(_) | Fault::ReadOnlyDisk(_) if !self.disks => return Ok(false),
            Fault::FullDisk(victim) => {
                let ballast = self.disk(*victim).join("ballast");
                let filled = fill(&ballast);
                keep_running(house, long)?;
                std::fs::remove_file(&ballast).context("emptying the disk")?;
                filled?;
            }
            Fault::ReadOnlyDisk(victim) => {
                // A disk becomes read-only only while nobody has a file open for writing: after a crash, then.
                end(house, *victim).kill()?;
                self.remount(*victim, "ro")?;
                let kept = keep_running(house, long);
                // Whoever has come up on it may still hold it.
                wait::until("the disk to be writable again", LIFTED, || {
                    Ok(self.remount(*victim, "rw").ok())
                })?;
                kept?;
            }
            Fault::Clock(..) if self.faketime.is_none() => return Ok(false),
            Fault::Clock(victim, ahead) => {
                let clock = clock_of(&self.folder, *victim);
                set(&clock, &format!("{}{A_YEAR}", if *ahead { "+" } else { "-" }))?;
                keep_running(house, long)?;
                set(&clock, "+0")?;
            }
        }
        keep_running(house, Duration::ZERO)?;
        Ok(true)
    }

    fn remount(&self, victim: Victim, how: &str) -> anyhow::Result<()> {
        let disk = self.disk(victim).into_os_string();
        let options = format!("remount,{how}");
        process::run(Path::new("mount"), ["-o".into(), options.into(), disk]).map(drop)
    }
}

impl Drop for Means {
    fn drop(&mut self) {
        if self.disks {
            for victim in [Victim::Agent, Victim::Cloud] {
                // Lazy: a process that still ends holds it up for nobody.
                let _ = process::run(Path::new("umount"), ["-l".into(), self.disk(victim).into_os_string()]);
            }
        }
    }
}

/// A clock is read while it is set: whole, or not.
fn set(clock: &Path, to: &str) -> anyhow::Result<()> {
    let beside = clock.with_extension("new");
    std::fs::write(&beside, to)?;
    Ok(std::fs::rename(&beside, clock)?)
}

fn clock_of(folder: &Path, victim: Victim) -> PathBuf {
    folder.join(format!("clock-{victim:?}"))
}

fn fill(path: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let mut piece = vec![0x5a; 64 << 10];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
    ensure!(file.metadata()?.len() > 0, "the disk was full before");
    Ok(())
}

/// The process of an end.
pub fn end(house: &mut House, victim: Victim) -> &mut Running {
    match victim {
        Victim::Agent => &mut house.agent,
        Victim::Cloud => &mut house.cloud,
    }
}

/// What a service manager does: who has ended is started again, a moment later.
///
/// # Errors
/// The system's.
pub fn keep_running(house: &mut House, long: Duration) -> anyhow::Result<()> {
    let moment = Duration::from_millis(300);
    let until = std::time::Instant::now() + long;
    loop {
        for victim in [Victim::Agent, Victim::Cloud] {
            let process = end(house, victim);
            if process.ended()?.is_some() {
                wait::pause(moment);
                process.start_again()?;
            }
        }
        let Some(left) = until.checked_duration_since(std::time::Instant::now()) else { return Ok(()) };
        wait::pause(left.min(moment));
    }
}
