//! The rooms as they are: air, window, people, and the device on the wall.

use crate::device::{ClimateDevice, Exception};
use crate::intesis::Intesis;
use crate::modbus::{self, Line};
use crate::physics;
use crate::played::Happened;
use crate::rdf302::Rdf302;
use crate::rooms::{Climate, RoomPlace};
use crate::tally::Tally;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The set point of all rooms before the day, °C: neither the comfort nor the eco value of the gateway.
const FIRST_SETPOINT: f64 = 19.0;
/// The air of all rooms before the day, °C.
const FIRST_AIR: f64 = 19.2;
/// What one turn of the lock takes from its battery, %.
const BATTERY_PER_TURN: f64 = 0.02;

/// One room.
pub(crate) struct Room {
    pub(crate) place: RoomPlace,
    state: Mutex<State>,
}

struct State {
    device: ClimateDevice,
    air: f64,
    window_open: bool,
    occupied: bool,
    battery: f64,
    /// When a write over the bus last reached the device.
    written: Option<Instant>,
}

/// What the room's sensors say over MQTT, as one receiver in the room reports them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Sensors {
    /// True while the window is open.
    window: bool,
    /// True while somebody is in the room.
    occupied: bool,
    /// True while the door is locked.
    locked: bool,
    /// Charge of the lock's battery, %.
    battery: f64,
}

/// A room in the live table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoomView {
    room: String,
    guests: usize,
    celsius: f64,
    setpoint: f64,
    window: bool,
}

impl Room {
    /// The room at `place` before the day.
    pub(crate) fn new(place: RoomPlace) -> Self {
        let device = match place.climate {
            Climate::Rdf302 => ClimateDevice::Rdf302(Rdf302::new(place.unit, FIRST_SETPOINT)),
            Climate::Intesis => ClimateDevice::Intesis(Intesis::new(FIRST_SETPOINT)),
        };
        let state = State {
            device,
            air: FIRST_AIR,
            window_open: false,
            occupied: false,
            battery: 97.0,
            written: None,
        };
        Self { place, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest turns the knob to `celsius`.
    pub(crate) fn turn(&self, celsius: f64) {
        self.lock().device.turn(celsius);
    }

    /// True if no write over the bus has reached the room for `time`.
    pub(crate) fn quiet_for(&self, time: Duration) -> bool {
        self.lock().written.is_none_or(|written| written.elapsed() >= time)
    }

    /// Opens or closes the window.
    pub(crate) fn window(&self, open: bool) {
        self.lock().window_open = open;
    }

    /// Somebody has come in, or the last one has gone out: the lock turns.
    pub(crate) fn presence(&self, occupied: bool) {
        let mut state = self.lock();
        state.occupied = occupied;
        state.battery = (state.battery - BATTERY_PER_TURN).max(0.0);
    }

    /// What the sensors say.
    pub(crate) fn sensors(&self) -> Sensors {
        let state = self.lock();
        let battery = state.battery.round();
        Sensors { window: state.window_open, occupied: state.occupied, locked: true, battery }
    }

    /// `hours` of hotel time pass while it is `outside` °C outside.
    pub(crate) fn live(&self, hours: f64, outside: f64) {
        let mut state = self.lock();
        let before = state.air;
        let drive = state.device.live(before, hours);
        state.air = physics::air(before, hours, outside, state.window_open, drive);
        let after = state.air;
        // What the device measures is never behind by a step.
        state.device.live(after, 0.0);
    }

    /// The room in the live table.
    pub(crate) fn view(&self, guests: usize) -> RoomView {
        let state = self.lock();
        RoomView {
            room: self.place.number.clone(),
            guests,
            celsius: (state.air * 10.0).round() / 10.0,
            setpoint: state.device.setpoint(),
            window: state.window_open,
        }
    }

    /// A request from the bus. A write that changes the set point goes into the log.
    fn answer(&self, pdu: &[u8], tally: &Tally) -> Vec<u8> {
        let mut state = self.lock();
        let was = state.device.setpoint();
        let answer = modbus::answer(&mut state.device, pdu);
        if matches!(pdu.first(), Some(6 | 16)) {
            state.written = Some(Instant::now());
        }
        let celsius = state.device.setpoint();
        if (celsius - was).abs() > f64::EPSILON {
            // Under the room's lock: the log has the order of the wire, and the line is there before the answer.
            tally.enter(&Happened::SetpointWritten { room: self.place.number.clone(), celsius, was });
        }
        answer
    }
}

/// The devices behind one Modbus gateway.
pub(crate) struct Bus {
    pub(crate) units: BTreeMap<u8, Arc<Room>>,
    pub(crate) tally: Arc<Tally>,
}

impl Line for Bus {
    fn answer(&self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        match self.units.get(&unit) {
            Some(room) => room.answer(pdu, &self.tally),
            None => modbus::refuse(pdu.first().copied().unwrap_or(0), Exception::NoAnswer),
        }
    }
}
