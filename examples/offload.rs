//! Work in other processes: a value, a crash, an endless loop, and many jobs at once.
//!
//! ```text
//! cargo run --release --features offload --example offload
//! ```
// ci:

#[cfg(target_os = "linux")]
mod jobs {
    /// The length of the longest Collatz sequence that starts below `limit`.
    #[reiver::offload]
    pub fn collatz(limit: u64) -> u64 {
        let length = |mut n: u64| {
            let mut steps = 1;
            while n != 1 {
                n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
                steps += 1;
            }
            steps
        };
        (1..limit).map(length).max().unwrap_or(0)
    }

    #[reiver::offload]
    pub fn reads_nothing() -> u8 {
        // SAFETY: none: this is what a broken C library does.
        unsafe { std::ptr::without_provenance::<u8>(16).read_volatile() }
    }

    #[reiver::offload]
    pub fn never_ends() {
        loop {
            std::hint::spin_loop();
        }
    }
}

#[cfg(target_os = "linux")]
#[reiver::main]
async fn main() -> Result<(), reiver::offload::OffloadError> {
    use jobs::{collatz, never_ends, reads_nothing};
    use reiver::offload::ProcessPool;
    use std::time::Duration;

    println!("here:        {}", collatz(10_000));
    println!("in a worker: {}", collatz::offload(10_000).await?);

    let pool = ProcessPool::builder().workers(2).memory(1 << 30).build();
    let error = pool.run(reads_nothing::job()).await.expect_err("it crashes");
    println!("a crash:     {error}");
    let endless = never_ends::job().timeout(Duration::from_millis(50));
    println!("no end:      {}", pool.run(endless).await.expect_err("it does not end"));

    let mut lengths = pool.map((1..=8).map(|n| collatz::job(n * 1000))).ordered();
    while let Some((number, length)) = lengths.next().await {
        println!("job {number}:       {}", length?);
    }
    println!("{:?}", pool.stats());
    pool.close(Duration::from_secs(5)).await;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
