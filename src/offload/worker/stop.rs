//! How a job in a worker hears that it should stop: a signal that carries the job's number, so that one that comes
//! late does not stop the next.

use crate::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::primitive::fixed;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// What the parent sends: the polite request.
pub(in crate::offload) const SIGNAL: i32 = libc::SIGTERM;
/// No job has this number.
const NOBODY: usize = usize::MAX;

/// The job that runs.
static RUNNING: AtomicUsize = fixed::atomic_usize(NOBODY);
/// The job that was asked to stop.
static ASKED: AtomicUsize = fixed::atomic_usize(NOBODY);

/// Makes this process listen.
pub(super) fn listen() -> io::Result<()> {
    // SAFETY: the struct is whole, and the handler does only what may be done in one.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        if libc::sigaction(SIGNAL, &action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel's description of the signal.
    let (code, value) = unsafe { ((*info).si_code, (*info).si_value()) };
    if code == libc::SI_QUEUE {
        ASKED.store(value.sival_ptr.addr(), Relaxed); // Relaxed: a number, compared and nothing else.
        return;
    }
    // Not from our parent's pool: what it does by default, once this handler has returned.
    // SAFETY: both may be called in a handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// This job runs from here on.
pub(super) fn begins(job: u64) {
    RUNNING.store(job as usize, Relaxed); // Relaxed: as in `handle`.
}

/// Whether the job that runs was asked to stop.
pub(in crate::offload) fn is_requested() -> bool {
    // Relaxed: as in `handle`.
    let asked = ASKED.load(Relaxed);
    asked != NOBODY && asked == RUNNING.load(Relaxed)
}

/// Asks job `job` of the worker `pid`, which is not reaped.
pub(in crate::offload) fn ask(pid: u32, job: u64) {
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(job as usize) };
    // SAFETY: sends a signal.
    unsafe { libc::sigqueue(pid as i32, SIGNAL, value) };
}
