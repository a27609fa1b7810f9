//! Asynchronous reading and writing: tokio's traits and adapters.
//!
//! The I/O traits of reiver *are* those of tokio ([`AsyncRead`], [`AsyncWrite`], [`AsyncBufRead`],
//! [`AsyncSeek`], [`ReadBuf`]), re-exported from the `tokio` crate, because every protocol crate
//! speaks them. A stream of reiver goes into tokio-rustls, tokio-tungstenite, tokio-postgres, hyper
//! or a tokio-util codec as it is, and one [`AsyncReadExt`] serves all.
//!
//! Nothing of tokio's runtime is in the build by that: the feature `io-util` alone is on, which is
//! these traits, the adapters below and the crate `bytes`. Traits of our own would cost each program
//! a wrapper around each stream; `futures-io` as the only family would leave out the protocol crates
//! (research/ecosystem.md §1, §4).
//!
//! # No runtime is needed
//!
//! Everything in this module runs under any executor. tokio's cooperative budget is not in force
//! outside tokio's own workers, so an adapter never answers `Pending` on account of it; what spends
//! reiver's budget is reiver's sockets, files and channels at the bottom. The in-memory ends
//! ([`duplex`], [`simplex`], [`empty`], [`repeat`], [`sink`]) spend none: a task that copies from
//! [`repeat`] to [`sink`] for ever keeps its worker.

#[cfg(feature = "futures-io")]
pub mod compat;

// The door: what is tied to a runtime and yet found here. Re-exports only.
pub use crate::reactor::{Interest, Ready};
pub use crate::stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};

/// Descriptors of any kind that can be waited for.
pub mod unix {
    pub use crate::net::async_fd::{
        AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, TryIoError,
    };
}

#[doc(no_inline)]
pub use std::io::{Error, ErrorKind, Result, SeekFrom};

pub use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

pub use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

pub use tokio::io::{
    BufReader, BufStream, BufWriter, Chain, DuplexStream, Empty, Join, Lines, ReadHalf, Repeat,
    SimplexStream, Sink, Split, Take, WriteHalf,
};

pub use tokio::io::{
    copy, copy_bidirectional, copy_bidirectional_with_sizes, copy_buf, duplex, empty, join, repeat,
    simplex, sink, split,
};
