//! The command line.

use crate::fias::Charset;
use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A simulated hotel, as a gateway meets it on the wire: a PMS that speaks FIAS on TCP, room devices on Modbus TCP,
/// sensors and tills on MQTT. Everything is on loopback and everything that is played is written down.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "The log of the program itself goes to standard error: ENGAWA_HOTEL_LOG=debug shows more."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays a whole hotel's day in compressed time: guests arrive, move, pay, open windows and leave.
    ///
    /// The day follows from the seed alone. It stands still while the PMS link is down and goes on when the link is
    /// alive again. The program says `ready pms=ADDRESS config=FILE` on standard output when everything listens,
    /// and ends with status 0 when the day is over.
    ///
    /// DIR/played.jsonl has a line for everything that was played; DIR/progress.json is the state for a live table.
    #[command(
        after_help = "Example:\n  engawa-hotel play --dir /tmp/hotel --mqtt 127.0.0.1:18830 \\\n    --config-out /tmp/hotel/engawa.toml --store-dir /tmp/hotel/agent\n  engawa run /tmp/hotel/engawa.toml"
    )]
    Play(Play),
    /// Serves rooms of plain Modbus registers and nothing else, to measure what an idle gateway needs.
    ///
    /// Each room is a Modbus TCP server of its own, unit 1, with one block of holding registers from 0 on; once a
    /// second one register of each room drifts.
    #[command(
        after_help = "Example:\n  engawa-hotel idle --rooms 200 --registers 20 \\\n    --config-out /tmp/idle/engawa.toml --store-dir /tmp/idle/agent\n  engawa run /tmp/idle/engawa.toml"
    )]
    Idle(Idle),
}

/// What goes into the gateway's configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct Out {
    /// The property's id: small letters, digits and dashes.
    #[arg(long, default_value = "grand", value_parser = property)]
    pub(crate) property: String,
    /// Where to write the gateway's configuration once everything listens; profiles go into `profiles` beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config_out: Option<PathBuf>,
    /// The gateway's folder for its database.
    #[arg(long, value_name = "DIR", default_value = "agent")]
    pub(crate) store_dir: PathBuf,
    /// Where the gateway's page is to listen.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) api_listen: Option<SocketAddr>,
    /// The gateway's Unix socket.
    #[arg(long, value_name = "PATH")]
    pub(crate) api_socket: Option<PathBuf>,
    /// The cloud that the gateway is to talk to.
    #[arg(long, value_name = "ADDRESS", requires = "cloud_identity")]
    pub(crate) cloud_address: Option<String>,
    /// The gateway's folder for its certificate.
    #[arg(long, value_name = "DIR", requires = "cloud_address")]
    pub(crate) cloud_identity: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Play {
    /// The folder for played.jsonl and progress.json.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// How many rooms the hotel has.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=990))]
    pub(crate) rooms: u16,
    /// The day's seed: the same seed is the same day.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// How long the day takes, seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(crate::plan::SHORTEST_S..=86_400))]
    pub(crate) seconds: u64,
    /// The broker: the gateway's own, or the site's with --site-broker.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mqtt: SocketAddr,
    /// The broker is the site's: the gateway is configured to connect to it instead of opening its own.
    #[arg(long)]
    pub(crate) site_broker: bool,
    /// The PMS's port on 127.0.0.1; a free one where it is 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) pms_port: u16,
    /// The PMS's character set.
    #[arg(long, value_enum, default_value = "utf-8")]
    pub(crate) charset: Charset,
    /// The date on which the hotel's day begins; today where it is absent.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) date: Option<Date>,
    /// The shortest time between two lists that the gateway asks for by itself, seconds.
    #[arg(long, default_value_t = 3600)]
    pub(crate) resync_every_s: u32,
    /// How long to wait at the end for charges that the gateway may have given to staff instead of the PMS, seconds.
    #[arg(long, default_value_t = 35)]
    pub(crate) settle_s: u64,
    /// Go on with weather, rooms and PMS after the day is over, until SIGTERM.
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) out: Out,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Idle {
    /// How many rooms.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=990))]
    pub(crate) rooms: u16,
    /// Holding registers in each.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=125))]
    pub(crate) registers: u16,
    /// Once a second one register of each room changes; with this nothing ever does.
    #[arg(long)]
    pub(crate) still: bool,
    #[command(flatten)]
    pub(crate) out: Out,
}

fn property(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 63 small letters, digits and dashes, such as `grand`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        let bad = ["engawa-hotel", "play", "--dir", "d", "--mqtt", "127.0.0.1:1", "--seconds", "5"];
        assert!(Arguments::try_parse_from(bad).is_err());
        assert!(property("a/b").is_err() && property("").is_err() && property("grand-2").is_ok());
    }
}
