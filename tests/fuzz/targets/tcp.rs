//! libFuzzer around [`engawa_fuzz::tcp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::tcp::run(data));
