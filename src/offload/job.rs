//! A call as a value: the function, its encoded arguments, and how it is to run.

use super::blob::Bytes;
use super::context::JobContext;
use super::error::{Failure, OffloadError};
use super::registry::{self, Entry, Message};
use crate::primitive::Arc;
use crate::task::{self, Id};
use serde::de::DeserializeOwned;
use serde::ser::Serialize;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A call of a function in a worker, which a pool can run: made by `f::job(…)`.
///
/// The arguments are encoded when it is made.
///
/// # Examples
///
/// ```
/// use reiver::offload::ProcessPool;
/// use std::time::Duration;
///
/// #[reiver::offload]
/// fn area(width: u32, height: u32) -> u32 {
///     width * height
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let pool = ProcessPool::builder().workers(1).build();
/// let job = area::job(3, 4).timeout(Duration::from_secs(5));
/// assert_eq!(pool.run(job).await.unwrap(), 12);
/// # });
/// ```
#[must_use = "a pool runs it"]
pub struct Job<R> {
    pub(super) call: Call,
    decode: Decode<R>,
}

pub(super) type Decode<R> = fn(Message) -> Result<R, String>;

/// A job without the type of its result.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) entry: &'static Entry,
    /// The arguments, or why they have no encoding. Shared by the attempts.
    pub(super) message: Arc<Result<Message, String>>,
    pub(super) options: Options,
    pub(super) context: JobContext,
    /// Who waits for it.
    pub(super) task: Option<Id>,
}

/// How a job is to run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) timeout: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) memory: u64,
    pub(super) retries: u32,
    /// How many of its kind a worker may have at a time, for all that it takes.
    pub(super) chunk: usize,
}

/// What the attribute's `job` calls: `W` is the result as it is encoded.
pub fn job<A: Serialize, W, R>(entry: &'static Entry, arguments: &A) -> Job<R>
where
    W: DeserializeOwned + IntoResult<R>,
{
    let message = Arc::new(registry::encode(arguments));
    let decode = |mut message: Message| {
        registry::decode::<W>(&message.payload, &mut message.blobs).map(W::into_result)
    };
    let context = JobContext { function: entry.name(), ..JobContext::default() };
    Job { call: Call { entry, message, options: Options::default(), context, task: None }, decode }
}

/// A type of the wire, and the type that it stands for.
pub trait IntoResult<R> {
    /// The value.
    fn into_result(self) -> R;
}

impl<R> IntoResult<R> for R {
    fn into_result(self) -> R {
        self
    }
}

impl IntoResult<Vec<u8>> for Bytes {
    fn into_result(self) -> Vec<u8> {
        self.into_vec()
    }
}

impl<R> Job<R> {
    /// The most time that it may run; its worker is killed then. By default the pool's limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.options.timeout = Some(timeout);
        self
    }

    /// The time until it must have ended, from its submission on, waiting in the queue included. The deadline of
    /// the scope that it is awaited in ([`task::deadline`](crate::task::deadline)) holds in any case.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.call.options.deadline = Some(deadline);
        self
    }

    /// The memory that its worker may have while it runs, in bytes: its private data, as `RLIMIT_DATA`
    /// counts it. An allocation beyond fails, which aborts the worker.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.call.options.memory = bytes;
        self
    }

    /// Says that the function may run several times for one call: it is tried again, up to `times` times,
    /// when its worker is lost (see [`OffloadError::is_retryable`]).
    pub fn idempotent(mut self, times: u32) -> Self {
        self.call.options.retries = times;
        self
    }

    /// A name, for people: in listings ([`Handle::offload_jobs`](crate::runtime::Handle::offload_jobs)), for the
    /// job itself ([`current_job`](super::current_job)), and as the name of the thread that runs it, as far as a
    /// system's names go (`top -H`). By default that of the task that submits it. At most 150 bytes cross.
    pub fn name(mut self, name: &str) -> Self {
        self.call.context.name = Some(name.into());
        self
    }

    /// The job's place in a distributed trace, as W3C's `traceparent` header writes it: the function finds it by
    /// [`current_job`](super::current_job) and makes its spans children of that.
    pub fn traceparent(mut self, traceparent: &str) -> Self {
        self.call.context.traceparent = Some(traceparent.into());
        self
    }

    /// The function: `crate::module::name`.
    pub fn function(&self) -> &'static str {
        self.call.entry.name()
    }

    pub(super) fn into_parts(self) -> (Call, Decode<R>) {
        (self.call, self.decode)
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("function", &self.function())
            .field("options", &self.call.options)
            .field("result", &PhantomData::<R>)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// The job belongs to the task that is polled here, as far as it has no name of its own.
    pub(super) fn adopt(&mut self) {
        self.task = task::try_id();
        if self.context.name.is_none() {
            self.context.name = task::current_name();
        }
    }

    pub(super) fn error(&self, failure: Failure) -> OffloadError {
        OffloadError::new(self.entry.name(), failure)
    }
}
