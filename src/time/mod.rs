//! Time: sleep, timeouts, intervals, and a clock that tests can stop.
//!
//! Timers are finer than a millisecond: a sleep ends at the next multiple of 32.8 µs, or of a
//! thousandth of its length if that is more, and never early. A timer costs nothing before its first
//! wait: a [`timeout`] around a future that is ready reads no clock.
//!
//! # Paused time
//!
//! [`pause`] stops the clock of the current runtime, which may have any number of workers; [`advance`]
//! moves it. While it stands and everything sleeps, it jumps to the next timer by itself, so a test of
//! an hour takes a millisecond.
//!
//! ```
//! use std::time::Duration;
//! let runtime = reiver::runtime::Builder::new_multi_thread().start_paused(true).build()?;
//! runtime.block_on(async {
//!     let start = reiver::time::Instant::now();
//!     reiver::time::sleep(Duration::from_secs(3600)).await;
//!     assert!(start.elapsed() >= Duration::from_secs(3600));
//! });
//! # Ok::<(), std::io::Error>(())
//! ```

mod call;
mod clock;
mod instant;
mod interval;
mod send_timeout;
mod sleep;
mod timeout;

pub use call::CallHandle;
pub use clock::{advance, pause, resume};
pub use instant::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use std::time::Duration;
pub use timeout::{Timeout, timeout, timeout_at};

/// Why a wait for time ended otherwise.
pub mod error {
    pub use super::timeout::Elapsed;
}
