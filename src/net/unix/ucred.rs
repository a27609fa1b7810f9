//! Who is at the other end.

use super::{gid_t, pid_t, uid_t};
use crate::util::peer::Peer;

/// The user, the group and, where the system tells it, the process at the other end of a Unix stream,
/// as they were when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<pid_t>,
    uid: uid_t,
    gid: gid_t,
}

impl UCred {
    pub(super) fn new(peer: Peer) -> Self {
        Self { pid: peer.process, uid: peer.user, gid: peer.group }
    }

    /// The effective user.
    pub fn uid(&self) -> uid_t {
        self.uid
    }

    /// The effective group.
    pub fn gid(&self) -> gid_t {
        self.gid
    }

    /// The process: on Linux and Android, unless it is of another pid namespace.
    pub fn pid(&self) -> Option<pid_t> {
        self.pid
    }
}
