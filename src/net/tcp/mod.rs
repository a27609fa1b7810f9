//! TCP: the halves of a stream, and what lies behind `reiver::net::{TcpListener, TcpStream, TcpSocket}`.

mod listener;
mod socket;
mod split;
mod stream;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod stream_linux;

pub use listener::TcpListener;
pub use socket::TcpSocket;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
