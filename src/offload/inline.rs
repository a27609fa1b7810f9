//! The double: a slot that runs its jobs on threads of this process, as `REIVER_OFFLOAD=inline` asks for.
//!
//! Queue, bounds, deadlines, retries, closing and counts are the pool's own code, and answers are made by the
//! worker's: values are encoded and decoded, panics come back with their place. Faults on purpose end a worker that
//! is not there. What needs a process is missing: limits, and the end of a job whose time is up, which is asked to
//! stop and runs on; one that crashes takes everything along.

use super::blob::Blob;
use super::context::JobContext;
use super::error::{Failure, Trouble};
use super::frame::{Frame, Head, Segment};
use super::job::Call;
use super::real_time::{before, sleep_until};
use super::registry::{Message, Output};
use super::shared::{Next, Shared, Ticket};
use super::slot::{faults, open};
use super::worker::{Panic, answer, panic_seen};
use crate::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::primitive::thread::{self, ThreadId};
use crate::primitive::{Arc, StaticMutex, clock, fixed};
use crate::runtime::Handle;
use crate::sync::Notify;
use crate::task::AbortOnDropHandle;
use crate::time::Instant;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::Poll;

/// The threads that run jobs here, with what the hook has seen of their panics.
static HERE: StaticMutex<Vec<Entry>> = StaticMutex::new(Vec::new());
/// How many they are: ordinary pools look at this only.
static COUNT: AtomicUsize = fixed::atomic_usize(0);

struct Entry {
    thread: ThreadId,
    context: JobContext,
    panic: Option<Panic>,
}

/// Starts what is no worker, and gives jobs to it.
pub(super) async fn attend(shared: &Arc<Shared>, id: u64) {
    let notify = Arc::new(Notify::new());
    while shared.stays(id) {
        if let Some(at) = shared.not_before() {
            sleep_until(at).await;
        }
        match prepare(shared).await {
            Ok(()) => {
                shared.started(id, None);
                // What could die before its first job is the program.
                shared.proved();
                while serve(shared, id, &notify).await {}
                shared.has_no_worker(id);
            }
            Err(reason) => shared.start_failed(id, &reason),
        }
    }
}

/// Runs the initialiser, once for each pool: workers that share a memory are prepared together.
async fn prepare(shared: &Shared) -> Result<(), String> {
    let Some(first) = &shared.config.initializer else { return Ok(()) };
    let prepared = shared.prepared.get_or_try_init(async || {
        let mut job = start(&shared.runtime, first, shared.config.max_message, 0);
        let until = Instant::now().checked_add(shared.config.start_timeout);
        let ended = match until {
            Some(at) => before(at, &mut job).await.ok_or("its initialiser: it took too long")?,
            None => (&mut job).await,
        };
        match open(ended.map_err(|error| error.to_string())?, shared.config.max_message) {
            Ok(_) => Ok(()),
            Err(Failure::Panicked { message, location, .. }) => {
                Err(format!("the initialiser panicked at {location}: {message}"))
            }
            Err(failure) => Err(format!("its initialiser: {failure:?}")),
        }
    });
    prepared.await.map(drop)
}

/// One job, or the wait for one. `false`: a worker would be gone now.
async fn serve(shared: &Arc<Shared>, id: u64, notify: &Arc<Notify>) -> bool {
    match shared.next(id, notify) {
        Next::Job(ticket) => match ticket.in_time() {
            Some(ticket) => run(shared, id, ticket).await,
            None => true,
        },
        Next::Leave => false,
        Next::Rest => {
            let until = Instant::now().checked_add(shared.config.idle_timeout);
            let called = match until {
                Some(at) => before(at, notify.notified()).await.is_some(),
                None => {
                    notify.notified().await;
                    true
                }
            };
            let by_itself = shared.get_up(id);
            called || !by_itself || !shared.is_spare()
        }
    }
}

