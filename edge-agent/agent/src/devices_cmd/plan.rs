//! `engawa devices plan`: the requests of each bus, and the share of its time that they take.

use crate::cli::{Failure, File, Form};
use crate::config::Loaded;
use crate::listing;
use anyhow::{anyhow, bail};
use clap::Args;
use engawa_field::modbus::{Outline, PlannedRequest, outline};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Which buses, and what is known of them.
#[derive(Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(super) file: File,
    /// Only this bus.
    #[arg(long, value_name = "ID")]
    bus: Option<String>,
    /// What a device takes to answer on a serial line, or a round trip in the network, ms; 10 and 5 where absent.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    answer_ms: Option<u32>,
    #[command(flatten)]
    form: Form,
}

impl Plan {
    /// Prints the plan of each bus. An overloaded one is a failure.
    pub(super) fn show(&self, loaded: &Loaded) -> Result<(), Failure> {
        // What devices have refused lies in the store, where there is one already.
        let notes = match listing::notes(loaded) {
            Ok(notes) => notes,
            Err(error) => {
                eprintln!("engawa: what was learnt of devices is left out: {error:#}");
                BTreeMap::new()
            }
        };
        let answer = self.answer_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let buses = loaded.buses();
        if let Some(wanted) = &self.bus
            && !buses.iter().any(|(bus, _)| bus.id == *wanted)
        {
            let names = buses.iter().map(|(bus, _)| bus.id.as_str()).collect::<Vec<_>>().join(", ");
            return Err(anyhow!("there is no bus `{wanted}`; there is: {names}").into());
        }
        let mut out = crate::answer::lock();
        let mut overloaded = Vec::new();
        for (bus, devices) in buses.iter().filter(|(bus, _)| self.bus.as_ref().is_none_or(|id| bus.id == *id))
        {
            let outline = outline(bus, devices, &notes, answer);
            if self.form.json {
                writeln!(out, "{}", serde_json::to_string(&outline)?)?;
            } else {
                in_words(&mut out, &outline)?;
            }
            if outline.overloaded {
                overloaded.push(outline.bus);
            }
        }
        if buses.is_empty() && !self.form.json {
            writeln!(out, "the configuration has no [[bus]]")?;
        }
        if overloaded.is_empty() { Ok(()) } else { Err(Self::too_much(&overloaded)) }
    }

    fn too_much(buses: &[String]) -> Failure {
        anyhow!("more is asked for than can be carried: {}", buses.join(", ")).into()
    }
}

fn in_words(out: &mut impl Write, outline: &Outline) -> anyhow::Result<()> {
    if outline.bus.is_empty() {
        bail!("a bus without a name");
    }
    let lanes = if outline.lanes > 1 { format!(", up to {} at once", outline.lanes) } else { String::new() };
    writeln!(out, "bus {}: {}{lanes}", outline.bus, outline.place)?;
    let mut device = None;
    for request in &outline.requests {
        if device != Some(&request.device) {
            writeln!(out, "  {} (unit {})", request.device, request.unit)?;
            device = Some(&request.device);
        }
        self::request(out, request)?;
    }
    let count = outline.requests.len();
    writeln!(
        out,
        "  {count} requests take {:.1} % of the line's time ({})",
        outline.share_percent, outline.estimate
    )?;
    for warning in &outline.warnings {
        writeln!(out, "  {warning}")?;
    }
    Ok(())
}

fn request(out: &mut impl Write, request: &PlannedRequest) -> io::Result<()> {
    let PlannedRequest { function, first, count, along, points, .. } = request;
    let last = u32::from(*first) + u32::from(*count) - 1;
    let place = if *count == 1 { first.to_string() } else { format!("{first}..{last}") };
    let every = if request.interval_ms.is_multiple_of(1000) {
        format!("{} s", request.interval_ms / 1000)
    } else {
        format!("{} ms", request.interval_ms)
    };
    let takes = Duration::from_micros(request.takes_us);
    writeln!(
        out,
        "    {function:02} {:<8} {place:<12} {count:>4}  every {every:<7} {:>7.1} ms {:>6.2} %  {}",
        table(*function),
        takes.as_secs_f64() * 1000.0,
        request.share_percent,
        points.join(" ")
    )?;
    if *along > 0 {
        writeln!(out, "       {along} between are read along: cheaper than another request")?;
    }
    if request.refused {
        writeln!(out, "       the device refuses this: it is asked again every ten minutes")?;
    }
    if let Some(apart) = &request.apart {
        writeln!(out, "       not with the one before: {apart}")?;
    }
    Ok(())
}

const fn table(function: u8) -> &'static str {
    match function {
        1 => "coil",
        2 => "discrete",
        3 => "holding",
        _ => "input",
    }
}
