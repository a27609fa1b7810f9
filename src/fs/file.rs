//! An open file: what it can do. How one thing follows another is in `inner.rs`.

use super::inner::{Inner, Job};
use super::writing::report;
use super::{OpenOptions, start};
use crate::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};
use crate::primitive::Arc;
use crate::reactor::shut_down_error;
use crate::sync::{Mutex, MutexGuard, oneshot};
use crate::task::budget;
use std::fmt;
use std::fs::{File as StdFile, FileTimes, Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, IoSlice, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

/// The most bytes that one job reads, and that wait to be written: tokio's number. A copy of so many takes
/// some hundred microseconds, beside which the job costs nothing.
const MAX_BUF_SIZE: usize = 2 * 1024 * 1024;

/// An open file.
///
/// It reads, writes and seeks by [`io`](crate::io)'s traits. A read is a job on the blocking pool, unless it is of
/// at most 64 KiB that are in memory (on Linux): put a [`BufReader`](crate::io::BufReader) around it to read small
/// pieces. Writes are gathered: a write that is
/// done has been *taken*, and follows the one before; `flush` waits until the system has them all, and
/// [`sync_all`](Self::sync_all) until the disk has. The first error of a write is given by the next write,
/// flush or sync.
///
/// Dropping it loses nothing that was written: it is closed when the writes that are under way are done,
/// and a runtime that is shut down waits for them. An error is then reported on standard error.
///
/// # Cancel safety
///
/// A read that is dropped has read, and the next one gives what it has. A write that is dropped has written
/// nothing, or what it would have said.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// # let path = std::env::temp_dir().join(format!("reiver-file-{}", std::process::id()));
/// use reiver::fs::File;
/// use reiver::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
///
/// let mut file = File::create_new(&path).await?;
/// file.write_all(b"hello, world").await?;
/// file.seek(SeekFrom::Start(7)).await?;
/// let mut text = String::new();
/// file.read_to_string(&mut text).await?;
/// assert_eq!(text, "world");
/// # reiver::fs::remove_file(&path).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct File {
    std: Arc<StdFile>,
    inner: Mutex<Inner>,
    max_buf_size: usize,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        Self::options().read(true).open(path).await
    }

    /// Opens a file for writing: creates it, or empties it.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        Self::options().write(true).create(true).truncate(true).open(path).await
    }

    /// Creates a file for reading and writing; it is an error if there is one.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        Self::options().read(true).write(true).create_new(true).open(path).await
    }

    /// Other ways to open a file.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes std's file. No runtime is needed until it is used.
    pub fn from_std(std: StdFile) -> File {
        File { std: Arc::new(std), inner: Mutex::default(), max_buf_size: MAX_BUF_SIZE }
    }

    /// Waits until nothing is under way.
    async fn settled(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().await;
        poll_fn(|cx| inner.poll_settled(cx)).await;
        inner.give_back(&self.std);
        inner
    }

    /// Waits until everything is written.
    async fn written(&self) -> io::Result<()> {
        self.settled().await.outbox.take_error().map_or(Ok(()), Err)
    }

    /// Does something else with the file, when nothing is under way.
    async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce(&StdFile) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut inner = self.settled().await;
        let (sender, mut result) = oneshot::channel();
        let file = self.std.clone();
        inner.job = Some(Job::Other(start(move || drop(sender.send(f(&file))))?));
        poll_fn(|cx| inner.poll_settled(cx)).await;
        // Nothing was sent if the job was cancelled.
        result.try_recv().unwrap_or_else(|_| Err(shut_down_error()))
    }

    /// Waits until the disk has everything that was written, and what describes the file.
    ///
    /// # Errors
    ///
    /// That of a write before, those of the operating system, and that the runtime is shut down.
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.written().await?;
        self.run(StdFile::sync_all).await
    }

    /// As [`sync_all`](Self::sync_all), without what is not needed to read the data, such as times.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.written().await?;
        self.run(StdFile::sync_data).await
    }

    /// Cuts the file off, or makes it longer with zeros. The position stays.
    ///
    /// # Errors
    ///
    /// Those of the operating system, and that the runtime is shut down.
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        self.run(move |file| file.set_len(size)).await
    }

    /// What the system knows of the file. It has what was written before.
    ///
    /// # Errors
    ///
    /// As [`set_len`](Self::set_len).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.run(StdFile::metadata).await
    }

    /// Another descriptor of the same open file: both have one position.
    ///
    /// # Errors
    ///
    /// As [`set_len`](Self::set_len).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn try_clone(&self) -> io::Result<File> {
        let clone = self.run(StdFile::try_clone).await?;
        let mut clone = File::from_std(clone);
        clone.max_buf_size = self.max_buf_size;
        Ok(clone)
    }

    /// Sets the file's permissions.
    ///
    /// # Errors
    ///
    /// As [`set_len`](Self::set_len).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.run(move |file| file.set_permissions(perm)).await
    }

    /// Sets when the file was last read and written. Writes that were taken before come before.
    ///
    /// # Errors
    ///
    /// As [`set_len`](Self::set_len).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.run(move |file| file.set_times(times)).await
    }

    /// As [`set_times`](Self::set_times), only the time of the last write.
    ///
    /// # Errors
    ///
    /// As [`set_len`](Self::set_len).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time)).await
    }

    /// std's file, when nothing is under way any more. The error of a write that nobody has asked for is
    /// reported on standard error.
    pub async fn into_std(self) -> StdFile {
        drop(self.settled().await);
        self.unwrap()
    }

    /// std's file, if nothing is under way. The error of a write that nobody has asked for is reported on standard
    /// error.
    ///
    /// # Errors
    ///
    /// `self`, if something is.
    #[allow(clippy::result_large_err)] // tokio's signature
    pub fn try_into_std(mut self) -> Result<StdFile, Self> {
        let inner = self.inner.get_mut();
        if !inner.is_settled() {
            return Err(self);
        }
        inner.give_back(&self.std);
        Ok(self.unwrap())
    }

    /// Takes itself apart. Nothing is under way.
    fn unwrap(self) -> StdFile {
        let std = self.std.clone();
        drop(self);
        Arc::into_inner(std).expect("only jobs share the file, and none runs")
    }

    /// Sets the most bytes that one job reads, and that wait to be written: by default 2 MiB.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn set_max_buf_size(&mut self, max_buf_size: usize) {
        assert!(max_buf_size > 0, "a file cannot work with a buffer of 0 bytes");
        self.max_buf_size = max_buf_size;
    }

    /// The most bytes that one job reads, and that wait to be written.
    pub fn max_buf_size(&self) -> usize {
        self.max_buf_size
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(untold) = self.inner.get_mut().outbox.leave() {
            report(&self.std, &untold);
        }
    }
}

impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let File { std, inner, max_buf_size } = &mut *self.get_mut();
        let unit = ready!(budget::poll_proceed(cx));
        let result = ready!(inner.get_mut().poll_read(std, *max_buf_size, cx, buf));
        unit.made_progress();
        Poll::Ready(result)
    }
}

impl AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let File { std, inner, max_buf_size } = &mut *self.get_mut();
        let unit = ready!(budget::poll_proceed(cx));
        let result = ready!(inner.get_mut().poll_write(std, *max_buf_size, cx, bufs));
        unit.made_progress();
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().inner.get_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.get_mut().inner.get_mut().seek = Some(to);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let File { std, inner, .. } = &mut *self.get_mut();
        inner.get_mut().poll_seek(std, cx)
    }
}

impl From<StdFile> for File {
    fn from(std: StdFile) -> Self {
        Self::from_std(std)
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        Self::from_std(fd.into())
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller's.
        Self::from_std(unsafe { StdFile::from_raw_fd(fd) })
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.std).finish()
    }
}
