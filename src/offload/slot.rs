//! A slot: the task that keeps one worker.

use super::blob::Blob;
use super::config::Chaos;
use super::error::{Failure, OffloadError};
use super::frame::{Frame, Head, Kind, Segment};
use super::job::Call;
use super::link::{End, Link, Outgoing};
use super::real_time::sleep_until;
use super::registry::{self, Message};
use super::shared::{Next, Shared, Ticket};
use crate::primitive::atomic::Ordering::Relaxed;
use crate::primitive::{self, Arc, clock};
use crate::sync::{Notify, oneshot};
use crate::time::Instant;
use crate::util::rng::Rng;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// A place in the pool. Dropped without leaving, it closes the pool.
pub(super) struct Seat {
    shared: Arc<Shared>,
    id: u64,
}

impl Seat {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self { shared, id }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.dropped(self.id);
    }
}

/// A job that its worker has.
struct Flying {
    id: u64,
    call: Call,
    expires: Option<Instant>,
    answer: oneshot::Sender<Result<Frame, OffloadError>>,
}

/// A worker and its jobs: it runs them in their order, and the first is the one that runs.
struct Crew<'a> {
    shared: &'a Shared,
    link: Link,
    jobs: VecDeque<Flying>,
    /// Since when the first runs, by the clock that may be paused and by the one that may not.
    begun: Instant,
    really_begun: std::time::Instant,
    /// How many it has been given.
    taken: u64,
    /// How long its jobs take: a moving average, in microseconds.
    mean: u32,
    tired: bool,
}

/// Jobs that take no longer than this may be given before the last is done. See `Builder::depth`.
const QUICK: u32 = 50;

/// Starts workers and keeps them at work until there is no more need.
pub(super) async fn attend(seat: Seat) {
    let Seat { shared, id } = &seat;
    let notify = Arc::new(Notify::new());
    while shared.stays(*id) {
        if let Some(at) = shared.not_before() {
            sleep_until(at).await;
        }
        match Link::start(&shared.config).await {
            Ok(link) => {
                shared.started(*id, link.pid());
                serve(&seat, link, &notify).await;
                shared.has_no_worker(*id);
            }
            Err(reason) => shared.start_failed(&reason),
        }
    }
}

/// One worker's life with the pool.
async fn serve(seat: &Seat, link: Link, notify: &Arc<Notify>) {
    let Seat { shared, id } = seat;
    let mut crew = Crew {
        shared,
        link,
        jobs: VecDeque::new(),
        begun: Instant::now(),
        really_begun: clock::now(),
        taken: 0,
        mean: u32::MAX,
        tired: false,
    };
    loop {
        if crew.jobs.is_empty() {
            if crew.tired {
                shared.counts.recycled.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
                return crew.link.retire().await;
            }
            match shared.next(*id, notify) {
                Next::Job(ticket) => crew.take(ticket).await,
                Next::Leave => return crew.link.retire().await,
                Next::Rest => match rest(seat, &mut crew.link, notify).await {
                    // It exits by itself; `link` sees to the rest.
                    End::Lost | End::Garbage(_) | End::Answer(_) => {
                        shared.get_up(*id);
                        return;
                    }
                    End::Late if shared.is_spare() && shared.get_up(*id) => {
                        return crew.link.retire().await;
                    }
                    // Called, or kept although there is nothing to do.
                    _ => {
                        shared.get_up(*id);
                        continue;
                    }
                },
            }
        }
        while crew.has_room() {
            let Some(ticket) = shared.one_more() else { break };
            crew.take(ticket).await;
        }
        if !crew.jobs.is_empty() && !crew.work().await {
            return;
        }
    }
}

/// Waits for work.
async fn rest(seat: &Seat, link: &mut Link, notify: &Notify) -> End {
    let mut called = pin!(notify.notified());
    let until = Instant::now().checked_add(seat.shared.config.idle_timeout);
    link.exchange(until, |cx| called.as_mut().poll(cx)).await
}

