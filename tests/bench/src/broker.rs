//! The broker of a run: a Mosquitto of its own on a free port of loopback, which keeps nothing.

use crate::spawn::Program;
use anyhow::Context;
use engawa_stage::process::Running;
use engawa_stage::wait;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Starts the broker; gives its port.
///
/// # Errors
/// Mosquitto is not installed, or does not come up.
pub fn start(folder: &Path) -> anyhow::Result<(Running, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    let port = listener.local_addr()?.port();
    // Free from here on; on loopback nobody takes it within the moment that Mosquitto needs.
    drop(listener);
    let file = folder.join("mosquitto.conf");
    let lines = [
        format!("listener {port} 127.0.0.1"),
        "allow_anonymous true".to_owned(),
        "persistence false".to_owned(),
        // The subscriber is measured against, so nothing may be dropped before it.
        "max_queued_messages 0".to_owned(),
        "set_tcp_nodelay true".to_owned(),
        "log_type error".to_owned(),
        // As root it would look for a user `mosquitto`, who need not exist.
        "user root".to_owned(),
    ];
    std::fs::write(&file, lines.join("\n") + "\n").with_context(|| format!("writing {}", file.display()))?;
    let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].map(PathBuf::from);
    let program = program.into_iter().find(|path| path.is_file()).unwrap_or_else(|| "mosquitto".into());
    let mut broker =
        Program::new(program, ["-c".into(), file.into_os_string()]).start("mosquitto", folder)?;
    wait::until("Mosquitto", Duration::from_secs(10), || {
        broker.must_run()?;
        Ok(TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok())
    })?;
    Ok((broker, port))
}
