//! For those who come from elsewhere: what they know, and what it is here. And a guide to tests.
//!
//! In the tables *works* means the same name and behaviour (or that behaviour under the name that is given),
//! *differs* says how, *not* says why. The last column names the tests that show it, as `file::test` in
//! `tests/`; `doc` is the example in the documentation of the item itself, `examples/…` a program that CI runs. `tests/tables`
//! checks that each of them exists, that every public item of tokio 1.54 and of Python 3.11's asyncio is in its table, and
//! that those of tokio's that are here compile under their names.

#[doc = include_str!("tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("asyncio.md")]
pub mod from_asyncio {}

#[doc = include_str!("../explore/testing.md")]
pub mod testing {}
