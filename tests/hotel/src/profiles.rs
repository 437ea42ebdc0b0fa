//! The device profiles that come with this hotel: those of its own inventions, which no maker's library has.

use std::fmt::Write;

/// The name of the profile of the sensors in a room.
pub(crate) const SENSORS: &str = "hotel-sensors";
/// The name of the profile of a plain block of registers.
pub(crate) const BLOCK: &str = "hotel-block";

/// The profile of the receiver in each room that reports window, occupancy and lock.
pub(crate) fn sensors() -> String {
    let mut text = String::from(
        r#"# The sensors of a room of the simulated hotel: one receiver reports window contact, presence and door lock.

[profile]
name = "hotel-sensors"
make = "Simulated hotel"
model = "Room sensors"
kind = "sensors"
protocol = "mqtt"
sources = ["the simulated hotel's own description: one JSON object on hotel/<room>/sensors at each change"]

[mqtt]
status_topic = "hotel/{room}/sensors"
"#,
    );
    for (name, role, kind) in [
        ("window", "window", "bool"),
        ("occupied", "occupancy", "bool"),
        ("locked", "lock", "bool"),
        ("battery", "battery", "float"),
    ] {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "\n[[mqtt.points]]\nname = \"{name}\"\nrole = \"{role}\"\npointer = \"/{name}\"\nkind = \"{kind}\"\n"
        );
        if name == "battery" {
            text.push_str("unit = \"%\"\ndead_band = 0.5\n");
        }
    }
    text
}

/// The profile of a plain device with `registers` holding registers from 0 on.
pub(crate) fn block(registers: u16) -> String {
    let mut text = format!(
        r#"# A plain device of the simulated hotel: {registers} holding registers in one block.

[profile]
name = "hotel-block"
make = "Simulated hotel"
model = "Block of registers"
kind = "sensors"
protocol = "modbus"
sources = ["the simulated hotel's own description: holding registers from 0 on, tenths"]
"#
    );
    for address in 0..registers {
        let _ = write!(
            text,
            "\n[[modbus.points]]\nname = \"r{address}\"\ntable = \"holding\"\naddress = {address}\ntype = \"u16\"\nscale = \"1/10\"\n"
        );
    }
    text
}
