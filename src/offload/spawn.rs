//! Starting a process: by `posix_spawn`, on a thread that never ends.
//!
//! The death signal that a worker asks for comes when the *thread* ends that started it, and any thread of ours
//! may end: a worker of a runtime, a job's, a guest of `block_on`. So there is one thread for it, which costs a
//! hand-over of some 10 µs, and which also has the 0.1 ms that the call takes to itself.

use super::config::{Builder, Stdio};
use super::orders::{Orders, VARIABLE};
use super::{registry, worker};
use crate::primitive::{StaticMutex, thread};
use crate::sync::oneshot;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command};
use std::sync::OnceLock;

/// What is to be started, and who waits for it.
type Order = (Command, oneshot::Sender<io::Result<Newborn>>);

static QUEUE: StaticMutex<VecDeque<Order>> = StaticMutex::new(VecDeque::new());
static THREAD: OnceLock<Result<thread::Thread, String>> = OnceLock::new();

/// A child that nobody has taken on yet.
pub(super) struct Newborn(Option<Child>);

impl Newborn {
    pub(super) fn take(mut self) -> Child {
        self.0.take().expect("it is taken once: `self` is consumed")
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a worker. Gives the child and our end of its channel.
pub(super) async fn spawn(config: &Builder) -> io::Result<(Newborn, UnixStream)> {
    if worker::was_missed() {
        return Err(io::Error::other(
            "this process was started as a worker, and its `main` did not make it one: \
             call `reiver::offload::init()` there first",
        ));
    }
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let command = command(config, theirs.into());
    let spawner = THREAD.get_or_init(|| start().map_err(|error| error.to_string()));
    let spawner = spawner.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let (sender, receiver) = oneshot::channel();
    QUEUE.lock().push_back((command, sender));
    spawner.unpark();
    match receiver.await {
        Ok(started) => started.map(|child| (child, ours)),
        Err(_) => Err(io::Error::other("the thread that starts workers has ended")),
    }
}

fn start() -> io::Result<thread::Thread> {
    let started = thread::Builder::new().name("reiver-spawn".into()).spawn(|| {
        loop {
            let order = QUEUE.lock().pop_front();
            let Some((mut command, sender)) = order else {
                thread::park();
                continue;
            };
            let child = command.spawn().map(|child| Newborn(Some(child)));
            // The worker's end of the channel is in the command: the parent must not keep it open.
            drop(command);
            let _ = sender.send(child);
        }
    })?;
    Ok(started.thread().clone())
}

fn command(config: &Builder, channel: OwnedFd) -> Command {
    let orders = Orders {
        parent: process::id(),
        fingerprint: registry::fingerprint(),
        limit: config.max_message,
        data: config.memory,
        address_space: config.address_space,
        cpu: config.cpu_time.as_secs() + u64::from(config.cpu_time.subsec_nanos() > 0),
        nice: config.nice,
        report_memory: config.recycle_memory != 0,
        listen: !config.grace.is_zero(),
    };
    let mut command = Command::new(&config.program);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.env_clear().envs(config.environment()).env(VARIABLE, orders.to_text());
    command.stdin(channel).stderr(process::Stdio::piped()).process_group(0);
    command.stdout(match config.stdout {
        Stdio::Inherit => process::Stdio::inherit(),
        Stdio::Null => process::Stdio::null(),
    });
    command
}
