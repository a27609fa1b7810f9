//! reiver.

// Polls that callgrind makes 50 times as long are no reason to come to a worker's rescue.
super::named::runtime!(
    Reiver,
    reiver,
    crate::cases::of_reiver,
    ::reiver::hyper::HyperIo::new,
    |builder| {
        if crate::measure::is_short() {
            builder.rescue(runtime::Rescue::Off);
        }
    }
);
