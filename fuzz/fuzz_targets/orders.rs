//! The orders in a worker's environment, and the context of a job.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reiver::offload::fuzzing::orders(data));
