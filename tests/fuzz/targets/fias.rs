//! libFuzzer around [`engawa_fuzz::fias`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::fias::run(data));
