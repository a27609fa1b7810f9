//! A child by its number, whoever has started it: std, or another process for us (`offload`'s template).
//!
//! The number is the child's own until it is reaped, which happens here and nowhere else; afterwards nothing is sent
//! to it.

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child as StdChild, ExitStatus};

/// A child of this process. Dropping it does nothing to it.
#[derive(Debug)]
pub(crate) struct Known {
    pid: Pid,
    /// Since it was reaped.
    status: Option<ExitStatus>,
}

impl From<StdChild> for Known {
    /// What std has of its pipes is closed.
    fn from(child: StdChild) -> Self {
        Self::new(child.id()).expect("std's children have numbers")
    }
}

impl Known {
    /// A child that nobody has reaped, and nobody else will. `None`: no process can have this number.
    pub(crate) fn new(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        Some(Self { pid, status: None })
    }

    /// Whether it is a child of this process that nobody has reaped.
    #[allow(dead_code)] // only `offload` asks
    pub(crate) fn is_ours(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        retry_on_intr(|| waitid(WaitId::Pid(self.pid), look)).is_ok()
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// Sends `SIGKILL`, unless it is reaped.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        match self.status {
            Some(_) => Ok(()),
            None => Ok(rustix::process::kill_process(self.pid, Signal::KILL)?),
        }
    }

    /// Reaps it if it has ended. An error means that somebody else has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(WaitOptions::NOHANG)
    }

    /// Waits for its end, and reaps it.
    #[allow(dead_code)] // only `offload` does
    pub(crate) fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(WaitOptions::empty())
    }

    fn reap(&mut self, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let ended = retry_on_intr(|| waitpid(Some(self.pid), options))?;
            self.status = ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
        }
        Ok(self.status)
    }
}
