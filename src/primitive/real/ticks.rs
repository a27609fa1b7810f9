//! A clock for measurements inside one process: a third of the price of [`clock`](super::clock), in a unit
//! of its own, which the reader compares with that clock.
//!
//! On x86-64 it is the time-stamp counter: since 2008 at a constant rate, and the same on all cores where the
//! kernel uses it for its own clock. Elsewhere it is the clock, in nanoseconds.

#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Now, in ticks since some moment.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn ticks() -> u64 {
    super::clock::now().duration_since(super::clock::origin()).as_nanos() as u64
}
