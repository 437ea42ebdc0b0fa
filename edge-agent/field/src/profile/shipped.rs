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
    ]
}

#[cfg(test)]
mod tests;
