//! Worker processes of a program whose `main` is its own (`harness = false`): a constructor catches them.

#[cfg(target_os = "linux")]
#[reiver::offload]
fn double(n: u64) -> (u64, u32) {
    (n * 2, std::process::id())
}

/// That there is such a function, which nobody calls, is no reason to leave workers to it: documentation tests
/// have many in one program.
#[reiver::main]
#[allow(dead_code)]
async fn never_called() {}

#[cfg(target_os = "linux")]
fn main() {
    // A worker that got here would print, start workers of its own, and so on.
    println!("main of {}", std::process::id());
    assert!(!reiver::offload::in_worker());
    let runtime = reiver::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (doubled, pid) = runtime.block_on(double::offload(21)).unwrap();
    assert_eq!(doubled, 42);
    assert_ne!(pid, std::process::id());
    println!("worker {pid} says {doubled}");
}

#[cfg(not(target_os = "linux"))]
fn main() {}
