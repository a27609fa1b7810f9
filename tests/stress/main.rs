//! Stress tests: every protocol of the runtime under random load, on real threads.
//!
//! The models in `loom-tests/` check each protocol alone and completely; what they cannot hold (whole
//! runtimes, crossbeam's queues, the kernel) runs here, and again under ThreadSanitizer and
//! AddressSanitizer (`.ci/run sanitize`). Each test repeats rounds until its time is over, and each
//! round checks a count or a sum and that everything was dropped exactly once.
//!
//! * `REIVER_STRESS_SECONDS`: for all tests together, 2 by default. Each runs one round at least.
//! * `REIVER_STRESS_SEED`: makes the random choices of one failed round again. The threads' timing is
//!   their own, so a failure may need many runs of its seed.
//! * `REIVER_STRESS_HANG_SECONDS`: a round that takes longer aborts the process, 120 by default.
//!
//! A new part is a file here with tests in it, and its tests counted in [`support::TESTS`].

mod abort;
mod block;
mod lifecycle;
mod spawn;
mod support;
mod sync;
mod time;
mod wake;
