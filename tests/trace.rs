//! The flight recorder: what it writes is a timeline of the workers, whatever they do meanwhile.

#[path = "support/service.rs"]
mod service;

use reiver::runtime::{Builder, Rescue, Runtime, SlowPoll};
use reiver::task;
use rustix::process::{Signal, getpid, kill_process};
use service::Service;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

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
        // None yet, perhaps.
        let events = events.split(",\n").filter(|event| !event.is_empty());
        let events: Vec<String> = events.map(str::to_owned).collect();
        for event in &events {
            assert!(event.starts_with("{\"ph\":\"") && event.ends_with('}'), "{event}");
            // Perfetto takes the thread with its process's number for the main one, and number 0 for that too.
            let is_thread = !event.contains("\"process_name\"");
            assert!(!is_thread || number(event, "tid") > number(event, "pid"), "{event}");
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
    assert!(file.events(&runtime).iter().any(|event| event.contains("\"is found stuck")));
    drop(door);
    let rescued = |events: &[String]| events.iter().any(|event| event.contains("is rescued"));
    let mut events = file.events(&runtime);
    while !rescued(&events) {
        events = file.events(&runtime);
    }
    let back = events.iter().find(|event| event.contains("is rescued")).unwrap();
    let back = number(back, "ts");
    let after = find(events);
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(number(&after[0], "dur") >= number(&during[0], "dur"));
    // Also if the worker does nothing more. (Three numbers, each rounded to a nanosecond.)
    let end = number(&after[0], "ts") + number(&after[0], "dur");
    assert!((end - back).abs() < 0.003, "{after:?} goes on after {back}");
}

/// Nothing of a thread goes on after it has left the workers.
#[test]
fn a_block_on_that_is_over_is_over_in_the_trace() {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(1).block_on_runs_tasks(true).flight_recorder(1024);
    let runtime = builder.build().unwrap();
    runtime.block_on(async {});
    let id = {
        let task = runtime.spawn(async { task::id() });
        while !task.is_finished() {
            std::thread::yield_now();
        }
        runtime.block_on(task).unwrap()
    };
    let events = File::new("left").events(&runtime);
    let poll = events.iter().find(|event| event.contains(&format!("\"poll of task {id}\"")));
    let poll = number(poll.unwrap(), "ts");
    let root = events.iter().find(|event| event.contains("\"poll of a block_on\"")).unwrap();
    assert!(number(root, "ts") + number(root, "dur") < poll, "{root} goes on at {poll}");
}

