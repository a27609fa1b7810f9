//! Models of the whole runtime.

mod harness;

use harness::{Bound, Model, must_reach, reached};
use reiver_model::runtime::{Builder, Runtime};

fn workers(n: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(n).build().unwrap()
}

#[test]
fn build_and_drop() {
    Model::new("build_and_drop", Bound::Preemptions(1)).check(|| {
        harness::thread::spawn(|| drop(workers(1))).join().unwrap();
    });
}

#[test]
fn spawn_and_drop() {
    Model::new("spawn_and_drop", Bound::Preemptions(1)).check(|| {
        harness::thread::spawn(|| {
            let rt = workers(1);
            rt.spawn(async {});
        })
        .join()
        .unwrap();
    });
}

#[test]
fn block_on_join() {
    Model::new("block_on_join", Bound::Preemptions(1)).check(|| {
        harness::thread::spawn(|| {
            let rt = workers(1);
            let t = rt.spawn(async { 7 });
            assert_eq!(rt.block_on(t).unwrap(), 7);
        })
        .join()
        .unwrap();
    });
}
