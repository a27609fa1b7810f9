//! Jobs in other processes.

use super::rows;
use reiver::offload::{ProcessPool, Stdio};
use reiver::time::{Duration, timeout};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const HOUR: Duration = Duration::from_secs(3600);

#[reiver::offload]
fn double(n: u32) -> u32 {
    2 * n
}

/// Waits for a file, which ends the wait of who waits for this.
#[reiver::offload]
fn double_when(path: String, n: u32) -> u32 {
    while !Path::new(&path).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    2 * n
}

fn pool() -> ProcessPool {
    ProcessPool::builder().workers(1).stderr(Stdio::Null).build()
}

/// A path where nothing is, removed at the end.
struct Mark(PathBuf);

impl Mark {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("reiver-cancel-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    async fn set(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

rows! {
    "offload/pool::Running" => |cut| {
        let (pool, mark) = (pool(), Mark::new());
        cut.of(pool.run(double_when::job(mark.path(), 1)), mark.set()).await;
        // Its worker is free again, or another one is there.
        assert_eq!(pool.run(double::job(2)).await.unwrap(), 4);
        assert_eq!(pool.stats().queued, 0);
        assert!(pool.close(HOUR).await);
    }
    "offload/pool::close" => |cut| {
        let (pool, mark) = (pool(), Mark::new());
        let mut running = Box::pin(pool.run(double_when::job(mark.path(), 1)));
        timeout(Duration::ZERO, running.as_mut()).await.unwrap_err();
        cut.of(pool.close(HOUR), mark.set()).await;
        assert_eq!(running.await.unwrap(), 2, "a job that is there ends by itself");
        // Who has not begun to close it has changed nothing.
        assert_eq!(pool.run(double::job(2)).await.is_ok(), !cut.has_begun());
        assert!(pool.close(HOUR).await);
    }
    "offload/map::next" => |cut| {
        let (pool, mark) = (pool(), Mark::new());
        let mut all = pool.map((0..3).map(|n| double_when::job(mark.path(), n))).ordered();
        cut.of(all.next(), mark.set()).await;
        for n in 0..3_u32 {
            let (number, doubled) = all.next().await.unwrap();
            assert_eq!((number, doubled.unwrap()), (n as usize, 2 * n));
        }
        assert!(all.next().await.is_none());
        assert!(pool.close(HOUR).await);
    }
}
