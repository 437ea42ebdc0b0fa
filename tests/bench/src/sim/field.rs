//! The devices: their registers, their health, and the markers.
//!
//! A *marker* is a number of [`FIRST_MARKER`] or more, used once, that register 0 of a device takes. All other values
//! stay below, so a marker in a message tells which change of which device that message is about.
//!
//! Never: sockets, files or the clock.

/// The first marker; the last is 65535.
pub const FIRST_MARKER: u16 = 40_000;
/// Values of registers that are no marker are below this.
const VALUES: usize = 30_000;
/// A flapping device answers for so long, then is silent for as long, nanoseconds.
const FLAP: u64 = 5_000_000_000;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// TCP addresses.
    pub ports: usize,
    /// Devices behind each, with the unit ids from 1 on; at most 247.
    pub units: usize,
    /// Holding registers of a device, from address 0 on.
    pub registers: usize,
    /// Which devices are not well.
    pub sick: Sick,
}

/// Which devices are not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sick {
    /// None.
    None,
    /// One in twenty is dead, one in twenty flaps, and one of all answers garbage.
    Some,
}

/// How a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Answers.
    Well,
    /// Never answers.
    Dead,
    /// Answers for a while, then is silent for as long.
    Flapping,
    /// Answers something else.
    Garbage,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With what was written behind the header.
    Well,
    /// With an exception.
    Exception(u8),
    /// With nonsense.
    Garbage,
    /// Not at all.
    Nothing,
}

/// What happened, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came in.
    pub requests: u64,
    /// Registers that were answered.
    pub registers: u64,
    /// Exceptions that were answered.
    pub exceptions: u64,
}

/// Something worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Register 0 of a device took a marker.
    Set {
        /// The device.
        device: usize,
        /// The marker.
        marker: u16,
    },
    /// The marker was read for the first time.
    Read {
        /// The device.
        device: usize,
        /// The marker.
        marker: u16,
    },
    /// Register 0 of a healthy device was read.
    Polled {
        /// The device.
        device: usize,
    },
}

/// All devices.
#[derive(Debug)]
pub struct Field {
    plan: Plan,
    words: Vec<u16>,
    health: Vec<Health>,
    /// Devices whose marker nobody has read yet.
    unread: Vec<bool>,
    /// Healthy devices in the order in which they take markers.
    order: Vec<usize>,
    turn: usize,
    next: Option<u16>,
    /// Counters.
    pub counts: Counts,
    /// True: [`Event::Polled`] is told too.
    pub tell_polls: bool,
    /// Events since they were last taken, with their time; the shell empties it after each batch of requests.
    pub events: Vec<(u64, Event)>,
}

impl Field {
    /// Devices as planned; none has a marker yet.
    pub fn new(plan: &Plan) -> Self {
        let count = plan.ports * plan.units;
        let value = |at: usize| (at / plan.registers * 31 + at % plan.registers * 7) % VALUES;
        let health: Vec<_> = (0..count).map(|device| health(plan.sick, device)).collect();
        let mut order: Vec<_> = (0..count).filter(|device| health[*device] == Health::Well).collect();
        shuffle(&mut order);
        Self {
            // Below VALUES: it fits.
            words: (0..count * plan.registers).map(|at| u16::try_from(value(at)).unwrap_or(0)).collect(),
            health,
            unread: vec![false; count],
            order,
            turn: 0,
            next: Some(FIRST_MARKER),
            counts: Counts::default(),
            tell_polls: false,
            events: Vec::new(),
            plan: plan.clone(),
        }
    }

    /// How a device is.
    pub fn health(&self, device: usize) -> Health {
        self.health[device]
    }

    /// How many devices are well.
    pub fn healthy(&self) -> usize {
        self.order.len()
    }

    /// The next device takes the next marker. False: all markers are used up.
    pub fn mark(&mut self, now: u64) -> bool {
        let Some(marker) = self.next else { return false };
        let Some(device) = self.order.get(self.turn % self.order.len().max(1)).copied() else { return false };
        self.turn += 1;
        self.next = marker.checked_add(1);
        self.words[device * self.plan.registers] = marker;
        self.unread[device] = true;
        self.events.push((now, Event::Set { device, marker }));
        true
    }

