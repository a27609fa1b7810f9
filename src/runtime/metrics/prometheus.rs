//! The metrics in Prometheus' text format, version 0.0.4. Written by hand: three shapes of line, and the only
//! text from outside is the runtime's name.

use super::RuntimeMetrics;
use crate::runtime::{Histogram, OffloadMetrics};
use std::fmt::Write;
use std::time::Duration;

type Read<T> = fn(&RuntimeMetrics) -> T;
/// The name without its prefix, what it says, and where it is.
type Family<T> = (&'static str, &'static str, T);

const GAUGES: [Family<Read<usize>>; 9] = [
    ("workers", "Workers.", |m| m.num_workers()),
    ("alive_tasks", "Tasks that have not ended.", |m| m.num_alive_tasks()),
    ("timers", "Timers that are set.", |m| m.num_timers()),
    ("io_sources", "Descriptors that are registered.", |m| m.num_io_sources()),
    ("global_queue_depth", "Tasks that no worker has taken.", |m| m.global_queue_depth()),
    ("stuck_workers", "Workers that are stuck in a poll.", |m| m.num_stuck_workers()),
    ("blocking_threads", "Threads for blocking jobs.", |m| m.num_blocking_threads()),
    ("idle_blocking_threads", "Those with nothing to do.", |m| m.num_idle_blocking_threads()),
    ("blocking_queue_depth", "Blocking jobs that no thread has.", |m| m.blocking_queue_depth()),
];

const COUNTERS: [Family<Read<u64>>; 5] = [
    ("spawned_tasks", "Tasks ever spawned.", |m| m.spawned_tasks_count()),
    ("rescues", "Workers that were stuck and whose work others did.", |m| m.rescues_count()),
    ("slow_polls", "Polls that were reported as slow.", |m| m.slow_polls_count()),
    ("blocking_jobs", "Blocking jobs that have run.", |m| m.blocking_jobs_count()),
    ("blocking_thread_failures", "Threads that the system refused.", |m| {
        m.blocking_thread_failures()
    }),
];

type ReadOffload<T> = fn(&OffloadMetrics) -> T;

const OFFLOAD_GAUGES: [Family<ReadOffload<usize>>; 4] = [
    ("offload_workers", "Worker processes.", |m| m.workers),
    ("idle_offload_workers", "Those with nothing to do.", |m| m.idle),
    ("offload_running_jobs", "Jobs that worker processes have.", |m| m.running),
    ("offload_queue_depth", "Jobs that no worker process has.", |m| m.queued),
];

const OFFLOAD_COUNTERS: [Family<ReadOffload<u64>>; 3] = [
    ("offload_workers_started", "Worker processes started.", |m| m.started),
    ("offload_worker_start_failures", "Those that could not be.", |m| m.start_failures),
    ("offload_workers_recycled", "Those replaced in good order.", |m| m.recycled),
];

/// The ways in which a job ends.
const OFFLOAD_ENDS: [(&str, ReadOffload<u64>); 6] = [
    ("completed", |m| m.completed),
    ("panicked", |m| m.panicked),
    ("failed", |m| m.failed),
    ("timed_out", |m| m.timed_out),
    ("abandoned", |m| m.abandoned),
    ("lost", |m| m.lost),
];

type ReadWorker<T> = fn(&RuntimeMetrics, usize) -> T;

const OF_WORKERS: [Family<ReadWorker<u64>>; 5] = [
    ("worker_polls", "Polls of tasks.", |m, w| m.worker_poll_count(w)),
    ("worker_parks", "Sleeps.", |m, w| m.worker_park_count(w)),
    ("worker_steal_operations", "Steals.", |m, w| m.worker_steal_operations(w)),
    ("worker_stolen_tasks", "Tasks that it stole.", |m, w| m.worker_steal_count(w)),
    ("worker_wakes", "Other workers that it woke.", |m, w| m.worker_wake_count(w)),
];

const HISTOGRAMS: [Family<Read<Histogram>>; 4] = [
    ("poll_seconds", "How long polls took.", |m| m.poll_time()),
    ("schedule_latency_seconds", "From ready to polled.", |m| m.schedule_latency()),
    ("blocking_queue_wait_seconds", "How long blocking jobs waited for a thread.", |m| {
        m.blocking_queue_wait()
    }),
    ("blocking_run_seconds", "How long blocking jobs ran.", |m| m.blocking_run_time()),
];

