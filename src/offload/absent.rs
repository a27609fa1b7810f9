//! Where there are no worker processes: what `#[reiver::main]` calls first, and the one protocol that has a model.

#[allow(dead_code)] // The model alone uses it here.
pub(crate) mod offer;

/// In a model an atomic that loom watches; between processes it is a bare one.
use crate::primitive::atomic::AtomicU64 as Word;

#[doc(hidden)]
#[macro_export]
macro_rules! __start_of_main {
    () => {};
}
