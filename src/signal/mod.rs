//! Signals of the operating system: Ctrl-C, and those of Unix in [`unix`].
//!
//! The first listener of a signal replaces what the system does when the signal comes, for the rest
//! of the process's life: after one [`ctrl_c`], Ctrl-C does not end the program any more, even when
//! nobody listens. Handlers of other libraries that go through `signal-hook-registry`, and one that
//! was there before, are called as well.
//!
//! Any number of tasks may listen to one signal, also in several runtimes of one process: each gets it.
//! Signals are not counted: what comes between two looks of a listener is one.
//!
//! How they travel from the handler to the tasks stands at the head of `hub.rs`.

mod hub;
pub(crate) mod listeners;
pub(crate) mod pending;
pub(crate) mod post;
pub mod unix;

use std::io;

/// Waits for Ctrl-C (`SIGINT`).
///
/// It listens from its first poll on: a Ctrl-C before that is not for it.
///
/// # Errors
///
/// If the handler cannot be installed, and when the runtime is shut down.
///
/// # Panics
///
/// When polled outside a runtime.
///
/// # Cancel safety
///
/// A Ctrl-C that comes between two calls is lost. Keep a
/// [`unix::signal`]`(`[`SignalKind::interrupt()`](unix::SignalKind::interrupt)`)` where that matters.
///
/// # Examples
///
/// ```no_run
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// println!("press Ctrl-C to end");
/// reiver::signal::ctrl_c().await?;
/// println!("goodbye");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub async fn ctrl_c() -> io::Result<()> {
    let mut signal = unix::signal(unix::SignalKind::interrupt())?;
    match signal.recv().await {
        Some(()) => Ok(()),
        None => Err(hub::shut_down_error()),
    }
}
