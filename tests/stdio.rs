//! The standard streams, in children: order, ends, and that nothing waits for them that should not.

mod support;

use reiver::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use reiver::runtime::{Builder, Runtime};
use reiver::task::unconstrained;
use reiver::time::{Duration, sleep, timeout};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::future::Future;
use std::io::{BufRead, Read, Write};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::time::Instant;
use support::{Poller, Task, task};

const ROLE: &str = "REIVER_STDIO_ROLE";

/// This binary once more, in a role.
fn child(role: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

/// What the child says behind the first "begin\n" (before it speaks the test harness).
fn said(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text.split_once("begin\n").expect("the child begins").1.to_string()
}

/// Reads until the child has said so.
fn wait_for(child: &mut Child, text: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(text.as_bytes()) {
        let mut byte = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
}

/// Waits for its end; kills it if that does not come.
fn code(mut child: Child) -> i32 {
    let begin = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code().expect("nobody kills it"),
            None if begin.elapsed() > Duration::from_secs(60) => {
                child.kill().unwrap();
                panic!("the child does not end: {:?}", child.wait());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    for runtime in runtimes() {
        match &*role {
            "echo" => runtime.block_on(echo()),
            "read and end" => runtime.block_on(read_and_end()),
            "give up reads" => runtime.block_on(give_up_reads()),
            "order" => runtime.block_on(order()),
            "no flush" => runtime.block_on(no_flush()),
            "nobody reads" => runtime.block_on(nobody_reads()),
            "closed" => runtime.block_on(closed()),
            "cut reads" => runtime.block_on(cut_reads()),
            "cut writes" => runtime.block_on(cut_writes()),
            _ => unreachable!("{role}"),
        }
        drop(runtime);
        if role != "read and end" && role != "nobody reads" {
            // Without what the harness says at the end, and by way of the handlers.
            std::process::exit(7);
        }
    }
    std::process::exit(7);
}

async fn begin() {
    let mut out = io::stdout();
    out.write_all(b"begin\n").await.unwrap();
    out.flush().await.unwrap();
}

async fn echo() {
    begin().await;
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut lines = BufReader::new(io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        out.write_all(format!("{line}!\n").as_bytes()).await.unwrap();
        out.flush().await.unwrap();
    }
    // The end stays the end.
    assert_eq!(io::stdin().read(&mut [0; 9]).await.unwrap(), 0);
    err.write_all(b"to stderr").await.unwrap();
    err.shutdown().await.unwrap();
}

#[test]
fn lines_come_and_go() {
    let mut child = child("echo");
    let mut stdin = child.stdin.take().unwrap();
    wait_for(&mut child, "begin\n");
    stdin.write_all(b"one\ntwo\nthr").unwrap();
    wait_for(&mut child, "one!\ntwo!\n");
    stdin.write_all(b"ee").unwrap();
    drop(stdin);
    wait_for(&mut child, "three!\n");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(code(child), 7, "{errors}");
    assert!(errors.ends_with("to stderr"), "{errors}");
}

async fn read_and_end() {
    let reader = reiver::spawn(async { io::stdin().read(&mut [0; 100]).await });
    let mut input = io::stdin();
    assert!(timeout(Duration::from_millis(20), input.read(&mut [0; 100])).await.is_err());
    assert!(!reader.is_finished());
}

#[test]
fn a_read_under_way_holds_up_no_end() {
    // Two runtimes are dropped, and the process ends; the input stays open all the time.
    let child = child("read and end");
    assert_eq!(code(child), 7);
}

async fn give_up_reads() {
    let poller = Poller::default();
    for _ in 0..10 {
        let mut input = io::stdin();
        assert!(poller.poll(pin!(input.read(&mut [0; 4]))).is_pending());
    }
    begin().await;
    // In two tasks, of which each gets some.
    let read = || async {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text).await.unwrap();
        text
    };
    let others = reiver::spawn(read());
    let mut text = read().await;
    text.extend(others.await.unwrap());
    text.sort();
    let mut out = io::stdout();
    out.write_all(&text).await.unwrap();
    out.flush().await.unwrap();
}

#[test]
fn reads_that_were_given_up_lose_nothing() {
    let mut child = child("give up reads");
    wait_for(&mut child, "begin\n");
    let sent: Vec<u8> = (0..100_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&sent).unwrap();
    drop(stdin);
    let mut received = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
    let mut sorted = sent;
    sorted.sort();
    assert!(received == sorted, "{} bytes", received.len());
    assert_eq!(code(child), 7);
}

async fn order() {
    begin().await;
    let (mut one, mut other) = (io::stdout(), io::stdout());
    for n in 0..1000 {
        let out = if n % 3 == 0 { &mut one } else { &mut other };
        out.write_all(format!("{n} ").as_bytes()).await.unwrap();
    }
    // By a handle that has written nothing.
    io::stdout().flush().await.unwrap();
    print!("std ");
    std::io::stdout().flush().unwrap();
    let slices = [std::io::IoSlice::new(b"en"), std::io::IoSlice::new(b"d")];
    assert_eq!(one.write_vectored(&slices).await.unwrap(), 3);
}

#[test]
fn handles_and_std_keep_the_order() {
    let mut child = child("order");
    let wanted: String = (0..1000).map(|n| format!("{n} ")).chain(["std end".into()]).collect();
    assert_eq!(said(&mut child), wanted);
    assert_eq!(code(child), 7);
}

async fn no_flush() {
    begin().await;
    let mut out = io::stdout();
    for n in 0..20_000 {
        out.write_all(format!("line {n:06}\n").as_bytes()).await.unwrap();
    }
}

#[test]
fn what_was_not_flushed_is_not_lost() {
    for _ in 0..5 {
        let mut child = child("no flush");
        let text = said(&mut child);
        assert_eq!(text.lines().count(), 20_000);
        assert!(text.ends_with("line 019999\n"));
        assert_eq!(code(child), 7);
    }
}

async fn nobody_reads() {
    reiver::spawn(async {
        let mut out = io::stdout();
        loop {
            out.write_all(&[b'x'; 10_000]).await.unwrap();
        }
    });
    let flood = async {
        loop {
            io::stdout().write_all(&[b'y'; 10_000]).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_millis(100), flood).await.is_err());
    assert!(timeout(Duration::from_millis(10), io::stdout().flush()).await.is_err());
}

#[test]
fn a_reader_that_is_stuck_holds_up_no_end() {
    let child = child("nobody reads");
    assert_eq!(code(child), 7);
}

async fn closed() {
    begin().await;
    // The parent closes its end, and then ours of the other stream.
    assert_eq!(io::stdin().read(&mut [0; 1]).await.unwrap(), 0);
    let mut out = io::stdout();
    out.write_all(b"nobody hears this").await.unwrap();
    let error = out.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    out.flush().await.unwrap();
}

#[test]
fn a_reader_that_is_gone_is_an_error() {
    let mut child = child("closed");
    wait_for(&mut child, "begin\n");
    drop(child.stdout.take());
    drop(child.stdin.take());
    assert_eq!(code(child), 7);
}

/// Where a future is dropped: as in the cancellation matrix, whose rows these are. They take a process each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Unpolled,
    Waiting,
    Granted,
}

const CUTS: [Cut; 3] = [Cut::Unpolled, Cut::Waiting, Cut::Granted];

/// Waits until something has woken it.
async fn granted<F: Future>(task: &Task<F>) {
    while task.wakes() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn cut_reads() {
    begin().await;
    for cut in CUTS {
        let (mut input, mut buf) = (io::stdin(), [0; 1]);
        let mut task = task(input.read(&mut buf));
        if cut != Cut::Unpolled {
            task.pending();
        }
        if cut != Cut::Granted {
            drop(task);
            eprintln!("now");
        } else {
            eprintln!("now");
            granted(&task).await;
            drop(task);
        }
        // By the same handle and by another.
        let mut both = [0; 2];
        input.read_exact(&mut both[..1]).await.unwrap();
        io::stdin().read_exact(&mut both[1..]).await.unwrap();
        assert_eq!(&both, b"ab", "{cut:?}");
    }
    assert_eq!(io::stdin().read(&mut [0; 1]).await.unwrap(), 0);
}

#[test]
fn a_read_that_is_dropped_loses_nothing_wherever_it_is() {
    let mut child = child("cut reads");
    let mut stdin = child.stdin.take().unwrap();
    let mut orders = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    for cut in CUTS {
        assert_eq!(orders.next().expect("the child lives").unwrap(), "now", "{cut:?}");
        stdin.write_all(b"ab").unwrap();
    }
    drop(stdin);
    let rest: Vec<_> = orders.map(Result::unwrap).collect();
    assert_eq!((code(child), rest), (7, vec![]));
}

async fn cut_writes() {
    begin().await;
    // How much a pipe takes depends on the pieces: each begins a page, unless the last one has room for all of it.
    let is_full = || {
        let out = std::io::stdout();
        let mut pipe = [PollFd::new(&out, PollFlags::OUT)];
        rustix::event::poll(&mut pipe, Some(&Timespec::default())).unwrap() == 0
    };
    // That waits for room only, not for its turn.
    let one_write = || task(unconstrained(async { io::stdout().write(&[b'x'; 1000]).await }));
    let mut out = io::stdout();
    for cut in CUTS {
        // Until the pipe is full, and so is the outbox: a write waits, and a flush, until somebody reads.
        let mut taken = 0;
        let mut write = loop {
            let mut write = one_write();
            match write.poll() {
                Poll::Ready(written) => taken += written.unwrap(),
                Poll::Pending if is_full() => break write,
                Poll::Pending => sleep(Duration::from_millis(1)).await,
            }
        };
        let mut flush = task(async { io::stdout().flush().await });
        match cut {
            Cut::Unpolled => write = one_write(),
            _ => flush.pending(),
        }
        if cut == Cut::Granted {
            eprintln!("{taken}");
            granted(&write).await;
            granted(&flush).await;
        }
        drop((write, flush));
        if cut != Cut::Granted {
            eprintln!("{taken}");
        }
        out.write_all(b"end").await.unwrap();
        out.flush().await.unwrap();
        eprintln!("3");
    }
}

#[test]
fn a_write_that_is_dropped_writes_nothing_wherever_it_is() {
    let mut child = child("cut writes");
    wait_for(&mut child, "begin\n");
    let mut stdout = child.stdout.take().unwrap();
    let mut orders = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut read = || {
        let count = orders.next().expect("the child lives").unwrap();
        let Ok(count) = count.parse() else {
            let all: Vec<_> = orders.by_ref().map_while(Result::ok).collect();
            panic!("the child says: {count}{}", all.join("\n"));
        };
        let mut bytes = vec![0; count];
        stdout.read_exact(&mut bytes).unwrap();
        bytes
    };
    for cut in CUTS {
        let bytes = read();
        assert!(bytes.iter().all(|&byte| byte == b'x'), "{cut:?}");
        assert_eq!(read(), b"end", "{cut:?}");
    }
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!((code(child), rest), (7, vec![]));
}

#[test]
fn types_are_what_libraries_expect() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + std::os::fd::AsFd + 'static>() {}
    check::<io::Stdin>();
    check::<io::Stdout>();
    check::<io::Stderr>();
    use std::os::fd::AsRawFd;
    let all = [io::stdin().as_raw_fd(), io::stdout().as_raw_fd(), io::stderr().as_raw_fd()];
    assert_eq!(all, [0, 1, 2]);
}
