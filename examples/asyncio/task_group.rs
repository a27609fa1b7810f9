//! A group of tasks that ends as a whole: all succeed, or the first error cancels the others.
//!
//! ```python
//! async with asyncio.TaskGroup() as group:
//!     one = group.create_task(work("one", 0.3))
//!     two = group.create_task(work("two", 0.2))
//! print(one.result(), two.result())
//!
//! try:
//!     async with asyncio.TaskGroup() as group:
//!         group.create_task(work("patient", 60))
//!         group.create_task(fail())
//! except* ValueError as errors:
//!     print(errors.exceptions)
//! ```

// ci:

use reiver::task::{Group, scope};
use reiver::time::{Duration, Instant, sleep};

async fn work(name: &'static str, millis: u64) -> &'static str {
    sleep(Duration::from_millis(millis)).await;
    println!("{name} is done");
    name
}

#[reiver::main]
async fn main() {
    let both = scope(async |group: Group| {
        let one = group.spawn(async { Ok(work("one", 300).await) });
        let two = group.spawn(async { Ok(work("two", 200).await) });
        Ok((one.await?, two.await?))
    });
    let both = both.await.unwrap();
    println!("the group gave {both:?}");
    assert_eq!(both, ("one", "two"));

    let begin = Instant::now();
    let failed = scope(async |group: Group| {
        drop(group.spawn_named("patient", async { Ok(work("patient", 60_000).await) }));
        drop(group.spawn_named("hasty", async {
            sleep(Duration::from_millis(100)).await;
            Err::<(), _>("this is no number".into())
        }));
        Ok(())
    });
    let error = failed.await.unwrap_err();
    println!("the group failed after {:.1?}: {error}", begin.elapsed());
    for failure in error.failures() {
        println!("  failed:    {failure}");
    }
    for task in error.cancelled() {
        println!("  cancelled: {}", task.name().unwrap());
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "the sibling was not cancelled");
    assert_eq!((error.failures().len(), error.cancelled().len()), (1, 1));
}
