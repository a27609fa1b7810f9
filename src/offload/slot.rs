//! A slot: the task that keeps one worker.

use super::blob::Blob;
use super::config::Chaos;
use super::error::{Failure, OffloadError};
use super::frame::{Frame, Head, Kind, Segment};
use super::link::{End, Link, Outgoing};
use super::shared::{Next, Shared, Ticket};
use super::registry::{self, Message};
use crate::primitive::atomic::Ordering::Relaxed;
use crate::primitive::{self, Arc};
use crate::sync::Notify;
use crate::time::{Instant, sleep, sleep_until};
use crate::util::rng::Rng;
use std::future::Future;
use std::pin::pin;

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

/// What became of a worker that had a job.
#[derive(PartialEq)]
enum Worker {
    Ready,
    Tired,
    Gone,
}

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
async fn serve(seat: &Seat, mut link: Link, notify: &Arc<Notify>) {
    let Seat { shared, id } = seat;
    let mut done = 0;
    loop {
        let ticket = match shared.next(*id, notify) {
            Next::Job(ticket) => ticket,
            Next::Leave => return link.retire().await,
            Next::Rest => match rest(seat, &mut link, notify).await {
                // It exits by itself; `link` sees to the rest.
                End::Lost | End::Garbage(_) | End::Answer(_) => {
                    shared.get_up(*id);
                    return;
                }
                End::Late if shared.is_spare() && shared.get_up(*id) => {
                    return link.retire().await;
                }
                // Called, or kept although there is nothing to do.
                _ => {
                    shared.get_up(*id);
                    continue;
                }
            },
        };
        done += 1;
        match work(shared, &mut link, ticket).await {
            Worker::Gone => return,
            Worker::Ready if done != shared.config.recycle_after => {}
            _ => {
                shared.counts.recycled.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
                return link.retire().await;
            }
        }
    }
}

/// Waits for work.
async fn rest(seat: &Seat, link: &mut Link, notify: &Notify) -> End {
    let mut called = pin!(notify.notified());
    let until = Instant::now().checked_add(seat.shared.config.idle_timeout);
    link.exchange(None, until, |cx| called.as_mut().poll(cx)).await
}

/// One job.
async fn work(shared: &Shared, link: &mut Link, ticket: Ticket) -> Worker {
    let Ticket { id, call, expires, mut answer, .. } = ticket;
    if answer.is_closed() {
        return Worker::Ready;
    }
    let options = call.options;
    let begun = Instant::now();
    if expires.is_some_and(|at| at <= begun) {
        let _ = answer.send(Err(call.error(Failure::Expired)));
        return Worker::Ready;
    }
    let Some(function) = call.entry.index() else {
        let _ = answer.send(Err(call.error(Failure::UnknownFunction)));
        return Worker::Ready;
    };
    let mut out = Outgoing::new(Head::new(Kind::Run, function, id, options.memory), call.message.clone());
    torment(&shared.config.chaos, link, &mut out).await;
    link.forget_errors();
    let limit = options.timeout.or(shared.config.timeout);
    let limit = limit.and_then(|limit| begun.checked_add(limit));
    let deadline = [limit, expires].into_iter().flatten().min();
    let end = link.exchange(Some(out), deadline, |cx| answer.poll_closed(cx)).await;
    let counts = &shared.counts;
    let (result, count, worker) = match end {
        End::Answer(frame) if frame.head.job == id && frame.head.kind != Kind::Hello => {
            let most = shared.config.recycle_memory;
            let tired = most != 0 && frame.head.extra.saturating_mul(1024) > most;
            let worker = if tired { Worker::Tired } else { Worker::Ready };
            let result = open(frame, |failure| {
                call.error(failure).by(link.pid(), link.stderr_tail(), true)
            });
            let count = if result.is_ok() { &counts.completed } else { &counts.panicked };
            (result, count, worker)
        }
        End::Other => {
            link.kill();
            // Nobody waits for an answer.
            counts.abandoned.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
            return Worker::Gone;
        }
        End::Late => {
            let tail = link.stderr_tail();
            link.kill();
            let failure = Failure::TimedOut { ran: begun.elapsed() };
            let error = call.error(failure).by(link.pid(), tail, link.delivered());
            (Err(error), &counts.timed_out, Worker::Gone)
        }
        End::Lost => {
            let failure = link.bury().await;
            let tail = link.stderr_tail();
            let error = call.error(failure).by(link.pid(), tail, link.delivered());
            (Err(error), &counts.lost, Worker::Gone)
        }
        End::Answer(_) | End::Garbage(_) => {
            let reason = match end {
                End::Garbage(malformed) => malformed.to_string(),
                _ => "it answered to another job".into(),
            };
            let tail = link.stderr_tail();
            link.kill();
            let error = call.error(Failure::Protocol { reason });
            (Err(error.by(link.pid(), tail, link.delivered())), &counts.lost, Worker::Gone)
        }
    };
    count.fetch_add(1, Relaxed); // Relaxed: see `Counts`.
    let _ = answer.send(result);
    worker
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
        sleep(chaos.delay_by).await;
    }
    if garble {
        out.garble();
    }
    if kill {
        link.strike();
    }
}
