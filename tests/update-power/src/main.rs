//! The program of the guest: `campaign` lets a gateway be updated while every write is recorded, and tries what power cuts
//! leave; `agent` is the program that the releases are of. `tests/update-power/run.sh` starts the guest.
#![allow(clippy::print_stdout, reason = "the guest's console is where it tells")]

mod agent;
mod campaign;
mod disk;
mod release;
mod supervised;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("campaign") => campaign::run(),
        Some("agent") => agent::run(arguments.get(2).map_or("", String::as_str)),
        _ => bail!("for the guest of tests/update-power/run.sh: it is started there, with `campaign`"),
    }
}
