//! The two halves of a stream, borrowed or owned, written once for TCP and Unix streams.

/// Declares `ReadHalf`, `WriteHalf`, `OwnedReadHalf`, `OwnedWriteHalf` and `ReuniteError` for a
/// stream.
macro_rules! split_halves {
    ($stream:ident, $address:ty) => {
        /// The reading half of a stream, borrowed; see
        #[doc = concat!("[`", stringify!($stream), "::split`](super::", stringify!($stream), "::split).")]
        #[derive(Debug)]
        pub struct ReadHalf<'a>(pub(super) &'a $stream);

        /// The writing half of a stream, borrowed; see
        #[doc = concat!("[`", stringify!($stream), "::split`](super::", stringify!($stream), "::split).")]
        #[derive(Debug)]
        pub struct WriteHalf<'a>(pub(super) &'a $stream);

        /// The reading half of a stream, owned; see
        #[doc = concat!("[`", stringify!($stream), "::into_split`](super::", stringify!($stream), "::into_split).")]
        #[derive(Debug)]
        pub struct OwnedReadHalf(Arc<$stream>);

        /// The writing half of a stream, owned; see
        #[doc = concat!("[`", stringify!($stream), "::into_split`](super::", stringify!($stream), "::into_split).")]
        ///
        /// Dropping it ends the output, as `shutdown` does, unless it is [forgotten](Self::forget) or
        /// reunited.
        #[derive(Debug)]
        pub struct OwnedWriteHalf {
            stream: Arc<$stream>,
            shutdown_on_drop: bool,
        }

        /// The two halves are not of the same stream; here they are back.
        #[derive(Debug)]
        pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

        impl fmt::Display for ReuniteError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the two halves are not of the same stream")
            }
        }

        impl std::error::Error for ReuniteError {}

        /// Splits `stream`.
        pub(in crate::net) fn into_split(stream: $stream) -> (OwnedReadHalf, OwnedWriteHalf) {
            let stream = Arc::new(stream);
            let write = OwnedWriteHalf { stream: stream.clone(), shutdown_on_drop: true };
            (OwnedReadHalf(stream), write)
        }

        fn reunite(
            read: OwnedReadHalf,
            mut write: OwnedWriteHalf,
        ) -> Result<$stream, ReuniteError> {
            if !Arc::ptr_eq(&read.0, &write.stream) {
                return Err(ReuniteError(read, write));
            }
            write.shutdown_on_drop = false;
            drop(write);
            // There were two references: the halves cannot be cloned.
            Ok(Arc::into_inner(read.0).expect("a stream has one half of each kind"))
        }

        impl OwnedReadHalf {
            /// Puts the stream together again.
            ///
            /// # Errors
            ///
            /// If `other` is the half of another stream; the error has both halves.
            pub fn reunite(self, other: OwnedWriteHalf) -> Result<$stream, ReuniteError> {
                reunite(self, other)
            }
        }

        impl OwnedWriteHalf {
            /// Puts the stream together again.
            ///
            /// # Errors
            ///
            /// If `other` is the half of another stream; the error has both halves.
            pub fn reunite(self, other: OwnedReadHalf) -> Result<$stream, ReuniteError> {
                reunite(other, self)
            }

            /// Drops this half without ending the output: that ends with the other half.
            pub fn forget(mut self) {
                self.shutdown_on_drop = false;
            }
        }

        impl Drop for OwnedWriteHalf {
            fn drop(&mut self) {
                if self.shutdown_on_drop {
                    // An error means that the connection has ended already.
                    let _ = self.stream.shutdown_output();
                }
            }
        }

        split_halves!(@read ReadHalf<'_>, self => self.0, $address);
        split_halves!(@read OwnedReadHalf, self => self.0, $address);
        split_halves!(@write WriteHalf<'_>, self => self.0, $address);
        split_halves!(@write OwnedWriteHalf, self => self.stream, $address);

        async_read!(ReadHalf<'_>, self => self.0.0);
        async_read!(OwnedReadHalf, self => self.0.0);
        async_write!(WriteHalf<'_>, self => self.0.0, self.0.shutdown_output());
        async_write!(OwnedWriteHalf, self => self.stream.0, {
            let ended = self.stream.shutdown_output();
            if ended.is_ok() {
                self.get_mut().shutdown_on_drop = false;
            }
            ended
        });

        impl AsRef<$stream> for ReadHalf<'_> {
            fn as_ref(&self) -> &$stream {
                self.0
            }
        }

        impl AsRef<$stream> for WriteHalf<'_> {
            fn as_ref(&self) -> &$stream {
                self.0
            }
        }

        impl AsRef<$stream> for OwnedReadHalf {
            fn as_ref(&self) -> &$stream {
                &self.0
            }
        }

        impl AsRef<$stream> for OwnedWriteHalf {
            fn as_ref(&self) -> &$stream {
                &self.stream
            }
        }
    };
    (@read $ty:ty, $self:ident => $stream:expr, $address:ty) => {
        impl $ty {
            try_read_methods!($self => $stream.0);

            /// Waits for input, or its end, in any number of tasks.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn readable(&$self) -> io::Result<()> {
                $stream.readable().await
            }

            split_halves!(@both $self => $stream, $address);
        }
    };
    (@write $ty:ty, $self:ident => $stream:expr, $address:ty) => {
        impl $ty {
            try_write_methods!($self => $stream.0);

            /// Waits for room for output, in any number of tasks.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn writable(&$self) -> io::Result<()> {
                $stream.writable().await
            }

            split_halves!(@both $self => $stream, $address);
        }
    };
    (@both $self:ident => $stream:expr, $address:ty) => {
        /// Waits for any of `interest`, and says what there is.
        ///
        /// # Errors
        ///
        /// If the runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing.
        pub async fn ready(&$self, interest: Interest) -> io::Result<Ready> {
            $stream.ready(interest).await
        }

        /// The address of this end.
        ///
        /// # Errors
        ///
        /// Those of the operating system.
        pub fn local_addr(&$self) -> io::Result<$address> {
            $stream.local_addr()
        }

        /// The address of the other end.
        ///
        /// # Errors
        ///
        /// Those of the operating system: `NotConnected`, if the other end is gone.
        pub fn peer_addr(&$self) -> io::Result<$address> {
            $stream.peer_addr()
        }
    };
}

pub(super) use split_halves;
