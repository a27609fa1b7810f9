//! Why a job gave no value.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A job gave no value. Names the function, the worker, and what happened: see [`failure`](Self::failure).
pub struct OffloadError(Box<Inner>);

struct Inner {
    function: &'static str,
    pid: Option<u32>,
    stderr: String,
    delivered: bool,
    failure: Failure,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// The function panicked. The worker lives on.
    Panicked {
        /// The panic's message.
        message: String,
        /// `file:line:column`.
        location: String,
        /// If `RUST_BACKTRACE` is set.
        backtrace: Option<String>,
    },
    /// A signal ended the worker, and not one of ours.
    Killed {
        /// The signal's number.
        signal: i32,
        /// The likely reason.
        hint: Option<KillHint>,
    },
    /// The function ended the worker's process.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The job ran longer than it may; its worker was killed.
    TimedOut {
        /// How long it ran.
        ran: Duration,
    },
    /// The job's deadline passed while it was queued.
    Expired,
    /// The arguments, or the result, cannot be encoded or decoded.
    Codec(String),
    /// The message is longer than the pool allows.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The worker does not know the function: it runs another program.
    UnknownFunction,
    /// The queue has no room, and the call does not wait.
    QueueFull,
    /// The pool is closed, or its runtime is shut down.
    PoolClosed,
    /// No worker could be started.
    WorkerStart {
        /// Why.
        reason: String,
    },
    /// The worker broke the protocol: it wrote what is no message, or closed its channel. It was killed.
    Protocol {
        /// What it did.
        reason: String,
    },
    /// The caller is itself a job in a worker.
    Nested,
}

/// Why a worker was probably killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KillHint {
    /// It reached its memory limit, or the kernel ran out of memory.
    OutOfMemory,
    /// Its stack overflowed.
    StackOverflow,
    /// It used up its CPU time.
    CpuTime,
}

/// What a worker says of a call that gave no value.
#[derive(Debug)]
pub enum Trouble {
    /// The arguments cannot be decoded.
    Arguments(String),
    /// The result cannot be encoded.
    Result(String),
}

impl OffloadError {
    pub(super) fn new(function: &'static str, failure: Failure) -> Self {
        let inner = Inner { function, pid: None, stderr: String::new(), delivered: false, failure };
        Self(Box::new(inner))
    }

    /// The worker that had the job, what it wrote last, and whether it can have begun.
    pub(super) fn by(mut self, pid: u32, stderr: String, delivered: bool) -> Self {
        (self.0.pid, self.0.stderr, self.0.delivered) = (Some(pid), stderr, delivered);
        self
    }

    /// The function has run.
    pub(super) fn after_run(mut self) -> Self {
        self.0.delivered = true;
        self
    }

    /// What happened.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// The function: `crate::module::name`.
    pub fn function(&self) -> &'static str {
        self.0.function
    }

    /// The worker's process; `None` if the job reached none.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid
    }

    /// The end of what the worker wrote to its error output: at most 8 KiB.
    pub fn stderr_tail(&self) -> &str {
        &self.0.stderr
    }

    /// Whether the function may have begun. `false` is certain.
    pub fn may_have_run(&self) -> bool {
        self.0.delivered
    }

    /// Whether another attempt may end otherwise: the job's worker was lost, or there was none.
    ///
    /// A panic, a timeout, a stack overflow or a codec error would come again.
    pub fn is_retryable(&self) -> bool {
        match &self.0.failure {
            Failure::Killed { hint, .. } => {
                !matches!(hint, Some(KillHint::StackOverflow | KillHint::CpuTime))
            }
            Failure::Exited { .. }
            | Failure::Protocol { .. }
            | Failure::WorkerStart { .. }
            | Failure::QueueFull => true,
            _ => false,
        }
    }
}

/// The usual name of a signal.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => "a signal",
    }
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { function, pid, failure, .. } = &*self.0;
        match failure {
            Failure::Panicked { message, location, .. } => {
                write!(f, "{function} panicked at {location}: {message}")?;
            }
            Failure::Killed { signal, hint } => {
                let name = signal_name(*signal);
                write!(f, "the worker of {function} was killed by {name} ({signal})")?;
                match hint {
                    Some(KillHint::OutOfMemory) => f.write_str(": out of memory")?,
                    Some(KillHint::StackOverflow) => f.write_str(": its stack overflowed")?,
                    Some(KillHint::CpuTime) => f.write_str(": it used up its CPU time")?,
                    None if *signal == libc::SIGKILL => {
                        f.write_str(", not by reiver: perhaps by the kernel, out of memory")?;
                    }
                    None => {}
                }
            }
            Failure::Exited { code } => {
                write!(f, "the worker of {function} exited with code {code}")?;
            }
            Failure::TimedOut { ran } => {
                write!(f, "{function} was killed after {ran:?}: it ran out of time")?;
            }
            Failure::Expired => write!(f, "{function} was not begun before its deadline")?,
            Failure::Codec(text) => write!(f, "a value of {function} has no encoding: {text}")?,
            Failure::TooLarge { bytes, limit } => {
                write!(f, "a message of {function} has {bytes} bytes, and {limit} are allowed")?;
            }
            Failure::UnknownFunction => write!(f, "the worker does not know {function}")?,
            Failure::QueueFull => write!(f, "{function} was not queued: the queue is full")?,
            Failure::PoolClosed => write!(f, "{function}: the process pool is closed")?,
            Failure::WorkerStart { reason } => {
                write!(f, "{function}: no worker process could be started: {reason}")?;
            }
            Failure::Protocol { reason } => {
                write!(f, "the worker of {function} broke the protocol: {reason}")?;
            }
            Failure::Nested => {
                write!(f, "{function} was offloaded by a job that runs in a worker itself")?;
            }
        }
        if let Some(pid) = pid {
            write!(f, " (worker {pid})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OffloadError")
            .field("failure", &self.0.failure)
            .field("function", &self.0.function)
            .field("pid", &self.0.pid)
            .field("may_have_run", &self.0.delivered)
            .field("stderr_tail", &self.0.stderr)
            .finish()
    }
}

impl Error for OffloadError {}
