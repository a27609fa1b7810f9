//! `SO_REUSEPORT`, where there is one.

use super::TcpSocket;
use std::io;

impl TcpSocket {
    /// Whether several sockets may be bound to one address (`SO_REUSEPORT`).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn reuseport(&self) -> io::Result<bool> {
        self.0.reuse_port()
    }

    /// Sets [`reuseport`](Self::reuseport).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        self.0.set_reuse_port(reuseport)
    }
}
