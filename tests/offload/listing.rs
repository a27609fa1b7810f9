//! What the runtime knows of jobs in other processes, and they of it.

use super::{Gate, jobs, one, until};
use reiver::offload::{ProcessPool, current_job};
use reiver::runtime::{Builder, Handle};
use reiver::task;
use std::time::Duration;

/// Function, name, trace, and the name of the thread that runs the job.
#[reiver::offload]
fn context() -> (String, Option<String>, Option<String>, String) {
    let job = current_job().unwrap();
    let title = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    let text = |text: Option<&str>| text.map(str::to_owned);
    let (name, trace) = (text(job.name()), text(job.traceparent()));
    (job.function().to_owned(), name, trace, title.trim_end().to_owned())
}

#[reiver::offload]
fn long_context(_: Vec<u8>) -> (usize, Option<String>) {
    (0, current_job().unwrap().name().map(str::to_owned))
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[reiver::test]
async fn names_and_traces_cross_into_the_worker() {
    for pool in [one().build(), one().inline(true).build()] {
        let (function, name, trace, title) = pool.run(context::job()).await.unwrap();
        assert_eq!((function.as_str(), name, trace), ("offload::listing::context", None, None));
        let inline = pool.stats().workers.is_empty();
        assert!(inline || title == "w: context", "{title}");
        let job = context::job().name("sort").traceparent(TRACE);
        let (_, name, trace, title) = pool.run(job).await.unwrap();
        assert_eq!((name.as_deref(), trace.as_deref()), (Some("sort"), Some(TRACE)));
        assert!(inline || title == "reiver-w: sort", "{title}");
        // The submitting task's, which has one.
        let other = pool.clone();
        let task = async move { other.run(context::job().traceparent(TRACE)).await.unwrap().1 };
        let task = task::Builder::new().name("importer").spawn(task).unwrap();
        assert_eq!(task.await.unwrap().as_deref(), Some("importer"));
        // Beside a message of any size, and the next job has none of it.
        for size in [0, 4000, 4096, 100_000] {
            let job = long_context::job(vec![1; size]).name(&"x".repeat(200));
            let (_, name) = pool.run(job).await.unwrap();
            assert_eq!(name, Some("x".repeat(if inline { 200 } else { 150 })));
        }
        assert_eq!(pool.run(context::job()).await.unwrap().1, None);
    }
    assert!(current_job().is_none());
}

#[reiver::test]
async fn jobs_are_listed_and_counted() {
    let pool = one().build();
    let gate = Gate::new();
    let running = reiver::spawn(pool.run(gate.job().name("first")));
    gate.begun(1).await;
    let queued = reiver::spawn(pool.run(jobs::add::job(1, 1)));
    until("a queue", || pool.stats().queued == 1).await;
    let handle = Handle::current();
    let listed = handle.offload_jobs();
    let [first, second] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((first.function(), first.name()), ("offload::jobs::waits", Some("first")));
    assert_eq!(first.worker(), Some(pool.stats().workers[0]));
    assert!(first.age().is_some() && first.task() == Some(running.id()));
    assert!(first.to_string().contains("\"first\", in worker "), "{first}");
    assert_eq!(
        (second.function(), second.worker(), second.age()),
        ("offload::jobs::add", None, None)
    );
    assert_eq!(second.task(), Some(queued.id()));
    assert!(second.to_string().ends_with(", is queued"), "{second}");
    let metrics = handle.metrics().offload();
    assert_eq!((metrics.workers, metrics.idle, metrics.running, metrics.queued), (1, 0, 1, 1));
    let text = handle.metrics().prometheus();
    for line in [
        "reiver_offload_workers 1",
        "reiver_offload_running_jobs 1",
        "reiver_offload_queue_depth 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    gate.open();
    running.await.unwrap().unwrap();
    queued.await.unwrap().unwrap();
    pool.run(jobs::panics::job("x".into())).await.unwrap_err();
    until("an idle worker", || handle.metrics().offload().idle == 1).await;
    assert!(handle.offload_jobs().is_empty());
    // What was counted stays when the pool is gone, also when others come.
    drop(pool);
    until("no worker", || handle.metrics().offload().workers == 0).await;
    for _ in 0..2 {
        let metrics = handle.metrics().offload();
        assert_eq!((metrics.completed, metrics.panicked, metrics.started), (2, 1, 1));
        drop(one().build());
    }
    let text = handle.metrics().prometheus();
    assert!(text.contains("\nreiver_offload_jobs_total{end=\"completed\"} 2\n"), "{text}");
    assert!(text.contains("\nreiver_offload_jobs_total{end=\"panicked\"} 1\n"), "{text}");
}

#[test]
fn a_shutdown_says_which_jobs_were_lost() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let gate = Gate::new();
    let pool = runtime.block_on(async {
        let pool = one().build();
        // One whose caller is a task, which ends first, and one whose caller is not of the runtime at all.
        reiver::spawn(pool.run(gate.job().name("running")));
        gate.begun(1).await;
        reiver::spawn(pool.run(jobs::add::job(1, 1)));
        until("a queue", || pool.stats().queued == 1).await;
        pool
    });
    let worker = pool.stats().workers[0];
    let report = runtime.shutdown(Duration::from_secs(60));
    assert!(report.is_clean(), "the jobs have ended: {report}");
    let [running, queued] = report.lost_jobs() else { panic!("{report}") };
    assert_eq!((running.name(), running.worker()), (Some("running"), Some(worker)));
    assert_eq!((queued.function(), queued.age()), ("offload::jobs::add", None));
    let text = report.to_string();
    assert!(
        text.contains("everything has ended\n  lost: offload job offload::jobs::waits"),
        "{text}"
    );
    // One without jobs in its pools says nothing.
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let pool: ProcessPool = one().build();
        pool.run(jobs::nothing::job()).await.unwrap();
    });
    assert!(runtime.shutdown(Duration::from_secs(60)).lost_jobs().is_empty());
}
