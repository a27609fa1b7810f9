//! The reader of messages, on what a worker may write and on what a parent may.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reiver::offload::fuzzing::frames(data));
