//! Searches for bytes on which the reader of a frame breaks a promise.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_tests::fuzz_targets::frame(bytes));
