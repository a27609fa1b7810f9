//! Counts of durations by powers of two, each written by one thread and read by any.

use crate::primitive::atomic::{AtomicU64, Ordering::*};
use crate::primitive::in_model;
use std::time::Duration;

/// Bucket `i` holds the times below 2^i ns; the last one, 4.6 minutes and more, all the others.
const BUCKETS: usize = 40;

/// Counts that one thread writes.
#[derive(Debug)]
pub(crate) struct Counts {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        // A model explores every access, and learns nothing from these.
        let len = if in_model() { 0 } else { BUCKETS };
        let buckets = (0..len).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, sum: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn record(&self, nanos: u64) {
        let bucket = ((u64::BITS - nanos.leading_zeros()) as usize).min(BUCKETS - 1);
        if let Some(count) = self.buckets.get(bucket) {
            // Relaxed: one writer, so no read-modify-write; readers want a number, not an order.
            count.store(count.load(Relaxed) + 1, Relaxed);
            // Relaxed: as above.
            self.sum.store(self.sum.load(Relaxed).wrapping_add(nanos), Relaxed);
        }
    }
}

/// A snapshot of how long something took, many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl Histogram {
    /// Each bucket: the duration below which its entries lie, and how many there are. The last
    /// bucket has no such bound; `Duration::MAX` stands for it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().enumerate().map(|(i, &count)| (Self::bound(i), count))
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together. While they are being recorded, it may have more or less of the last ones than
    /// [`count`](Self::count).
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// A bound below which the share `q` (0 to 1) of all durations lies; `None` if there are none.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * q).ceil() as u64;
        let mut seen = 0;
        self.buckets()
            .find(|&(_, count)| {
                seen += count;
                seen >= rank && seen > 0
            })
            .map(|(bound, _)| bound)
    }

    fn bound(bucket: usize) -> Duration {
        if bucket == BUCKETS - 1 { Duration::MAX } else { Duration::from_nanos(1 << bucket) }
    }

    /// Adds what one thread has counted.
    pub(crate) fn add(&mut self, counts: &Counts) {
        for (sum, count) in self.counts.iter_mut().zip(&counts.buckets) {
            // Relaxed: as in `record`.
            *sum += count.load(Relaxed);
        }
        // Relaxed: as in `record`.
        self.sum = self.sum.wrapping_add(counts.sum.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_lie_below_their_bounds() {
        let counts = Counts::new();
        for nanos in [0, 1, 2, 3, 1000, 1023, 1024, u64::MAX >> 1] {
            counts.record(nanos);
        }
        let mut histogram = Histogram::default();
        histogram.add(&counts);
        let buckets: Vec<_> = histogram.buckets().filter(|b| b.1 > 0).collect();
        let ns = Duration::from_nanos;
        let expected =
            [(ns(1), 1), (ns(2), 1), (ns(4), 2), (ns(1024), 2), (ns(2048), 1), (Duration::MAX, 1)];
        assert_eq!(buckets, expected);
        assert_eq!(histogram.count(), 8);
        assert_eq!(histogram.sum(), ns(3053 + (u64::MAX >> 1)));
        assert_eq!(histogram.quantile(0.5), Some(ns(4)));
        assert_eq!(histogram.quantile(0.0), Some(ns(1)));
        assert_eq!(histogram.quantile(1.0), Some(Duration::MAX));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
