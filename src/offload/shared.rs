//! What a pool's slots share: a queue with bounds, and who takes from it.
//!
//! A *slot* is a task on the pool's runtime that keeps one worker: it starts it, takes jobs from the queue, and
//! starts another when it is lost (`slot.rs`). A submitter puts a ticket into the queue and calls a slot that
//! rests, or makes one. So a job goes on, and its worker comes free, also when nobody polls its future; and a
//! runtime that is shut down drops the slots, hence kills the workers.
//!
//! # No job is left behind
//!
//! All decisions are made under one lock. A push takes a resting slot off the stack and calls it, or makes a new
//! slot if there may be more, or else all slots are up; a slot looks at the queue under the lock before it rests
//! and before it leaves. A slot that was called and does not find its ticket has been outrun by another, which
//! has it. A slot that ends without leaving (its runtime is shut down) closes the pool and empties the queue.
//!
//! Rejected: the caller's own task writing and reading the socket. It saves two switches between tasks (0.2 µs),
//! and then a future that is held but not polled keeps a worker for ever.

use super::config::Builder;
use super::error::{Failure, OffloadError};
use super::frame::{Frame, HEAD, MAX_SEGMENTS};
use super::inline;
use super::job::Call;
use super::listing::Listed;
use super::pool::Stats;
use super::real_time::before;
use super::slot::{self, Seat};
use super::spawn;
use super::worker::in_worker;
use crate::primitive::atomic::{AtomicBool, Ordering::Relaxed};
use crate::primitive::{Arc, Mutex};
use crate::runtime::Handle;
use crate::scheduler::{Counts, Processes};
use crate::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};
use crate::task::{self, AbortHandle};
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long both sides look on for a message before they sleep, at most: the parent's thread does nothing else
/// meanwhile. It covers the other side's wake-up and a job of some microseconds; 50 µs gained nothing more.
const GLANCE: Duration = Duration::from_micros(20);

/// What the slots share.
pub(super) struct Shared {
    pub(super) config: Builder,
    pub(super) runtime: Handle,
    pub(super) state: Mutex<State>,
    chunks: AtomicBool,
    /// Told when the last slot has gone.
    gone: Notify,
    /// Room in the queue: jobs, and KiB.
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
    room_size: u32,
    pub(super) counts: Arc<Counts>,
    /// It may want templates.
    _templates: Option<spawn::User>,
    /// In a pool without processes: the initialiser has run.
    pub(super) prepared: OnceCell<()>,
}

pub(super) struct State {
    /// In the order of their numbers.
    pub(super) queue: VecDeque<Ticket>,
    /// Slots that rest, the last one on top.
    pub(super) resting: Vec<(u64, Arc<Notify>)>,
    pub(super) slots: BTreeMap<u64, SlotEntry>,
    next: u64,
    /// No new jobs.
    closed: bool,
    /// And no slots.
    aborted: bool,
    /// Starts in a row that went wrong.
    strikes: u32,
    not_before: Option<Instant>,
}

#[derive(Default)]
pub(super) struct SlotEntry {
    abort: Option<AbortHandle>,
    pub(super) pid: Option<u32>,
    /// Its last start went wrong.
    failed: bool,
    /// What its worker has, in order.
    pub(super) jobs: Vec<Listed>,
}

/// Who waits for a job's end.
pub(super) type Caller = oneshot::Sender<Result<Frame, OffloadError>>;

