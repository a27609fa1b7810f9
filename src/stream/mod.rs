//! Streams: reiver's receivers, intervals, listeners and directories as [`Stream`]s.
//!
//! The trait is `futures-core`'s, which all crates speak. Its adapters (`map`, `filter`, `buffered`,
//! `merge`, `timeout`…) are those of `futures-util`, `futures-lite` or `tokio-stream`; they need no runtime
//! and are not repeated here. `tokio-stream`'s `LinesStream` and `SplitStream` serve too, since
//! [`io`](crate::io)'s `Lines` and `Split` are tokio's own. What cannot come from there are the wrappers of
//! this runtime's types, in [`wrappers`].
//!
//! The feature `stream` switches it on.

pub mod wrappers;

#[doc(no_inline)]
pub use futures_core::Stream;
