//! Options of a stream that Linux and Android have.

use super::TcpStream;
use socket2::SockRef;
use std::io;

impl TcpStream {
    /// Whether what arrives is acknowledged at once (`TCP_QUICKACK`). The system resets it as it
    /// likes.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn quickack(&self) -> io::Result<bool> {
        SockRef::from(self).tcp_quickack()
    }

    /// Sets [`quickack`](Self::quickack).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        SockRef::from(self).set_tcp_quickack(quickack)
    }
}
