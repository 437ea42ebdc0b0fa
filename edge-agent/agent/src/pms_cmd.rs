//! `engawa pms`: what goes over a PMS link, captured without names, replayed, and put in plain words.
//!
//! Never: a capture with a guest's name; a second connection to a PMS that serves one client.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

mod capture;
mod explain;
mod import;
mod play;
mod record;
mod replay;
mod resync;
mod words;

use crate::cli::{DONE, FAILED, NOT_RUNNING, WRONG};
use clap::Subcommand;

/// What can be asked of a PMS link.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Capture a link's records, with pseudonyms for whatever may be personal
    #[command(
        after_help = "It stands between the gateway and the PMS: point the gateway's `address` at --listen for the \
        time of the capture. A connection of its own it does not make: most PMS drop their first client for a second, or \
        refuse the second. Names, free texts, dialled numbers and proofs become pseudonyms (`~k3f9q2`), the same for the \
        same value within one capture; rooms, reservation numbers, dates and amounts stay. Ends with Ctrl-C, or when the \
        file has 64 MiB (the link goes on). Exit status: 0 done, 1 failed, 2 the command line is wrong.

Example:
  engawa pms record --listen 127.0.0.1:5011 --to 10.0.0.5:5010 today.fias"
    )]
    Record(record::Record),
    /// Replay a capture: what would the house make of it?
    #[command(
        after_help = "Without --serve the capture is played to a house in memory; nothing is stored or sent. Its rooms \
        are the configuration's, or without --config those that the capture names. Charges that the capture's gateway sent \
        are not sent again, so answers to them are counted as unknown.
With --serve it plays the PMS for a running gateway: the link's start and end, answers to charges and to the request for \
the list are made afresh, everything else comes from the capture. Exit status: 0 done, 1 failed, 2 the command line, \
the configuration or the capture is wrong.

Examples:
  engawa pms replay today.fias --config /etc/engawa/engawa.toml
  engawa pms replay today.fias --serve 127.0.0.1:5010 --speed 60"
    )]
    Replay(replay::Replay),
    /// Put a record, or each of a capture, in plain words; say what is wrong with it, and where
    #[command(
        after_help = "It is stricter than the link, which bears what can be borne. Exit status: 0 nothing is wrong, 1 \
        something is, 2 the command line or the file can't be used.

Examples:
  engawa pms explain 'GI|RN101|G#4711|GNSato|GSN|'
  engawa pms explain today.fias
  tail -f today.fias | engawa pms explain -"
    )]
    Explain(explain::Explain),
    /// Check lists of stays, and put them where the agent takes them
    #[command(after_help = "\
A list is a table with a line of names, separated by commas, semicolons or tabs:

  room,arrival,departure,name,language
  101,2026-07-15,2026-07-18,Sato,ja
  102,2026-07-15T18:00,2026-07-16,,

Columns: room, arrival and departure; id, name, first_name, title, language, phone, email, vip where there are any. Dates
are the property's; those without a time are at check_in and check_out of [hosted.import]. A calendar (*.ics) has the
stays of one room, and its name: 101.ics.

Lists hold guests' names in the clear: run this as the agent's user (sudo -u engawa), which alone can read them then.

All lists in the folder together are the whole house: who is no longer in them has left. Nothing is taken of a list with
a mistake; each is told with its line and column.

Examples:
  engawa pms import stays.csv                 check it, and replace the stays.csv that the agent has
  engawa pms import --check stays.csv         only check it
  engawa pms import --all august.csv          this is the whole house: other lists are removed

Exit status: 0 taken, 1 not taken, 2 the configuration is wrong")]
    Import(import::Import),
    /// Ask the PMS who is in the house, and apply its list as a difference
    #[command(
        after_help = "Needs the running agent, which asks at once, or as soon as the link is up. Who is missing at the \
        end of a complete list is checked out.
A list that would check out most of the house ([list_guard]) is not acted upon: an alert names it. Look at the PMS; where \
the list is right, --accept asks for it anew and believes it, within half an hour. That the same list comes again proves \
nothing: a PMS that lost its data says the same each time.

Examples:
  engawa pms resync                           every PMS
  engawa pms resync villas                    one of them
  engawa pms resync --accept pms              its list is right, although it empties the house

Exit status: 0 asked, 1 failed, 2 the command line or the configuration is wrong, 3 the agent is not running"
    )]
    Resync(resync::Resync),
}

/// How a part of this command fails.
pub(crate) enum Fault {
    /// What was given can't be used.
    Wrong(String),
    /// It failed.
    Failed(String),
    /// Nobody answers at the agent's socket.
    NotRunning(String),
}

/// Does what is asked; the exit status.
pub(crate) fn main(command: Command) -> u8 {
    let done = match command {
        Command::Record(record) => record::record(record),
        Command::Replay(replay) => replay::replay(&replay),
        Command::Explain(explain) => explain::explain(&explain),
        Command::Import(import) => import::import(&import),
        Command::Resync(resync) => resync::resync(&resync),
    };
    match done {
        Ok(true) => DONE,
        Ok(false) => FAILED,
        Err(Fault::Wrong(why)) => {
            eprintln!("engawa: {why}");
            WRONG
        }
        Err(Fault::Failed(why)) => {
            eprintln!("engawa: {why}");
            FAILED
        }
        Err(Fault::NotRunning(why)) => {
            eprintln!("engawa: {why}");
            NOT_RUNNING
        }
    }
}
