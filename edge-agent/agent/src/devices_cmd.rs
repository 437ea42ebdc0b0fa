//! `engawa devices plan`, `scan`, ...: what the buses are asked, and what hangs on a line.
//!
//! Why a line of one's own: whoever installs devices has a laptop and a converter, and no agent yet. On a serial line
//! the agent and these commands keep out of each other's way: the port is one program's at a time.
//!
//! Never: a write that nobody asked for, or one that is sent twice.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

mod forget;
mod plan;
mod point;
mod probe;
mod scan;

use crate::cli::with;
use crate::found_cmd;
use crate::profile_cmd::failed;
use clap::Subcommand;
use std::future::Future;

/// What can be asked of devices and their lines.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the requests that each bus is asked, why they are as they are, and their share of its time
    #[command(
        after_help = "Nothing is opened but the configuration and the store: what devices have refused before is \
        planned for.

Exit status 0: every bus can carry what it is asked. 1: one is overloaded. 2: the configuration is wrong."
    )]
    Plan(plan::Plan),
    /// Find the units that answer on a line, and the profiles that may fit them
    #[command(
        after_help = "Only reads. A serial port that the agent has is not opened: stop the agent first (systemctl stop \
        engawa), or scan before it is started.

Exit status 0: something answers. 1: nothing does, or there is no connection. 2: the command line is wrong.

Examples:
  engawa devices scan --serial /dev/ttyUSB0 --baud 9600 --parity none
  engawa devices scan --tcp 192.168.10.5:502 --units 1-32
  engawa devices scan --bus floor-1 --profiles /etc/engawa/profiles"
    )]
    Scan(scan::Scan),
    /// Find out how fast a unit answers, how much it gives in one request, and how many requests it bears at once
    #[command(
        after_help = "Only reads. The numbers are those of a profile: max_registers, max_in_flight, timeout_ms.

Examples:
  engawa devices probe --tcp 192.168.10.5:502 --unit 3
  engawa devices probe --serial /dev/ttyUSB0 --unit 3 --table input --address 1000"
    )]
    Probe(probe::Probe),
    /// Read a point of the configuration, or a register of any device, once
    #[command(after_help = "Examples:
  engawa devices read t-101/comfort_setpoint
  engawa devices read --tcp 192.168.10.5:502 --unit 3 --table input --address 1002 --type s16 --scale 1/50")]
    Read(point::Read),
    /// Write a point of the configuration, or a register of any device, once, and read it back
    #[command(
        after_help = "It is asked for a yes first, unless there is --yes. A point is held to its profile's limits. The \
        write is sent once: where its answer is lost, the device is read and nothing is written again.

Exit status 0: the device has the value. 1: it has not, or that is not known. 2: the command line is wrong, or the \
        profile forbids it.

Examples:
  engawa devices write t-101/comfort_setpoint 21.5
  engawa devices write --serial /dev/ttyUSB0 --unit 3 --table holding --address 102 --yes 1050"
    )]
    Write(point::Write),
    /// Let the running agent forget what it has learnt of a device: ranges that it refuses, requests that were split
    Forget(forget::Forget),
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
        Command::Plan(plan) => with(&plan.file, |loaded| plan.show(loaded)),
        Command::Scan(scan) => scan.run(),
        Command::Probe(probe) => probe.run(),
        Command::Read(read) => read.run(),
        Command::Write(write) => write.run(),
        Command::Found(list) => with(&list.file, |loaded| Ok(list.show(loaded)?)),
        Command::Place(place) => place.place(),
        Command::Forget(forget) => with(&forget.file, |loaded| forget.run(loaded)),
    }
}

/// Runs `work` to its end; the exit status where it can't be run.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    Ok(runtime.block_on(work))
}
