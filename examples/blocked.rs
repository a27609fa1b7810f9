//! Tasks that block all workers, and the timeline of what happened around them.
//!
//! ```text
//! cargo run --release --example blocked [FILE]     writes FILE (blocked.json)
//! ```
//!
//! <https://ui.perfetto.dev> opens the file: the polls that block, the rescues, and the other tasks that go on
//! in stand-ins. The README has a picture of the service's (`service.rs`).

// ci: /dev/null

use reiver::runtime::Builder;
use reiver::task;
use reiver::time::{Duration, interval, sleep};
use std::error::Error;
use std::sync::mpsc;

const WORKERS: usize = 2;
/// How many tasks tick beside those that block, and how often.
const TICKERS: usize = 8;
const TICK: Duration = Duration::from_millis(5);
/// How long they block, and how long the others go on before and after.
const BLOCK: Duration = Duration::from_millis(100);
const AROUND: Duration = Duration::from_millis(25);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "blocked.json".into());
    let (tell, told) = mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .flight_recorder(4096)
        .on_slow_poll(move |slow| drop(tell.send(slow.to_string())))
        .build()?;
    for n in 0..TICKERS {
        let ticks = async {
            let mut ticks = interval(TICK);
            loop {
                ticks.tick().await;
            }
        };
        let name = format!("ticker {n}");
        task::Builder::new().name(&name).spawn_on(ticks, runtime.handle())?;
    }
    let (end, ended) = mpsc::channel();
    for n in 0..WORKERS {
        let end = end.clone();
        let block = async move {
            sleep(AROUND).await;
            std::thread::sleep(BLOCK);
            sleep(AROUND).await;
            end.send(()).unwrap();
            // The timeline has the names of tasks that are alive.
            std::future::pending::<()>().await
        };
        let name = format!("blocker {n}");
        task::Builder::new().name(&name).spawn_on(block, runtime.handle())?;
    }
    ended.iter().take(WORKERS).for_each(drop);
    runtime.handle().write_trace(&path)?;
    told.iter().take(WORKERS).for_each(|report| println!("{report}"));
    println!("{path} is the timeline: open it on https://ui.perfetto.dev");
    Ok(())
}
