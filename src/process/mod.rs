//! Children: start programs, talk with them, wait for their end.
//!
//! [`Command`] is std's with waits that are awaited: [`spawn`](Command::spawn) starts a program,
//! [`output`](Command::output) and [`status`](Command::status) also wait for it. Piped
//! [`stdin`](Child::stdin), [`stdout`](Child::stdout) and [`stderr`](Child::stderr) read and write by
//! [`io`](crate::io)'s traits.
//!
//! # No zombies
//!
//! A [`Child`] that is dropped goes on running, unless [`kill_on_drop`](Command::kill_on_drop) is set.
//! When it ends it is reaped by whichever runtime started it, without a task, and if that runtime is gone,
//! when the next child is started or dropped.
//!
//! # How the end is noticed
//!
//! On Linux by a pidfd in the reactor: one descriptor a child, no signal. Where there is none (an old kernel,
//! a sandbox, no descriptors left, another system) by `SIGCHLD`, which looks at every child that is
//! waited for. So a program's own handler of `SIGCHLD` and its `waitpid(-1)` matter only there; reaping
//! a [`Child`]'s process behind its back makes its wait fail.
//!
//! # Starting blocks
//!
//! [`spawn`](Command::spawn) is a system call that returns when the program has begun to run: about a
//! millisecond. Programs that start hundreds a second may want it in
//! [`spawn_blocking`](crate::task::spawn_blocking).
//!
//! ```
//! # reiver::runtime::Runtime::new().unwrap().block_on(async {
//! use reiver::io::{AsyncReadExt, AsyncWriteExt};
//! use reiver::process::Command;
//! use std::process::Stdio;
//!
//! let mut child = Command::new("tr")
//!     .args(["a-z", "A-Z"])
//!     .stdin(Stdio::piped())
//!     .stdout(Stdio::piped())
//!     .spawn()?;
//! let mut stdin = child.stdin.take().unwrap();
//! stdin.write_all(b"hello").await?;
//! drop(stdin); // the end of its input
//! let mut said = String::new();
//! child.stdout.take().unwrap().read_to_string(&mut said).await?;
//! assert_eq!(said, "HELLO");
//! assert!(child.wait().await?.success());
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod child;
mod command;
mod exit;
mod known;
mod orphan;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod pidfd;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "no_pidfd.rs"]
mod pidfd;
mod pipe;
#[cfg(all(test, target_os = "linux"))]
mod tests;

pub use child::Child;
pub use command::Command;
#[cfg(all(feature = "offload", target_os = "linux"))]
pub(crate) use known::Known;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
#[doc(no_inline)]
pub use std::process::{ExitStatus, Output, Stdio};
