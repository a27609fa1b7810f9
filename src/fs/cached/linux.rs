//! Linux: a read that says "it would wait" instead of waiting for the disk.

use rustix::io::{ReadWriteFlags, preadv2, retry_on_intr};
use std::fs::File;
use std::io::{self, IoSliceMut};

/// At the descriptor's position, and moving it.
const HERE: u64 = u64::MAX;

/// Reads what is in memory. `None`: there is nothing, or that cannot be told.
///
/// The end of the file cannot be told: Linux 5.9 and 5.10 give 0 where they should say that the read would wait
/// (tokio's issue 3803). A blocking read gives a 0 that is true.
pub(in crate::fs) fn read(file: &File, buf: &mut [u8]) -> Option<usize> {
    let read =
        retry_on_intr(|| preadv2(file, &mut [IoSliceMut::new(buf)], HERE, ReadWriteFlags::NOWAIT));
    // Old kernels and some file systems do not know the flag. A true error comes again from the job.
    read.map_err(io::Error::from).ok().filter(|&read| read > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_is_for_a_blocking_read() {
        let mut empty = File::open("/dev/null").unwrap();
        assert_eq!(read(&empty, &mut [0; 8]), None);
        empty = File::open(std::env::current_exe().unwrap()).unwrap();
        io::Seek::seek(&mut empty, io::SeekFrom::End(0)).unwrap();
        assert_eq!(read(&empty, &mut [0; 8]), None);
    }
}
