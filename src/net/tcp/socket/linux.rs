//! Options that Linux and Android have.

use super::TcpSocket;
use std::io;

impl TcpSocket {
    /// The network interface it is bound to.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        self.0.device()
    }

    /// Binds it to a network interface, `b"eth0"` for example, or to none.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        self.0.bind_device(interface)
    }

    /// The traffic class of IPv6 packets.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        self.0.tclass_v6()
    }

    /// Sets [`tclass_v6`](Self::tclass_v6).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        self.0.set_tclass_v6(tclass)
    }
}
