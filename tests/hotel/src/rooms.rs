//! Which rooms the hotel has, and what hangs on their walls.
//!
//! Odd floors have Siemens RDF302 thermostats, ten on the serial line of the floor, behind one Modbus TCP gateway;
//! even floors have Daikin units with an Intesis INMBSDAI001I000 each, every one behind a gateway of its own.

/// Rooms on a floor.
const PER_FLOOR: usize = 10;

/// What controls a room's climate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Climate {
    /// Siemens RDF302.
    Rdf302,
    /// Intesis INMBSDAI001I000.
    Intesis,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomPlace {
    /// Its number: floor and two digits.
    pub(crate) number: String,
    /// The gateway that its climate device is behind.
    pub(crate) bus: String,
    /// The device's address on that gateway.
    pub(crate) unit: u8,
    /// The device.
    pub(crate) climate: Climate,
}

/// The first `count` rooms of the house, floor by floor.
pub(crate) fn rooms(count: usize) -> Vec<RoomPlace> {
    (0..count)
        .map(|index| {
            let (floor, place) = (index / PER_FLOOR + 1, index % PER_FLOOR + 1);
            let number = format!("{floor}{place:02}");
            if floor % 2 == 1 {
                // At most PER_FLOOR, so it fits.
                let unit = u8::try_from(place).unwrap_or(u8::MAX);
                RoomPlace { number, bus: format!("floor-{floor}"), unit, climate: Climate::Rdf302 }
            } else {
                RoomPlace { bus: format!("room-{number}"), number, unit: 1, climate: Climate::Intesis }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn floors_and_gateways() {
        let rooms = rooms(23);
        let of = |index: usize| {
            let room: &RoomPlace = &rooms[index];
            (room.number.as_str(), room.bus.as_str(), room.unit)
        };
        assert_eq!(of(0), ("101", "floor-1", 1));
        assert_eq!(of(9), ("110", "floor-1", 10));
        assert_eq!(of(10), ("201", "room-201", 1));
        assert_eq!(of(22), ("303", "floor-3", 3));
    }

    #[test]
    fn no_room_and_no_address_twice() {
        let rooms = rooms(990);
        assert_eq!(rooms.iter().map(|room| &room.number).collect::<BTreeSet<_>>().len(), 990);
        assert_eq!(rooms.iter().map(|room| (&room.bus, room.unit)).collect::<BTreeSet<_>>().len(), 990);
    }
}
