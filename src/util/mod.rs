//! Small tools without a thread protocol of their own.

pub(crate) mod abort;
pub(crate) mod list;
pub(crate) mod note;
pub(crate) mod outbox;
pub(crate) mod pad;
pub(crate) mod rng;
pub(crate) mod try_lock;
pub(crate) mod wake_batch;
