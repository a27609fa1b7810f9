//! TCP, UDP and Unix sockets, and pipes.
//!
//! Names and behaviour are tokio's. A socket belongs to the runtime that is current when it is made,
//! and may be used from any task, thread or executor; when its runtime is shut down, what waits for
//! it ends with an error. The methods `poll_*` keep one waker a direction, that of the last call; any
//! number of tasks may wait by the `async` methods.
//!
//! What each file owns: `socket.rs` a registered descriptor and its operations; `methods.rs` the
//! methods that several types have; `split.rs` the halves of streams; `datagram.rs` whole messages;
//! `addr.rs` names to addresses; `name.rs` addresses to names; `simulated.rs` the network of a simulation; `async_fd/`
//! descriptors of the user's; `sys/` what differs between
//! systems.

mod addr;
pub(crate) mod async_fd;
mod datagram;
mod methods;
mod name;
mod simulated;
mod socket;
mod split;
mod sys;
pub mod tcp;
mod udp;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod udp_linux;
pub mod unix;

pub use addr::{ToSocketAddrs, lookup_host};
pub use name::lookup_addr;
pub use tcp::{TcpListener, TcpSocket, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
