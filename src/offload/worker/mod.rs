//! A worker process, from its first instruction to its last.
//!
//! A worker is this same executable, started again with [`VARIABLE`] in its environment, or a copy of a process that
//! was (`template.rs`). It must be caught before the program's own `main`: by a constructor that the linker puts before
//! `main`, or where there are none by [`init`], the first statement of `#[reiver::main]`.
//!
//! The main thread becomes the *lifeline*: it waits for the parent's end of the socket to close, and ends
//! the process whatever the job does. Jobs run on a second thread with a stack of 8 MiB. The parent's death
//! signal does the same a little later; it is the second rope.

mod constructor;
mod prepare;
mod serve;
mod stack;
mod stop;
#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod template;
#[cfg(not(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "no_template.rs"]
mod template;
mod title;

pub(super) use serve::{MAX_DESCRIPTORS, Panic, answer, panic_seen};
pub(super) use stop::ask;
pub(super) use template::HAS_TEMPLATES;
pub(super) use title::running_job;

use super::orders::{self, Orders, VARIABLE};
use crate::primitive::thread;
use std::os::fd::OwnedFd;
use std::process::exit;
use std::sync::OnceLock;

/// The stack of the thread that runs jobs.
const STACK: usize = 8 << 20;
/// The exit code of a worker that cannot begin, or whose parent speaks another language.
pub(super) const UNFIT: i32 = 213;
/// The exit code of a worker whose channel is closed.
pub(super) const CUT_OFF: i32 = 214;

/// Set in a worker, before anything else.
static IN_WORKER: OnceLock<()> = OnceLock::new();

/// Whether this process is a worker.
///
/// # Examples
///
/// ```
/// assert!(!reiver::offload::in_worker());
/// ```
pub fn in_worker() -> bool {
    IN_WORKER.get().is_some()
}

/// Whether the job that calls this should stop: its time is up, or nobody waits for it any more.
///
/// A job of a pool with a [`grace`](super::Builder::grace) period looks now and then, cleans up and returns; then
/// its worker lives on. Without one there is nothing to look at: the worker is killed.
///
/// # Examples
///
/// ```
/// use reiver::offload::{Failure, ProcessPool, stop_requested};
/// use std::time::Duration;
///
/// #[reiver::offload]
/// fn count() -> u64 {
///     (0..).take_while(|_| !stop_requested()).last().unwrap_or(0)
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let pool = ProcessPool::builder().workers(1).grace(Duration::from_secs(5)).build();
/// let error = pool.run(count::job().timeout(Duration::from_millis(20))).await.unwrap_err();
/// assert!(matches!(error.failure(), Failure::TimedOut { .. }));
/// # });
/// ```
pub fn stop_requested() -> bool {
    if in_worker() { stop::is_requested() } else { crate::task::stop_requested() }
}

/// Becomes a worker if this process was started as one, and then never returns; returns at once otherwise.
///
/// `#[reiver::main]` calls it. A program with another `main` needs it only where constructors do not run; then it
/// is to be the first statement, before threads are started and arguments read.
pub fn init() {
    if let Some(orders) = take_orders() {
        run(orders)
    }
}

/// Whether this process was started as a worker and nothing made it one. It must not start workers, which
/// would do the same.
pub(super) fn was_missed() -> bool {
    !in_worker() && std::env::var_os(VARIABLE).is_some()
}

/// The orders, taken out of the environment, so that children of the worker are no workers. A process that is to be
/// a template returns in each worker that it makes.
fn take_orders() -> Option<Orders> {
    let text = std::env::var_os(VARIABLE)?;
    // SAFETY: `getauxval` reads a table that the kernel has made.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    // SAFETY: this is the beginning of the process, which has one thread (see `init`).
    unsafe { std::env::remove_var(VARIABLE) };
    let orders = text.to_str().and_then(|text| match orders::parse_template(text) {
        Some(parent) => template::serve(parent),
        None => Orders::parse(text),
    });
    if orders.is_none() {
        // Whoever wrote this wanted a worker, and not another program that runs `main`.
        eprintln!("reiver worker: these orders are for another version: {text:?}");
        exit(UNFIT)
    }
    orders
}

fn run(orders: Orders) -> ! {
    let _ = IN_WORKER.set(());
    let channel = match prepare::prepare(&orders) {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("reiver worker: {error}");
            exit(UNFIT)
        }
    };
    let Ok(lifeline) = channel.try_clone() else { exit(UNFIT) };
    let jobs = thread::Builder::new().name("reiver-worker".into()).stack_size(STACK);
    if let Err(error) = jobs.spawn(move || serve::serve(channel, &orders)) {
        eprintln!("reiver worker: no thread: {error}");
        exit(UNFIT)
    }
    hold(lifeline)
}

/// Ends the process when the parent is gone.
fn hold(lifeline: OwnedFd) -> ! {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        // Data is none of its business, so it does not wake this thread.
        let mut fds = [PollFd::new(&lifeline, PollFlags::RDHUP)];
        let polled = poll(&mut fds, None);
        if polled.is_ok() && !fds[0].revents().is_empty() {
            // The job's thread may be in the middle of an orderly exit, which the parent waits for before it
            // closes the socket. So this is no such exit.
            // SAFETY: ends the process without running anything of it.
            unsafe { libc::_exit(CUT_OFF) }
        }
    }
}
