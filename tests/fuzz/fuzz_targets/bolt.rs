//! See `layerwatch::fuzz`, which has what this target does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| layerwatch_fuzz::run("bolt", bytes));
