//! Runs a test on each kind of runtime, and looks for a tokio runtime afterwards.

use reiver::net::{TcpListener, TcpStream};
use reiver::runtime::{Builder, Runtime};
use reiver::task::yield_now;
use reiver::time::{Duration, timeout};
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;

pub type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// No test takes this long; a hang shall be a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `test` on a multi-thread and on a current-thread runtime.
pub fn on_reiver<F>(test: impl Fn() -> F)
where
    F: Future<Output = Fallible> + Send + 'static,
{
    for runtime in runtimes() {
        let inside = runtime.spawn({
            let test = test();
            async move {
                no_tokio();
                test.await?;
                no_tokio();
                Fallible::Ok(())
            }
        });
        let outcome = runtime.block_on(timeout(LIMIT, inside));
        outcome.expect("the test hangs").expect("the test panicked").unwrap();
        // What hyper spawned ends by itself once its connection has; nothing is left for ever.
        let left = async {
            while runtime.metrics().num_alive_tasks() > 0 {
                yield_now().await;
            }
        };
        let ended = runtime.block_on(timeout(LIMIT, left));
        ended.unwrap_or_else(|_| panic!("tasks are left: {:#?}", runtime.handle().dump()));
        no_tokio();
    }
}

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
        Builder::new_current_thread().build().unwrap(),
    ]
}

/// Panics if there is a tokio runtime in this thread's context or a thread of one in this process.
pub fn no_tokio() {
    assert!(tokio::runtime::Handle::try_current().is_err(), "inside a tokio runtime");
    // Other systems have no such folder.
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        assert!(!name.starts_with("tokio"), "a thread named {name}");
    }
}

pub async fn listen() -> Fallible<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Both ends of a connection: the client's, the server's.
pub async fn pair() -> Fallible<(TcpStream, TcpStream)> {
    let (listener, address) = listen().await?;
    let (client, accepted) = reiver::try_join!(TcpStream::connect(address), listener.accept())?;
    Ok((client, accepted.0))
}

/// `length` bytes without a short period.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