/// What a task and a job do is told by name: spawned, woken by its timer, polled; begun and ended.
#[test]
fn a_trace_tells_of_spawns_timers_and_jobs() {
    let runtime = runtime(1);
    let blocking = task::Builder::new().name("an export");
    let (door, closed) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let running = {
        let _entered = runtime.enter();
        let job = move || {
            begin.send(()).unwrap();
            closed.recv().unwrap_err();
        };
        blocking.spawn_blocking(job).unwrap()
    };
    begun.recv_timeout(SOON).unwrap();
    let outer = runtime.spawn(async {
        let nap = reiver::time::sleep(Duration::from_millis(2));
        let inner = task::Builder::new().name("a nap").spawn(nap).unwrap();
        let id = inner.id();
        inner.await.unwrap();
        task::spawn_blocking(|| ()).await.unwrap();
        id
    });
    let id = runtime.handle().block_on(outer).unwrap();
    let file = File::new("story");
    let has = |events: &[String], ph: &str, text: &str| {
        events.iter().filter(|e| e.contains(ph) && e.contains(text)).count()
    };
    let (instant, slice) = ("\"ph\":\"i\"", "\"ph\":\"X\"");
    let events = file.events(&runtime);
    assert_eq!(has(&events, instant, &format!("\"task {id} is spawned\"")), 1, "{events:?}");
    assert!(has(&events, instant, &format!("\"task {id} is ready\"")) >= 1, "{events:?}");
    assert!(has(&events, instant, "timers due: 1") >= 1, "{events:?}");
    assert!(has(&events, slice, &format!("\"poll of task {id}\"")) >= 1, "{events:?}");
    // One that runs, by its name, and one that has ended.
    let job = format!("blocking job {} an export", running.id());
    assert_eq!(has(&events, slice, &job), 1, "{events:?}");
    assert!(has(&events, slice, "blocking job ") >= 2, "{events:?}");
    drop(door);
    runtime.handle().block_on(running).unwrap();
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

/// The directory of one test's files, which is removed.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("reiver-traces-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name).join("deeper"))
    }

    /// The names of the files that are there.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".part")).collect()
    }

    /// The text of the first file for that reason, once `done` says that the files are all there.
    fn wait(&self, reason: &str, done: impl Fn(&[String]) -> bool) -> String {
        self.wait_for(std::process::id(), reason, done)
    }

    /// The same of another process.
    fn wait_for(&self, process: u32, reason: &str, done: impl Fn(&[String]) -> bool) -> String {
        let start = Instant::now();
        let end = format!("-{reason}.json");
        loop {
            let names: Vec<_> =
                self.names().into_iter().filter(|name| name.ends_with(&end)).collect();
            if done(&names) {
                let name = &names[0];
                assert!(name.starts_with(&format!("raid-{process}-")), "{name}");
                let text = std::fs::read_to_string(self.0.join(name)).unwrap();
                assert!(text.ends_with("],\"displayTimeUnit\":\"ns\"}"), "{text}");
                return text;
            }
            assert!(start.elapsed() < SOON, "{names:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).trace_files(self.0.join("raid")).on_slow_poll(|_| {});
        builder
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// Blocks a worker until the result is dropped.
fn block(runtime: &Runtime) -> mpsc::Sender<()> {
    let (door, closed) = mpsc::channel::<()>();
    let blocker = async move { _ = closed.recv() };
    let task = task::Builder::new().name("the blocker");
    task.spawn_on(blocker, runtime.handle()).unwrap();
    door
}

#[test]
fn a_rescue_writes_the_recorder() {
    let files = Directory::new("rescue");
    let runtime = files.builder().slow_poll(SOON).build().unwrap();
    let door = block(&runtime);
    let text = files.wait("rescue", |names| !names.is_empty());
    assert!(text.contains("the blocker") && text.contains("\"written: rescue\""), "{text}");
    drop(door);
    drop(runtime);
    assert_eq!(files.names().len(), 1);
}

#[test]
fn a_slow_poll_writes_the_recorder() {
    let files = Directory::new("slow");
    let slow = Duration::from_millis(20);
    let runtime = files.builder().rescue(Rescue::Warn).slow_poll(slow).build().unwrap();
    let door = block(&runtime);
    let text = files.wait("slow-poll", |names| !names.is_empty());
    assert!(text.contains("the blocker") && text.contains("\"written: slow-poll\""), "{text}");
    drop(door);
}

/// Where many panic there is one file, and it is whole when the runtime has ended.
#[test]
fn a_panic_writes_the_recorder() {
    let files = Directory::new("panic");
    let runtime = files.builder().rescue(Rescue::Off).build().unwrap();
    for _ in 0..20 {
        let task = runtime.spawn(async { panic!("of a test") });
        assert!(runtime.block_on(task).unwrap_err().is_panic());
    }
    drop(runtime);
    let text = files.wait("panic", |names| names.len() == 1);
    assert!(text.contains("\"written: panic\"") && text.contains("poll of task"), "{text}");
    assert_eq!(files.names().len(), 1);
}

/// Each signal is answered, also while every worker is stuck.
#[test]
fn a_signal_writes_the_recorder() {
    let files = Directory::new("signal");
    let signal = Signal::USR2;
    let mut builder = files.builder();
    let runtime = builder.rescue(Rescue::Off).dump_on_signal(signal.as_raw()).build().unwrap();
    let door = block(&runtime);
    for count in 1..=2 {
        kill_process(getpid(), signal).unwrap();
        let text = files.wait("signal", |names| names.len() == count);
        assert!(text.contains("\"written: signal\""), "{text}");
    }
    drop(door);
}

/// The service under load, and its longest poll: that which blocks.
#[test]
fn a_service_that_is_rescued_shows_who_it_was() {
    // On a busy machine there may be something else to rescue before; a second file comes 10 s later.
    let found = (0..20).any(|n| {
        let files = Directory::new(&format!("service-{n}"));
        std::fs::create_dir_all(&files.0).unwrap();
        let path = files.0.join("raid");
        let service = Service::start_with(|command| _ = command.env("REIVER_TRACE", path));
        let mut others: Vec<_> = (0..8).map(|_| service.connect()).collect();
        others.iter_mut().for_each(|other| service::ask(other, "/async"));
        let mut bad = service.connect();
        service::ask(&mut bad, "/bad");
        let text = files.wait_for(service.process.id(), "rescue", |names| !names.is_empty());
        let polls = text.split(",\n").filter(|event| event.contains("\"poll of task "));
        let longest = polls.max_by(|a, b| number(a, "dur").total_cmp(&number(b, "dur")));
        let bad = format!(" connection {}\"", bad.local_addr().unwrap());
        longest.is_some_and(|longest| longest.contains(&bad))
    });
    assert!(found);
}

#[test]
fn a_directory_that_cannot_be_is_an_error() {
    let mut builder = Builder::new_multi_thread();
    assert!(builder.worker_threads(1).trace_files("/dev/null/raid").build().is_err());
}

#[test]
fn without_a_recorder_there_is_no_trace() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime.handle().write_trace("/nowhere/at/all").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
