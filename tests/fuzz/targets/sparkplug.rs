//! libFuzzer around [`engawa_fuzz::sparkplug`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| engawa_fuzz::sparkplug::run(data));
