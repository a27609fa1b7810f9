//! `io::compat::Compat`, each way and there and back again.
#![cfg(feature = "futures-io")]

mod support;

use reiver::io::compat::Compat;
use reiver::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, SeekFrom, duplex,
};
use std::io::{Cursor, IoSlice, IoSliceMut, Result};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use support::block_on;

/// A stream of the futures-io family: each operation waits once, and `close` is remembered.
#[derive(Default)]
struct Foreign {
    data: Cursor<Vec<u8>>,
    waited: bool,
    closed: bool,
}

impl Foreign {
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<&mut Cursor<Vec<u8>>> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(&mut self.data)
    }
}

impl futures_io::AsyncRead for Foreign {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        self.wait(cx).map(|data| std::io::Read::read(data, buf))
    }
}

impl futures_io::AsyncWrite for Foreign {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.wait(cx).map(|data| std::io::Write::write(data, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl futures_io::AsyncSeek for Foreign {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<Result<u64>> {
        self.wait(cx).map(|data| std::io::Seek::seek(data, to))
    }
}

/// Each seek moves once, also a relative one that has to wait.
async fn use_as_ours<S>(stream: &mut S) -> Result<()>
where
    S: reiver::io::AsyncRead + reiver::io::AsyncWrite + reiver::io::AsyncSeek + Unpin,
{
    stream.write_all(b"0123456789").await?;
    assert_eq!(stream.seek(SeekFrom::Start(2)).await?, 2);
    assert_eq!(stream.seek(SeekFrom::Current(3)).await?, 5);
    assert_eq!(stream.stream_position().await?, 5);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    assert_eq!(rest, "56789");
    assert_eq!(stream.seek(SeekFrom::End(-1)).await?, 9);
    assert_eq!(stream.read_u8().await?, b'9');
    assert!(stream.seek(SeekFrom::Current(-100)).await.is_err());
    assert_eq!(stream.rewind().await.and(stream.read_u8().await)?, b'0');
    stream.flush().await?;
    stream.shutdown().await
}

#[test]
fn a_foreign_stream_is_ours() {
    let mut stream = Compat::new(Foreign::default());
    block_on(use_as_ours(&mut stream)).expect("memory");
    assert!(stream.get_ref().closed);
    assert_eq!(stream.into_inner().data.into_inner(), b"0123456789");
}

#[test]
fn a_foreign_stream_that_went_there_and_back_twice_is_ours() {
    let mut stream = Compat::new(Compat::new(Compat::new(Foreign::default())));
    block_on(use_as_ours(&mut stream)).expect("memory");
    assert!(stream.get_ref().get_ref().get_ref().closed);
}

#[test]
fn our_stream_is_foreign() {
    use futures_io::{AsyncRead, AsyncWrite};

    let mut cx = Context::from_waker(Waker::noop());
    let (end, mut peer) = duplex(16);
    let mut end = pin!(Compat::new(end));
    let bufs = [IoSlice::new(b""), IoSlice::new(b"ab")];
    assert!(matches!(end.as_mut().poll_write_vectored(&mut cx, &bufs), Poll::Ready(Ok(2))));
    assert!(end.as_mut().poll_read(&mut cx, &mut [0]).is_pending());
    block_on(peer.write_all(b"xyz")).expect("memory");
    let (mut none, mut two) = ([], [0; 2]);
    let mut bufs = [IoSliceMut::new(&mut none), IoSliceMut::new(&mut two)];
    assert!(matches!(end.as_mut().poll_read_vectored(&mut cx, &mut bufs), Poll::Ready(Ok(2))));
    assert_eq!(&two, b"xy");
    assert!(matches!(end.as_mut().poll_close(&mut cx), Poll::Ready(Ok(()))));
    let mut sent = Vec::new();
    block_on(peer.read_to_end(&mut sent)).expect("memory");
    assert_eq!(sent, b"ab");
}

#[test]
fn lines_go_through_both_wrappers() {
    let there = Compat::new(BufReader::new(&b"one\ntwo\n"[..]));
    let mut lines = Compat::new(there).lines();
    block_on(async {
        assert_eq!(lines.next_line().await.expect("memory").as_deref(), Some("one"));
        assert_eq!(lines.next_line().await.expect("memory").as_deref(), Some("two"));
        assert_eq!(lines.next_line().await.expect("memory"), None);
    });
}
