//! The examples of the guide (`src/explore/testing.md`), which stand there as they stand here. Each bug is
//! found, in less than ten seconds, and found again ten times out of ten; each fixed version passes.

extern crate reiver_model as reiver;

use reiver::model::Model;
use reiver::sim::Sim;
use std::future::Future;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

/// Finds the bug in a simulation, and finds it again by its seed.
fn find<F: Future<Output = ()> + 'static>(name: &str, says: &str, body: impl Fn() -> F) {
    let start = Instant::now();
    let sim = Sim::new(module_path!(), name, file!());
    let found = sim.clone().find(&body).expect_err("the bug");
    println!("{found}found in {:.2?}", start.elapsed());
    assert!(start.elapsed() < LIMIT && found.message().contains(says), "{found}");
    for _ in 0..10 {
        let again = sim.replay(&found.seed(), &body).expect("the seed leads to the bug");
        assert_eq!(again.to_string().replace("in run 1:", ""), {
            found.to_string().replace(&format!("in run {}:", found.run()), "")
        });
    }
}

mod lost_update {
    use reiver::sync::Mutex;
    use std::collections::HashMap;
    use std::sync::Arc;

    #[derive(Default)]
    struct Hits(Mutex<HashMap<String, u32>>);

    impl Hits {
        async fn add(&self, key: &str) {
            let before = self.0.lock().await.get(key).copied().unwrap_or(0);
            self.0.lock().await.insert(key.to_owned(), before + 1);
        }
    }

    #[reiver::sim]
    #[should_panic(expected = "to see it again: REIVER_SEED=t")]
    async fn two_hits_are_counted() {
        let hits = Arc::new(Hits::default());
        let other = hits.clone();
        let task = reiver::spawn(async move { other.add("a").await });
        hits.add("a").await;
        task.await.unwrap();
        assert_eq!(hits.0.lock().await["a"], 2);
    }

    #[test]
    fn is_found() {
        super::find("lost_update", "left: 1", || async {
            let hits = Arc::new(Hits::default());
            let other = hits.clone();
            let task = reiver::spawn(async move { other.add("a").await });
            hits.add("a").await;
            task.await.unwrap();
            assert_eq!(hits.0.lock().await["a"], 2);
        });
    }
}

mod lost_update_fixed {
    use reiver::sync::Mutex;
    use std::collections::HashMap;
    use std::sync::Arc;

    #[derive(Default)]
    struct Hits(Mutex<HashMap<String, u32>>);

    impl Hits {
        async fn add(&self, key: &str) {
            *self.0.lock().await.entry(key.to_owned()).or_insert(0) += 1;
        }
    }

    #[reiver::sim]
    async fn two_hits_are_counted() {
        let hits = Arc::new(Hits::default());
        let other = hits.clone();
        let task = reiver::spawn(async move { other.add("a").await });
        hits.add("a").await;
        task.await.unwrap();
        assert_eq!(hits.0.lock().await["a"], 2);
    }

    #[reiver::model]
    async fn two_hits_are_counted_in_a_model() {
        let hits = Arc::new(Hits::default());
        let other = hits.clone();
        let task = reiver::spawn(async move { other.add("a").await });
        hits.add("a").await;
        task.await.unwrap();
        assert_eq!(hits.0.lock().await["a"], 2);
    }
}

mod read_loop {
    use reiver::io::{self, AsyncRead, AsyncReadExt, AsyncWriteExt};
    use reiver::time::{Duration, interval, sleep};

    async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
        let mut message = vec![0; stream.read_u8().await?.into()];
        stream.read_exact(&mut message).await?;
        Ok(message)
    }

    async fn serve(mut stream: impl AsyncRead + Unpin) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut ticks = interval(Duration::from_millis(10));
        loop {
            reiver::select! {
                message = read_message(&mut stream) => match message {
                    Ok(message) => messages.push(message),
                    Err(_) => return messages,
                },
                _ = ticks.tick() => reiver::reached!("a tick"),
            }
        }
    }

    #[reiver::sim]
    #[should_panic(expected = "to see it again: REIVER_SEED=t")]
    async fn every_message_arrives() {
        let (mut client, server) = reiver::sim::duplex(64);
        let server = reiver::spawn(serve(server));
        for message in [&b"\x02hi"[..], b"\x03you"] {
            client.write_all(message).await.unwrap();
            sleep(Duration::from_millis(9)).await;
        }
        drop(client);
        assert_eq!(server.await.unwrap(), [b"hi".to_vec(), b"you".to_vec()]);
    }

    #[test]
    fn is_found() {
        super::find("read_loop", "left: [", || async {
            let (mut client, server) = reiver::sim::duplex(64);
            let server = reiver::spawn(serve(server));
            for message in [&b"\x02hi"[..], b"\x03you"] {
                client.write_all(message).await.unwrap();
                sleep(Duration::from_millis(9)).await;
            }
            drop(client);
            assert_eq!(server.await.unwrap(), [b"hi".to_vec(), b"you".to_vec()]);
        });
    }
}

