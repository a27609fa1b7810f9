//! Clocks, counts and percentiles.

use crate::callgrind;
use std::time::{Duration, Instant};

/// What one run of a case found: a name and a number each, printed as `name=number` lines.
pub type Figures = Vec<(&'static str, f64)>;

/// How many operations a case does that would do `count`: a fiftieth where instructions are counted
/// (`BENCH_SHORT`), under a simulator that takes 50 times as long for each.
pub fn ops(count: usize) -> usize {
    if is_short() { (count / 50).max(1) } else { count }
}

/// Whether instructions are counted.
pub fn is_short() -> bool {
    std::env::var_os("BENCH_SHORT").is_some()
}

/// Both clocks since a point in time: the wall's, and the CPU time of all threads of this process.
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        callgrind::start();
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    /// Nanoseconds of each clock per operation. Where instructions are counted, how many there were.
    pub fn per_op(&self, ops: usize) -> Figures {
        callgrind::stop();
        if is_short() {
            return vec![("ops", ops as f64)];
        }
        let wall = self.wall.elapsed().as_nanos() as f64;
        let cpu = (cpu_time() - self.cpu).as_nanos() as f64;
        vec![("ns", wall / ops as f64), ("cpu ns", cpu / ops as f64)]
    }
}

/// CPU time that this process has used, user and system.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Not through rustix, whose way to the vDSO crashes under valgrind 3.19.
    // SAFETY: `time` is a valid place for the answer.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "this clock exists");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of this process in memory.
pub fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    pages.expect("the second field is a number") * 4096.0
}

/// Microseconds at a percentile.
pub fn percentile(late: &mut [Duration], percent: usize) -> f64 {
    late.sort_unstable();
    late[(late.len() - 1) * percent / 100].as_nanos() as f64 / 1000.0
}

/// Computes for about this long without looking at anything but the clock.
pub fn compute(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}
