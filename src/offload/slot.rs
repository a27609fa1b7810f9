//! A slot: the task that keeps one worker.

use super::blob::Blob;
use super::config::Chaos;
use super::error::Failure;
use super::frame::{Frame, Head, Kind, Segment};
use super::inline;
use super::job::Call;
use super::link::{End, Link};
use super::outgoing::Outgoing;
use super::real_time::sleep_until;
use super::registry::{self, Message};
use super::shared::{Caller, Next, Shared, Ticket};
use crate::primitive::atomic::Ordering::Relaxed;
use crate::primitive::{self, Arc, clock};
use crate::sync::Notify;
use crate::time::Instant;
use crate::util::rng::Rng;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

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
    /// Its number among the worker's jobs.
    number: u64,
    call: Call,
    expires: Option<Instant>,
    answer: Caller,
    /// It could not be taken back: so the one before it has ended, and the answer is on its way.
    begun: bool,
}

/// A worker and its jobs: it runs them in their order, and the first is the one that runs.
struct Crew<'a> {
    shared: &'a Arc<Shared>,
    /// The slot's number.
    slot: u64,
    link: Link,
    jobs: VecDeque<Flying>,
    /// Since when the first runs, by the clock that may be paused and by the one that may not.
    begun: Instant,
    really_begun: std::time::Instant,
    /// How many it has been given, without those that were taken back.
    taken: u64,
    /// How long its jobs take: a moving average, in microseconds.
    mean: u32,
    /// It has too much memory.
    bloated: bool,
    /// It has answered.
    proved: bool,
}

/// Jobs that take no longer than this, in microseconds, may be given before the last is done. See `Builder::depth`.
const QUICK: u32 = 50;
/// When the first job has taken so long, those behind it go to other workers, in microseconds. It is how much later
/// than without `depth` a job may begin. A job that is taken back costs some 3 µs (an entry of the queue, and a
/// message for nothing), and a worker that has lost its CPU for a moment, as it does for a millisecond and more on a
/// machine full of other work, is to keep what it has.
const LONG: u32 = 1000;
/// How many jobs behind the first are watched for callers who go away. The others are when their turn is nearer.
const NEXT: usize = 4;
/// How long an answer is waited for that is in the channel already: no time, unless the worker is broken.
const WRITTEN: Duration = Duration::from_millis(100);

/// Starts workers and keeps them at work until there is no more need.
pub(super) async fn attend(seat: Seat) {
    let Seat { shared, id } = &seat;
    if shared.config.inline {
        return inline::attend(shared, *id).await;
    }
    let notify = Arc::new(Notify::new());
    while shared.stays(*id) {
        if let Some(at) = shared.not_before() {
            sleep_until(at).await;
        }
        match Link::start(&shared.config).await {
            Ok(link) => {
                shared.started(*id, Some(link.pid()));
                serve(&seat, link, &notify).await;
                shared.has_no_worker(*id);
            }
            Err(reason) => shared.start_failed(*id, &reason),
        }
    }
}