/// A job in the queue.
pub(super) struct Ticket {
    pub(super) id: u64,
    pub(super) call: Call,
    pub(super) expires: Option<Instant>,
    pub(super) answer: Caller,
    /// Its room in the queue.
    pub(super) place: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Ticket {
    /// The job as it leaves the queue; `None` if it is too late for it.
    pub(super) fn in_time(mut self) -> Option<Self> {
        // Room for another.
        drop(self.place.take());
        if self.answer.is_closed() {
            return None;
        }
        if self.expires.is_some_and(|at| at <= Instant::now()) {
            let _ = self.answer.send(Err(self.call.error(Failure::Expired)));
            return None;
        }
        Some(self)
    }
}

/// What a slot does next.
pub(super) enum Next {
    Job(Ticket),
    Rest,
    Leave,
}

impl State {
    fn new_slot(&mut self) -> u64 {
        self.next += 1;
        self.slots.insert(self.next, SlotEntry::default());
        self.next
    }
}

impl Shared {
    pub(super) fn new(mut config: Builder, runtime: Handle) -> Arc<Self> {
        config.spin = GLANCE.min(runtime.shared().hooks.spin);
        let room_size = (config.max_queued_bytes / 1024).clamp(1, u32::MAX as usize >> 3) as u32;
        let shared = Arc::new(Self {
            places: Arc::new(Semaphore::new(config.max_queued)),
            room: Arc::new(Semaphore::new(room_size as usize)),
            room_size,
            _templates: (config.template && !config.inline).then(spawn::User::new),
            config,
            runtime,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                resting: Vec::new(),
                slots: BTreeMap::new(),
                next: 1,
                closed: false,
                aborted: false,
                strikes: 0,
                not_before: None,
            }),
            chunks: AtomicBool::new(false),
            gone: Notify::new(),
            counts: Arc::default(),
            prepared: OnceCell::new(),
        });
        let view: Arc<dyn Processes> = shared.clone();
        let processes = &shared.runtime.shared().processes;
        processes.add(Arc::downgrade(&view), shared.counts.clone());
        for _ in 0..shared.config.min_workers.min(shared.config.workers) {
            let id = shared.state.lock().new_slot();
            shared.make_slot(id);
        }
        shared
    }

    pub(super) async fn submit(
        self: &Arc<Self>,
        call: Call,
        expires: Option<Instant>,
        wait: bool,
    ) -> Result<Frame, OffloadError> {
        let size = self.check(&call)?;
        if call.options.chunk > 1 && !self.has_chunks() {
            self.chunks.store(true, Relaxed); // Relaxed: see `has_chunks`.
        }
        let place = self.place(&call, size, wait);
        let place = match expires {
            Some(at) => before(at, place).await.ok_or_else(|| call.error(Failure::Expired))?,
            None => place.await,
        }?;
        let (answer, receiver) = oneshot::channel();
        let ticket = Ticket { id: 0, call: call.clone(), expires, answer, place: Some(place) };
        let Some(id) = self.push(ticket) else { return Err(call.error(Failure::PoolClosed)) };
        let mut waiting = Waiting { shared: self, id, receiver };
        if let Some(at) = expires {
            match before(at, &mut waiting.receiver).await {
                Some(answer) => {
                    return answer.unwrap_or_else(|_| Err(call.error(Failure::PoolClosed)));
                }
                // A job that has begun is ended by its slot.
                None if self.withdraw(id).is_some() => return Err(call.error(Failure::Expired)),
                None => {}
            }
        }
        let answer = (&mut waiting.receiver).await;
        answer.unwrap_or_else(|_| Err(call.error(Failure::PoolClosed)))
    }

    /// The size of the job's message, if it can be sent.
    fn check(&self, call: &Call) -> Result<usize, OffloadError> {
        if in_worker() || inline::is_here() {
            return Err(call.error(Failure::Nested));
        }
        let content = match &*call.message {
            Ok(content) => content,
            Err(text) => return Err(call.error(Failure::Codec(format!("its arguments: {text}")))),
        };
        let bytes = content.len() + 8 * content.blobs.len() + HEAD + call.context.room();
        let bytes = bytes as u64;
        let limit = self.config.max_message;
        if bytes > limit || content.blobs.len() > MAX_SEGMENTS {
            return Err(call.error(Failure::TooLarge { bytes, limit }));
        }
        Ok(content.len())
    }

    /// Room in the queue for a job and its bytes. A job that is longer than all the room takes all of it.
    async fn place(
        &self,
        call: &Call,
        size: usize,
        wait: bool,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), OffloadError> {
        let kib = u32::try_from(size / 1024 + 1).unwrap_or(u32::MAX).min(self.room_size);
        let (places, room) = (self.places.clone(), self.room.clone());
        if wait {
            let closed = |_| call.error(Failure::PoolClosed);
            let place = places.acquire_owned().await.map_err(closed)?;
            return Ok((place, room.acquire_many_owned(kib).await.map_err(closed)?));
        }
        let refused = |_| {
            let closed = self.state.lock().closed;
            call.error(if closed { Failure::PoolClosed } else { Failure::QueueFull })
        };
        let place = places.try_acquire_owned().map_err(refused)?;
        Ok((place, room.try_acquire_many_owned(kib).map_err(refused)?))
    }

    /// Queues a job and sees to it that a slot looks. `None`: the pool is closed.
    fn push(self: &Arc<Self>, mut ticket: Ticket) -> Option<u64> {
        let mut state = self.state.lock();
        if state.closed {
            // Dropped by the caller's return, when the lock is free.
            drop(state);
            return None;
        }
        state.next += 1;
        let id = state.next;
        ticket.id = id;
        state.queue.push_back(ticket);
        if let Some((_, notify)) = state.resting.pop() {
            drop(state);
            notify.notify_one();
        } else if state.slots.len() < self.config.workers {
            let slot = state.new_slot();
            drop(state);
            self.make_slot(slot);
        }
        Some(id)
    }

    fn make_slot(self: &Arc<Self>, id: u64) {
        let seat = Seat::new(self.clone(), id);
        let task = task::Builder::new().name("offload worker");
        let Ok(task) = task.spawn_on(slot::attend(seat), &self.runtime) else { return };
        let abort = task.abort_handle();
        let mut state = self.state.lock();
        let aborted = state.aborted;
        if let Some(slot) = state.slots.get_mut(&id) {
            slot.abort = Some(abort.clone());
        }
        drop(state);
        if aborted {
            abort.abort();
        }
    }

    /// Takes a job out of the queue; `None` if it has begun.
    fn withdraw(&self, id: u64) -> Option<Ticket> {
        let mut state = self.state.lock();
        let at = state.queue.binary_search_by_key(&id, |ticket| ticket.id).ok()?;
        state.queue.remove(at)
    }

    /// Closes for new jobs, and calls all slots, so that they leave when the queue is empty.
    pub(super) fn refuse(&self) {
        let resting = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.resting)
        };
        self.places.close();
        self.room.close();
        resting.iter().for_each(|(_, notify)| notify.notify_one());
    }

    /// Ends all slots, hence all workers and jobs.
    pub(super) fn abort(&self) {
        let (queue, slots): (_, Vec<AbortHandle>) = {
            let mut state = self.state.lock();
            (state.closed, state.aborted) = (true, true);
            let slots = state.slots.values_mut().filter_map(|slot| slot.abort.take());
            let slots = slots.collect();
            (std::mem::take(&mut state.queue), slots)
        };
        self.lose(queue.iter().map(|ticket| &ticket.call));
        drop(queue);
        slots.iter().for_each(AbortHandle::abort);
    }

    pub(super) async fn all_gone(&self) {
        loop {
            let mut gone = std::pin::pin!(self.gone.notified());
            gone.as_mut().enable();
            if self.state.lock().slots.is_empty() {
                return;
            }
            gone.await;
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let counts = &self.counts;
        let state = self.state.lock();
        Stats {
            workers: state.slots.values().filter_map(|slot| slot.pid).collect(),
            idle: state.resting.len(),
            queued: state.queue.len(),
            started: counts.started.load(Relaxed),
            start_failures: counts.start_failures.load(Relaxed),
            completed: counts.completed.load(Relaxed),
            panicked: counts.panicked.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            timed_out: counts.timed_out.load(Relaxed),
            abandoned: counts.abandoned.load(Relaxed),
            lost: counts.lost.load(Relaxed),
            recycled: counts.recycled.load(Relaxed),
            backing_off: state.strikes > 1 && state.not_before.is_some(),
        }
    }

    /// No job can be submitted any more.
    pub(super) fn is_closed(&self) -> bool {
        self.runtime.shared().is_closed() || self.state.lock().closed
    }

    // ---- what slots ask --------------------------------------------------------------------------------------

    /// What the slot with a ready worker does next. If it is to rest, it stands on the stack by then.
    pub(super) fn next(&self, id: u64, notify: &Arc<Notify>) -> Next {
        let mut state = self.state.lock();
        match state.queue.pop_front() {
            Some(ticket) => Next::Job(ticket),
            None if state.closed => Next::Leave,
            None => {
                state.resting.push((id, notify.clone()));
                Next::Rest
            }
        }
    }

    /// Another job for a worker that has `jobs`, and may have `depth` of any kind: only if all workers are up and at
    /// work.
    pub(super) fn one_more(&self, jobs: usize, depth: usize) -> Option<Ticket> {
        let mut state = self.state.lock();
        let all_busy = state.resting.is_empty() && state.slots.len() >= self.config.workers;
        let front = state.queue.front().filter(|_| all_busy)?;
        let room = jobs < depth.max(front.call.options.chunk);
        if room { state.queue.pop_front() } else { None }
    }

    /// Whether jobs have come that are given out in chunks. Relaxed: who does not see it yet gives out less.
    pub(super) fn has_chunks(&self) -> bool {
        self.chunks.load(Relaxed)
    }

    /// Queues jobs again that the slot's worker has not begun, in their order, and calls who may take them.
    pub(super) fn put_back(self: &Arc<Self>, slot: u64, tickets: Vec<Ticket>) {
        tickets.iter().for_each(|ticket| self.ends(slot, ticket.id));
        let (mut called, mut made, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = self.state.lock();
        // Under the lock: a caller whose time is up from here on finds its job in the queue.
        let now = Instant::now();
        for ticket in tickets {
            let is_late = ticket.answer.is_closed() || ticket.expires.is_some_and(|at| at <= now);
            if state.aborted || is_late {
                dropped.push(ticket);
                continue;
            }
            let at = state.queue.partition_point(|other| other.id < ticket.id);
            state.queue.insert(at, ticket);
            if let Some((_, notify)) = state.resting.pop() {
                called.push(notify);
            } else if !state.closed && state.slots.len() < self.config.workers {
                made.push(state.new_slot());
            }
        }
        drop(state);
        called.iter().for_each(|notify| notify.notify_one());
        made.into_iter().for_each(|slot| self.make_slot(slot));
        self.lose(dropped.iter().map(|ticket| &ticket.call));
        // Tells those whose time is up.
        dropped.into_iter().for_each(|ticket| drop(ticket.in_time()));
    }

    /// A slot that rests gets up by itself. `false`: it was called before that.
    pub(super) fn get_up(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        let at = state.resting.iter().position(|(slot, _)| *slot == id);
        at.map(|at| state.resting.remove(at)).is_some()
    }

    /// Whether there are more workers than are kept without work.
    pub(super) fn is_spare(&self) -> bool {
        self.state.lock().slots.len() > self.config.min_workers
    }

    /// Whether a slot without a worker starts one; if not, it is gone by then.
    pub(super) fn stays(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        let spare = state.closed || state.slots.len() > self.config.min_workers;
        let stays = !(state.queue.is_empty() && spare);
        if !stays {
            state.slots.remove(&id);
            let last = state.slots.is_empty();
            drop(state);
            if last {
                self.gone.notify_waiters();
            }
        }
        stays
    }

    /// When a worker may be started.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.state.lock().not_before
    }

    /// A slot has a worker; without `pid` it is none.
    pub(super) fn started(&self, id: u64, pid: Option<u32>) {
        let mut state = self.state.lock();
        state.not_before = None;
        if let Some(slot) = state.slots.get_mut(&id) {
            (slot.pid, slot.failed) = (pid, false);
        }
        drop(state);
        self.counts.started.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
    }

    /// A worker has done its first job: workers can live. That one was started does not say so.
    pub(super) fn proved(&self) {
        self.state.lock().strikes = 0;
    }

    pub(super) fn has_no_worker(&self, id: u64) {
        let jobs = self.state.lock().slots.get_mut(&id).map(|slot| {
            slot.pid = None;
            std::mem::take(&mut slot.jobs)
        });
        drop(jobs);
    }

    /// A start went wrong, or a worker ended before its first job. The second in a row holds up the next start, and
    /// fails what is queued if nobody is left to take it: all slots have failed.
    ///
    /// A slot that has failed counts as lost although it tries again: two slots whose starts take long and go
    /// wrong by turns would each wait for the other for ever.
    pub(super) fn start_failed(&self, id: u64, reason: &str) {
        self.counts.start_failures.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
        let queue = {
            let mut state = self.state.lock();
            if let Some(slot) = state.slots.get_mut(&id) {
                slot.failed = true;
            }
            state.strikes += 1;
            if state.strikes < 2 {
                return;
            }
            let (first, most) = self.config.back_off;
            let delay = first.saturating_mul(1 << (state.strikes - 2).min(20));
            state.not_before = Instant::now().checked_add(delay.min(most));
            if state.slots.values().any(|slot| !slot.failed) {
                return;
            }
            std::mem::take(&mut state.queue)
        };
        for ticket in queue {
            let error = ticket.call.error(Failure::WorkerStart { reason: reason.to_owned() });
            let _ = ticket.answer.send(Err(error));
        }
    }

    /// A job has ended: counts it, and tells its caller.
    pub(super) fn answer(&self, caller: Caller, result: Result<Frame, OffloadError>) {
        let Counts { completed, panicked, timed_out, failed, lost, .. } = &*self.counts;
        let count = match result.as_ref().map_err(OffloadError::failure) {
            Ok(_) => completed,
            Err(Failure::Panicked { .. }) => panicked,
            Err(Failure::TimedOut { .. }) => timed_out,
            Err(Failure::Codec(_) | Failure::TooLarge { .. } | Failure::UnknownFunction) => failed,
            Err(_) => lost,
        };
        count.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
        let _ = caller.send(result);
    }

    /// A job was ended because its caller is gone.
    pub(super) fn abandon(&self, call: &Call) {
        self.lose([call]);
        self.counts.abandoned.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
    }

    /// A slot is dropped. If it has not left, the runtime has ended it: nobody will take from the queue.
    pub(super) fn dropped(&self, id: u64) {
        let (queue, slot, last) = {
            let mut state = self.state.lock();
            let Some(slot) = state.slots.remove(&id) else { return };
            state.closed = true;
            (std::mem::take(&mut state.queue), slot, state.slots.is_empty())
        };
        self.lose_running(slot.jobs, slot.pid);
        self.lose(queue.iter().map(|ticket| &ticket.call));
        self.places.close();
        self.room.close();
        drop(queue);
        if last {
            self.gone.notify_waiters();
        }
    }
}

/// Takes the job back when the caller goes away.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
    receiver: oneshot::Receiver<Result<Frame, OffloadError>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.receiver.is_terminated() {
            // If it runs, the end of `receiver` tells the slot.
            let waiting = self.shared.withdraw(self.id);
            self.shared.lose(waiting.iter().map(|ticket| &ticket.call));
        }
    }
}
