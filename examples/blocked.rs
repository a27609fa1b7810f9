//! A task that blocks its worker, and the timeline of what happened around it.
//!
//! ```text
//! cargo run --release --example blocked [FILE]     writes FILE (blocked.json)
//! ```
//!
//! <https://ui.perfetto.dev> opens the file: the poll that blocks, the rescue, and the other tasks that go on
//! elsewhere.

// ci: /dev/null

use reiver::runtime::Builder;
use reiver::task;
use reiver::time::{Duration, interval};
use std::error::Error;
use std::sync::mpsc;

/// How many tasks tick beside the one that blocks, and how often.
const TICKERS: usize = 8;
const TICK: Duration = Duration::from_millis(5);
/// How long it blocks, and how long the others go on before and after.
const BLOCK: Duration = Duration::from_millis(200);
const AROUND: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "blocked.json".into());
    let (tell, told) = mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .flight_recorder(4096)
        .on_slow_poll(move |slow| drop(tell.send(slow.to_string())))
        .build()?;
    for n in 0..TICKERS {
        task::Builder::new().name(&format!("ticker {n}")).spawn_on(
            async {
                let mut ticks = interval(TICK);
                loop {
                    ticks.tick().await;
                }
            },
            runtime.handle(),
        )?;
    }
    let blocker = async {
        reiver::time::sleep(AROUND).await;
        std::thread::sleep(BLOCK);
        reiver::time::sleep(AROUND).await;
    };
    let blocker = task::Builder::new().name("blocker").spawn_on(blocker, runtime.handle())?;
    runtime.block_on(blocker)?;
    runtime.handle().write_trace(&path)?;
    println!("{}", told.recv()?);
    println!("{path} is the timeline: open it on https://ui.perfetto.dev");
    Ok(())
}
