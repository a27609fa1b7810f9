//! The memory that parent and worker share: a cell for each job that the worker may hold (`offer.rs`).
//!
//! The parent makes it, and its descriptor is the first message to the worker, which maps it and closes the
//! descriptor. The memory is sealed, so that it keeps its size: a worker that could shrink it would end its parent at
//! the next access. Whatever it writes there, the parent reads one word at a time and believes no more of it than that
//! a job has begun.

use super::offer::{CELLS, Cell, Taken};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};

/// The size of the memory in bytes: the least that can be mapped, mostly.
pub(super) const SIZE: usize = CELLS as usize * size_of::<Cell>();

/// The memory as one side has it.
#[derive(Debug)]
pub(super) struct Page {
    cells: NonNull<Cell>,
    /// The number of the last job that this side has given or got.
    last: u64,
}

// SAFETY: cells are atomics, and the mapping belongs to the value.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

/// Memory for two processes, which keeps its size.
pub(super) fn sealed_memory(name: &str, size: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create(name, flags)?;
    rustix::fs::ftruncate(&fd, size as u64)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

impl Page {
    /// A new one, and the descriptor for the worker.
    pub(super) fn new() -> io::Result<(Self, OwnedFd)> {
        let fd = sealed_memory("reiver offers", SIZE)?;
        Ok((Self::map(&fd)?, fd))
    }

    /// What the parent has made.
    pub(super) fn map(fd: impl AsFd) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, where the system wants it.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), SIZE, protection, MapFlags::SHARED, fd, 0)?
        };
        let cells = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { cells, last: 0 })
    }

    fn cell(&self, job: u64) -> &Cell {
        // SAFETY: so many cells are mapped as long as `self` is, and the size is sealed. Any bits are a cell.
        unsafe { self.cells.add((job % CELLS) as usize).as_ref() }
    }

    /// Parent: offers the next job; gives its number. The jobs that the worker holds are fewer than `CELLS`.
    pub(super) fn offer(&mut self) -> u64 {
        self.last += 1;
        self.cell(self.last).offer(self.last);
        self.last
    }

    /// Parent: takes a job back, unless it has begun.
    #[must_use = "`true`: the job is to be queued again"]
    pub(super) fn withdraw(&self, job: u64) -> bool {
        self.cell(job).withdraw(job)
    }

    /// Parent: how many jobs were given from this one on.
    pub(super) fn since(&self, job: u64) -> u64 {
        self.last + 1 - job
    }

    /// Worker: whether the next job is offered, so that its message comes soon, or is there.
    pub(super) fn is_offered(&self) -> bool {
        let next = self.last + 1;
        self.cell(next).is_offered(next)
    }

    /// Worker: takes the job that it has read, which is the next.
    pub(super) fn take(&mut self) -> Taken {
        self.last += 1;
        self.cell(self.last).take(self.last)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: made by `map`, and not referred to any more.
        let _ = unsafe { rustix::mm::munmap(self.cells.as_ptr().cast(), SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_who_has_a_job() {
        let (mut ours, fd) = Page::new().unwrap();
        let mut theirs = Page::map(&fd).unwrap();
        let [a, b, c] = [(); 3].map(|()| ours.offer());
        assert!(theirs.is_offered());
        assert_eq!(theirs.take(), Taken::Ours);
        assert!(!ours.withdraw(a) && ours.withdraw(b));
        assert_eq!([theirs.take(), theirs.take()], [Taken::Withdrawn, Taken::Ours]);
        assert!(!ours.withdraw(c) && !theirs.is_offered());
        assert_eq!(ours.since(b), 2);
    }

    #[test]
    fn what_a_worker_writes_makes_a_job_one_that_has_begun() {
        let (mut ours, fd) = Page::new().unwrap();
        let mut theirs = Page::map(&fd).unwrap();
        let jobs: Vec<_> = (0..CELLS).map(|_| ours.offer()).collect();
        assert_eq!(rustix::io::pwrite(&fd, &[0xa5; SIZE], 0).unwrap(), SIZE);
        assert!(jobs.iter().all(|job| !ours.withdraw(*job)));
        assert!(jobs.iter().all(|_| theirs.take() == Taken::Damaged));
        let next = ours.offer();
        assert!(ours.withdraw(next));
        rustix::fs::ftruncate(&fd, 0).expect_err("it could take the memory away");
    }
}
