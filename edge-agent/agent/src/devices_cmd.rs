//! `engawa devices plan`, ...: what the buses are asked, and what hangs on a line.
//!
//! Never: a write that nobody asked for.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

mod plan;

use crate::cli::with;
use crate::found_cmd;
use clap::Subcommand;

/// What can be asked of devices and their lines.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the requests that each bus would be asked, why they are as they are, and their share of its time
    #[command(
        after_help = "Nothing is opened but the configuration and the store: what devices have refused before is \
        planned for.

Exit status 0: every bus can carry what it is asked. 1: one is overloaded. 2: the configuration is wrong."
    )]
    Plan(plan::Plan),
    /// List the devices that told of themselves on the broker and wait to be placed in a room
    #[command(
        after_help = "Found are devices that speak as Home Assistant's MQTT discovery has it (Zigbee2MQTT, ESPHome, ...), \
        where [mqtt] says `discover = true`. Those that are in the configuration already are not listed. Reads the store, \
        so it also works while the agent is stopped."
    )]
    Found(found_cmd::List),
    /// Place a found device in a room: write its profile, and the device into the configuration
    #[command(
        after_help = "The profile is made from what the device told, and lies in the configuration's folder of profiles. A \
        [[device]] is added at the end of the configuration. Both are checked first: where something would be wrong, \
        it is said and nothing is changed. Start the agent again to use the device.

Exit status 0: done. 1: no such device waits, or a file can't be written. 2: the command line or the configuration is wrong.

Examples:
  engawa devices found
  engawa devices place zigbee2mqtt_0x00158d0001 --room 101
  engawa devices place zigbee2mqtt_0x0015 --room 101 --id window-101 --dry-run"
    )]
    Place(found_cmd::Place),
}

/// Does what is asked; the exit status.
pub(crate) fn main(command: Command) -> u8 {
    match command {
        Command::Found(list) => with(&list.file, |loaded| Ok(list.show(loaded)?)),
        Command::Place(place) => place.place(),
        Command::Plan(plan) => with(&plan.file, |loaded| plan.show(loaded)),
    }
}