/// One worker's life with the pool.
async fn serve(seat: &Seat, link: Link, notify: &Arc<Notify>) {
    let Seat { shared, id } = seat;
    let mut crew = Crew {
        shared,
        slot: *id,
        link,
        jobs: VecDeque::new(),
        begun: Instant::now(),
        really_begun: clock::now(),
        taken: 0,
        mean: u32::MAX,
        bloated: false,
        proved: false,
    };
    loop {
        if crew.jobs.is_empty() {
            if crew.is_tired() {
                shared.counts.recycled.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
                return crew.link.retire().await;
            }
            match shared.next(*id, notify) {
                Next::Job(ticket) => crew.take(ticket).await,
                Next::Leave => return crew.link.retire().await,
                Next::Rest => match rest(seat, &mut crew.link, notify).await {
                    // It exits by itself; `link` sees to the rest.
                    end @ (End::Lost | End::Unsent(_) | End::Garbage(_) | End::Answer(_)) => {
                        shared.get_up(*id);
                        // One that dies before it has done anything is as good as one that does not start.
                        if crew.taken == 0 {
                            let reason = crew.link.explain("waiting for its first job", end).await;
                            shared.start_failed(*id, &reason);
                        }
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
        while let Some(ticket) = crew.one_more() {
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

impl Flying {
    fn ticket(self) -> Ticket {
        let Self { id, call, expires, answer, .. } = self;
        Ticket { id, call, expires, answer, place: None }
    }
}

impl Crew<'_> {
    /// Whether the worker is to be replaced.
    fn is_tired(&self) -> bool {
        let most = self.shared.config.recycle_after;
        self.bloated || (most != 0 && self.taken >= most)
    }

    /// Another job for the worker, which has one, if it may have more.
    fn one_more(&self) -> Option<Ticket> {
        let depth = if self.mean <= QUICK { self.shared.config.depth } else { 1 };
        let is_slow = (LONG..u32::MAX).contains(&self.mean);
        let may = depth > self.jobs.len() || (self.shared.has_chunks() && !is_slow);
        let has_room = self.jobs.front().is_none_or(|first| self.link.has_room(first.number));
        let may = may && has_room && !self.is_tired();
        if may { self.shared.one_more(self.jobs.len(), depth) } else { None }
    }

    /// Gives a job to the worker, unless it is too late for it.
    async fn take(&mut self, ticket: Ticket) {
        let Some(Ticket { id, call, expires, answer, .. }) = ticket.in_time() else { return };
        let Some(function) = call.entry.index() else {
            let _ = answer.send(Err(call.error(Failure::UnknownFunction)));
            return;
        };
        let head = Head::new(Kind::Run, function, id, call.options.memory);
        let mut out = Outgoing::new(head, call.message.clone(), &call.context);
        if self.jobs.is_empty() {
            (self.begun, self.really_begun) = (Instant::now(), clock::now());
            self.link.forget_errors();
        }
        torment(&self.shared.config.chaos, &mut self.link, &mut out).await;
        let number = self.link.give(out);
        self.shared.begins(self.slot, id, &call);
        self.jobs.push_back(Flying { id, number, call, expires, answer, begun: false });
        self.taken += 1;
    }

    /// Waits for the first job's end. `false`: the worker is lost.
    async fn work(&mut self) -> bool {
        let Some(mut job) = self.jobs.pop_front() else { return true };
        let limit = job.call.options.timeout.or(self.shared.config.timeout);
        let limit = limit.and_then(|limit| self.begun.checked_add(limit));
        let deadline = [limit, job.expires].into_iter().flatten().min();
        let end = self.watch(&mut job, deadline).await;
        if matches!(end, End::Late | End::Other) && self.may_stop(&job) {
            return self.stop(job, end).await;
        }
        self.shared.ends(self.slot, job.id);
        let Self { link, really_begun, .. } = self;
        let result = match end {
            End::Answer(frame) if frame.head.job == job.id && frame.head.kind.is_answer() => {
                return self.answered(job, frame);
            }
            End::Other => {
                link.kill();
                None
            }
            end => {
                let ran = really_begun.elapsed();
                let failure = match end {
                    End::Late => Failure::TimedOut { ran },
                    End::Garbage(malformed) => Failure::Protocol { reason: malformed.to_string() },
                    End::Unsent(error) => {
                        Failure::Protocol { reason: format!("it could not be written to: {error}") }
                    }
                    End::Answer(_) => {
                        Failure::Protocol { reason: "it answered to another job".into() }
                    }
                    End::Lost | End::Other => link.bury().await,
                };
                let tail = link.stderr_tail();
                let delivered = link.delivered(job.number);
                link.kill();
                Some(Err(job.call.error(failure).by(link.pid(), tail, delivered)))
            }
        };
        // Before the caller hears of it.
        self.disband();
        match result {
            Some(result) => self.shared.answer(job.answer, result),
            None => self.shared.abandon(&job.call),
        }
        false
    }

    /// Waits for the end of the first job, which is out of the list, and meanwhile takes those behind it back that
    /// should not wait for it. Not even until it is ended by us: then those that are left have begun.
    async fn watch(&mut self, first: &mut Flying, deadline: Option<Instant>) -> End {
        loop {
            let long = self.begun.checked_add(Duration::from_micros(LONG.into()));
            let long = long.filter(|_| self.jobs.iter().any(|job| !job.begun));
            let is_long_first = long.is_some_and(|at| deadline.is_none_or(|late| at < late));
            let until = if is_long_first { long } else { deadline };
            let Self { link, jobs, .. } = self;
            let gone = |cx: &mut Context<'_>| {
                let next = jobs.iter_mut().take(NEXT).filter(|job| !job.begun);
                let gone =
                    next.chain([&mut *first]).any(|job| job.answer.poll_closed(cx).is_ready());
                if gone { Poll::Ready(()) } else { Poll::Pending }
            };
            match link.answer(until, gone).await {
                End::Late if is_long_first => {
                    self.mean = self.mean.max(LONG);
                    self.recall(|_| true);
                }
                End::Other if !first.answer.is_closed() => {
                    self.recall(|job| job.answer.is_closed());
                }
                end @ (End::Late | End::Other) => {
                    self.recall(|_| true);
                    if self.jobs.is_empty() {
                        return end;
                    }
                    // The next has begun, so this one has ended, and nobody needs to be killed.
                    let until = Instant::now().checked_add(WRITTEN);
                    let answer = self.link.exchange(until, |_| Poll::Pending).await;
                    return if matches!(answer, End::Answer(_)) { answer } else { end };
                }
                end => return end,
            }
        }
    }

    /// Takes those of the jobs behind the first back that have not begun.
    fn recall(&mut self, is_meant: impl Fn(&Flying) -> bool) {
        let mut back = Vec::new();
        for mut job in std::mem::take(&mut self.jobs) {
            let is_meant = !job.begun && is_meant(&job);
            if is_meant && self.link.take_back(job.number) {
                back.push(job.ticket());
            } else {
                job.begun |= is_meant;
                self.jobs.push_back(job);
            }
        }
        self.taken -= back.len() as u64;
        if !back.is_empty() {
            self.shared.put_back(self.slot, back);
        }
    }

    /// The worker is lost with its first job. The others have not begun; where it is not so, the worker was broken.
    fn disband(&mut self) {
        self.recall(|_| true);
        for job in self.jobs.drain(..) {
            let failure = Failure::Protocol { reason: "it began a job before its turn".into() };
            let error = job.call.error(failure).by(self.link.pid(), String::new(), true);
            self.shared.ends(self.slot, job.id);
            self.shared.answer(job.answer, Err(error));
        }
    }

    /// Whether the first job can be asked to stop: it is there, and there is time.
    fn may_stop(&self, first: &Flying) -> bool {
        !self.shared.config.grace.is_zero() && self.link.delivered(first.number)
    }

    /// Asks the first job, which is late or not wanted any more, to stop. `false`: it did not, and the worker is
    /// lost.
    async fn stop(&mut self, job: Flying, end: End) -> bool {
        let Self { shared, link, really_begun, .. } = self;
        let id = job.id;
        if matches!(end, End::Late) {
            let failure = Failure::TimedOut { ran: really_begun.elapsed() };
            let error = job.call.error(failure).by(link.pid(), link.stderr_tail(), true);
            shared.answer(job.answer, Err(error));
        } else {
            shared.abandon(&job.call);
        }
        link.ask(id);
        let until = Instant::now().checked_add(shared.config.grace);
        match link.exchange(until, |_| Poll::Pending).await {
            End::Answer(frame) if frame.head.job == id && frame.head.kind.is_answer() => {
                self.shared.ends(self.slot, id);
                self.note(&frame);
                true
            }
            _ => {
                link.kill();
                self.disband();
                false
            }
        }
    }

    /// What an answer says of its worker.
    fn note(&mut self, frame: &Frame) {
        if !std::mem::replace(&mut self.proved, true) {
            self.shared.proved();
        }
        let most = self.shared.config.recycle_memory;
        self.bloated |= most != 0 && frame.head.extra.saturating_mul(1024) > most;
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
        let result = open(frame, shared.config.max_message)
            .map_err(|failure| job.call.error(failure).by(link.pid(), link.stderr_tail(), true));
        shared.answer(job.answer, result);
        true
    }
}

/// The result in an answer, or what it says instead. `limit` is what a message may have.
pub(super) fn open(frame: Frame, limit: u64) -> Result<Frame, Failure> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(match frame.head.kind {
        Kind::Done => return Ok(frame),
        Kind::Panicked => {
            let said = registry::decode(&frame.payload, &mut Vec::new());
            let (message, location, backtrace) = said.unwrap_or_default();
            Failure::Panicked { message, location, backtrace }
        }
        Kind::Codec => Failure::Codec(text(&frame.payload)),
        Kind::TooLarge => Failure::TooLarge { bytes: frame.head.extra, limit },
        Kind::Unknown => Failure::UnknownFunction,
        Kind::Hello | Kind::Run | Kind::Close | Kind::Page => {
            Failure::Protocol { reason: "its answer is no answer".into() }
        }
    })
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

/// Which faults a job has: it is delayed, its message damaged, its worker killed.
pub(super) fn faults(chaos: &Chaos) -> [bool; 3] {
    let chance = Rng::new(primitive::unique_block(1));
    [chaos.delay, chaos.garble, chaos.kill].map(|p| p > 0 && chance.below(100) < p)
}

/// The faults on purpose.
async fn torment(chaos: &Chaos, link: &mut Link, out: &mut Outgoing) {
    let [delay, garble, kill] = faults(chaos);
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
