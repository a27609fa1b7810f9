//! Signals of Unix.

use super::hub::{Listener, listen};
use crate::task::budget;
use rustix::process::Signal as Known;
use std::ffi::c_int;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// A kind of signal.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
pub struct SignalKind(c_int);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $signal:ident;)*) => { $(
        $(#[$doc])*
        pub const fn $name() -> Self {
            Self(Known::$signal.as_raw())
        }
    )* };
}

impl SignalKind {
    /// Any signal, by its number.
    ///
    /// [`signal`] refuses numbers that the system does not know.
    pub const fn from_raw(signal: c_int) -> Self {
        Self(signal)
    }

    /// Its number.
    pub const fn as_raw_value(&self) -> c_int {
        self.0
    }

    kinds! {
        /// `SIGALRM`: a timer set by `alarm` has expired. It ends a process that does not listen.
        alarm = ALARM;
        /// `SIGCHLD`: a child has ended, or was stopped or continued. Ignored by default.
        child = CHILD;
        /// `SIGHUP`: the terminal is gone; by custom, daemons read their configuration again. It ends
        /// a process that does not listen.
        hangup = HUP;
        /// `SIGINT`: Ctrl-C. It ends a process that does not listen.
        interrupt = INT;
        /// `SIGIO`: input or output is possible. It ends a process that does not listen.
        io = IO;
        /// `SIGPIPE`: a write to a pipe without readers. Rust programs ignore it by default.
        pipe = PIPE;
        /// `SIGQUIT`: Ctrl-\. It ends a process that does not listen, with a core dump.
        quit = QUIT;
        /// `SIGTERM`: the polite request to end. It ends a process that does not listen.
        terminate = TERM;
        /// `SIGUSR1`: whatever the program means by it. It ends a process that does not listen.
        user_defined1 = USR1;
        /// `SIGUSR2`: whatever the program means by it. It ends a process that does not listen.
        user_defined2 = USR2;
        /// `SIGWINCH`: the terminal has another size. Ignored by default.
        window_change = WINCH;
    }
}

impl From<c_int> for SignalKind {
    fn from(signal: c_int) -> Self {
        Self(signal)
    }
}

impl From<SignalKind> for c_int {
    fn from(kind: SignalKind) -> Self {
        kind.0
    }
}

/// Receives signals of one kind. Made by [`signal`].
///
/// It may be polled on any runtime, or none; signals come while the runtime runs that it was made in, or
/// another one with listeners.
#[derive(Debug)]
#[must_use = "signals are received by `recv`"]
pub struct Signal(Listener);

/// Listens to signals of `kind` from now on.
///
/// What the system does by default when such a signal comes is off from now on, and stays off when the
/// listener is dropped.
///
/// # Errors
///
/// If the signal is one that cannot be listened to (`SIGKILL`, `SIGSTOP`, `SIGSEGV`, `SIGILL`,
/// `SIGFPE`) or that the system does not know, if there are no descriptors left, and if the runtime is shut
/// down.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::signal::unix::{SignalKind, signal};
///
/// let mut hangup = signal(SignalKind::hangup())?;
/// # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)?;
/// hangup.recv().await;
/// println!("reading the configuration again");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    listen(kind.0).map(Signal)
}

impl Signal {
    /// Waits for the next signal. Those that came since the last call are one.
    ///
    /// Gives `None` when no more will come: the runtime is shut down that the listener was made in.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no signal: the next call gets it.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv). The waker of the last call is the one that is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let unit = ready!(budget::poll_proceed(cx));
        let received = self.0.poll(cx);
        if received.is_ready() {
            unit.made_progress();
        }
        received
    }

    /// As [`poll_recv`](Self::poll_recv), without the poll budget: for those who are no tasks.
    pub(crate) fn poll_raised(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.0.poll(cx)
    }
}
