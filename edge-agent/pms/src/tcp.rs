//! The way to a PMS that listens on TCP: the connection, in TLS where the site wants it.

use crate::config::PmsConfig;
use crate::shell::Stream;
use crate::tls;
use std::time::Duration;
use tokio::net::TcpStream;

pub use crate::shell::{Clock, Shell, SystemClock};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects, or says why not.
pub(crate) async fn dial(config: &PmsConfig) -> Result<Box<dyn Stream>, String> {
    let address = &config.address;
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("no connection to {address}: {error}")),
        Err(_) => return Err(format!("no answer from {address} in {CONNECT_TIMEOUT:?}")),
    };
    // Small records, each waited for: Nagle's algorithm would hold them back.
    stream.set_nodelay(true).map_err(|error| format!("setting up the connection: {error}"))?;
    match &config.tls {
        Some(tls) => Ok(Box::new(tls::connect(tls, address, stream).await?)),
        None => Ok(Box::new(stream)),
    }
}
