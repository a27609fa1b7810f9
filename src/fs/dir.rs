//! Making and reading directories.

use super::{offload, start};
use crate::primitive::Arc;
use crate::task::{JoinHandle, budget};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Entries that one job reads. The system gives about as many small names in one call, and a job's
/// own cost is then a small part of theirs.
const CHUNK: usize = 64;

/// How a directory is made.
#[derive(Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// Not recursive, and with the usual permissions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also makes the parents that are missing; then it is no error that the directory exists.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// The permissions of what is made, less the process's umask: by default `0o777`.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// Those of the operating system, and that the runtime is shut down.
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        let path = path.as_ref().to_owned();
        offload(move || builder.create(path)).await
    }
}

/// The entries of a directory, in the system's order. Made by [`read_dir`].
#[derive(Debug)]
#[must_use = "the entries are read by `next_entry`"]
pub struct ReadDir {
    read: VecDeque<io::Result<DirEntry>>,
    /// What is not read yet: `None` at the end, and while a job has it.
    rest: Option<std::fs::ReadDir>,
    job: Option<JoinHandle<Chunk>>,
}

type Chunk = (VecDeque<io::Result<DirEntry>>, Option<std::fs::ReadDir>);

/// Reads the directory `path`. `.` and `..` are left out.
///
/// # Errors
///
/// Those of the operating system, and that the runtime is shut down.
///
/// # Panics
///
/// When polled outside a runtime.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let (read, rest) = offload(move || std::fs::read_dir(path).map(read_chunk)).await?;
    Ok(ReadDir { read, rest, job: None })
}

/// Reads some entries. An error is the last of its chunk, and std goes on behind it.
fn read_chunk(mut rest: std::fs::ReadDir) -> Chunk {
    let mut read = VecDeque::new();
    while read.len() < CHUNK {
        let Some(entry) = rest.next() else { return (read, None) };
        let failed = entry.is_err();
        // On most systems the type comes with the name, and costs nothing.
        let with_type = |entry: std::fs::DirEntry| {
            let file_type = entry.file_type().ok();
            DirEntry { std: Arc::new(entry), file_type }
        };
        read.push_back(entry.map(with_type));
        if failed {
            break;
        }
    }
    (read, Some(rest))
}

impl ReadDir {
    /// The next entry, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of the operating system, and that the runtime is shut down.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no entry.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// As [`next_entry`](Self::next_entry). The waker of the last call is the one that is woken.
    ///
    /// # Errors
    ///
    /// As [`next_entry`](Self::next_entry).
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        let unit = ready!(budget::poll_proceed(cx));
        loop {
            if let Some(job) = &mut self.job {
                let chunk = ready!(Pin::new(job).poll(cx));
                self.job = None;
                (self.read, self.rest) = chunk?;
            }
            if let Some(entry) = self.read.pop_front() {
                unit.made_progress();
                return Poll::Ready(entry.map(Some));
            }
            let Some(rest) = self.rest.take() else {
                unit.made_progress();
                return Poll::Ready(Ok(None));
            };
            self.job = Some(start(move || read_chunk(rest))?);
        }
    }
}

/// An entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    std: Arc<std::fs::DirEntry>,
    file_type: Option<FileType>,
}

impl DirEntry {
    /// The directory's path, as it was given, with the entry's name.
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// The entry's name.
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// The number of the entry's inode.
    pub fn ino(&self) -> u64 {
        self.std.ino()
    }

    /// What the system knows of the entry; of a symbolic link itself.
    ///
    /// # Errors
    ///
    /// Those of the operating system (the entry may be gone), and that the runtime is shut down.
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let std = self.std.clone();
        offload(move || std.metadata()).await
    }

    /// Whether it is a file, a directory, a symbolic link or something else. Mostly known, without a job.
    ///
    /// # Errors
    ///
    /// As [`metadata`](Self::metadata).
    ///
    /// # Panics
    ///
    /// When polled outside a runtime, if it is not known.
    pub async fn file_type(&self) -> io::Result<FileType> {
        if let Some(file_type) = self.file_type {
            return Ok(file_type);
        }
        let std = self.std.clone();
        offload(move || std.file_type()).await
    }
}
