//! The profiles that every gateway has.
//!
//! Each is a file in `profiles/` that names its sources and says what is not known; its decoding is tested here against
//! answers that the sources document. None of them was tried on the device itself, unless its file says so.
//!
//! Never: an address that no source names.

/// The profiles that every gateway has: name and text.
pub fn builtin() -> &'static [(&'static str, &'static str)] {
    &[
        ("siemens-rdf302", include_str!("../../profiles/siemens-rdf302.toml")),
        ("intesis-inmbsdai", include_str!("../../profiles/intesis-inmbsdai.toml")),
        ("beca-bac-002aln", include_str!("../../profiles/beca-bac-002aln.toml")),
        ("beca-bac-6000aln", include_str!("../../profiles/beca-bac-6000aln.toml")),
        ("beca-bht-006", include_str!("../../profiles/beca-bht-006.toml")),
        ("daikin-dta116a51-diii", include_str!("../../profiles/daikin-dta116a51-diii.toml")),
        ("eastron-sdm120", include_str!("../../profiles/eastron-sdm120.toml")),
        ("eastron-sdm630", include_str!("../../profiles/eastron-sdm630.toml")),
        ("engo-efan", include_str!("../../profiles/engo-efan.toml")),
        ("haier-ycj-a002", include_str!("../../profiles/haier-ycj-a002.toml")),
        ("isma-tp", include_str!("../../profiles/isma-tp.toml")),
        ("kamstrup-multical", include_str!("../../profiles/kamstrup-multical.toml")),
        ("lg-pdrycb500", include_str!("../../profiles/lg-pdrycb500.toml")),
        ("moxa-iologik-e1214", include_str!("../../profiles/moxa-iologik-e1214.toml")),
        ("nibe-f1155", include_str!("../../profiles/nibe-f1155.toml")),
        ("onokom-air-dk-1", include_str!("../../profiles/onokom-air-dk-1.toml")),
        ("schneider-iem3155", include_str!("../../profiles/schneider-iem3155.toml")),
        ("smarttemp-smt131", include_str!("../../profiles/smarttemp-smt131.toml")),
        ("ss-aerasgard-rftm-co2", include_str!("../../profiles/ss-aerasgard-rftm-co2.toml")),
        ("vector-tra-f12", include_str!("../../profiles/vector-tra-f12.toml")),
        ("waveshare-modbus-rtu-io-8ch", include_str!("../../profiles/waveshare-modbus-rtu-io-8ch.toml")),
        ("waveshare-modbus-rtu-relay", include_str!("../../profiles/waveshare-modbus-rtu-relay.toml")),
        ("wirenboard-wb-msw4", include_str!("../../profiles/wirenboard-wb-msw4.toml")),
        ("shelly-blu-trv", include_str!("../../profiles/shelly-blu-trv.toml")),
        ("shelly-flood", include_str!("../../profiles/shelly-flood.toml")),
        ("shelly-ht", include_str!("../../profiles/shelly-ht.toml")),
        ("shelly-switch", include_str!("../../profiles/shelly-switch.toml")),
        ("tasmota-contact", include_str!("../../profiles/tasmota-contact.toml")),
        ("tasmota-plug", include_str!("../../profiles/tasmota-plug.toml")),
        ("tasmota-sensor", include_str!("../../profiles/tasmota-sensor.toml")),
        ("tasmota-switch", include_str!("../../profiles/tasmota-switch.toml")),
        ("zigbee2mqtt-contact", include_str!("../../profiles/zigbee2mqtt-contact.toml")),
        ("zigbee2mqtt-door", include_str!("../../profiles/zigbee2mqtt-door.toml")),
        ("zigbee2mqtt-leak", include_str!("../../profiles/zigbee2mqtt-leak.toml")),
        ("zigbee2mqtt-light", include_str!("../../profiles/zigbee2mqtt-light.toml")),
        ("zigbee2mqtt-motion", include_str!("../../profiles/zigbee2mqtt-motion.toml")),
        ("zigbee2mqtt-plug", include_str!("../../profiles/zigbee2mqtt-plug.toml")),
        (
            "zigbee2mqtt-temperature-humidity",
            include_str!("../../profiles/zigbee2mqtt-temperature-humidity.toml"),
        ),
        ("zigbee2mqtt-trv", include_str!("../../profiles/zigbee2mqtt-trv.toml")),
    ]
}

#[cfg(test)]
mod tests;
