//! The model side of the facade. Being built: for now the production side.
pub(crate) use super::real::*;
