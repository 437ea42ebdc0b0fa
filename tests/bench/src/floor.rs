//! The floor: the Modbus library alone, reading the same registers of the same devices at the same rate.

use anyhow::Context;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_modbus::prelude::{Reader, Slave, SlaveContext, tcp};

/// Reads until it is stopped: a connection to each server, its devices in turn, the servers spread over the period.
///
/// # Errors
/// A server can't be read: the figure would be none.
pub fn read(units: u8, registers: u16, period: Duration, servers: &[SocketAddr]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut readers = tokio::task::JoinSet::new();
        let spread = period / u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        let start = tokio::time::Instant::now();
        for (n, server) in (0..).zip(servers.iter().copied()) {
            readers.spawn(async move {
                let mut client = tcp::connect_slave(server, Slave(1)).await?;
                let mut ticks = tokio::time::interval_at(start + spread * n, period);
                loop {
                    ticks.tick().await;
                    for unit in 1..=units {
                        client.set_slave(Slave(unit));
                        let words = client.read_holding_registers(0, registers).await??;
                        anyhow::ensure!(words.len() == usize::from(registers), "a short answer");
                    }
                }
            });
        }
        // They read for ever: the first that ends has failed, and the figure with it.
        match readers.join_next().await {
            Some(ended) => ended.context("a reader")?,
            None => Ok(()),
        }
    })
}
