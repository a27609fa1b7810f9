//! Models of bytes on their way: checks the claims at the head of `src/util/outbox.rs`.

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::{Arc, UnsafeCell};
use reiver_model::internals::util::{Outbox, Put};
use std::io::{Error, IoSlice};

/// Where the job writes to. No two jobs at once: the cell tells.
struct Sink(UnsafeCell<Vec<u8>>);

// SAFETY: loom watches the cell.
unsafe impl Sync for Sink {}
// SAFETY: as above.
unsafe impl Send for Sink {}

struct Stream {
    outbox: Outbox,
    sink: Sink,
}

impl Stream {
    fn new() -> Arc<Self> {
        Arc::new(Self { outbox: Outbox::default(), sink: Sink(UnsafeCell::new(Vec::new())) })
    }

    fn job(&self) {
        let mut bytes = Vec::new();
        while self.outbox.next(&mut bytes) {
            // SAFETY: one job at a time, which the model checks.
            self.sink.0.with_mut(|sink| unsafe { (*sink).extend_from_slice(&bytes) });
        }
    }
}

/// What was taken is written, in order, by one job at a time; whoever is told to start one, is alone.
#[test]
fn outbox_writer_vs_job() {
    must_reach(&["the job takes more", "the job has ended"]);
    model("outbox_writer_vs_job", Bound::None, || {
        let stream = Stream::new();
        let Put::Start(1) = stream.outbox.put(&[IoSlice::new(b"1")], 8) else {
            panic!("there is no job")
        };
        let theirs = stream.clone();
        let mut job = Some(spawn(move || theirs.job()));
        for piece in [b"2", b"3"] {
            match stream.outbox.join(&[IoSlice::new(piece)], 8) {
                Put::Taken(1) => reached("the job takes more"),
                Put::Wait => {
                    reached("the job has ended");
                    if let Some(job) = job.take() {
                        job.join().unwrap();
                    }
                    let Put::Start(1) = stream.outbox.put(&[IoSlice::new(piece)], 8) else {
                        panic!("the job has ended")
                    };
                    stream.job();
                }
                other => panic!("{other:?}"),
            }
        }
        if let Some(job) = job {
            job.join().unwrap();
        }
        assert!(stream.outbox.is_idle());
        // SAFETY: no job runs.
        stream.sink.0.with(|sink| assert_eq!(unsafe { &*sink }, b"123"));
    });
}

/// Several writers with one outbox, as the standard output has it: each owes the job that it is told to start.
#[test]
fn outbox_two_writers() {
    must_reach(&["a job for each", "fewer jobs"]);
    model("outbox_two_writers", Bound::None, || {
        let stream = Stream::new();
        let theirs = stream.clone();
        let put = |stream: &Stream| match stream.outbox.put(&[IoSlice::new(b"x")], 8) {
            Put::Start(1) => {
                stream.job();
                1
            }
            Put::Taken(1) => 0,
            other => panic!("{other:?}"),
        };
        let other = spawn(move || put(&theirs));
        let jobs = put(&stream) + put(&stream) + other.join().unwrap();
        reached(if jobs == 3 { "a job for each" } else { "fewer jobs" });
        assert!(stream.outbox.is_idle());
        // SAFETY: no job runs.
        stream.sink.0.with(|sink| assert_eq!(unsafe { &*sink }.len(), 3));
    });
}

/// An error is told once: to who looks, or by who comes second of the job and the end of the writer.
#[test]
fn outbox_error_vs_leave() {
    must_reach(&["the job reports", "the writer reports"]);
    model("outbox_error_vs_leave", Bound::None, || {
        let stream = Stream::new();
        let Put::Start(1) = stream.outbox.put(&[IoSlice::new(b"1")], 8) else {
            panic!("there is no job")
        };
        let theirs = stream.clone();
        let job = spawn(move || {
            assert!(theirs.outbox.next(&mut Vec::new()));
            theirs.outbox.fail(Error::other("the disk is full")).is_some()
        });
        let by_writer = stream.outbox.leave().is_some();
        let by_job = job.join().unwrap();
        reached(if by_job { "the job reports" } else { "the writer reports" });
        assert!(by_job != by_writer, "an error is told {}", if by_job { "twice" } else { "never" });
    });
}
