//! The halves of a Unix stream.

use super::{SocketAddr, UnixStream};
use crate::net::methods::{async_read, async_write, try_read_methods, try_write_methods};
use crate::net::split::split_halves;
use crate::primitive::Arc;
use crate::reactor::{Interest, Ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

split_halves!(UnixStream, SocketAddr);