/// `false`: a worker would be lost.
async fn run(shared: &Shared, slot: u64, ticket: Ticket) -> bool {
    let Ticket { id, call, expires, mut answer, .. } = ticket;
    let config = &shared.config;
    let begun = Instant::now();
    let really_begun = clock::now();
    let error = |failure| call.error(failure).by(std::process::id(), String::new(), true);
    let [delay, garble, kill] = faults(&config.chaos);
    if delay {
        sleep_until(Instant::now() + config.chaos.delay_by).await;
    }
    if garble || kill {
        let failure = match kill {
            true => Failure::Killed { signal: libc::SIGKILL, hint: None },
            false => Failure::Protocol { reason: "it could not go on".into() },
        };
        shared.answer(answer, Err(error(failure)));
        return false;
    }
    let limit = call.options.timeout.or(config.timeout).and_then(|time| begun.checked_add(time));
    let deadline = [limit, expires].into_iter().flatten().min();
    shared.begins(slot, id, &call);
    let mut job = start(&shared.runtime, &call, config.max_message, id);
    let ended = poll_fn(|cx| match Pin::new(&mut job).poll(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => answer.poll_closed(cx).map(|()| None),
    });
    let ended = match deadline {
        Some(at) => before(at, ended).await,
        None => Some(ended.await),
    };
    shared.ends(slot, id);
    match ended {
        Some(Some(Ok(frame))) => {
            shared.answer(answer, open(frame, config.max_message).map_err(error));
            return true;
        }
        // The runtime is shut down.
        Some(Some(Err(_))) => {
            shared.answer(answer, Err(error(Failure::PoolClosed)));
            return false;
        }
        Some(None) => shared.abandon(&call),
        None => {
            let late = Failure::TimedOut { ran: really_begun.elapsed() };
            shared.answer(answer, Err(error(late)));
        }
    }
    job.abort();
    // In its grace period it may keep the worker.
    let until = Instant::now().checked_add(config.grace);
    !config.grace.is_zero() && before(until.unwrap_or(begun), job).await.is_some()
}

/// Begins a call on the pool for blocking jobs. What the future gives is what a worker would send.
fn start(runtime: &Handle, call: &Call, limit: u64, id: u64) -> AbortOnDropHandle<Frame> {
    let (entry, message, context) = (call.entry, call.message.clone(), call.context.clone());
    let job = move || {
        let begun = clock::now();
        let here = Here::enter(context);
        let called = catch_unwind(AssertUnwindSafe(|| match &*message {
            Ok(content) => entry.call(&content.payload, &mut content.blobs.clone()),
            Err(text) => Output(Err(Trouble::Arguments(text.clone()))),
        }));
        let (kind, extra, message) = answer(called, limit, here.leave());
        let took = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        let Message { payload, blobs } = message;
        // Copied also when it is shared, as all that a worker gives.
        let segments = blobs.into_iter().map(Blob::into_vec).map(Segment::Bytes).collect();
        Frame { head: Head::new(kind, took, id, extra), payload, segments }
    };
    let name = Some(call.entry.name().into());
    AbortOnDropHandle::new(runtime.shared().spawn_blocking(job, name, Location::caller()))
}

/// Whether a job of a pool without processes runs on this thread.
pub(super) fn is_here() -> bool {
    // Relaxed: this thread has counted itself, if it has.
    COUNT.load(Relaxed) > 0 && {
        let me = thread::current().id();
        HERE.lock().iter().any(|entry| entry.thread == me)
    }
}

/// The job that runs on this thread.
pub(super) fn job_here() -> Option<JobContext> {
    let me = thread::current().id();
    HERE.lock().iter().find(|entry| entry.thread == me).map(|entry| entry.context.clone())
}

/// This thread runs a job.
struct Here(ThreadId);

impl Here {
    fn enter(context: JobContext) -> Self {
        watch_panics();
        let me = thread::current().id();
        HERE.lock().push(Entry { thread: me, context, panic: None });
        COUNT.fetch_add(1, Relaxed); // Relaxed: see `is_here`.
        Self(me)
    }

    /// Gives what was seen of the job's panic.
    fn leave(self) -> Option<Panic> {
        COUNT.fetch_sub(1, Relaxed); // Relaxed: see `is_here`.
        let mut here = HERE.lock();
        let at = here.iter().position(|entry| entry.thread == self.0)?;
        here.swap_remove(at).panic
    }
}

/// Notes the panics of threads that run jobs, as a worker does, and leaves those of others to the hook before.
fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !is_here() || cfg!(panic = "abort") {
                return others(info);
            }
            let seen = panic_seen(info);
            let me = thread::current().id();
            if let Some(entry) = HERE.lock().iter_mut().find(|entry| entry.thread == me) {
                entry.panic = Some(seen);
            }
        }));
    });
}
