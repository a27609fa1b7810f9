//! The debug endpoint: `reiver ps`, `reiver pstree`, the dump on a signal; and who gets no answer.

#[path = "support/service.rs"]
mod service;

use reiver::runtime::{Builder, Rescue, Runtime, inspect};
use reiver::task;
use rustix::process::{Signal, getpid, kill_process};
use service::{PATIENCE, Service};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// The tests with endpoints in this process look at all of them, so they come one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const AGES: Duration = Duration::from_secs(3600);

/// The program's output, once `done` says that it shows what is looked for.
#[track_caller]
fn reiver(request: &str, process: u32, done: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let program = Command::new(env!("CARGO_BIN_EXE_reiver"))
            .args([request, &process.to_string()])
            .output()
            .unwrap();
        assert!(program.status.success(), "{program:?}");
        let text = String::from_utf8(program.stdout).unwrap();
        if done(&text) {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "{text}");
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).debug_endpoint(true).build().unwrap()
}

fn spawn(runtime: &Runtime, name: &str, future: impl Future<Output = ()> + Send + 'static) {
    task::Builder::new().name(name).spawn_on(future, runtime.handle()).unwrap();
}

/// So that a failing test ends its threads.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn the_service_shows_its_tree() {
    let service = Service::start_with(|command| _ = command.env("REIVER_DEBUG", "1"));
    let process = service.process.id();
    // A request takes 100 ms: there is always one.
    let done = AtomicBool::new(false);
    let tree = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                service.get("/blocking");
            }
        });
        let _done = SetOnDrop(&done);
        reiver("pstree", process, |tree| {
            ["waits for input, fd ", "waits for blocking job ", "─ blocking job "]
                .iter()
                .all(|text| tree.contains(text))
        })
    });
    // What runs everything, below it the connection, and below that the job that it waits for.
    let lines: Vec<&str> = tree.lines().collect();
    let find = |text: &str| lines.iter().position(|line| line.contains(text)).expect(text);
    let depth = |line: usize| lines[line].find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let (job, waiter) = (find("─ blocking job "), find("waits for blocking job "));
    assert!(waiter < job && depth(waiter) < depth(job), "{tree}");
    assert!(depth(find("task ")) < depth(waiter), "{tree}");
    assert!(tree.contains("examples/service.rs:"), "{tree}");
    let table = reiver("ps", process, |table| table.contains("waiting"));
    assert!(table.lines().nth(1).unwrap().contains("STATE"), "{table}");
}

#[test]
fn it_answers_while_every_worker_is_stuck() {
    let _one = ONE_AT_A_TIME.lock();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .rescue(Rescue::Off)
        .debug_endpoint(true)
        .build()
        .unwrap();
    let (begin, begun) = mpsc::channel();
    let (door, closed) = mpsc::channel::<()>();
    spawn(&runtime, "blocker", async move {
        begin.send(()).unwrap();
        _ = closed.recv();
    });
    begun.recv_timeout(PATIENCE).unwrap();
    let table = inspect(std::process::id(), "ps").unwrap();
    let line = table.lines().find(|line| line.contains("\"blocker\"")).expect(&table);
    assert!(line.contains("running"), "{table}");
    drop(door);
}

#[test]
fn it_is_off_by_default_and_ends_with_its_runtime() {
    let _one = ONE_AT_A_TIME.lock();
    let child = |runtime: Option<Runtime>| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_reiver"));
        // No runtime of a test has this name.
        let output = program.args(["ps", "1"]).output().unwrap();
        drop(runtime);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = child(None);
    assert_eq!(code, Some(1));
    assert!(text.contains("REIVER_DEBUG=1"), "{text}");
    let before = sockets();
    let silent = Builder::new_multi_thread().build().unwrap();
    spawn(&silent, "silent", std::future::pending());
    let runtime = runtime();
    spawn(&runtime, "shown", std::future::pending());
    let text = inspect(std::process::id(), "pstree").unwrap();
    assert!(text.contains("\"shown\"") && !text.contains("\"silent\""), "{text}");
    drop(runtime);
    // Other tests of this process have theirs.
    let text = inspect(std::process::id(), "pstree").unwrap_or_default();
    assert!(!text.contains("\"shown\""), "{text}, before {before:?}");
}

/// The sockets of this process.
fn sockets() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let process = format!("{}.", std::process::id());
    let entries = std::fs::read_dir(format!("/tmp/reiver-{user}")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&process)).collect()
}

#[test]
fn garbage_harms_nothing() {
    let _one = ONE_AT_A_TIME.lock();
    let runtime = runtime();
    spawn(&runtime, "unharmed", reiver::time::sleep(AGES));
    let connect = || sockets().into_iter().filter_map(|path| UnixStream::connect(path).ok());
    // Nothing at all; half a request and then nothing; more than is ever read; what is no text.
    let open: Vec<_> = connect().chain(connect()).collect();
    for mut client in connect() {
        client.write_all(b"p").unwrap();
        drop(client);
    }
    for mut client in connect() {
        // Refused somewhere in the middle.
        _ = client.write_all(&vec![0xff; 1 << 20]);
    }
    for mut client in connect() {
        client.write_all(b"ps; rm -rf /\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "unknown request\n");
    }
    // Who asks and does not read.
    let deaf: Vec<_> =
        connect().map(|mut client| client.write_all(b"ps\n").map(|()| client)).collect();
    let text = inspect(std::process::id(), "ps").unwrap();
    let line = text.lines().find(|line| line.contains("\"unharmed\"")).expect(&text);
    assert!(line.contains("a timer in "), "{line}");
    drop((open, deaf));
    let (tell, told) = mpsc::channel();
    spawn(&runtime, "last", async move { tell.send(()).unwrap() });
    told.recv_timeout(PATIENCE).unwrap();
}

/// The dump is looked for in the stderr of a process of its own: this test, started once more.
#[test]
fn a_signal_dumps_the_tasks_to_stderr() {
    const CHILD: &str = "REIVER_TEST_DUMPS";
    if std::env::var_os(CHILD).is_some() {
        let signal = Signal::USR1;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .rescue(Rescue::Off)
            .dump_on_signal(signal.as_raw())
            .build()
            .unwrap();
        let (begin, begun) = mpsc::channel();
        spawn(&runtime, "the culprit", async move {
            begin.send(()).unwrap();
            std::thread::sleep(AGES);
        });
        begun.recv_timeout(PATIENCE).unwrap();
        kill_process(getpid(), signal).unwrap();
        std::thread::sleep(AGES);
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_signal_dumps_the_tasks_to_stderr", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("the culprit"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.expect("it ends only when it is killed").contains("running"));
}
