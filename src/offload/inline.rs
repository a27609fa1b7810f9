//! Jobs on threads of this process: what `REIVER_OFFLOAD=inline` asks for.
//!
//! Values are encoded and decoded, panics caught and deadlines kept, as with processes. What needs a process is
//! missing: a job that runs out of time runs on, and one that crashes takes everything along.

use super::blob::Blob;
use super::config::Builder;
use super::error::{Failure, OffloadError, Trouble};
use super::job::Call;
use super::registry::{Message, Output};
use crate::runtime::Handle;
use crate::task::{self, AbortOnDropHandle};
use crate::time::{Instant, timeout};
use std::time::Duration;

pub(super) async fn run(
    runtime: &Handle,
    config: &Builder,
    call: Call,
) -> Result<Message, OffloadError> {
    let content = match &*call.message {
        Ok(content) => content,
        Err(text) => return Err(call.error(Failure::Codec(format!("its arguments: {text}")))),
    };
    let (bytes, limit) = (content.len() as u64, config.max_message);
    if bytes > limit {
        return Err(call.error(Failure::TooLarge { bytes, limit }));
    }
    let (entry, message) = (call.entry, call.message.clone());
    let job = runtime.spawn_blocking(move || {
        let Ok(content) = &*message else { return Output(Ok(Message::default())) };
        let mut blobs: Vec<Blob> = content.blobs.clone();
        entry.call(&content.payload, &mut blobs)
    });
    let limit = call.options.timeout.or(config.timeout).unwrap_or(Duration::MAX);
    let limit = limit.min(call.options.deadline.unwrap_or(Duration::MAX));
    let scope = task::deadline().map(|at| at.saturating_duration_since(Instant::now()));
    let limit = limit.min(scope.unwrap_or(Duration::MAX));
    // Asked to stop when nobody waits any more.
    let Ok(joined) = timeout(limit, AbortOnDropHandle::new(job)).await else {
        return Err(call.error(Failure::TimedOut { ran: limit }).after_run());
    };
    match joined {
        Ok(Output(Ok(message))) => Ok(message),
        Ok(Output(Err(Trouble::Arguments(text)))) => {
            Err(call.error(Failure::Codec(format!("its arguments: {text}"))).after_run())
        }
        Ok(Output(Err(Trouble::Result(text)))) => {
            Err(call.error(Failure::Codec(format!("its result: {text}"))).after_run())
        }
        Err(error) => match error.try_into_panic() {
            Ok(payload) => {
                let text = payload.downcast_ref::<&str>().map(ToString::to_string);
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
                let message = text.unwrap_or_else(|| "a value that is no text".into());
                let location = String::new();
                let panicked = Failure::Panicked { message, location, backtrace: None };
                Err(call.error(panicked).after_run())
            }
            Err(_) => Err(call.error(Failure::PoolClosed)),
        },
    }
}
