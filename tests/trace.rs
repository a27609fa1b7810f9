//! The flight recorder: what it writes is a timeline of the workers, whatever they do meanwhile.

use reiver::runtime::{Builder, Runtime, SlowPoll};
use reiver::task;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Far above what a slow machine takes.
const SOON: Duration = Duration::from_secs(20);

/// The file of one test, which is removed.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("reiver-{}-{name}.json", std::process::id())))
    }

    /// Writes the trace and gives its events, one object each.
    fn events(&self, runtime: &Runtime) -> Vec<String> {
        runtime.handle().write_trace(&self.0).unwrap();
        let text = std::fs::read_to_string(&self.0).unwrap();
        let events = text.strip_prefix("{\"traceEvents\":[").expect(&text);
        let events = events.strip_suffix("],\"displayTimeUnit\":\"ns\"}").expect(&text);
        let events: Vec<String> = events.split(",\n").map(str::to_owned).collect();
        for event in &events {
            assert!(event.starts_with("{\"ph\":\"") && event.ends_with('}'), "{event}");
        }
        events
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A number of an event.
fn number(event: &str, name: &str) -> f64 {
    let at = event.find(&format!("\"{name}\":")).expect(event) + name.len() + 3;
    event[at..].split([',', '}']).next().unwrap().parse().expect(event)
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).flight_recorder(1024).on_slow_poll(|_| {}).build().unwrap()
}

#[test]
fn a_poll_that_blocks_is_the_longest_slice_and_its_rescue_an_instant() {
    let (tell, told) = mpsc::channel::<SlowPoll>();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .flight_recorder(1024)
        .on_slow_poll(move |slow| drop(tell.send(slow.clone())))
        .build()
        .unwrap();
    let (door, closed) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let blocker = task::Builder::new().name("the \"blocker\"");
    let id = blocker
        .spawn_on(
            async move {
                begin.send(()).unwrap();
                _ = closed.recv();
                std::future::pending::<()>().await;
            },
            runtime.handle(),
        )
        .unwrap()
        .id();
    begun.recv_timeout(SOON).unwrap();
    let block = Duration::from_millis(120);
    assert!(told.recv_timeout(SOON).unwrap().is_rescued());
    std::thread::sleep(block);
    let file = File::new("blocked");
    // While it goes on: it is the last thing that its worker has written.
    let name = format!("\"poll of task {id} the \\\"blocker\\\"\"");
    let find = |events: Vec<String>| {
        let slices = events.into_iter().filter(|event| event.contains("\"dur\":"));
        slices.filter(|slice| slice.contains(&name)).collect::<Vec<_>>()
    };
    let during = find(file.events(&runtime));
    assert!(number(&during[0], "dur") >= block.as_micros() as f64, "{during:?}");
    assert!(during[0].contains(file!()), "{during:?}");
    drop(door);
    let rescued = |events: &[String]| events.iter().any(|event| event.contains("is rescued"));
    let mut events = file.events(&runtime);
    while !rescued(&events) {
        events = file.events(&runtime);
    }
    let after = find(events);
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(number(&after[0], "dur") >= number(&during[0], "dur"));
}

/// Slices of one worker do not overlap, and begin in their order.
#[test]
fn a_trace_that_is_written_while_workers_run_is_whole() {
    let runtime = runtime(2);
    let done = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let done = done.clone();
        runtime.spawn(async move {
            while !done.load(Relaxed) {
                drop(reiver::spawn(task::yield_now()).await);
                reiver::time::sleep(Duration::from_micros(10)).await;
            }
        });
    }
    let file = File::new("busy");
    let mut most = 0;
    while most < 1000 {
        let events = file.events(&runtime);
        most = most.max(events.len());
        let mut ends = std::collections::BTreeMap::new();
        for slice in events.iter().filter(|event| event.contains("\"ph\":\"X\"")) {
            let (start, length) = (number(slice, "ts"), number(slice, "dur"));
            let end = ends.insert(number(slice, "tid") as u64, start + length).unwrap_or(0.0);
            // Both are rounded to a nanosecond.
            assert!(start >= end - 0.002, "{slice} begins before {end}");
        }
    }
    done.store(true, Relaxed);
}

#[test]
fn without_a_recorder_there_is_no_trace() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime.handle().write_trace("/nowhere/at/all").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
