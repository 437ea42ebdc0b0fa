//! libFuzzer around [`engawa_fuzz::sync`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::sync::run(data));
