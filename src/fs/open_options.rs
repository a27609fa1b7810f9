//! How a file is opened.

use super::{File, offload};
use std::fs::OpenOptions as StdOpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How a file is opened: [`std::fs::OpenOptions`] with an `open` that is awaited.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// # let path = std::env::temp_dir().join(format!("reiver-open-options-{}", std::process::id()));
/// use reiver::fs::OpenOptions;
/// use reiver::io::AsyncWriteExt;
///
/// let mut log = OpenOptions::new().append(true).create(true).open(&path).await?;
/// log.write_all(b"started\n").await?;
/// log.flush().await?;
/// # reiver::fs::remove_file(&path).await?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions(StdOpenOptions);

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $ty:ty;)*) => { $(
        $(#[$doc])*
        pub fn $name(&mut self, $name: $ty) -> &mut Self {
            self.0.$name($name);
            self
        }
    )* };
}

impl OpenOptions {
    /// Nothing is allowed yet.
    #[allow(clippy::new_without_default)] // std's has no default either
    pub fn new() -> Self {
        Self(StdOpenOptions::new())
    }

    options! {
        /// For reading.
        read: bool;
        /// For writing, from the beginning on.
        write: bool;
        /// For writing, always at the end, where others may write too.
        append: bool;
        /// Empties the file; it must be opened for writing.
        truncate: bool;
        /// Creates the file if there is none; it must be opened for writing.
        create: bool;
        /// Creates the file, and fails if there is one. In one step.
        create_new: bool;
        /// The permissions that a created file gets, less the process's umask: by default `0o666`.
        mode: u32;
        /// Further flags for the system's `open`.
        custom_flags: i32;
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`], and that the runtime is shut down.
    ///
    /// # Panics
    ///
    /// When polled outside a runtime.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        offload(move || options.open(path)).await.map(File::from_std)
    }
}

impl From<StdOpenOptions> for OpenOptions {
    fn from(options: StdOpenOptions) -> Self {
        Self(options)
    }
}
