//! Says so when a job's stack overflows, where std does not: it has not begun in a worker that a constructor
//! made. Like std's, the handler writes one line and lets the signal do its work.

use crate::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::primitive::fixed;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The lowest address of the job's stack: below it is the guard.
static BOTTOM: AtomicUsize = fixed::atomic_usize(0);
/// How far below the stack an access is an overflow of it.
const REACH: usize = 1 << 20;
/// The handler's own stack.
const HANDLER_STACK: usize = 16 * 1024;

/// Watches the stack of this thread, which runs until the process ends.
pub(super) fn watch() -> io::Result<()> {
    BOTTOM.store(bottom()?, Relaxed); // Relaxed: read on this thread only.
    let stack = libc::stack_t {
        // Freed by nobody: the thread lives as long as the process.
        ss_sp: Box::leak(vec![0_u8; HANDLER_STACK].into_boxed_slice()).as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: HANDLER_STACK,
    };
    // SAFETY: a stack of its own for handlers on this thread; the structs are whole. The handler does only
    // what may be done in one.
    unsafe {
        if libc::sigaltstack(&stack, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The lowest address of this thread's stack.
fn bottom() -> io::Result<usize> {
    let mut attributes = MaybeUninit::uninit();
    let (mut start, mut size) = (ptr::null_mut::<c_void>(), 0);
    // SAFETY: the attributes are made by the first call, read by the second and ended by the third.
    let code = unsafe {
        let code = libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr());
        if code == 0 {
            libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
        code
    };
    if code == 0 { Ok(start as usize) } else { Err(io::Error::from_raw_os_error(code)) }
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel's description of the signal.
    let address = unsafe { (*info).si_addr() } as usize;
    let bottom = BOTTOM.load(Relaxed); // Relaxed: written by this thread.
    if address.wrapping_sub(bottom.wrapping_sub(REACH)) < REACH + 4096 {
        let text = b"\nthread 'reiver-worker' has overflowed its stack\n";
        // SAFETY: `write` may be called in a handler.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
    // The handler is reset: the access comes again, and ends the process. What somebody has sent does not.
    // SAFETY: as above; `raise` too.
    if unsafe { (*info).si_code } <= 0 {
        // SAFETY: as above.
        unsafe { libc::raise(signal) };
    }
}
