//! Files and directories.
//!
//! Systems have no file operations that can be waited for by a poller: they block. So each of these is
//! a job on the blocking pool, in the lane that is reserved for the runtime's own jobs: it never waits
//! behind a program's [`spawn_blocking`](crate::task::spawn_blocking). A job costs some microseconds. What
//! handles a file as a whole ([`read`], [`write`](write()), [`copy`]) is one job; a [`File`] gathers what is written while the
//! last write is under way, and its reads are jobs unless they are small and in memory.
//!
//! Names and behaviour are tokio's, and behind them [`std::fs`]'s. Paths are those of the process: its
//! current directory is looked at when the operation runs.
//!
//! # Cancel safety
//!
//! Dropping a future of this module gives up the wait. An operation on a path happens if its future was polled once.
//! One on a [`File`] begins when what was begun before it has ended: a future that is dropped while it waits for that
//! has done nothing.
//!
//! # Only for files
//!
//! Opening a named pipe waits until the other end is opened, and reading from a terminal until somebody
//! types; such a job holds a thread, and holds up the end of the runtime. Use [`net::unix::pipe`] and
//! [`io::stdin`] for those, and [`AsyncFd`] for devices.
//!
//! ```
//! # reiver::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = std::env::temp_dir().join(format!("reiver-fs-{}", std::process::id()));
//! use reiver::fs;
//!
//! fs::create_dir_all(&folder).await?;
//! fs::write(folder.join("greeting"), "hello").await?;
//! fs::rename(folder.join("greeting"), folder.join("salute")).await?;
//! assert_eq!(fs::read_to_string(folder.join("salute")).await?, "hello");
//! let mut entries = fs::read_dir(&folder).await?;
//! while let Some(entry) = entries.next_entry().await? {
//!     assert_eq!(entry.file_name(), "salute");
//! }
//! fs::remove_dir_all(&folder).await?;
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! [`net::unix::pipe`]: crate::net::unix::pipe
//! [`io::stdin`]: crate::io::stdin
//! [`AsyncFd`]: crate::io::unix::AsyncFd

/// Reads that do not wait, by system.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "cached/linux.rs"]
mod cached;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "cached/other.rs"]
mod cached;
mod dir;
mod file;
mod inner;
mod open_options;
mod paths;
mod writing;

pub use dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use file::File;
pub use open_options::OpenOptions;
pub use paths::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, try_exists, write,
};
#[doc(no_inline)]
pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

use crate::blocking::Spec;
use crate::runtime::in_runtime;
use crate::task::JoinHandle;
use std::io;

/// Starts a job of this module.
///
/// # Errors
///
/// If the pool has no thread, and the system gives it none.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
fn start<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    in_runtime(|runtime| runtime.spawn_own(Spec::runtime(), job))
}

/// As [`start`], but the job also runs if shutdown begins while it is queued: somebody may rely on it.
#[track_caller]
fn start_mandatory<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    in_runtime(|runtime| runtime.spawn_own(Spec { mandatory: true, ..Spec::runtime() }, job))
}

/// Runs a job and waits for it.
async fn offload<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    start(job)?.await?
}
