//! The attribute and procedural macros of reiver; use them through the `reiver` crate.
