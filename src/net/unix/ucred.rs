//! Who is at the other end.

use super::{gid_t, pid_t, uid_t};

/// The user, the group and, where the system tells it, the process at the other end of a Unix stream,
/// as they were when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UCred {
    pub(in crate::net) pid: Option<pid_t>,
    pub(in crate::net) uid: uid_t,
    pub(in crate::net) gid: gid_t,
}

impl UCred {
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
