//! tokio's multi-thread runtime.

super::named::runtime!(
    Tokio,
    tokio,
    crate::cases::of_tokio,
    ::hyper_util::rt::TokioIo::new,
    |_| {}
);
