//! Doors for the fuzzer in `fuzz/`, which cargo-fuzz opens by `--cfg fuzzing`: what a broken or hostile process on
//! the other side could send. Each panics where something holds that must not.

use super::blob::Blob;
use super::context::JobContext;
use super::frame::{Reader, Segment};
use super::orders::Orders;
use super::registry::{decode, encode};
use serde::de::DeserializeOwned;
use serde::ser::Serialize;
use std::fmt::Debug;

/// The first two bytes choose the reader and the pieces in which it gets the rest.
pub fn frames(data: &[u8]) {
    let [kind, step, rest @ ..] = data else { return };
    let limit = 1 << (kind >> 1 & 31).min(26);
    let mut reader = Reader::new(limit, kind & 1 == 1);
    let mut rest = rest;
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                let segments = frame.segments.iter().map(|segment| match segment {
                    Segment::Bytes(bytes) => bytes.len() as u64,
                    Segment::Shared(size) => {
                        assert!(kind & 1 == 1, "this reader takes none");
                        *size
                    }
                });
                let size = frame.payload.len() as u64 + segments.sum::<u64>();
                assert!(size <= limit, "{size} bytes where {limit} are allowed");
                assert!(usize::from(frame.head.context) <= frame.payload.len());
                for segment in frame.segments {
                    if let Segment::Bytes(bytes) = segment {
                        reader.recycle(bytes);
                    }
                }
                continue;
            }
            Ok(None) if rest.is_empty() => return,
            Ok(None) => {}
            Err(_) => return,
        }
        let (some, filled) = reader.fill(|buf| {
            let some = rest.len().min(buf.remaining()).min(usize::from(*step) + 1);
            buf.put_slice(&rest[..some]);
            some
        });
        assert!(some == filled && some > 0, "the reader has no room");
        rest = &rest[some..];
    }
}

/// What is decoded to a `T` is encoded again, and decoded to the same. The first byte says how many blobs come
/// along, the next as many how long each is.
pub fn values<T: Serialize + DeserializeOwned + Debug>(data: &[u8]) {
    let [count, rest @ ..] = data else { return };
    let count = usize::from(count & 7);
    if rest.len() < count {
        return;
    }
    let (sizes, mut payload) = rest.split_at(count);
    let mut blobs = Vec::new();
    for size in sizes {
        let (blob, after) = payload.split_at(payload.len().min(usize::from(*size)));
        blobs.push(Blob::from(blob.to_vec()));
        payload = after;
    }
    // Its depth is the sender's choice, as in any format: an endless nesting of arguments ends the worker that is
    // given them. Here it would end the fuzzer.
    if payload.len() > 400 {
        return;
    }
    let _ = decode::<(String, String, Option<String>)>(payload, &mut Vec::new());
    let Ok(value) = decode::<T>(payload, &mut blobs) else { return };
    // `Bytes` gives its bytes away when it is encoded, so the text is made before.
    let before = format!("{value:?}");
    let mut message = encode(&value).expect("what was decoded has an encoding");
    let again: T = decode(&message.payload, &mut message.blobs).expect("so it was written");
    assert_eq!(before, format!("{again:?}"));
}

/// The text of orders, and the bytes of a context.
pub fn orders(data: &[u8]) {
    let context = JobContext::read("f", data);
    let mut written = Vec::new();
    let len = context.write(&mut written);
    assert_eq!(usize::from(len), written.len());
    let again = JobContext::read("f", &written);
    if data.len() <= 100 {
        assert_eq!(context, again);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(orders) = Orders::parse(text) {
        assert_eq!(Orders::parse(&orders.to_text()), Some(orders));
    }
}
