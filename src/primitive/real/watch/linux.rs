//! `/proc/self/task/TID/stat`, the threads' CPU clocks, and `membarrier`.

use super::{Sample, State};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{MembarrierCommand, membarrier};
use std::sync::OnceLock;
use std::time::Duration;

/// What the kernel calls the calling thread. Numbers are used again when threads are gone.
pub(crate) fn thread_number() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// What thread `number` of this process does. About 5 µs.
pub(crate) fn sample(number: u32) -> Sample {
    Sample { cpu: cpu_time(number), state: state(number).unwrap_or(State::Unknown) }
}

fn cpu_time(number: u32) -> Option<Duration> {
    // How the kernel numbers the clocks of threads: the complement of the thread's number, and the bits
    // "of one thread" (4) and "its time on CPUs" (2). glibc's `pthread_getcpuclockid` does the same.
    let clock = (!number as libc::clockid_t) << 3 | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes a `timespec`, and it is given one.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// `None` if the thread is gone, or `/proc` is hidden.
fn state(number: u32) -> Option<State> {
    let path = format!("/proc/self/task/{number}/stat");
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut line = [0; 128];
    let read = rustix::io::read(&file, &mut line).ok()?;
    // "123 (a name) S …": the name may have parentheses inside, and ends within its 16 bytes.
    let line = &line[..read];
    let end = line.iter().rposition(|&byte| byte == b')')?;
    Some(match line.get(end + 2)? {
        b'S' | b'D' => State::Blocked,
        b'R' => State::Runnable,
        // Stopped, traced, ending: nothing to be concluded from.
        _ => State::Unknown,
    })
}

/// Whether [`barrier`] works in this process. The first call registers the process for it.
pub(crate) fn has_barrier() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        // Refused by old kernels and by some sandboxes.
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() && barrier()
    })
}

/// A full memory barrier on every thread of this process that runs now, and here. `false`: it was not
/// carried out.
pub(crate) fn barrier() -> bool {
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}
