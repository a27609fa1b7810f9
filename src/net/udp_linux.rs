//! Binding to a network interface, and the IPv6 traffic class: Linux and Android.

use super::UdpSocket;
use socket2::SockRef;
use std::io;

impl UdpSocket {
    /// The network interface it is bound to.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        SockRef::from(self).device()
    }

    /// Binds it to a network interface, `b"eth0"` for example, or to none.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        SockRef::from(self).bind_device(interface)
    }

    /// The traffic class of IPv6 packets.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        SockRef::from(self).tclass_v6()
    }

    /// Sets [`tclass_v6`](Self::tclass_v6).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        SockRef::from(self).set_tclass_v6(tclass)
    }
}
