//! The stack of another thread, by a signal to it.
//!
//! The handler runs on that thread and walks its stack into fixed memory; it takes no lock and allocates
//! nothing. Names are looked up later and elsewhere. The signal is SIGURG, as in Go: ignored where nobody asks
//! for it, sent by the kernel for out-of-band data only, and harmless when it comes for nothing. It
//! interrupts a system call as any signal with a handler does, which is why it is sent once for each place
//! that is written about, and not for every look.
//!
//! Rejected: ptrace (needs another process and a permission); the frame pointers (std is built without);
//! `/proc/self/task/N/stack` (root only, and the kernel's half).

use super::Frame;
use crate::primitive::StaticMutex;
use rustix::thread::gettid;
use std::os::raw::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

/// The most frames that are kept: async code is deep.
const DEPTH: usize = 128;
/// How long a thread has to answer. One that has no CPU may be late, by a few turns of all others.
const PATIENCE: Duration = Duration::from_millis(250);

/// Whose stack is asked for: a thread's number, or one of these.
static ASKED: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = 0;
const ANSWERING: u32 = u32::MAX;
const ANSWERED: u32 = u32::MAX - 1;

/// Written by who changed ASKED from its number to ANSWERING, and read after ANSWERED.
static FRAMES: [AtomicUsize; DEPTH] = [const { AtomicUsize::new(0) }; DEPTH];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The return addresses on the stack of thread `number`, innermost first, the handler's own among them.
pub(crate) fn capture(number: u32) -> Option<Vec<usize>> {
    static ONE_AT_A_TIME: StaticMutex<()> = StaticMutex::new(());
    if !is_ready() {
        return None;
    }
    // In a child by `fork` it may be held by a thread that is not there.
    let _one = ONE_AT_A_TIME.try_lock_for(4 * PATIENCE)?;
    // Release: pairs with the Acquire in `answer`.
    ASKED.store(number, Release);
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: no memory is involved; a thread that is gone is an error.
    let sent = unsafe {
        libc::syscall(libc::SYS_tgkill, process, number as libc::pid_t, libc::SIGURG) == 0
    };
    let start = Instant::now();
    // Acquire: pairs with the Release at the end of `answer`.
    while ASKED.load(Acquire) != ANSWERED {
        // Once it answers it is waited for: it is on a CPU, or will be.
        let is_late = !sent || start.elapsed() > PATIENCE;
        if is_late && ASKED.compare_exchange(number, NOBODY, AcqRel, Acquire).is_ok() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(20));
    }
    ASKED.store(NOBODY, Relaxed);
    // Relaxed: ANSWERED publishes them.
    let count = COUNT.load(Relaxed).min(DEPTH);
    Some(FRAMES[..count].iter().map(|frame| frame.load(Relaxed)).collect())
}

/// Puts the handler there, once.
fn is_ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        // What the first walk of a process sets up is not set up in the handler.
        walk(|_| true);
        // SAFETY: `answer` does what a handler may.
        unsafe { signal_hook_registry::register(libc::SIGURG as c_int, answer) }.is_ok()
    })
}

fn walk(mut each: impl FnMut(usize) -> bool) {
    // SAFETY: "unsynchronized" is about looking up names, which is not done here; glibc's and libgcc's
    // unwinders walk without a lock of their own that this thread could hold.
    unsafe { backtrace::trace_unsynchronized(|frame| each(frame.ip() as usize)) }
}

/// The signal handler.
fn answer() {
    let me = gettid().as_raw_nonzero().get().unsigned_abs();
    // Acquire: pairs with the Release in `capture`.
    if ASKED.compare_exchange(me, ANSWERING, AcqRel, Relaxed).is_err() {
        return;
    }
    let mut count = 0;
    walk(|address| {
        // Relaxed: published below.
        FRAMES[count].store(address, Relaxed);
        count += 1;
        count < DEPTH
    });
    COUNT.store(count, Relaxed);
    // Release: pairs with the Acquire in `capture`.
    ASKED.store(ANSWERED, Release);
}

/// What the addresses mean, innermost first. Takes long the first time: debug information is read.
pub(crate) fn name(addresses: &[usize]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (depth, &address) in addresses.iter().enumerate() {
        // A return address is behind its call, perhaps in the next line.
        let at = if depth == 0 { address } else { address.saturating_sub(1) };
        backtrace::resolve(at as *mut _, |symbol| {
            frames.push(Frame {
                function: symbol.name().map(|name| format!("{name:#}")),
                file: symbol.filename().map(|file| file.display().to_string()),
                line: symbol.lineno(),
            });
        });
    }
    without_ours(frames)
}

/// The frames of the task's code. Functions that were inlined have names without their modules in a program
/// with line tables only, so files are looked at too.
fn without_ours(mut frames: Vec<Frame>) -> Vec<Frame> {
    let has = |text: &Option<String>, parts: &[String]| {
        text.as_ref().is_some_and(|text| parts.iter().any(|part| text.contains(part)))
    };
    // Up to here it is the handler, called by something of the C library's.
    let handler = ["signal_hook_registry", "__restore_rt"].map(str::to_owned);
    let registry = ["/signal-hook-registry-".to_owned()];
    let is_handler = |frame: &Frame| has(&frame.function, &handler) || has(&frame.file, &registry);
    if let Some(last) = frames.iter().rposition(is_handler) {
        frames.drain(..=last);
    }
    // And down to here it is the runtime.
    let modules = ["reiver::task::cell::", "reiver::task::harness::", "reiver::scheduler::"]
        .map(str::to_owned);
    // As the compiler was told the name of this file.
    let root = file!().strip_suffix("primitive/real/watch/stack.rs").unwrap_or("?");
    let files = ["task/cell.rs", "task/harness.rs", "scheduler/"].map(|end| format!("{root}{end}"));
    let is_runtime = |frame: &Frame| has(&frame.function, &modules) || has(&frame.file, &files);
    if let Some(first) = frames.iter().position(is_runtime) {
        frames.truncate(first);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> Frame {
        let file = Some(file.to_owned()).filter(|file| !file.is_empty());
        Frame { function: Some(function.to_owned()), file, line: None }
    }

    /// With all names, and as a release build with line tables has them.
    #[test]
    fn the_handler_and_the_runtime_are_left_out() {
        let registry = "/root/.cargo/registry/src/index.crates.io-1/";
        let ours = file!().replace("primitive/real/watch/stack.rs", "task/harness.rs");
        for (handler, runtime) in [
            ("signal_hook_registry::handler", "reiver::task::harness::poll"),
            ("handler", "poll<app::main::{async_block_env#0}>"),
        ] {
            let frames = vec![
                frame("trace", &format!("{registry}backtrace-0.3.76/src/backtrace/mod.rs")),
                frame(handler, &format!("{registry}signal-hook-registry-1.4.8/src/lib.rs")),
                frame("clock_nanosleep", ""),
                frame("{async_block#0}", "/home/me/app/src/main.rs"),
                frame(runtime, &format!("/somewhere/{ours}")),
                frame("__libc_start_main", ""),
            ];
            let functions = without_ours(frames).into_iter().map(|frame| frame.function.unwrap());
            assert_eq!(functions.collect::<Vec<_>>(), ["clock_nanosleep", "{async_block#0}"]);
        }
    }
}
