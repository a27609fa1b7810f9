//! Decoding of arguments and results, with blobs beside them.
#![no_main]

use reiver::offload::Blob;
use reiver::offload::__private::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All shapes that serde knows, and blobs.
#[derive(Debug, Serialize, Deserialize)]
enum Value {
    Unit,
    Numbers(i8, u16, i32, u64, i128, f64),
    Text { text: String, letter: char },
    Bytes(Bytes),
    Blob(Blob),
    Many(Vec<Value>),
    Map(BTreeMap<u32, Option<Box<Value>>>),
    Fixed([bool; 3], ()),
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| reiver::offload::fuzzing::values::<Value>(data));
