//! The search over `fuzz::head`. In: what libFuzzer makes up; out: a crash with the input that caused it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::head(data));
