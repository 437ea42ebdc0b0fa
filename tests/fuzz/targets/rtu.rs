//! libFuzzer around [`engawa_fuzz::rtu`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::rtu::run(data));
