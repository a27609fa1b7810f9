//! The histograms of polls, and the text that Prometheus reads.

use reiver::runtime::{Builder, Runtime};
use reiver::task;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

fn runtime(records: bool) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).task_records(records).on_slow_poll(|_| {}).build().unwrap()
}

#[test]
fn each_poll_is_counted_once_and_has_its_time() {
    let runtime = runtime(true);
    let slow = Duration::from_millis(20);
    let task = runtime.spawn(async move {
        for _ in 0..9 {
            task::yield_now().await;
        }
        std::thread::sleep(slow);
    });
    runtime.block_on(task).unwrap();
    let metrics = runtime.metrics();
    let polls = metrics.poll_time();
    assert_eq!((polls.count(), metrics.schedule_latency().count()), (10, 10));
    assert!(polls.sum() >= slow && polls.quantile(1.0).unwrap() > slow, "{polls:?}");
    assert!(polls.buckets().filter(|&(bound, _)| bound >= slow).map(|b| b.1).sum::<u64>() >= 1);
}

/// The second task is ready while the first has the only worker.
#[test]
fn a_task_that_waits_for_a_worker_is_late() {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.task_records(true).build().unwrap();
    let late = Duration::from_millis(20);
    let first = runtime.spawn(async move { std::thread::sleep(late) });
    let second = runtime.spawn(async {});
    runtime.block_on(async { (first.await.unwrap(), second.await.unwrap()) });
    let latency = runtime.metrics().schedule_latency();
    assert_eq!(latency.count(), 2);
    assert!(latency.sum() >= late && latency.quantile(1.0).unwrap() > late, "{latency:?}");
}

#[test]
fn without_records_there_are_none() {
    let runtime = runtime(false);
    runtime.block_on(runtime.spawn(async {})).unwrap();
    let metrics = runtime.metrics();
    assert_eq!((metrics.poll_time().count(), metrics.schedule_latency().count()), (0, 0));
}

/// What the text says: each family's kind, and each sample's value by its name with the labels.
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    /// Reads the format as Prometheus documents it.
    fn parse(text: &str) -> Self {
        let mut scrape = Self { kinds: BTreeMap::new(), samples: Vec::new() };
        let (mut helped, mut family) = (BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                assert!(helped.insert(help.split_once(' ').unwrap().0.to_owned()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(helped.contains(name) && is_name(name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                // Once, and its samples follow.
                assert_eq!(scrape.kinds.insert(name.into(), kind.into()), None, "{line}");
                family = name.into();
            } else {
                let sample = sample(line);
                let base = ["_bucket", "_sum", "_count"].iter().fold(sample.0.as_str(), |n, s| {
                    if scrape.kinds[&family] == "histogram" { n.trim_end_matches(s) } else { n }
                });
                assert_eq!(base, family, "{line}");
                scrape.samples.push(sample);
            }
        }
        scrape
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let samples = self.samples.iter();
        samples.filter(|sample| sample.0 == name).map(|sample| sample.2).collect()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with("reiver_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            let (mut text, mut chars) = (String::new(), value.char_indices());
            let end = loop {
                match chars.next().expect(line) {
                    (at, '"') => break at + 1,
                    (_, '\\') => text.push(match chars.next().expect(line).1 {
                        'n' => '\n',
                        c => c,
                    }),
                    (_, c) => text.push(c),
                }
            };
            assert_eq!(labels.insert(label.to_owned(), text), None, "{line}");
            rest = &value[end..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect(line);
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').expect(line).parse().expect(line))
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).task_records(true).build().unwrap();
    let (begin, begun) = mpsc::channel();
    runtime.block_on(async {
        for _ in 0..5 {
            reiver::spawn(async {}).await.unwrap();
        }
        task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(5))).await.unwrap();
        reiver::spawn(async move {
            begin.send(()).unwrap();
            std::future::pending::<()>().await
        });
    });
    begun.recv().unwrap();
    // The sixth poll's time is noted when it has returned, the job's when its handle has the output.
    let metrics = runtime.metrics();
    while metrics.poll_time().count() < 6 || metrics.blocking_run_time().count() < 1 {
        std::thread::yield_now();
    }
    let text = runtime.metrics().prometheus();
    let scrape = Scrape::parse(&text);
    assert_eq!(scrape.values("reiver_workers"), [2.0]);
    assert_eq!(scrape.values("reiver_alive_tasks"), [1.0]);
    assert_eq!(scrape.values("reiver_spawned_tasks_total"), [6.0]);
    assert_eq!(scrape.kinds["reiver_spawned_tasks_total"], "counter");
    assert_eq!(scrape.values("reiver_worker_parks_total").len(), 2);
    assert!(scrape.values("reiver_worker_busy_seconds_total").iter().all(|&busy| busy >= 0.0));
    for (name, least) in [
        ("reiver_poll_seconds", 0.0),
        ("reiver_schedule_latency_seconds", 0.0),
        ("reiver_blocking_queue_wait_seconds", 0.0),
        ("reiver_blocking_run_seconds", 0.005),
    ] {
        assert_eq!(scrape.kinds[name], "histogram");
        let buckets = scrape.samples.iter().filter(|sample| sample.0 == format!("{name}_bucket"));
        let buckets: Vec<(f64, f64)> =
            buckets.map(|(_, labels, value)| (labels["le"].parse().unwrap(), *value)).collect();
        assert!(buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1));
        let (last, count) = *buckets.last().unwrap();
        assert_eq!((last, vec![count]), (f64::INFINITY, scrape.values(&format!("{name}_count"))));
        let sum = scrape.values(&format!("{name}_sum"))[0];
        assert!(count >= 1.0 && sum > least, "{name}: {count}, {sum}");
        // Each is above the bound of the bucket before its own.
        let above = buckets.windows(2).map(|two| two[0].0 * (two[1].1 - two[0].1));
        assert!(above.sum::<f64>() <= sum, "{name}: {buckets:?}, {sum}");
    }
    assert_eq!(scrape.values("reiver_poll_seconds_count"), [6.0]);
}

#[test]
fn a_runtime_s_name_is_a_label() {
    let name = "a \"name\"\\with\nall";
    let runtime = Builder::new_current_thread().name(name).build().unwrap();
    let scrape = Scrape::parse(&runtime.metrics().prometheus());
    assert!(scrape.samples.iter().all(|(_, labels, _)| labels["runtime"] == name));
    assert_eq!(scrape.values("reiver_worker_polls_total"), [0.0]);
}
