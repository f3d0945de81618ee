//! Feeds the target `path` of `ondol_proxy::fuzzing`, which says what it promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ondol_proxy::fuzzing::run("path", data));
