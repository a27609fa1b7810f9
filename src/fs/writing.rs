//! The job that writes what is in a file's outbox.
//!
//! It is *mandatory*: it also runs if shutdown begins while it is queued. So dropping a file needs no flush.
//! Its error goes to who has the file, and when that is dropped, to standard error: a lost write must not be
//! silent.

use crate::primitive::Arc;
use crate::util::outbox::Outbox;
use std::fs::File as StdFile;
use std::io::{self, Write};

/// Nobody can be told but people.
#[cold]
pub(super) fn report(file: &StdFile, error: &io::Error) {
    // Not `eprintln`, which panics when standard error is closed.
    let _ = writeln!(
        io::stderr(),
        "reiver: a write failed after its file was dropped: {error}. Flush a file to have its errors. {file:?}"
    );
}

/// The job. Dropped unrun, it leaves an error.
#[derive(Debug)]
pub(super) struct Writing {
    file: Arc<StdFile>,
    outbox: Arc<Outbox>,
    run: bool,
}

impl Writing {
    pub(super) fn new(file: Arc<StdFile>, outbox: Arc<Outbox>) -> Self {
        Self { file, outbox, run: false }
    }

    pub(super) fn run(mut self) {
        self.run = true;
        let mut bytes = Vec::new();
        while self.outbox.next(&mut bytes) {
            if let Err(error) = (&*self.file).write_all(&bytes) {
                return self.fail(error);
            }
        }
    }

    fn fail(&self, error: io::Error) {
        if let Some(untold) = self.outbox.fail(error) {
            report(&self.file, &untold);
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.run {
            let text = "the runtime is shut down that should have written to this file";
            self.fail(io::Error::other(text));
        }
    }
}
