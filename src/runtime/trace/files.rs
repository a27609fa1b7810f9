//! The files that a runtime writes by itself: their names, and how many there are.
//!
//! A file gets its name when it is whole, so that who watches the directory reads no half of one. The number in
//! the name is the process's own count: runtimes that were given the same path do not overwrite each other's.

use super::write_flight;
use crate::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::primitive::{Arc, Mutex, fixed};
use crate::runtime::Handle;
use crate::scheduler::{Trigger, Writer};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many files of one runtime are kept.
const KEPT: usize = 16;

/// How many there were in this process.
static NUMBER: AtomicUsize = fixed::atomic_usize(0);

/// For the file's name.
pub(super) fn reason(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::SlowPoll => "slow-poll",
        Trigger::Rescue => "rescue",
        Trigger::Panic => "panic",
        Trigger::Signal => "signal",
    }
}

/// The files of one runtime.
pub(in crate::runtime) struct Files {
    path: PathBuf,
    /// The oldest first.
    kept: Mutex<VecDeque<PathBuf>>,
}

impl Files {
    /// What writes files whose names begin with `path`.
    ///
    /// # Errors
    ///
    /// If their directory is not there and cannot be made.
    pub(in crate::runtime) fn writer(path: &Path) -> io::Result<Writer> {
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        let files = Self { path: path.to_owned(), kept: fixed::mutex(VecDeque::new()) };
        Ok(Arc::new(move |shared, flight, trigger| {
            let name = files.name(trigger);
            let part = with_end(&name, ".part");
            let written = write_flight(&Handle::new(shared.clone()), flight, Some(trigger), &part)
                .and_then(|()| fs::rename(&part, &name));
            match written {
                Ok(()) => files.keep(name),
                Err(error) => eprintln!("reiver: no trace in {}: {error}", name.display()),
            }
        }))
    }

    fn name(&self, trigger: Trigger) -> PathBuf {
        // Relaxed: a number.
        let number = NUMBER.fetch_add(1, Relaxed);
        let process = std::process::id();
        with_end(&self.path, &format!("-{process}-{number}-{}.json", reason(trigger)))
    }

    fn keep(&self, name: PathBuf) {
        let oldest = {
            let mut kept = self.kept.lock();
            kept.push_back(name);
            if kept.len() > KEPT { kept.pop_front() } else { None }
        };
        if let Some(oldest) = oldest {
            // Gone already, if somebody tidied up.
            let _ = fs::remove_file(oldest);
        }
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_files_are_kept() {
        let directory = std::env::temp_dir().join(format!("reiver-kept-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("x");
        let files = Files { path, kept: fixed::mutex(VecDeque::new()) };
        let names: Vec<_> = (0..KEPT + 3).map(|_| files.name(Trigger::Panic)).collect();
        for name in &names {
            assert!(!name.exists(), "{names:?}");
            fs::write(name, "").unwrap();
            files.keep(name.clone());
        }
        assert!(names[..3].iter().all(|name| !name.exists()));
        assert!(names[3..].iter().all(|name| name.exists()));
        fs::remove_dir_all(directory).unwrap();
    }
}
