//! What `#[reiver::main]` calls first where there are no workers.

#[doc(hidden)]
#[macro_export]
macro_rules! __start_of_main {
    () => {};
}
