//! `make demo`: a hotel's day in two minutes, with the internet cut for a while, and the proof that nothing was lost
//! and nothing came twice.
#![allow(clippy::print_stdout, reason = "the demo is looked at")]

use clap::Parser;
use engawa_stage::figures::{self, Spread};
use engawa_stage::house::{GATEWAY, House, Options};
use engawa_stage::proof::{self, Check, Day};
use engawa_stage::{leaks, played, wait};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// When the line to the cloud is cut and mended, in parts of the day.
const CUT: (f64, f64) = (0.35, 0.60);
/// How often the picture is drawn.
const DRAW: Duration = Duration::from_millis(250);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// Rows that are under way at any moment of a busy day: no backlog.
const FEW: u64 = 10;
/// How long the day may take beyond its plan, and the cloud to catch up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays a hotel's day: cloud, gateway, PMS, rooms and tills as real processes on this machine.
#[derive(Parser)]
struct Arguments {
    /// Rooms of the hotel.
    #[arg(long, default_value_t = 40)]
    rooms: u32,
    /// The same seed plays the same day.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How long the day takes, seconds.
    #[arg(long, default_value_t = 110)]
    seconds: u32,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match play(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command that the cloud sends during the day.
struct Order {
    at: f64,
    key: &'static str,
    room: usize,
    celsius: &'static str,
}

/// One while the line is up, two while it is cut (they must arrive afterwards), one at the end.
const ORDERS: [Order; 4] = [
    Order { at: 0.25, key: "concierge-1", room: 1, celsius: "23.5" },
    Order { at: 0.45, key: "concierge-2", room: 2, celsius: "20.5" },
    Order { at: 0.50, key: "concierge-3", room: 3, celsius: "24.5" },
    Order { at: 0.85, key: "concierge-4", room: 4, celsius: "21.5" },
];

fn play(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = tempfile::Builder::new().prefix("engawa-demo-").tempdir()?;
    let Arguments { rooms, seed, seconds, keep } = *arguments;
    println!(
        "Engawa: a day of a {rooms}-room hotel in {seconds} s (seed {seed}). Everything runs on loopback, in {}",
        folder.path().display()
    );
    let mut house = House::open(folder.path(), &Options { rooms, seed, seconds, resync_every_s: 3600 })?;
    println!("the status page of the gateway: http://{}/", house.page());

    let began = Instant::now();
    let part = |part: f64| began + Duration::from_secs(u64::from(seconds)).mul_f64(part);
    let mut screen = Screen::new();
    let mut cut: Option<i64> = None;
    let mut mended: Option<(i64, Instant)> = None;
    let mut caught_up: Option<Duration> = None;
    let mut orders = ORDERS.iter().peekable();
    let mut most_memory = 0;
    while !house.day_is_over()? {
        house.agent.must_run()?;
        house.cloud.must_run()?;
        let now = Instant::now();
        if cut.is_none() && now >= part(CUT.0) {
            house.line.cut(true);
            cut = Some(micros());
        }
        if cut.is_some() && mended.is_none() && now >= part(CUT.1) {
            house.line.cut(false);
            mended = Some((micros(), now));
        }
        if let Some(order) = orders.next_if(|order| now >= part(order.at)) {
            let names = room_names(&house);
            if let Some(room) = names.get(order.room % names.len().max(1)) {
                house.send_setpoint(order.key, room, order.celsius)?;
            }
        }
        let (resident, _) = figures::memory_kb(house.agent.id())?;
        most_memory = most_memory.max(resident);
        let line = match (cut, &mended) {
            (Some(_), None) => Line::Cut,
            _ => Line::Up,
        };
        // Right after the line is mended it is looked at more often: it is then that the figure is taken.
        let hurry = mended.is_some() && caught_up.is_none();
        let waiting = (hurry || screen.wants_numbers()).then(|| house.unsettled()).flatten();
        if let (Some((_, since)), None, Some(0..=FEW)) = (mended, caught_up, waiting) {
            caught_up = Some(since.elapsed());
        }
        screen.draw(house.progress().as_ref(), &line, waiting, resident, began.elapsed());
        if now > part(1.0) + PATIENCE {
            anyhow::bail!("the day does not end: see the logs in {}", folder.keep().display());
        }
        wait::pause(DRAW);
    }
    screen.end();
    let day_took = began.elapsed();
    if let Err(error) = house.settle(PATIENCE) {
        println!("the logs are in {}", folder.keep().display());
        return Err(error);
    }

    let events = house.played()?;
    let database = house.database();
    let mut checks = proof::check(&events, &database, Day::Quiet)?;
    checks.push(leaks::check(folder.path(), &events)?);
    let holds = checks.iter().all(Check::holds);
    report(&house, &events, cut.zip(mended.map(|(at, _)| at)), day_took, caught_up, most_memory)?;
    print_proof(&checks, &orders_arrived(&database)?);
    let holds = holds && orders_arrived(&database)?.len() == ORDERS.len();
    println!("{}", if holds { "\nThe proof holds." } else { "\nTHE PROOF DOES NOT HOLD." });
    if !holds {
        println!("everything is left in {}", folder.keep().display());
        return Ok(false);
    }
    if keep {
        println!(
            "\nStill running, until Ctrl-C: http://{}/\n  configuration  {}\n  cloud          {}",
            house.page(),
            house.config().display(),
            house.cloud_dir().display()
        );
        loop {
            house.agent.must_run()?;
            wait::pause(Duration::from_secs(1));
        }
    }
    house.agent.stop()?;
    house.cloud.stop()?;
    Ok(true)
}

fn micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn room_names(house: &House) -> Vec<String> {
    let progress = house.progress().unwrap_or_default();
    let rooms = progress["rooms"].as_array().cloned().unwrap_or_default();
    rooms.iter().filter_map(|room| room["room"].as_str().map(str::to_owned)).collect()
}

/// The keys of the cloud's commands that ended as done, each once.
fn orders_arrived(database: &engawa_stage::sqlite::Database) -> anyhow::Result<Vec<String>> {
    let rows = database.rows(
        "SELECT json_extract(body, '$.key') AS key FROM journal
         WHERE kind = 'command_ended' AND json_extract(body, '$.key') LIKE 'concierge-%'
           AND json_extract(body, '$.outcome.outcome') = 'done'
         GROUP BY key HAVING count(*) = 1 ORDER BY key",
    )?;
    Ok(rows.iter().filter_map(|row| row["key"].as_str().map(str::to_owned)).collect())
}

fn report(
    house: &House,
    events: &[played::Event],
    cut: Option<(i64, i64)>,
    day_took: Duration,
    caught_up: Option<Duration>,
    most_memory: u64,
) -> anyhow::Result<()> {
    let count = |kind| played::of(events, kind).count();
    println!("\nWhat happened ({:.0} s)", day_took.as_secs_f64());
    println!(
        "  {} check-ins, {} moves, {} check-outs, {} charges, {} set points changed by guests at the wall",
        count("checked_in"),
        count("moved"),
        count("checked_out"),
        count("charged"),
        count("wall")
    );
    if let Some((from, to)) = cut {
        #[allow(clippy::cast_precision_loss, reason = "seconds of a demo")]
        let long = (to - from) as f64 / 1e6;
        let after = caught_up.map_or_else(
            || "by the end of the day".to_owned(),
            |took| format!("{:.1} s after it was mended", took.as_secs_f64()),
        );
        println!(
            "  the internet was cut for {long:.0} s ({} datagrams lost); the cloud had everything {after}",
            house.line.dropped()
        );
    }
    println!("\nHow long each step took");
    let wire: Spread = figures::check_in_to_wire(events);
    println!("  PMS record on the socket -> set point on the Modbus wire   {wire}");
    // Until the cloud had everything again, rows waited for the line and not for us.
    let caught_up = caught_up.map_or(0, |took| i64::try_from(took.as_micros()).unwrap_or(0));
    let to_cloud = figures::change_to_cloud(&house.database(), cut.map(|(from, to)| (from, to + caught_up)))?;
    println!("  change -> the cloud's database (while the line was up)     {to_cloud}");
    let (resident, most) = figures::memory_kb(house.agent.id())?;
    println!(
        "\nMemory of the agent: {:.1} MB now, {:.1} MB at most",
        kb(resident),
        kb(most.max(most_memory))
    );
    println!("Bytes over the line to the cloud: {:.1} kB", kb(house.line.bytes()));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn kb(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

fn print_proof(checks: &[Check], arrived: &[String]) {
    println!("\nThe proof: the hotel's own log against the cloud's database of {GATEWAY}, read by sqlite3");
    println!("  {:<52} {:>8} {:>8}", "", "hotel", "cloud");
    for check in checks {
        let verdict = if check.holds() { "ok" } else { "WRONG" };
        println!("  {:<52} {:>8} {:>8}  {verdict}", check.name, check.hotel, check.cloud);
        for fault in &check.faults {
            println!("      {fault}");
        }
    }
    let verdict = if arrived.len() == ORDERS.len() { "ok" } else { "WRONG" };
    println!(
        "  {:<52} {:>8} {:>8}  {verdict}",
        "commands of the cloud, done in the rooms",
        ORDERS.len(),
        arrived.len()
    );
}

/// How the line to the cloud is.
enum Line {
    Up,
    Cut,
}

/// The live table, or a line now and then where there is no terminal.
struct Screen {
    live: bool,
    drawn: usize,
    last_line: Option<Instant>,
    last_numbers: Option<Instant>,
}

impl Screen {
    fn new() -> Self {
        Self { live: std::io::stdout().is_terminal(), drawn: 0, last_line: None, last_numbers: None }
    }

    /// Asking the agent costs a process: once a second is enough.
    fn wants_numbers(&mut self) -> bool {
        let due = self.last_numbers.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
        if due {
            self.last_numbers = Some(Instant::now());
        }
        due
    }

    fn draw(
        &mut self,
        progress: Option<&Value>,
        line: &Line,
        waiting: Option<u64>,
        memory: u64,
        elapsed: Duration,
    ) {
        let Some(progress) = progress else { return };
        let number = |field: &str| progress[field].as_u64().unwrap_or_default();
        let cloud = match line {
            Line::Up => "internet up ",
            Line::Cut => "INTERNET CUT",
        };
        let waiting = waiting.map_or_else(String::new, |rows| format!("  {rows} rows wait for the cloud"));
        let status = format!(
            "{:>3.0} s  {}  {:>3}/{:<3}  in {:>3}  moved {:>2}  out {:>3}  charged {:>3}  booked {:>3}  {cloud}  agent {:.1} MB{waiting}",
            elapsed.as_secs_f64(),
            progress["clock"].as_str().unwrap_or("--:--"),
            number("played"),
            number("total"),
            number("checked_in"),
            number("moved"),
            number("checked_out"),
            number("charged"),
            number("booked"),
            kb(memory),
        );
        if !self.live {
            if self.last_line.is_none_or(|last| last.elapsed() >= LINE) {
                self.last_line = Some(Instant::now());
                println!("{status}");
            }
            return;
        }
        let mut lines = table(progress);
        lines.push(bar(number("played"), number("total")));
        lines.push(status);
        let mut out = std::io::stdout().lock();
        // Where standard output is gone, nobody looks.
        let _ = redraw(&mut out, &lines, self.drawn);
        self.drawn = lines.len();
    }

    fn end(&self) {
        if self.live {
            println!();
        }
    }
}

fn redraw(out: &mut impl Write, lines: &[String], drawn: usize) -> std::io::Result<()> {
    if drawn > 0 {
        write!(out, "\x1b[{drawn}A")?;
    }
    for line in lines {
        writeln!(out, "\r\x1b[2K{line}")?;
    }
    out.flush()
}

/// The progress of the day as a bar.
fn bar(done: u64, of: u64) -> String {
    let width = 60;
    let full = usize::try_from(done * width / of.max(1)).unwrap_or(0).min(60);
    format!("[{}{}]", "=".repeat(full), " ".repeat(60 - full))
}

/// Rooms side by side: number, guests, temperature, set point, window.
fn table(progress: &Value) -> Vec<String> {
    const COLUMNS: usize = 5;
    let rooms = progress["rooms"].as_array().map_or(&[][..], Vec::as_slice);
    let cell = |room: &Value| {
        let guests = room["guests"].as_u64().unwrap_or_default();
        let guests = if guests == 0 { "  ".to_owned() } else { format!("{guests}g") };
        let window = if room["window"].as_bool() == Some(true) { "W" } else { " " };
        format!(
            "{:>5} {guests} {:>4.1}/{:<4.1}{window}",
            room["room"].as_str().unwrap_or(""),
            room["celsius"].as_f64().unwrap_or_default(),
            room["setpoint"].as_f64().unwrap_or_default()
        )
    };
    let mut lines = vec!["room guests °C/set point (W: window open)".to_owned()];
    lines.extend(rooms.chunks(COLUMNS).map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")));
    lines
}
