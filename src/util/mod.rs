//! Small tools without a thread protocol of their own.

pub(crate) mod abort;
pub(crate) mod histogram;
pub(crate) mod kept;
pub(crate) mod list;
pub(crate) mod note;
pub(crate) mod of_process;
pub(crate) mod outbox;
pub(crate) mod pad;
pub(crate) mod patience;
pub(crate) mod peer;
pub(crate) mod ring;
pub(crate) mod rng;
/// What `tracing` hears of tasks and reports.
#[cfg(feature = "tracing")]
pub(crate) mod spans;
#[cfg(not(feature = "tracing"))]
#[path = "no_spans.rs"]
pub(crate) mod spans;
pub(crate) mod try_lock;
pub(crate) mod wake_batch;
