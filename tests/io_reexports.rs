//! `reiver::io` is tokio's I/O vocabulary, whole, and brings none of tokio's runtime along.

use reiver::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};

/// Polls in place; in-memory ends are ready whenever something is there.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

/// A value of each type of tokio is one of reiver's, and a bound by one trait is one by the other.
#[test]
fn types_and_traits_are_the_same() {
    macro_rules! same {
        ($($name:ident $(<$($arg:ty),*>)?),* $(,)?) => { $({
            fn check(value: tokio::io::$name$(<$($arg),*>)?) -> reiver::io::$name$(<$($arg),*>)? {
                value
            }
            let _ = check;
        })* };
    }
    type R = &'static [u8];
    same!(BufReader<R>, BufStream<tokio::io::DuplexStream>, BufWriter<Vec<u8>>, Chain<R, R>);
    same!(DuplexStream, Empty, Join<R, Vec<u8>>, Lines<R>, ReadHalf<R>, Repeat, SimplexStream, Sink);
    same!(Split<R>, Take<R>, WriteHalf<Vec<u8>>);
    let _ = |theirs: tokio::io::ReadBuf<'static>| -> reiver::io::ReadBuf<'static> { theirs };
    same!(Error, ErrorKind, Result<()>, SeekFrom);

    fn theirs<T>()
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncBufRead + tokio::io::AsyncSeek,
        T: tokio::io::AsyncWrite,
    {
        ours::<T>();
    }
    fn ours<T>()
    where
        T: reiver::io::AsyncRead + reiver::io::AsyncBufRead + reiver::io::AsyncSeek,
        T: reiver::io::AsyncWrite,
    {
    }
    fn ours_extended<T>()
    where
        T: AsyncReadExt + AsyncWriteExt + AsyncBufReadExt + AsyncSeekExt,
    {
        theirs_extended::<T>();
    }
    fn theirs_extended<T>()
    where
        T: tokio::io::AsyncReadExt + tokio::io::AsyncWriteExt,
        T: tokio::io::AsyncBufReadExt + tokio::io::AsyncSeekExt,
    {
    }
    theirs::<reiver::io::BufStream<std::io::Cursor<Vec<u8>>>>();
    ours_extended::<reiver::io::BufStream<std::io::Cursor<Vec<u8>>>>();
}

#[test]
fn functions_work_without_a_runtime() {
    use reiver::io;

    let mut out = Vec::new();
    assert_eq!(now(io::copy(&mut &b"abc"[..], &mut out)).expect("memory"), 3);
    assert_eq!(now(io::copy_buf(&mut &b"de"[..], &mut out)).expect("memory"), 2);
    assert_eq!(out, b"abcde");

    let (mut left, mut left_end) = io::duplex(64);
    let (mut right, mut right_end) = io::duplex(64);
    now(left_end.write_all(b"ping")).expect("memory");
    now(right_end.write_all(b"reply")).expect("memory");
    now(left_end.shutdown()).expect("memory");
    now(right_end.shutdown()).expect("memory");
    assert_eq!(now(io::copy_bidirectional(&mut left, &mut right)).expect("memory"), (4, 5));
    let mut text = String::new();
    now(right_end.read_to_string(&mut text)).expect("memory");
    assert_eq!(text, "ping");
    let mut empty = (io::empty(), io::empty());
    let copied = io::copy_bidirectional_with_sizes(&mut empty.0, &mut empty.1, 8, 8);
    assert_eq!(now(copied).expect("memory"), (0, 0));

    let (mut reader, mut writer) = io::simplex(8);
    now(writer.write_all(b"x")).expect("memory");
    assert_eq!(now(reader.read_u8()).expect("memory"), b'x');
    let (mut read, mut write) = io::split(io::join(io::repeat(7), io::sink()));
    assert_eq!(now(read.read_u16()).expect("memory"), 0x0707);
    now(write.write_all(b"gone")).expect("memory");

    let mut lines = io::BufReader::new(&b"1\n2\n"[..]).lines();
    assert_eq!(now(lines.next_line()).expect("memory").as_deref(), Some("1"));
    let mut cursor = std::io::Cursor::new(b"abc".to_vec());
    assert_eq!(now(cursor.seek(io::SeekFrom::End(-1))).expect("memory"), 2);
}

/// tokio's own budget is 128 operations where it is in force. Outside a tokio worker it must not be:
/// nobody would ever refill it, and every adapter would wait for ever.
#[test]
fn an_adapter_never_runs_out_of_tokios_budget() {
    let (mut a, mut b) = reiver::io::duplex(16);
    let mut empty = reiver::io::empty();
    now(async {
        for i in 0..10_000u32 {
            a.write_u32(i).await.expect("memory");
            assert_eq!(b.read_u32().await.expect("memory"), i);
            assert_eq!(empty.read(&mut [0]).await.expect("memory"), 0);
        }
    });
}

/// The features of tokio that a program gets with reiver.
#[test]
fn no_feature_of_tokios_runtime_is_on() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "reiver", "-e", "features,normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8_lossy(&tree.stdout);
    let on: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("tokio feature \""))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(on.contains("io-util"), "the tree shows no features of tokio: {text}");
    let allowed = BTreeSet::from(["bytes", "default", "io-util", "sync"]);
    let stray: Vec<_> = on.difference(&allowed).collect();
    assert!(stray.is_empty(), "features of tokio that bring its runtime: {stray:?}");
}
