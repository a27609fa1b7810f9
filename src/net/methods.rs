//! The methods and traits that several socket types have, written once.
//!
//! Each macro is used where the type is, on a struct whose field 0 is a `Socket`.

/// Readiness, for any socket: inside an `impl` block.
macro_rules! readiness_methods {
    () => {
        /// Waits for any of `interest`, and says what there is.
        ///
        /// Readiness may be out of date: an operation may give `WouldBlock` all the same. Any number
        /// of tasks may wait.
        ///
        /// # Errors
        ///
        /// If the runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing: readiness stays until an operation finds it used up.
        pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
            self.0.ready(interest).await
        }

        /// Waits for input, or its end. See [`ready`](Self::ready).
        ///
        /// # Errors
        ///
        /// If the runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// As [`ready`](Self::ready).
        pub async fn readable(&self) -> io::Result<()> {
            self.0.ready(Interest::READABLE).await.map(drop)
        }

        /// Waits for room for output. See [`ready`](Self::ready).
        ///
        /// # Errors
        ///
        /// If the runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// As [`ready`](Self::ready).
        pub async fn writable(&self) -> io::Result<()> {
            self.0.ready(Interest::WRITABLE).await.map(drop)
        }

        /// Runs `f`, an operation on this descriptor that does not block, if it is ready for
        /// `interest`.
        ///
        /// `f` returns `WouldBlock` only if the operating system said so: the readiness is then
        /// forgotten.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it is not ready, and those of `f`.
        pub fn try_io<R>(
            &self,
            interest: Interest,
            f: impl FnOnce() -> io::Result<R>,
        ) -> io::Result<R> {
            self.0.try_io(interest, |_| f())
        }

        /// Runs `f` as [`try_io`](Self::try_io) does, each time there is readiness, until it gives
        /// something else than `WouldBlock`.
        ///
        /// # Errors
        ///
        /// Those of `f`, and that the runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// When the future is dropped, `f` has given nothing but `WouldBlock`.
        pub async fn async_io<R>(
            &self,
            interest: Interest,
            mut f: impl FnMut() -> io::Result<R>,
        ) -> io::Result<R> {
            self.0.run(interest, |_| f()).await
        }
    };
}

/// The immediate reads of a stream: inside an `impl` block.
macro_rules! try_read_methods {
    ($self:ident => $socket:expr) => {
        /// Reads what there is, without waiting. `Ok(0)` is the end of the stream.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is nothing; wait with [`readable`](Self::readable).
        pub fn try_read(&$self, buf: &mut [u8]) -> io::Result<usize> {
            $socket.try_read(buf)
        }

        /// As [`try_read`](Self::try_read), into several buffers, one after the other.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        pub fn try_read_vectored(&$self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
            $socket.try_read_vectored(bufs)
        }

        /// As [`try_read`](Self::try_read), into spare room, which need not be initialised.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        pub fn try_read_buf<B: bytes::BufMut>(&$self, buf: &mut B) -> io::Result<usize> {
            $socket.try_read_buf(buf)
        }
    };
}

/// The immediate writes of a stream: inside an `impl` block.
macro_rules! try_write_methods {
    ($self:ident => $socket:expr) => {
        /// Writes what there is room for, without waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no room; wait with [`writable`](Self::writable).
        pub fn try_write(&$self, buf: &[u8]) -> io::Result<usize> {
            $socket.try_write(buf)
        }

        /// As [`try_write`](Self::try_write), from several buffers, one after the other.
        ///
        /// # Errors
        ///
        /// As [`try_write`](Self::try_write).
        pub fn try_write_vectored(&$self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
            $socket.try_write_vectored(bufs)
        }
    };
}

/// `poll_read_ready` of a stream: inside an `impl` block.
macro_rules! poll_read_ready {
    ($name:ident) => {
        /// Waits for input. The waker of the last call of any polled read is the one that is woken.
        ///
        /// # Errors
        ///
        /// If the runtime is shut down.
        pub fn $name(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_ready(Direction::Read, cx)
        }
    };
}

/// `poll_write_ready` of a stream: inside an `impl` block.
macro_rules! poll_write_ready {
    ($name:ident) => {
        /// Waits for room for output. The waker of the last call of any polled write is the one that
        /// is woken.
        ///
        /// # Errors
        ///
        /// If the runtime is shut down.
        pub fn $name(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_ready(Direction::Write, cx)
        }
    };
}

/// `AsyncRead`.
macro_rules! async_read {
    ($ty:ty, $self:ident => $socket:expr) => {
        impl AsyncRead for $ty {
            #[inline]
            fn poll_read(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                $socket.poll_read(cx, buf)
            }
        }
    };
}

/// `AsyncWrite`; `$shutdown` ends the output at once.
macro_rules! async_write {
    ($ty:ty, $self:ident => $socket:expr, $shutdown:expr) => {
        impl AsyncWrite for $ty {
            #[inline]
            fn poll_write(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                $socket.poll_write(cx, buf)
            }

            #[inline]
            fn poll_write_vectored(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                $socket.poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            /// Does nothing: what was written is with the operating system.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown($self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready($shutdown)
            }
        }
    };
}

/// `AsFd`, `AsRawFd` and `Debug`.
macro_rules! descriptor_traits {
    ($ty:ty) => {
        impl AsFd for $ty {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $ty {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_fd().as_raw_fd()
            }
        }

        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(super) use {
    async_read, async_write, descriptor_traits, poll_read_ready, poll_write_ready,
    readiness_methods, try_read_methods, try_write_methods,
};
