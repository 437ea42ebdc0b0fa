//! The idle hotel: plain Modbus servers, nothing else.

use crate::block::Block;
use crate::cli::Idle;
use crate::configuration::{Bus, Configuration, Device};
use crate::device::Exception;
use crate::modbus::{self, Line};
use crate::profiles;
use crate::random::Random;
use crate::rooms::rooms;
use anyhow::Context;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct Server(Mutex<Block>);

impl Line for Server {
    fn answer(&self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        if unit != 1 {
            return modbus::refuse(pdu.first().copied().unwrap_or(0), Exception::NoAnswer);
        }
        modbus::answer(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), pdu)
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(options: Idle) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let places = rooms(usize::from(options.rooms));
    let numbers = places.iter().map(|place| place.number.clone()).collect();
    let mut configuration = Configuration::new(&options.out, numbers, 3600);
    let mut servers = Vec::with_capacity(places.len());
    for place in places {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening a Modbus server")?;
        let address = listener.local_addr().context("asking for a Modbus server's port")?.to_string();
        let bus = format!("room-{}", place.number);
        configuration.bus.push(Bus { id: bus.clone(), address });
        configuration.device.push(Device {
            id: format!("block-{}", place.number),
            room: place.number,
            profile: profiles::BLOCK,
            bus: Some(bus),
            unit: Some(1),
            name: None,
        });
        let server = Arc::new(Server(Mutex::new(Block::new(options.registers))));
        tokio::spawn(modbus::serve(listener, Arc::clone(&server) as Arc<dyn Line>, stop.clone()));
        servers.push(server);
    }
    if let Some(file) = &options.out.config_out {
        configuration.write(file, profiles::BLOCK, &profiles::block(options.registers))?;
    }
    crate::play::say_ready(None, options.out.config_out.as_deref())?;
    let drift = async {
        let mut random = Random::new(u64::from(options.rooms));
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            for server in servers.iter().filter(|_| !options.still) {
                server.0.lock().unwrap_or_else(PoisonError::into_inner).drift(random.next());
            }
        }
    };
    tokio::select! {
        () = drift => {}
        signal = crate::play::asked_to_stop() => signal?,
    }
    stop.cancel();
    Ok(())
}
