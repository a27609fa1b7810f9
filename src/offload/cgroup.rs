//! A control group for each worker: its memory with all that counts there, what it starts included, an end for all
//! of them at once, and the kernel's word on who ran out of memory.
//!
//! The group is made before the worker is started and has its limit before the worker is in it. Files are written by
//! the thread that starts workers, since to move a process the kernel may wait for a grace period of its own. The
//! same thread removes the group: that fails for as long as a process of it is still ending, so it is tried again.
//!
//! Rejected: to start the worker inside (`CLONE_INTO_CGROUP`): std's `posix_spawn` cannot. It is moved before it
//! gets its first job instead.

use crate::primitive::Arc;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The group of one worker, until it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Group(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    version: Version,
}

/// Which of the kernel's two interfaces the directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// One hierarchy for each controller; this is the one for memory.
    One,
    /// One hierarchy for all.
    Two,
}

impl Group {
    /// Makes a group below `parent` with a limit.
    ///
    /// # Errors
    ///
    /// If `parent` is no control group in which we may make others with a limit of memory.
    pub(super) fn new(parent: &Path, number: u64, memory: u64) -> io::Result<Self> {
        let path = parent.join(format!("reiver-{}-{number}", std::process::id()));
        let told = |error: io::Error| {
            io::Error::new(error.kind(), format!("control group {}: {error}", path.display()))
        };
        fs::create_dir(&path).map_err(told)?;
        let version = match path.join("memory.limit_in_bytes").exists() {
            true => Version::One,
            false => Version::Two,
        };
        let group = Self(Arc::new(Directory { path: path.clone(), version }));
        let limited = match version {
            Version::One => group.write("memory.limit_in_bytes", memory),
            Version::Two => {
                // A group that makes its controllers known to those below it has the file. It may be known already.
                let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
                group.write("memory.max", memory)
            }
        };
        limited.map_err(told)?;
        // Where there is no swap to count, there is no such file.
        let _ = match version {
            Version::One => group.write("memory.memsw.limit_in_bytes", memory),
            Version::Two => group.write("memory.swap.max", 0),
        };
        Ok(group)
    }

    fn write(&self, file: &str, value: impl ToString) -> io::Result<()> {
        fs::write(self.0.path.join(file), value.to_string())
    }

    /// Moves a process into it.
    pub(super) fn take(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", pid)
    }

    /// Kills all that is in it, also what has left the worker's process group. Linux 5.14 and version 2 only; elsewhere
    /// there is the process group.
    pub(super) fn kill(&self) {
        if self.0.version == Version::Two {
            let _ = self.write("cgroup.kill", 1);
        }
    }

    /// Whether the kernel has killed a process of it for want of memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        let file = match self.0.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.0.path.join(file)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|count| count.trim().parse().ok()).is_some_and(|count: u64| count > 0)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        super::spawn::remove_group(std::mem::take(&mut self.path));
    }
}
