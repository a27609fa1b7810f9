//! Starting a process: by a template, or by `posix_spawn`, on a thread that never ends.
//!
//! The death signal that a worker asks for comes when the *thread* ends that started it, and any thread of ours
//! may end: a worker of a runtime, a job's, a guest of `block_on`. So there is one thread for it, which costs a
//! hand-over of some 10 µs, and which also has the 0.1 ms that the call takes to itself, and the files of control
//! groups.

use super::cgroup::Group;
use super::config::{Builder, Stdio};
use super::frame::{Head, Kind, SHARED};
use super::orders::Orders;
use super::page::{self, Page};
use super::template::{LINGER, Recipe, Templates};
use super::{registry, worker};
use crate::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::primitive::{StaticMutex, clock, fixed, thread, unique_block};
use crate::process::Known;
use crate::sync::oneshot;
use crate::util::of_process::OfProcess;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process;
use std::time::{Duration, Instant};

/// What the thread is to do.
enum Order {
    /// To start a worker, for whoever waits for it.
    Start(Box<Plan>, oneshot::Sender<io::Result<Newborn>>),
    /// To start a template, if there is none: one like it has started as a worker.
    Prepare(Recipe),
    /// To end a template whose worker did not come up.
    Distrust(Recipe),
    /// To remove the group of a worker that is gone.
    Remove(PathBuf),
}

/// A worker to start.
pub(super) struct Plan {
    pub(super) recipe: Recipe,
    pub(super) orders: String,
    /// Its end of the channel.
    pub(super) channel: OwnedFd,
    pub(super) stdout: Stdio,
    /// In a group with so much memory.
    pub(super) group: Option<(PathBuf, u64)>,
    /// By a template, if there is one.
    pub(super) template: bool,
}

/// How long it tries to remove a group whose last process has not ended yet, and how often.
const REMOVAL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(10));

static SPAWNER: OfProcess<Spawner> = OfProcess::new();

/// The thread and what it is to do.
struct Spawner {
    queue: StaticMutex<VecDeque<Order>>,
    /// `None` until one could be started.
    thread: StaticMutex<Option<thread::Thread>>,
    /// How many pools may want templates.
    pools: AtomicUsize,
}

/// A pool that may want templates, for as long as it exists.
pub(super) struct User(&'static Spawner);

impl User {
    pub(super) fn new() -> Self {
        let spawner = Spawner::of_process();
        spawner.pools.fetch_add(1, Relaxed); // Relaxed: the thread looks when it is unparked, which publishes.
        Self(spawner)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.0.pools.fetch_sub(1, Relaxed); // Relaxed: as above.
        // In a child by `fork` it is the parent's, whose locks may be held by nobody.
        if SPAWNER.get().is_some_and(|own| std::ptr::eq(own, self.0)) {
            self.0.unpark();
        }
    }
}

impl Spawner {
    fn of_process() -> &'static Self {
        let (queue, thread) = (StaticMutex::new(VecDeque::new()), StaticMutex::new(None));
        SPAWNER.get_or_init(|| Self { queue, thread, pools: fixed::atomic_usize(0) })
    }

    /// Starts the thread, if there is none. If that fails, the next who asks tries again.
    fn start_thread(&'static self) -> io::Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let builder = thread::Builder::new().name("reiver-spawn".into());
            *thread = Some(builder.spawn(|| self.run())?.thread().clone());
        }
        Ok(())
    }

    /// Gives the thread something to do.
    fn order(&self, order: Order) {
        self.queue.lock().push_back(order);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// What the thread does.
    fn run(&self) {
        let mut groups: Vec<(PathBuf, Instant)> = Vec::new();
        let mut templates = Templates::default();
        loop {
            let is_used = self.pools.load(Relaxed) > 0; // Relaxed: see `User`.
            let lingers = templates.tidy(is_used);
            let order = self.queue.lock().pop_front();
            match order {
                Some(Order::Start(plan, sender)) => {
                    let _ = sender.send(give_birth(*plan, &mut templates));
                }
                Some(Order::Prepare(recipe)) => templates.prepare(recipe),
                Some(Order::Distrust(recipe)) => templates.distrust(&recipe),
                Some(Order::Remove(path)) => groups.push((path, clock::now())),
                None if !groups.is_empty() => thread::park_timeout(REMOVAL.1),
                None if lingers => thread::park_timeout(LINGER),
                None => thread::park(),
            }
            groups.retain(|(path, since)| {
                std::fs::remove_dir(path).is_err() && path.exists() && since.elapsed() < REMOVAL.0
            });
        }
    }
}

