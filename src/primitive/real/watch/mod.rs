//! What one thread can know of another, and do to it: whether it runs or is blocked, how much CPU time it
//! has had, and a memory barrier on its behalf.
//!
//! Two implementations, chosen here as whole files, with one contract:
//!
//! * `linux`: `/proc`, the CPU clock of the thread, `membarrier`.
//! * `portable`: nothing is known, and there is no such barrier.
//!
//! And two for stacks: `stack`, on Linux with the feature `stacks`, and `no_stack`.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{barrier, has_barrier, sample, thread_number};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use portable::{barrier, has_barrier, sample, thread_number};

#[cfg(not(all(feature = "stacks", target_os = "linux")))]
#[path = "no_stack.rs"]
pub(crate) mod stack;
#[cfg(all(feature = "stacks", target_os = "linux"))]
pub(crate) mod stack;

use std::fmt;
use std::time::Duration;

/// A call on a thread's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The function, if the program has its name.
    pub function: Option<String>,
    /// Its source, if there is debug information.
    pub file: Option<String>,
    /// The line of the call in it.
    pub line: Option<u32>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.as_deref().unwrap_or("an unknown function"))?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " at {file}:{line}"),
            (Some(file), None) => write!(f, " at {file}"),
            (None, _) => Ok(()),
        }
    }
}

/// A thread at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The CPU time that it has had; `None` where the system does not say.
    pub cpu: Option<Duration>,
    /// What it does.
    pub state: State,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or waits for a CPU.
    Runnable,
    /// It waits in the kernel for something else.
    Blocked,
    /// The system does not say.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_blocked_thread_is_told_from_a_running_one() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(thread_number()).unwrap();
            let _ = ended.recv();
        });
        let other = told.recv().unwrap();
        let me = sample(thread_number());
        if me.state != State::Unknown {
            assert_eq!(me.state, State::Runnable);
            // It has told its number, and may still be on its way into the `recv`.
            while sample(other).state != State::Blocked {
                std::thread::yield_now();
            }
        }
        if let Some(cpu) = me.cpu {
            let later = || sample(thread_number()).cpu.unwrap();
            while later() < cpu + Duration::from_millis(1) {}
        }
        drop(end);
        thread.join().unwrap();
        assert_eq!(sample(other).cpu, None, "the thread is gone");
    }

    #[test]
    fn a_barrier_that_exists_works() {
        assert!(!has_barrier() || barrier());
    }
}