    /// A read; what was read goes behind the header in `out`.
    pub fn read(
        &mut self,
        port: usize,
        unit: u8,
        first: u16,
        count: u16,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Answer {
        let device = match self.admit(port, unit, now) {
            Ok(device) => device,
            Err(answer) => return answer,
        };
        let (first, length) = (usize::from(first), usize::from(count));
        if !(1..=125).contains(&count) || first + length > self.plan.registers {
            self.counts.exceptions += 1;
            return Answer::Exception(2);
        }
        let begin = device * self.plan.registers + first;
        let words = &self.words[begin..begin + length];
        // At most 250.
        out.push(u8::try_from(2 * length).unwrap_or(u8::MAX));
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        self.counts.registers += u64::from(count);
        if first == 0 {
            if self.unread[device] {
                self.unread[device] = false;
                self.events.push((now, Event::Read { device, marker: words[0] }));
            }
            if self.tell_polls && self.health[device] == Health::Well {
                self.events.push((now, Event::Polled { device }));
            }
        }
        Answer::Well
    }

    /// Anything but a read.
    pub fn refuse(&mut self, port: usize, unit: u8, now: u64) -> Answer {
        match self.admit(port, unit, now) {
            Ok(_) => {
                self.counts.exceptions += 1;
                Answer::Exception(1)
            }
            Err(answer) => answer,
        }
    }

    /// The device that a request is for, if it answers.
    fn admit(&mut self, port: usize, unit: u8, now: u64) -> Result<usize, Answer> {
        self.counts.requests += 1;
        let unit = usize::from(unit);
        if !(1..=self.plan.units).contains(&unit) {
            self.counts.exceptions += 1;
            // "Gateway target failed to respond".
            return Err(Answer::Exception(11));
        }
        let device = port * self.plan.units + unit - 1;
        match self.health[device] {
            Health::Well => Ok(device),
            Health::Flapping if (now / FLAP).is_multiple_of(2) => Ok(device),
            Health::Dead | Health::Flapping => Err(Answer::Nothing),
            Health::Garbage => Err(Answer::Garbage),
        }
    }
}

/// How a device is where some are sick: spread over all addresses, the same in each run.
pub fn health(sick: Sick, device: usize) -> Health {
    match (sick, device % 20) {
        (Sick::None, _) => Health::Well,
        (Sick::Some, 3) => Health::Dead,
        (Sick::Some, 13) => Health::Flapping,
        (Sick::Some, _) if device == 27 => Health::Garbage,
        (Sick::Some, _) => Health::Well,
    }
}

/// The same disorder in each run, so that markers don't walk along with the polling.
fn shuffle(order: &mut [usize]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for n in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap_or(0) % (n + 1);
        order.swap(n, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_devices_have_ten_dead_ten_flapping_and_one_of_garbage() {
        let count = |health_is: Health| (0..200).filter(|n| health(Sick::Some, *n) == health_is).count();
        assert_eq!(
            (count(Health::Dead), count(Health::Flapping), count(Health::Garbage), count(Health::Well)),
            (10, 10, 1, 179)
        );
    }

    #[test]
    fn a_marker_is_told_when_set_and_when_first_read_and_no_value_looks_like_one() {
        let mut field = Field::new(&Plan { ports: 2, units: 3, registers: 4, sick: Sick::None });
        assert!(field.words.iter().all(|word| *word < FIRST_MARKER));
        assert!(field.mark(5));
        let Some((5, Event::Set { device, marker: FIRST_MARKER })) = field.events.pop() else {
            panic!("{:?}", field.events)
        };
        let unit = u8::try_from(device % 3 + 1).unwrap();
        let mut out = vec![];
        assert_eq!(field.read(device / 3, unit, 0, 4, 9, &mut out), Answer::Well);
        assert_eq!(out[..3], [8, 0x9C, 0x40]);
        assert_eq!(field.events, [(9, Event::Read { device, marker: FIRST_MARKER })]);
        field.read(device / 3, unit, 0, 4, 10, &mut out);
        assert_eq!(field.events.len(), 1, "the second reading is no news");
    }

    #[test]
    fn markers_are_used_once() {
        let mut field = Field::new(&Plan { ports: 1, units: 7, registers: 1, sick: Sick::None });
        let used = (0..).take_while(|_| field.mark(0)).count();
        assert_eq!(used, 65_536 - usize::from(FIRST_MARKER));
        let mut markers: Vec<_> = field
            .events
            .iter()
            .map(|(_, event)| match event {
                Event::Set { marker, .. } => *marker,
                other => panic!("{other:?}"),
            })
            .collect();
        markers.dedup();
        assert_eq!(markers.len(), used);
    }

    #[test]
    fn a_flapping_device_comes_and_goes() {
        let mut field = Field::new(&Plan { ports: 1, units: 50, registers: 1, sick: Sick::Some });
        let mut out = vec![];
        assert_eq!(field.read(0, 14, 0, 1, 0, &mut out), Answer::Well);
        assert_eq!(field.read(0, 14, 0, 1, FLAP, &mut out), Answer::Nothing);
    }
}
