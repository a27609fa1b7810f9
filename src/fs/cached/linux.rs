//! Linux: a read that says "it would wait" instead of waiting for the disk.

use rustix::io::{ReadWriteFlags, preadv2, retry_on_intr};
use std::fs::File;
use std::io::{self, IoSliceMut};

/// At the descriptor's position, and moving it.
const HERE: u64 = u64::MAX;

/// Reads what is in memory. `None`: there is nothing, or that cannot be told.
pub(in crate::fs) fn read(file: &File, buf: &mut [u8]) -> Option<usize> {
    let read =
        retry_on_intr(|| preadv2(file, &mut [IoSliceMut::new(buf)], HERE, ReadWriteFlags::NOWAIT));
    // Old kernels and some file systems do not know the flag. A true error comes again from the job.
    read.map_err(io::Error::from).ok()
}