mod read_loop_fixed {
    use reiver::io::{self, AsyncRead, AsyncReadExt, AsyncWriteExt};
    use reiver::time::{Duration, interval, sleep};

    struct Messages<S> {
        stream: S,
        read: Vec<u8>,
    }

    impl<S: AsyncRead + Unpin> Messages<S> {
        /// Cancel safe: what was read stays in `self.read`, and `read_buf` reads all or nothing.
        async fn next(&mut self) -> io::Result<Vec<u8>> {
            loop {
                if let Some((&length, rest)) = self.read.split_first() {
                    if let Some(message) = rest.get(..length.into()) {
                        let message = message.to_vec();
                        self.read.drain(..1 + message.len());
                        return Ok(message);
                    }
                }
                if self.stream.read_buf(&mut self.read).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }

    async fn serve(stream: impl AsyncRead + Unpin) -> Vec<Vec<u8>> {
        let mut stream = Messages { stream, read: Vec::new() };
        let mut messages = Vec::new();
        let mut ticks = interval(Duration::from_millis(10));
        loop {
            reiver::select! {
                message = stream.next() => match message {
                    Ok(message) => messages.push(message),
                    Err(_) => return messages,
                },
                _ = ticks.tick() => reiver::reached!("a tick"),
            }
        }
    }

    #[reiver::sim(must_reach = ["a tick"])]
    async fn every_message_arrives() {
        let (mut client, server) = reiver::sim::duplex(64);
        let server = reiver::spawn(serve(server));
        for message in [&b"\x02hi"[..], b"\x03you"] {
            client.write_all(message).await.unwrap();
            sleep(Duration::from_millis(9)).await;
        }
        drop(client);
        assert_eq!(server.await.unwrap(), [b"hi".to_vec(), b"you".to_vec()]);
    }
}

mod deadlock {
    use reiver::sync::Mutex;
    use std::sync::Arc;

    #[allow(dead_code)] // the fixed version needs it
    struct Account {
        number: u32,
        balance: Mutex<i64>,
    }

    async fn transfer(from: &Account, to: &Account, amount: i64) {
        let mut from = from.balance.lock().await;
        let mut to = to.balance.lock().await;
        *from -= amount;
        *to += amount;
    }

    #[reiver::sim]
    #[should_panic(expected = "deadlock: nothing is ready and no timer is set.")]
    async fn transfers_both_ways() {
        let account = |number| Arc::new(Account { number, balance: Mutex::new(100) });
        let (a, b) = (account(1), account(2));
        let (a2, b2) = (a.clone(), b.clone());
        let back = reiver::spawn(async move { transfer(&b2, &a2, 5).await });
        transfer(&a, &b, 10).await;
        back.await.unwrap();
        assert_eq!((*a.balance.lock().await, *b.balance.lock().await), (95, 105));
    }

    #[test]
    fn is_found() {
        super::find("deadlock", "deadlock: ", || async {
            let account = |number| Arc::new(Account { number, balance: Mutex::new(100) });
            let (a, b) = (account(1), account(2));
            let (a2, b2) = (a.clone(), b.clone());
            let back = reiver::spawn(async move { transfer(&b2, &a2, 5).await });
            transfer(&a, &b, 10).await;
            back.await.unwrap();
        });
    }
}

mod deadlock_fixed {
    use reiver::sync::Mutex;
    use std::sync::Arc;

    struct Account {
        number: u32,
        balance: Mutex<i64>,
    }

    async fn transfer(from: &Account, to: &Account, amount: i64) {
        let (first, second) = if from.number < to.number { (from, to) } else { (to, from) };
        let mut first = first.balance.lock().await;
        let mut second = second.balance.lock().await;
        let (from, to) = match from.number < to.number {
            true => (&mut *first, &mut *second),
            false => (&mut *second, &mut *first),
        };
        *from -= amount;
        *to += amount;
    }

