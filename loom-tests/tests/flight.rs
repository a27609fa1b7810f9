//! Models of the flight recorder's ring: checks `src/scheduler/README.md`, "The flight recorder".

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::Arc;
use reiver_model::internals::util::{Event, Ring};
use std::ptr;

/// How many events the ring has.
const LENGTH: usize = 2;

/// Each event has its number twice.
fn write(ring: &Ring, n: u64) {
    ring.record(Event::Ready, n, ptr::without_provenance(n as usize));
}

/// What a reader has found: whole events, without a gap.
fn read(ring: &Ring) -> Vec<u64> {
    let numbers: Vec<u64> = ring
        .copy()
        .into_iter()
        .map(|[_, what, place]| {
            assert_eq!(what & 0xff, place, "torn");
            place
        })
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    numbers
}

/// A ring that is full is written over while it is read.
#[test]
fn ring_vs_reader() {
    must_reach(&["before", "behind one", "nothing", "after"]);
    model("ring_vs_reader", Bound::Preemptions(3), || {
        let ring = Arc::new(Ring::new(LENGTH));
        write(&ring, 1);
        write(&ring, 2);
        let writer = {
            let ring = ring.clone();
            spawn(move || {
                write(&ring, 3);
                write(&ring, 4);
            })
        };
        match read(&ring)[..] {
            [1, 2] => reached("before"),
            [2] | [3] => reached("behind one"),
            [2, 3] | [3, 4] => reached("after"),
            [] => reached("nothing"),
            ref other => panic!("{other:?}"),
        }
        writer.join().unwrap();
        assert_eq!(read(&ring), [3, 4]);
    });
}
