//! Searches for bytes on which the reader of a manifest breaks a promise.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_tests::fuzz_targets::manifest(bytes));
