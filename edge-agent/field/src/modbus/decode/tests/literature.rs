//! Byte sequences that others have published.

use super::*;

/// Registers of bytes as they stand in an answer.
fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn known_bytes_have_their_known_values() {
    for (source, point, bytes, want) in [
        // The example of reading holding registers 108 to 110: 555, 0 and 100.
        ("Modbus application protocol V1.1b3, section 6.3", "type = 'u16'", &[0x02, 0x2B][..], int(555)),
        ("the same", "type = 'u16'", &[0x00, 0x64], int(100)),
        // Reading input register 9: 10.
        ("the same, section 6.4", "type = 'u16'", &[0x00, 0x0A], int(10)),
        // Recorded from an Eastron SDM630: voltage and current of L1, frequency.
        ("SDM630, recorded", "type = 'f32'", &[0x43, 0x5D, 0xEA, 0xDE], float(f64::from(221.917_45_f32))),
        ("SDM630, recorded", "type = 'f32'", &[0x40, 0x65, 0x25, 0x4B], float(f64::from(3.580_401_2_f32))),
        ("SDM630, recorded", "type = 'f32'", &[0x42, 0x48, 0x15, 0xF3], float(f64::from(50.021_435_f32))),
        // 1/3 and the largest number of binary16, and 1/3 of binary64.
        ("IEEE 754-2019, binary16", "type = 'f16'", &[0x35, 0x55], float(0.333_251_953_125)),
        ("IEEE 754-2019, binary16", "type = 'f16'", &[0x7B, 0xFF], float(65504.0)),
        (
            "IEEE 754-2019, binary64",
            "type = 'f64'",
            &[0x3F, 0xD5, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55],
            float(1.0 / 3.0),
        ),
        // 123456.0 in the order that "Modicon" floats have: the low word first.
        ("Modicon float", "type = 'f32'\norder = 'cdab'", &[0x20, 0x00, 0x47, 0xF1], float(123_456.0)),
        // Room thermostat RDF302: 21.0 °C in fiftieths.
        ("Siemens CE1P3079en, page 45", "type = 'u16'\nscale = '1/50'", &[0x04, 0x1A], float(21.0)),
        // Domat FC013: the default set point, 21 °C in hundredths.
        ("Domat FC013, 0x0834", "type = 's16'\nscale = '1/100'", &[0x08, 0x34], float(21.0)),
    ] {
        assert_eq!(read("", point, &words(bytes)).0, want, "{source}: {point}");
    }
}
