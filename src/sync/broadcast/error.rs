//! The errors of the channel.

pub use super::super::mpsc::error::SendError;
use std::error::Error;
use std::fmt;

/// Why `recv` got nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecvError {
    /// All senders are dropped and all values were taken.
    Closed,
    /// So many values were overwritten before they were taken.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("channel closed"),
            Self::Lagged(n) => write!(f, "channel lagged by {n}"),
        }
    }
}

impl Error for RecvError {}

/// Why `try_recv` got nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryRecvError {
    /// No value is there now.
    Empty,
    /// All senders are dropped and all values were taken.
    Closed,
    /// So many values were overwritten before they were taken.
    Lagged(u64),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("channel empty"),
            Self::Closed => f.write_str("channel closed"),
            Self::Lagged(n) => write!(f, "channel lagged by {n}"),
        }
    }
}

impl Error for TryRecvError {}
