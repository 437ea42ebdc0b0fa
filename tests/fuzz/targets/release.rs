//! libFuzzer around [`engawa_fuzz::release`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::release::run(data));
