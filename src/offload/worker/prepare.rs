//! What a worker does to itself before it takes jobs.
//!
//! The parent starts it by `posix_spawn`, which cannot do these things (and a template leaves them to the worker); a
//! function between `fork` and `exec` could, but `fork` copies the parent's page tables: 126 ms at 4 GiB.

use super::super::orders::Orders;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The descriptor that the channel gets.
const CHANNEL: i32 = 3;
/// Added to the kernel's reasons to end a process: rather a worker than its parent.
const OOM_SCORE: &str = "500";

/// Makes this process a worker; gives the channel, which was its standard input.
pub(super) fn prepare(orders: &Orders) -> io::Result<OwnedFd> {
    let channel = descriptors()?;
    belong_to(orders.parent)?;
    limits(orders)?;
    // Without privileges nobody may become less likely to be ended, but more likely anybody.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    rustix::thread::set_no_new_privs(true)?;
    let _ = rustix::thread::set_name(c"reiver-worker");
    if orders.nice != 0 {
        let _ = rustix::process::nice(orders.nice);
    }
    // SAFETY: no handler is involved. As std does before `main`, which may not have run here.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    Ok(channel)
}

/// Ends with the parent.
pub(super) fn belong_to(parent: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let ours = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get() as u32);
    if ours != Some(parent) {
        // It has died already: nobody would send the signal.
        return Err(io::Error::other("the parent is gone"));
    }
    Ok(())
}

/// Standard input becomes empty, the channel moves to 3, and there is nothing above.
fn descriptors() -> io::Result<OwnedFd> {
    // SAFETY: nothing of this process owns a descriptor above 2 yet, or cares for what it inherited.
    let moved = unsafe { libc::dup3(0, CHANNEL, libc::O_CLOEXEC) };
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `dup3` has just made it, for us.
    let channel = unsafe { OwnedFd::from_raw_fd(CHANNEL) };
    close_from(CHANNEL + 1);
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: 0 was the channel, which has moved.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(channel)
}

/// Closes what the program inherited, from this descriptor on.
pub(super) fn close_from(first: i32) {
    // SAFETY: nothing of this process owns such a descriptor yet.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if closed != 0 {
        // Linux before 5.9.
        let most = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
        for fd in first..most.min(1 << 16) as i32 {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

fn limits(orders: &Orders) -> io::Result<()> {
    let limit = |resource, value: u64| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    limit(Resource::Core, 0)?;
    if orders.data != 0 {
        limit(Resource::Data, orders.data)?;
    }
    if orders.address_space != 0 {
        limit(Resource::As, orders.address_space)?;
    }
    if orders.cpu != 0 {
        // The signal comes at the first; the second would be SIGKILL.
        let hard = Some(orders.cpu.saturating_add(1));
        setrlimit(Resource::Cpu, Rlimit { current: Some(orders.cpu), maximum: hard })?;
    }
    Ok(())
}
