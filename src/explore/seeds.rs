//! The seeds that once failed, in a file beside the test: `tests/cache.rs` has `tests/cache.seeds`.
//!
//! One line each: the test's name, a space, the seed. `#` begins a comment. The file belongs into version
//! control: what failed once is tried first from then on.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The seeds of one test.
pub(super) struct Kept {
    path: PathBuf,
    test: String,
}

impl Kept {
    /// Those of `test` in the source file `file`, as `file!()` gives it.
    pub(super) fn of(file: &str, test: &str) -> Self {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
        // `file!()` is relative to the workspace, or to the package where that is the whole of it.
        let sources = package.ancestors().map(|folder| folder.join(file));
        let source = sources.into_iter().find(|path| path.exists()).unwrap_or_else(|| file.into());
        Self { path: source.with_extension("seeds"), test: test.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn seeds(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split('#').next()?.trim().split_once(' '));
        lines
            .filter(|(test, _)| *test == self.test)
            .map(|(_, seed)| seed.trim().to_owned())
            .collect()
    }

    /// Adds a seed. Answers what to say about it.
    pub(super) fn note(&self, seed: &str) -> String {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&self.path);
        let added = file.and_then(|mut file| writeln!(file, "{} {seed}", self.test));
        match added {
            Ok(()) => format!("added to {}, to be tried first from now on\n", self.path.display()),
            Err(error) => format!("not added to {}: {error}\n", self.path.display()),
        }
    }
}
