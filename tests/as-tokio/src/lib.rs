//! The programs are in `src/bin/`; `tests/run.rs` runs them.
