//! Being built.
pub(crate) mod budget;