impl Crew<'_> {
    /// Whether another job may be given to the worker, which has one.
    fn has_room(&self) -> bool {
        let depth = self.shared.config.depth;
        depth > 1 && self.jobs.len() < depth && self.mean <= QUICK && !self.tired
    }

    /// Gives a job to the worker, unless it is too late for it.
    async fn take(&mut self, ticket: Ticket) {
        let Ticket { id, call, expires, answer, place } = ticket;
        // It has left the queue.
        drop(place);
        if answer.is_closed() {
            return;
        }
        let now = Instant::now();
        if expires.is_some_and(|at| at <= now) {
            let _ = answer.send(Err(call.error(Failure::Expired)));
            return;
        }
        let Some(function) = call.entry.index() else {
            let _ = answer.send(Err(call.error(Failure::UnknownFunction)));
            return;
        };
        let head = Head::new(Kind::Run, function, id, call.options.memory);
        let mut out = Outgoing::new(head, call.message.clone());
        if self.jobs.is_empty() {
            (self.begun, self.really_begun) = (now, clock::now());
            self.link.forget_errors();
        }
        torment(&self.shared.config.chaos, &mut self.link, &mut out).await;
        self.link.post(out);
        self.jobs.push_back(Flying { id, call, expires, answer });
        self.taken += 1;
        self.tired |= self.taken == self.shared.config.recycle_after;
    }

    /// Waits for the first job's end. `false`: the worker is lost.
    async fn work(&mut self) -> bool {
        let Some(mut job) = self.jobs.pop_front() else { return true };
        let Self { shared, link, begun, .. } = self;
        let limit = job.call.options.timeout.or(shared.config.timeout);
        let limit = limit.and_then(|limit| begun.checked_add(limit));
        let deadline = [limit, job.expires].into_iter().flatten().min();
        let end = link.exchange(deadline, |cx| job.answer.poll_closed(cx)).await;
        if matches!(end, End::Late | End::Other) && self.may_stop() {
            return self.stop(job, end).await;
        }
        let Self { shared, link, really_begun, .. } = self;
        let counts = &shared.counts;
        let (count, result) = match end {
            End::Answer(frame) if frame.head.job == job.id && frame.head.kind != Kind::Hello => {
                return self.answered(job, frame);
            }
            End::Other => {
                link.kill();
                (&counts.abandoned, Err(job.call.error(Failure::PoolClosed)))
            }
            end => {
                let ran = really_begun.elapsed();
                let failure = match end {
                    End::Late => Failure::TimedOut { ran },
                    End::Garbage(malformed) => Failure::Protocol { reason: malformed.to_string() },
                    End::Answer(_) => {
                        Failure::Protocol { reason: "it answered to another job".into() }
                    }
                    End::Lost | End::Other => link.bury().await,
                };
                let timed_out = matches!(failure, Failure::TimedOut { .. });
                let count = if timed_out { &counts.timed_out } else { &counts.lost };
                let tail = link.stderr_tail();
                let delivered = link.delivered(self.jobs.len() + 1);
                link.kill();
                (count, Err(job.call.error(failure).by(link.pid(), tail, delivered)))
            }
        };
        count.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
        // Before the caller hears of it.
        self.put_back();
        let _ = job.answer.send(result);
        false
    }

    /// The worker is lost with its first job. None of the others has begun.
    fn put_back(&mut self) {
        let rest = self.jobs.drain(..).map(|job| {
            let Flying { id, call, expires, answer } = job;
            Ticket { id, call, expires, answer, place: None }
        });
        self.shared.put_back(rest.collect());
    }

    /// Whether the first job can be asked to stop: it is there, and there is time.
    fn may_stop(&self) -> bool {
        !self.shared.config.grace.is_zero() && self.link.delivered(self.jobs.len() + 1)
    }

    /// Asks the first job, which is late or not wanted any more, to stop. `false`: it did not, and the worker is
    /// lost.
    async fn stop(&mut self, job: Flying, end: End) -> bool {
        let Self { shared, link, really_begun, .. } = self;
        let id = job.id;
        let count = if matches!(end, End::Late) {
            let failure = Failure::TimedOut { ran: really_begun.elapsed() };
            let error = job.call.error(failure).by(link.pid(), link.stderr_tail(), true);
            let _ = job.answer.send(Err(error));
            &shared.counts.timed_out
        } else {
            &shared.counts.abandoned
        };
        count.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
        link.ask(id);
        let until = Instant::now().checked_add(shared.config.grace);
        match link.exchange(until, |_| Poll::Pending).await {
            End::Answer(frame) if frame.head.job == id && frame.head.kind != Kind::Hello => {
                self.note(&frame);
                true
            }
            _ => {
                link.kill();
                self.put_back();
                false
            }
        }
    }

    /// What an answer says of its worker.
    fn note(&mut self, frame: &Frame) {
        let most = self.shared.config.recycle_memory;
        self.tired |= most != 0 && frame.head.extra.saturating_mul(1024) > most;
        let took = frame.head.function;
        self.mean = match self.mean {
            u32::MAX => took,
            mean => mean - mean / 8 + took / 8,
        };
        if !self.jobs.is_empty() {
            (self.begun, self.really_begun) = (Instant::now(), clock::now());
        }
    }

    /// The first job has an answer.
    fn answered(&mut self, job: Flying, frame: Frame) -> bool {
        self.note(&frame);
        let Self { shared, link, .. } = self;
        let result =
            open(frame, |failure| job.call.error(failure).by(link.pid(), link.stderr_tail(), true));
        let counts = &shared.counts;
        let count = if result.is_ok() { &counts.completed } else { &counts.panicked };
        count.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
        let _ = job.answer.send(result);
        true
    }
}

/// The result in an answer, or what it says instead.
fn open(frame: Frame, error: impl FnOnce(Failure) -> OffloadError) -> Result<Frame, OffloadError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(error(match frame.head.kind {
        Kind::Done => return Ok(frame),
        Kind::Panicked => {
            let said = registry::decode(&frame.payload, &mut Vec::new());
            let (message, location, backtrace) = said.unwrap_or_default();
            Failure::Panicked { message, location, backtrace }
        }
        Kind::Codec => Failure::Codec(text(&frame.payload)),
        Kind::TooLarge => Failure::TooLarge { bytes: frame.head.extra, limit: 0 },
        Kind::Unknown => Failure::UnknownFunction,
        Kind::Hello | Kind::Run | Kind::Close => {
            Failure::Protocol { reason: "its answer is no answer".into() }
        }
    }))
}

/// A frame's payload and blobs.
pub(super) fn message(frame: Frame) -> Message {
    let blobs = frame.segments.into_iter().filter_map(|segment| match segment {
        Segment::Bytes(bytes) => Some(Blob::from(bytes)),
        // The reader takes none from a worker.
        Segment::Shared(_) => None,
    });
    Message { payload: frame.payload, blobs: blobs.collect() }
}

/// The faults on purpose.
async fn torment(chaos: &Chaos, link: &mut Link, out: &mut Outgoing) {
    let [delay, garble, kill] = {
        let chance = Rng::new(primitive::unique_block(1));
        [chaos.delay, chaos.garble, chaos.kill].map(|p| p > 0 && chance.below(100) < p)
    };
    if delay {
        sleep_until(Instant::now() + chaos.delay_by).await;
    }
    if garble {
        out.garble();
    }
    if kill {
        link.strike();
    }
}
