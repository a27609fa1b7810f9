//! What a child has from the process that started it, besides its program, arguments, environment and descriptors.
//!
//! A worker by a template has it from the template, so from us as we were when that was started. A program may have
//! become another user since, have given up capabilities, have put itself into a sandbox; then its next worker must not
//! have what it has given up.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// The lines of the system's file that matter: users and groups, capabilities, system calls that are filtered, CPUs,
/// signals that are ignored, the mask for new files.
const LINES: [&str; 10] = [
    "Umask:",
    "Uid:",
    "Gid:",
    "Groups:",
    "SigIgn:",
    "Cap",
    "NoNewPrivs:",
    "Seccomp",
    "Cpus_allowed:",
    "Mems_allowed:",
];
/// There are 16 kinds of limits.
const LIMITS: u32 = 16;

/// What a child of this thread has from it. Only to be compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heritage {
    status: String,
    groups: String,
    /// The working directory, and the root.
    directories: [(u64, u64); 2],
    limits: Vec<(u64, u64)>,
    /// The nice value, the scheduler's policy, and whether memory may be written and executed.
    manners: [i32; 3],
}

/// `PR_GET_MDWE`, since Linux 6.3.
const GET_MDWE: i32 = 66;

impl Heritage {
    /// As it is now.
    ///
    /// # Errors
    ///
    /// Where there is no `/proc`: nobody knows.
    pub(super) fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/thread-self/status")?;
        let wanted = |line: &&str| LINES.iter().any(|start| line.starts_with(start));
        let status = status.lines().filter(wanted).collect::<Vec<_>>().join("\n");
        let groups = fs::read_to_string("/proc/thread-self/cgroup")?;
        let place = |path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
        let directories = [place(".")?, place("/")?];
        // SAFETY: questions without pointers. An answer that is an error is as good as another.
        let manners = unsafe {
            [
                libc::getpriority(libc::PRIO_PROCESS, 0),
                libc::sched_getscheduler(0),
                libc::prctl(GET_MDWE, 0, 0, 0, 0),
            ]
        };
        let limits = (0..LIMITS).map(limit).collect();
        Ok(Self { status, groups, directories, limits, manners })
    }
}

fn limit(kind: u32) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes the struct. A kind that the system does not know changes nothing.
    unsafe { libc::getrlimit(kind as _, &mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}
