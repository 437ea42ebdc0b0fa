//! `engawa-fieldsub`: hears everything on a broker and notes when each marker came first.
#![allow(clippy::print_stdout, reason = "it says when it listens")]

use anyhow::Context;
use clap::Parser;
use engawa_bench::{clock, listen};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

/// The longest message; gateways pack many devices into one.
const LONGEST: usize = 16 * 1024 * 1024;

/// Subscribes to everything on a broker of this machine.
///
/// Prints "ready" once it hears. Logs into a folder: heard.csv (ns, messages, bytes), arrivals.csv (ns, marker) for the
/// first arrival of each marker, all times of CLOCK_MONOTONIC.
#[derive(Parser)]
struct Arguments {
    /// The broker's port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// It ends by itself after so many seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where the logs go.
    #[arg(long)]
    out: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let log = |name: &str| -> anyhow::Result<BufWriter<File>> {
        let path = arguments.out.join(name);
        Ok(BufWriter::new(File::create(&path).with_context(|| format!("making {}", path.display()))?))
    };
    let (mut heard, mut arrivals) = (log("heard.csv")?, log("arrivals.csv")?);
    let mut options = MqttOptions::new("engawa-fieldsub", "127.0.0.1", arguments.port);
    options.set_max_packet_size(LONGEST, LONGEST);
    let (client, mut connection) = AsyncClient::new(options, 16);
    client.subscribe("#", QoS::AtMostOnce).await?;
    let mut seen = vec![false; 1 << 16];
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let end = tokio::time::sleep(Duration::from_secs(arguments.seconds));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = tick.tick() => {
                writeln!(heard, "{},{messages},{bytes}", clock::nanos())?;
                heard.flush()?;
                arrivals.flush()?;
            }
            event = connection.poll() => match event.context("the connection to the broker")? {
                Event::Incoming(Incoming::SubAck(_)) => println!("ready"),
                Event::Incoming(Incoming::Publish(publish)) => {
                    let now = clock::nanos();
                    messages += 1;
                    bytes += publish.payload.len() as u64;
                    let mut written = Ok(());
                    listen::markers(&publish.payload, |marker| {
                        if !std::mem::replace(&mut seen[usize::from(marker)], true) && written.is_ok() {
                            written = writeln!(arrivals, "{now},{marker}");
                        }
                    });
                    written?;
                }
                _ => {}
            },
        }
    }
}
