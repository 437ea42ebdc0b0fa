//! `engawa pms record`: stands between gateway and PMS and writes down what passes, without names.

use super::Fault;
use super::capture::{HEAD, MOST_BYTES, mark, text_of};
use super::replay::charset;
use crate::words_args::host_port;
use clap::ValueHint;
use engawa_model::Timestamp;
use engawa_pms::Charset;
use engawa_pms::codec::{FrameEvent, Framer, Record as FiasRecord};
use engawa_pms::explain::Direction;
use engawa_pms::mask::Masker;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between whom, and where to.
#[derive(clap::Args)]
pub(crate) struct Record {
    /// The capture; it must not be there yet.
    #[arg(value_hint = ValueHint::FilePath)]
    capture: PathBuf,
    /// Where the gateway connects for the time of the capture.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5010", value_parser = host_port)]
    listen: String,
    /// Where the PMS listens.
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Hostname, value_parser = host_port)]
    to: String,
    /// The link's character set, as in the configuration.
    #[arg(long, default_value = "utf-8", value_parser = charset)]
    charset: Charset,
}

/// True when it was ended.
pub(super) fn record(arguments: Record) -> Result<bool, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Failed(format!("starting: {error}")))?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Record) -> Result<bool, Fault> {
    let failed = |what: &str, error: std::io::Error| Fault::Failed(format!("{what}: {error}"));
    let listener = TcpListener::bind(&arguments.listen)
        .await
        .map_err(|error| Fault::Wrong(format!("{} can't be listened at: {error}", arguments.listen)))?;
    // Without names, but with reservation numbers: for its owner.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.capture);
    let file = file.map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "; nothing is written over: name a new file",
            std::io::ErrorKind::NotFound => "; is its folder there?",
            _ => "",
        };
        Fault::Wrong(format!("{}: {error}{remedy}", arguments.capture.display()))
    })?;
    let mut tape = Tape { file, written: 0, records: 0, full: false, masker: Masker::new(rand::random()) };
    tape.line(HEAD).map_err(|error| failed("writing the capture", error))?;
    let bound = listener.local_addr().map_err(|error| failed("listening", error))?;
    println!("listening at {bound} for the gateway; the PMS is {}", arguments.to);
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| failed("waiting for signals", error))?;
    let relaying = async {
        loop {
            let (gateway, from) = listener.accept().await.map_err(|error| failed("accepting", error))?;
            tape.note(&format!("the gateway connects from {}", from.ip()))?;
            let why = relay(gateway, &arguments, &mut tape).await?;
            tape.note(&why)?;
        }
    };
    let ended: Result<std::convert::Infallible, Fault> = tokio::select! {
        ended = relaying => ended,
        _ = tokio::signal::ctrl_c() => return done(&tape, &arguments),
        _ = terminate.recv() => return done(&tape, &arguments),
    };
    match ended {
        Err(fault) => Err(fault),
        Ok(never) => match never {},
    }
}

fn done(tape: &Tape, arguments: &Record) -> Result<bool, Fault> {
    println!("{} records in {}", tape.records, arguments.capture.display());
    Ok(true)
}

/// Passes bytes on until one side goes; then why.
async fn relay(mut gateway: TcpStream, arguments: &Record, tape: &mut Tape) -> Result<String, Fault> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&arguments.to));
    let mut pms = match connecting.await {
        Ok(Ok(pms)) => pms,
        Ok(Err(error)) => return Ok(format!("no connection to the PMS at {}: {error}", arguments.to)),
        Err(_) => return Ok(format!("no answer from the PMS at {}", arguments.to)),
    };
    for stream in [&gateway, &pms] {
        // Records are small and waited for. Without it they only come later.
        let _ = stream.set_nodelay(true);
    }
    let (mut from_pms, mut from_gateway) = (Framer::new(), Framer::new());
    let (mut of_pms, mut of_gateway) = ([0_u8; 4096], [0_u8; 4096]);
    loop {
        // What passes goes on first, and as it is: the capture must change nothing.
        let passed = tokio::select! {
            read = pms.read(&mut of_pms) => match read {
                Ok(0) => return Ok("the PMS closed the connection".to_owned()),
                Ok(count) => {
                    let bytes = of_pms.get(..count).unwrap_or_default();
                    let written = gateway.write_all(bytes).await;
                    tape.take(Direction::FromPms, &mut from_pms, bytes, arguments.charset)?;
                    written
                }
                Err(error) => Err(error),
            },
            read = gateway.read(&mut of_gateway) => match read {
                Ok(0) => return Ok("the gateway closed the connection".to_owned()),
                Ok(count) => {
                    let bytes = of_gateway.get(..count).unwrap_or_default();
                    let written = pms.write_all(bytes).await;
                    tape.take(Direction::ToPms, &mut from_gateway, bytes, arguments.charset)?;
                    written
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = passed {
            return Ok(format!("the connection broke: {error}"));
        }
    }
}

/// The capture's file; it ends at [`MOST_BYTES`].
struct Tape {
    file: File,
    written: u64,
    records: u64,
    full: bool,
    masker: Masker,
}

impl Tape {
    fn take(
        &mut self,
        direction: Direction,
        framer: &mut Framer,
        bytes: &[u8],
        charset: Charset,
    ) -> Result<(), Fault> {
        let mut lines = Vec::new();
        framer.push(bytes, |event| {
            lines.push(match event {
                FrameEvent::Torn => format!("# {} a torn record", mark(direction)),
                FrameEvent::Body(body) => match FiasRecord::decode(&body, charset) {
                    // What is no record may hold anything, so nothing of it is kept.
                    None => format!("# {} {} bytes that are no record", mark(direction), body.len()),
                    Some(record) => format!("{} {}", mark(direction), shown(&self.masker.mask(&record))),
                },
            });
        });
        for line in lines {
            self.records += u64::from(!line.starts_with('#'));
            self.stamped(&line)?;
        }
        Ok(())
    }

    fn note(&mut self, text: &str) -> Result<(), Fault> {
        self.stamped(&format!("# {text}"))
    }

    fn stamped(&mut self, text: &str) -> Result<(), Fault> {
        let now = Timestamp::now();
        let written = self.line(&format!("{now:.3} {text}"));
        written.map_err(|error| Fault::Failed(format!("writing the capture: {error}")))
    }

    fn line(&mut self, text: &str) -> std::io::Result<()> {
        if self.full {
            return Ok(());
        }
        self.written += text.len() as u64 + 1;
        if self.written + 64 > MOST_BYTES {
            self.full = true;
            eprintln!("engawa: the capture is full; the link goes on");
            return writeln!(self.file, "# the capture is full");
        }
        writeln!(self.file, "{text}")
    }
}

/// One line, whatever a text within holds.
fn shown(record: &FiasRecord) -> String {
    text_of(record).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
