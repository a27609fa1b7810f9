//! Crates of the ecosystem, as they come from the registry, on both kinds of runtime.
//!
//! Each test runs on reiver alone. tokio's runtime is compiled in here, so that its absence can be
//! asserted: nobody enters it (`tokio::runtime::Handle::try_current`), and no thread bears its name.

mod codec;
mod http;
mod http1;
mod http2;
mod postgres;
mod support;
mod tls;
mod websocket;