    #[reiver::sim]
    async fn transfers_both_ways() {
        let account = |number| Arc::new(Account { number, balance: Mutex::new(100) });
        let (a, b) = (account(1), account(2));
        let (a2, b2) = (a.clone(), b.clone());
        let back = reiver::spawn(async move { transfer(&b2, &a2, 5).await });
        transfer(&a, &b, 10).await;
        back.await.unwrap();
        assert_eq!((*a.balance.lock().await, *b.balance.lock().await), (95, 105));
    }
}

mod wake_up {
    use reiver::model::{Mutex, atomic::AtomicBool};
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::{Acquire, Release};
    use std::task::{Context, Poll, Waker};

    #[derive(Default)]
    struct Flag {
        is_set: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    impl Flag {
        fn set(&self) {
            self.is_set.store(true, Release);
            if let Some(waker) = self.waker.lock().take() {
                waker.wake();
            }
        }

        fn poll_set(&self, cx: &mut Context<'_>) -> Poll<()> {
            if self.is_set.load(Acquire) {
                return Poll::Ready(());
            }
            *self.waker.lock() = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    #[reiver::model]
    #[should_panic(expected = "deadlock: every task waits and no timer is set.")]
    async fn whoever_waits_is_woken() {
        let flag = Arc::new(Flag::default());
        let setter = flag.clone();
        reiver::spawn(async move { setter.set() });
        poll_fn(|cx| flag.poll_set(cx)).await;
    }

    #[test]
    fn is_found() {
        let start = super::Instant::now();
        let model = super::Model::new(module_path!(), "is_found", file!());
        let body = || async {
            let flag = Arc::new(Flag::default());
            let setter = flag.clone();
            reiver::spawn(async move { setter.set() });
            poll_fn(|cx| flag.poll_set(cx)).await;
        };
        let found = model.find(body).expect_err("the bug");
        println!("{found}found in {:.2?}", start.elapsed());
        assert!(start.elapsed() < super::LIMIT && found.message().contains("deadlock"), "{found}");
        for _ in 0..10 {
            let again = model.replay(found.seed(), body).expect_err("the seed leads to the bug");
            assert_eq!(again.to_string(), found.to_string());
        }
    }
}

mod wake_up_fixed {
    use reiver::model::{Mutex, atomic::AtomicBool};
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::{Acquire, Release};
    use std::task::{Context, Poll, Waker};

    #[derive(Default)]
    struct Flag {
        is_set: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    impl Flag {
        fn set(&self) {
            self.is_set.store(true, Release);
            if let Some(waker) = self.waker.lock().take() {
                waker.wake();
            }
        }

        fn poll_set(&self, cx: &mut Context<'_>) -> Poll<()> {
            if self.is_set.load(Acquire) {
                return Poll::Ready(());
            }
            *self.waker.lock() = Some(cx.waker().clone());
            if self.is_set.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[reiver::model]
    async fn whoever_waits_is_woken() {
        let flag = Arc::new(Flag::default());
        let setter = flag.clone();
        reiver::spawn(async move { setter.set() });
        poll_fn(|cx| flag.poll_set(cx)).await;
    }
}

#[test]
fn the_guide_shows_what_is_tested_here() {
    /// The lines, without indentation and empty ones, and without what makes a bug a passing test.
    fn lines(text: &str) -> Vec<&str> {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with("#[should_panic")).collect()
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let guide = std::fs::read_to_string(format!("{root}/src/explore/testing.md")).unwrap();
    let tests = std::fs::read_to_string(format!("{root}/loom-tests/tests/guide.rs")).unwrap();
    let tests = lines(&tests);
    let mut blocks = 0;
    for block in guide.split("```rust,ignore\n").skip(1) {
        let block = lines(block.split("```").next().unwrap());
        // An item at a time, since each module here has its own `use` lines.
        for part in block.split(|line| line.starts_with("#[derive(Default)]")) {
            let found = part.is_empty() || tests.windows(part.len()).any(|window| window == part);
            assert!(found, "the guide shows what is not tested:\n{}", part.join("\n"));
        }
        blocks += 1;
    }
    assert_eq!(blocks, 9);
}