/// A child that nobody has taken on yet, with the pipe of its error output.
pub(super) struct Newborn {
    child: Option<(Known, OwnedFd)>,
    group: Option<Group>,
    is_cloned: bool,
}

impl Newborn {
    pub(super) fn take(mut self) -> (Known, OwnedFd) {
        self.child.take().expect("it is taken once: `self` is consumed")
    }

    pub(super) fn group(&self) -> Option<Group> {
        self.group.clone()
    }

    /// Whether a template has made it.
    pub(super) fn is_cloned(&self) -> bool {
        self.is_cloned
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A worker that has been started: the child, our end of its channel, our view of its page.
pub(super) type Started = (Newborn, UnixStream, Page);

/// Starts a worker; by a template, if that is wanted and there is one.
pub(super) async fn spawn(config: &Builder, template: bool) -> io::Result<Started> {
    if worker::was_missed() {
        return Err(io::Error::other(
            "this process was started as a worker, and its `main` did not make it one: \
             call `reiver::offload::init()` there first",
        ));
    }
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let page = send_page(&ours)?;
    let plan = Plan {
        recipe: Recipe::of(config),
        orders: orders(config).to_text(),
        channel: theirs.into(),
        stdout: config.stdout,
        group: config.cgroup.clone(),
        template,
    };
    let spawner = Spawner::of_process();
    spawner.start_thread()?;
    let (sender, receiver) = oneshot::channel();
    spawner.order(Order::Start(Box::new(plan), sender));
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

/// Starts a template for the next worker, since one has started without.
pub(super) fn prepare_next(config: &Builder) {
    if config.template && worker::HAS_TEMPLATES {
        Spawner::of_process().order(Order::Prepare(Recipe::of(config)));
    }
}

/// A template's worker did not come up.
pub(super) fn distrust(config: &Builder) {
    Spawner::of_process().order(Order::Distrust(Recipe::of(config)));
}

/// Removes a control group, when its last process has ended.
pub(super) fn remove_group(path: PathBuf) {
    Spawner::of_process().order(Order::Remove(path));
}

fn give_birth(plan: Plan, templates: &mut Templates) -> io::Result<Newborn> {
    let group = plan.group.as_ref();
    let group = group.map(|(parent, memory)| Group::new(parent, unique_block(1), *memory));
    let group = group.transpose()?;
    let (errors, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let cloned = if plan.template { templates.make(&plan, theirs.as_fd()) } else { None };
    let is_cloned = cloned.is_some();
    let child = match cloned {
        // The worker's ends are dropped with the plan: the parent must not keep them open.
        Some(child) => child,
        None => exec(plan, theirs)?,
    };
    let pid = child.id();
    let newborn = Newborn { child: Some((child, errors)), group, is_cloned };
    if let Some(group) = &newborn.group {
        group.take(pid)?;
    }
    Ok(newborn)
}

/// Starts a worker directly.
fn exec(plan: Plan, errors: OwnedFd) -> io::Result<Known> {
    let mut command = plan.recipe.command(&plan.orders, plan.channel);
    command.stderr(errors).stdout(match plan.stdout {
        Stdio::Inherit => process::Stdio::inherit(),
        Stdio::Null => process::Stdio::null(),
    });
    Ok(command.spawn()?.into())
}

fn orders(config: &Builder) -> Orders {
    Orders {
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
    }
}
