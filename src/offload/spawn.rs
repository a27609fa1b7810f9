//! Starting a process: by `posix_spawn`, on a thread that never ends.
//!
//! The death signal that a worker asks for comes when the *thread* ends that started it, and any thread of ours
//! may end: a worker of a runtime, a job's, a guest of `block_on`. So there is one thread for it, which costs a
//! hand-over of some 10 µs, and which also has the 0.1 ms that the call takes to itself, and the files of control
//! groups.

use super::cgroup::Group;
use super::config::{Builder, Stdio};
use super::frame::{Head, Kind, SHARED};
use super::orders::{Orders, VARIABLE};
use super::page::{self, Page};
use super::{registry, worker};
use crate::primitive::{StaticMutex, clock, thread, unique_block};
use crate::sync::oneshot;
use crate::util::of_process::OfProcess;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Child, Command};
use std::time::{Duration, Instant};

/// What the thread is to do.
enum Order {
    /// To start this, for whoever waits for it; in a group with so much memory, if one is named.
    Start(Box<Command>, Option<(PathBuf, u64)>, oneshot::Sender<io::Result<Newborn>>),
    /// To remove the group of a worker that is gone.
    Remove(PathBuf),
}

/// How long it tries to remove a group whose last process has not ended yet, and how often.
const REMOVAL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(10));

static SPAWNER: OfProcess<Spawner> = OfProcess::new();

/// The thread and what it is to do.
struct Spawner {
    queue: StaticMutex<VecDeque<Order>>,
    /// `None` until one could be started.
    thread: StaticMutex<Option<thread::Thread>>,
}

impl Spawner {
    fn of_process() -> &'static Self {
        let (queue, thread) = (StaticMutex::new(VecDeque::new()), StaticMutex::new(None));
        SPAWNER.get_or_init(|| Self { queue, thread })
    }

    /// The thread, started if there is none. If that fails, the next who asks tries again.
    fn thread(&'static self) -> io::Result<thread::Thread> {
        let mut thread = self.thread.lock();
        if let Some(thread) = &*thread {
            return Ok(thread.clone());
        }
        let builder = thread::Builder::new().name("reiver-spawn".into());
        let started = builder.spawn(|| self.run())?;
        Ok(thread.insert(started.thread().clone()).clone())
    }

    /// What the thread does.
    fn run(&self) {
        let mut groups: Vec<(PathBuf, Instant)> = Vec::new();
        loop {
            let order = self.queue.lock().pop_front();
            match order {
                Some(Order::Start(command, group, sender)) => {
                    let _ = sender.send(give_birth(*command, group));
                }
                Some(Order::Remove(path)) => groups.push((path, clock::now())),
                None if groups.is_empty() => thread::park(),
                None => thread::park_timeout(REMOVAL.1),
            }
            groups.retain(|(path, since)| {
                std::fs::remove_dir(path).is_err() && path.exists() && since.elapsed() < REMOVAL.0
            });
        }
    }
}

/// A child that nobody has taken on yet, and its control group.
pub(super) struct Newborn(Option<Child>, Option<Group>);

impl Newborn {
    pub(super) fn take(mut self) -> Child {
        self.0.take().expect("it is taken once: `self` is consumed")
    }

    pub(super) fn group(&self) -> Option<Group> {
        self.1.clone()
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

/// A worker that has been started: the child, our end of its channel, our view of its page.
pub(super) type Started = (Newborn, UnixStream, Page);

/// Starts a worker.
pub(super) async fn spawn(config: &Builder) -> io::Result<Started> {
    if worker::was_missed() {
        return Err(io::Error::other(
            "this process was started as a worker, and its `main` did not make it one: \
             call `reiver::offload::init()` there first",
        ));
    }
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let page = send_page(&ours)?;
    let command = command(config, theirs.into());
    let spawner = Spawner::of_process();
    let thread = spawner.thread()?;
    let (sender, receiver) = oneshot::channel();
    let order = Order::Start(Box::new(command), config.cgroup.clone(), sender);
    spawner.queue.lock().push_back(order);
    thread.unpark();
    match receiver.await {
        Ok(started) => started.map(|child| (child, ours, page)),
        Err(_) => Err(io::Error::other("the thread that starts workers has ended")),
    }
}

/// Makes the page and leaves it in the channel, where the worker finds it as its first message.
fn send_page(channel: &UnixStream) -> io::Result<Page> {
    let (page, descriptor) = Page::new()?;
    let mut bytes = Vec::new();
    let head = Head { segments: 1, ..Head::new(Kind::Page, 0, 0, 0) };
    head.write([page::SIZE as u64 | SHARED].into_iter(), &mut bytes);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    // Into an empty channel, so whole.
    rustix::net::sendmsg(channel, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(page)
}

fn give_birth(mut command: Command, group: Option<(PathBuf, u64)>) -> io::Result<Newborn> {
    let group = group.map(|(parent, memory)| Group::new(&parent, unique_block(1), memory));
    let group = group.transpose()?;
    let child = command.spawn()?;
    // The worker's end of the channel is in the command: the parent must not keep it open.
    drop(command);
    let pid = child.id();
    let newborn = Newborn(Some(child), group);
    if let Some(group) = &newborn.1 {
        group.take(pid)?;
    }
    Ok(newborn)
}

/// Removes a control group, when its last process has ended.
pub(super) fn remove_group(path: PathBuf) {
    let spawner = Spawner::of_process();
    spawner.queue.lock().push_back(Order::Remove(path));
    if let Some(thread) = &*spawner.thread.lock() {
        thread.unpark();
    }
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
        spin: config.spin.as_nanos().try_into().unwrap_or(u64::MAX),
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
