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
//! A callback is a task that waits and then calls. On a current-thread runtime callbacks are called in
//! the order of asking, as with asyncio.

// ci:

use reiver::runtime::Handle;
use reiver::time::{Duration, Instant, sleep};
use std::sync::{Arc, Mutex};

#[reiver::main(flavor = "current_thread")]
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
    let handle = Handle::current();
    handle.call_soon(say("soon"));
    let later = handle.call_later(Duration::from_millis(200), say("later"));
    handle.call_at(begin + Duration::from_millis(100), say("at"));
    let never = handle.call_later(Duration::from_millis(150), say("never"));
    assert!(never.cancel());

    // asyncio's `call_soon_threadsafe`.
    let hello = say("from a thread");
    std::thread::spawn(move || handle.call_soon(hello)).join().unwrap();

    while !later.is_finished() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(*said.lock().unwrap(), ["soon", "from a thread", "at", "later"]);
    assert!(begin.elapsed() >= Duration::from_millis(200));
}
