//! libFuzzer around [`engawa_fuzz::mqtt`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::mqtt::run(data));
