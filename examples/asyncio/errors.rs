//! Errors as values: some fetches fail, the others' results are not lost.
//!
//! ```python
//! results = await asyncio.gather(*(fetch(n) for n in range(5)), return_exceptions=True)
//! for result in results:
//!     if isinstance(result, Exception): ...
//!
//! try:
//!     await asyncio.wait_for(fetch(9), timeout=0.1)
//! except asyncio.TimeoutError:
//!     ...
//! ```

// ci:

use reiver::task::{gather, gather_results, try_gather};
use reiver::time::{Duration, Instant, sleep, timeout};
use std::fmt;

#[derive(Debug, PartialEq)]
enum FetchError {
    NotFound(u32),
    Refused,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(n) => write!(f, "there is no {n}"),
            Self::Refused => f.write_str("refused"),
        }
    }
}

impl std::error::Error for FetchError {}

async fn fetch(n: u32) -> Result<String, FetchError> {
    sleep(Duration::from_millis(20 * u64::from(n))).await;
    match n {
        2 => Err(FetchError::NotFound(n)),
        3 => Err(FetchError::Refused),
        9 => {
            sleep(Duration::from_secs(60)).await;
            Ok("late".into())
        }
        _ => Ok(format!("data {n}")),
    }
}

#[reiver::main]
async fn main() {
    // All of them, as they ended.
    let results = gather((0..5).map(fetch)).await;
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(data) => println!("fetch {n}: {data}"),
            Err(error) => println!("fetch {n} failed: {error}"),
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(results[3], Err(FetchError::Refused));

    // Or up to the first error, with the others cancelled.
    let begin = Instant::now();
    let error = try_gather([0, 2, 9].map(fetch)).await.unwrap_err();
    println!("together they failed after {:.2?}: {error}", begin.elapsed());
    assert_eq!(error, FetchError::NotFound(2));
    assert!(begin.elapsed() < Duration::from_secs(10));

    // A panic is a value too: that of its task, and of nobody else.
    std::panic::set_hook(Box::new(|_| ()));
    let results = gather_results((0..3).map(|n| async move { 6 / n })).await;
    println!("6/0, 6/1, 6/2: {results:?}");
    assert!(results[0].as_ref().unwrap_err().is_panic());
    assert_eq!(*results[2].as_ref().unwrap(), 3);

    let late = timeout(Duration::from_millis(100), fetch(9)).await;
    println!("fetch 9: {}", late.as_ref().unwrap_err());
    assert!(late.is_err());
}
