//! Callbacks: soon, later, at a time, from another thread, and cancelled.
//!
//! ```python
//! loop.call_soon(say, "soon")
//! loop.call_later(0.2, say, "later")
//! loop.call_at(loop.time() + 0.1, say, "at")
//! handle = loop.call_later(0.15, say, "never")
//! handle.cancel()
//! ```
//!
//! reiver has no callbacks of its own: a callback is a task that waits and then calls, and its handle
//! cancels it.

// ci:

use reiver::runtime::Handle;
use reiver::task::JoinHandle;
use reiver::time::{Duration, Instant, sleep_until};
use std::sync::{Arc, Mutex};

fn call_soon(f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    reiver::spawn(async { f() })
}

fn call_at(when: Instant, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    reiver::spawn(async move {
        sleep_until(when).await;
        f()
    })
}

fn call_later(delay: Duration, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    call_at(Instant::now() + delay, f)
}

#[reiver::main]
async fn main() {
    let begin = Instant::now();
    let said = Arc::new(Mutex::new(Vec::new()));
    let say = |what: &'static str| {
        let said = said.clone();
        move || {
            println!("{:>4} ms: {what}", begin.elapsed().as_millis());
            said.lock().unwrap().push(what);
        }
    };
    let later = call_later(Duration::from_millis(200), say("later"));
    let at = call_at(begin + Duration::from_millis(100), say("at"));
    let never = call_later(Duration::from_millis(150), say("never"));
    call_soon(say("soon")).await.unwrap();
    never.abort();

    // asyncio's `call_soon_threadsafe`.
    let (handle, hello) = (Handle::current(), say("from a thread"));
    std::thread::spawn(move || handle.spawn(async move { hello() })).join().unwrap().await.unwrap();

    at.await.unwrap();
    later.await.unwrap();
    assert!(never.await.unwrap_err().is_cancelled());
    assert_eq!(*said.lock().unwrap(), ["soon", "from a thread", "at", "later"]);
    assert!(begin.elapsed() >= Duration::from_millis(200));
}
