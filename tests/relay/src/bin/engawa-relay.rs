//! A bad line for tests by hand: relays UDP and TCP and does to them what the options say.

use anyhow::Context;
use clap::Parser;
use engawa_relay::{Relay, Weather};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// Relays UDP and TCP over a line that is as bad as you like, until Ctrl-C.
#[derive(Parser)]
#[command(after_help = "Example, a hotel's worst hour:
  engawa-relay --listen 127.0.0.1:9443 --to 127.0.0.1:8443 --loss 0.4 --delay-ms 1000 --mbit 10")]
struct Cli {
    /// Where the gateway finds the cloud, UDP and TCP.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the cloud is.
    #[arg(long)]
    to: SocketAddr,
    /// The same seed loses the same datagrams.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many datagrams are lost, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = part)]
    loss: f64,
    /// How long they take, one way.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// By how much more at most.
    #[arg(long, default_value_t = 0)]
    jitter_ms: u64,
    /// How many are overtaken, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = part)]
    reorder: f64,
    /// How many come twice, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = part)]
    duplicate: f64,
    /// Mbit a second, each way.
    #[arg(long)]
    mbit: Option<f64>,
    /// What may wait in front of the narrow way, KiB.
    #[arg(long, default_value_t = 128)]
    queue_kib: u64,
    /// How often the ports are forgotten, seconds.
    #[arg(long)]
    rebind_every_s: Option<f64>,
    /// No UDP.
    #[arg(long)]
    block_udp: bool,
}

fn part(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|part| (0.0..=1.0).contains(part))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let weather = Weather {
        seed: cli.seed,
        loss: cli.loss,
        delay: Duration::from_millis(cli.delay_ms),
        jitter: Duration::from_millis(cli.jitter_ms),
        reorder: cli.reorder,
        duplicate: cli.duplicate,
        // Rounded down to whole bits a second; a saturating cast.
        bits_per_second: cli.mbit.map(|mbit| (mbit * 1e6) as u64),
        queue_bytes: cli.queue_kib << 10,
        rebind_every: cli.rebind_every_s.map(Duration::try_from_secs_f64).transpose()?,
        udp_blocked: cli.block_udp,
        cut: false,
    };
    let relay = Relay::between(cli.listen, cli.to, cli.to, weather)
        .with_context(|| format!("opening the relay at {}", cli.listen))?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", relay.address())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    writeln!(
        out,
        "{} bytes went through, {} datagrams were lost, {} ports were forgotten",
        relay.bytes(),
        relay.dropped(),
        relay.rebound()
    )?;
    Ok(())
}
