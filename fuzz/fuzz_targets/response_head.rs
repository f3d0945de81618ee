//! Feeds the target `response_head` of `ondol_proxy::fuzzing`, which says what it promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ondol_proxy::fuzzing::run("response_head", data));