/// The bounds that are shown: from a microsecond to 17 seconds, each twice the one before.
const SHOWN: std::ops::RangeInclusive<Duration> =
    Duration::from_nanos(1 << 10)..=Duration::from_nanos(1 << 34);

impl RuntimeMetrics {
    /// All of it in Prometheus' text format: what a `/metrics` endpoint answers with the type
    /// `text/plain; version=0.0.4`.
    ///
    /// Each name begins with `reiver_`. If the runtime has a [name](crate::runtime::Builder::name), each line has it as the
    /// label `runtime`. The format wants a name's lines together, so the texts of several runtimes are several
    /// endpoints. The histograms of polls are empty unless the runtime keeps
    /// [records](crate::runtime::Builder::task_records).
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    /// let text = runtime.metrics().prometheus();
    /// assert!(text.contains("\nreiver_workers 2\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prometheus(&self) -> String {
        let mut text = Text { out: String::new(), runtime: self.0.hooks.name.as_deref() };
        for (name, help, read) in GAUGES {
            text.family(name, help, "gauge");
            text.line(name, None, read(self));
        }
        text.family("worker_local_queue_depth", "Tasks in its own queue.", "gauge");
        for worker in 0..self.num_workers() {
            let depth = self.worker_local_queue_depth(worker);
            text.line("worker_local_queue_depth", Some(("worker", &worker.to_string())), depth);
        }
        for (name, help, read) in COUNTERS {
            let name = format!("{name}_total");
            text.family(&name, help, "counter");
            text.line(&name, None, read(self));
        }
        for (name, help, read) in OF_WORKERS {
            let name = format!("{name}_total");
            text.family(&name, help, "counter");
            for worker in 0..self.num_workers() {
                text.line(&name, Some(("worker", &worker.to_string())), read(self, worker));
            }
        }
        let busy = "worker_busy_seconds_total";
        text.family(busy, "How long it was awake.", "counter");
        for worker in 0..self.num_workers() {
            let seconds = self.worker_total_busy_duration(worker).as_secs_f64();
            text.line(busy, Some(("worker", &worker.to_string())), seconds);
        }
        text.offload(&self.offload());
        for (name, help, read) in HISTOGRAMS {
            text.family(name, help, "histogram");
            text.histogram(name, &read(self));
        }
        text.out
    }
}

struct Text<'a> {
    out: String,
    runtime: Option<&'a str>,
}

impl Text<'_> {
    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing into a `String` does not fail, here and below.
        _ = write!(self.out, "# HELP reiver_{name} {help}\n# TYPE reiver_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, label: Option<(&str, &str)>, value: impl std::fmt::Display) {
        _ = write!(self.out, "reiver_{name}");
        let runtime = self.runtime.map(|name| ("runtime", name));
        let mut open = '{';
        for (label, value) in runtime.into_iter().chain(label) {
            _ = write!(self.out, "{open}{label}=\"{}\"", escaped(value));
            open = ',';
        }
        let close = if open == ',' { "}" } else { "" };
        _ = writeln!(self.out, "{close} {value}");
    }

    fn offload(&mut self, metrics: &OffloadMetrics) {
        for (name, help, read) in OFFLOAD_GAUGES {
            self.family(name, help, "gauge");
            self.line(name, None, read(metrics));
        }
        for (name, help, read) in OFFLOAD_COUNTERS {
            let name = format!("{name}_total");
            self.family(&name, help, "counter");
            self.line(&name, None, read(metrics));
        }
        let name = "offload_jobs_total";
        self.family(name, "Jobs of worker processes that have ended, by how.", "counter");
        for (end, read) in OFFLOAD_ENDS {
            self.line(name, Some(("end", end)), read(metrics));
        }
    }

    /// Our buckets have durations below a bound, the format's those up to one: a nanosecond less.
    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        for (bound, more) in histogram.buckets() {
            count += more;
            if SHOWN.contains(&bound) {
                let bound = (bound - Duration::from_nanos(1)).as_secs_f64().to_string();
                self.line(&bucket, Some(("le", &bound)), count);
            }
        }
        self.line(&bucket, Some(("le", "+Inf")), count);
        self.line(&format!("{name}_sum"), None, histogram.sum().as_secs_f64());
        self.line(&format!("{name}_count"), None, count);
    }
}

/// As the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
