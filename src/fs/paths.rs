//! The operations on paths: std's, each as one job.

use super::{offload, start_mandatory};
use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

/// `name(paths…) -> Output = std's function`, each path by `AsRef<Path>`.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($($path:ident),*) -> $output:ty = $function:path;)*) => { $(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// Those of the operating system, and that the runtime is shut down.
        ///
        /// # Panics
        ///
        /// When polled outside a runtime.
        pub async fn $name($($path: impl AsRef<Path>),*) -> io::Result<$output> {
            $(let $path = $path.as_ref().to_owned();)*
            offload(move || $function($($path),*)).await
        }
    )* };
}

operations! {
    /// The absolute form of a path, without symbolic links and `..`. As [`std::fs::canonicalize`].
    canonicalize(path) -> PathBuf = std::fs::canonicalize;
    /// Copies a file's contents and permissions, and says how many bytes. As [`std::fs::copy`], which has
    /// the system copy where it can.
    copy(from, to) -> u64 = std::fs::copy;
    /// Makes a directory; its parent must exist. As [`std::fs::create_dir`].
    create_dir(path) -> () = std::fs::create_dir;
    /// Makes a directory and the parents that it lacks. As [`std::fs::create_dir_all`].
    create_dir_all(path) -> () = std::fs::create_dir_all;
    /// Makes `link` another name of the file `original`. As [`std::fs::hard_link`].
    hard_link(original, link) -> () = std::fs::hard_link;
    /// What the system knows of a file, behind symbolic links. As [`std::fs::metadata`].
    metadata(path) -> Metadata = std::fs::metadata;
    /// The contents of a file. As [`std::fs::read`].
    read(path) -> Vec<u8> = std::fs::read;
    /// Where a symbolic link points to. As [`std::fs::read_link`].
    read_link(path) -> PathBuf = std::fs::read_link;
    /// The contents of a file that is UTF-8. As [`std::fs::read_to_string`].
    read_to_string(path) -> String = std::fs::read_to_string;
    /// Removes an empty directory. As [`std::fs::remove_dir`].
    remove_dir(path) -> () = std::fs::remove_dir;
    /// Removes a directory with all that is in it; follows no symbolic links. As
    /// [`std::fs::remove_dir_all`].
    remove_dir_all(path) -> () = std::fs::remove_dir_all;
    /// Removes a file's name; the file goes when it has no name and nobody has it open. As
    /// [`std::fs::remove_file`].
    remove_file(path) -> () = std::fs::remove_file;
    /// Renames a file or directory, in one step, and over what had that name. As [`std::fs::rename`].
    rename(from, to) -> () = std::fs::rename;
    /// Makes `link` a symbolic link to `original`. As [`std::os::unix::fs::symlink`].
    symlink(original, link) -> () = std::os::unix::fs::symlink;
    /// What the system knows of a file, or of the symbolic link itself. As
    /// [`std::fs::symlink_metadata`].
    symlink_metadata(path) -> Metadata = std::fs::symlink_metadata;
    /// Whether there is such a file; an error where that cannot be told. As [`std::fs::exists`].
    try_exists(path) -> bool = std::fs::exists;
}

/// Sets the permissions of a file. As [`std::fs::set_permissions`].
///
/// # Errors
///
/// Those of the operating system, and that the runtime is shut down.
///
/// # Panics
///
/// When polled outside a runtime.
pub async fn set_permissions(path: impl AsRef<Path>, perm: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    offload(move || std::fs::set_permissions(path, perm)).await
}

/// Makes `contents` the contents of a file, which is created if there is none. As [`std::fs::write`].
///
/// Not in one step: who reads the file meanwhile, or after a crash, may find a part. Where that matters,
/// write another file and [`rename`] it. Once polled, it is also done when the future is dropped and the
/// runtime shut down.
///
/// # Errors
///
/// Those of the operating system, and that the runtime is shut down.
///
/// # Panics
///
/// When polled outside a runtime.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    start_mandatory(move || std::fs::write(path, contents))?.await?
}
