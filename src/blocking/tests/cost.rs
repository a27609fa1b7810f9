//! What a job costs.

use super::*;

/// `cargo test --release -- --ignored --nocapture blocking::tests::cost`
#[test]
#[ignore = "prints costs"]
fn cost() {
    for round in 0..3 {
        let bench = Bench::new(config(512));
        let best = |n: usize, f: &dyn Fn()| {
            (0..5)
                .map(|_| {
                    let start = Instant::now();
                    f();
                    start.elapsed().as_nanos() as usize / n
                })
                .min()
                .unwrap()
        };
        let batch = best(20_000, &|| {
            let (done, all) = channel();
            for n in 0..20_000 {
                let done = (n == 19_999).then(|| done.clone());
                drop(bench.spawn(move || done.map(|done| done.send(()))));
            }
            all.recv().unwrap();
        });
        let (threads, wakes) = (bench.started(), bench.pool.metrics().wakes);
        let joined = best(20_000, &|| {
            let handles: Vec<_> = (0..20_000).map(|_| bench.spawn(|| ())).collect();
            handles.into_iter().for_each(|handle| block_on(handle).unwrap());
        });
        let four = best(80_000, &|| {
            thread::scope(|scope| {
                for home in 0..4 {
                    let pool = &bench.pool;
                    scope.spawn(move || {
                        let spec = || Spec { home, ..Spec::user() };
                        let handles: Vec<_> =
                            (0..20_000).map(|_| pool.spawn(spec(), || ()).unwrap()).collect();
                        handles.into_iter().for_each(|handle| block_on(handle).unwrap());
                    });
                }
            });
        });
        let round_trip = best(2_000, &|| {
            (0..2_000).for_each(|_| block_on(bench.spawn(|| ())).unwrap());
        });
        let eight = best(16_000, &|| {
            for _ in 0..2_000 {
                let handles: Vec<_> = (0..8).map(|_| bench.spawn(|| ())).collect();
                handles.into_iter().for_each(|handle| block_on(handle).unwrap());
            }
        });
        let grown = Bench::new(config(512));
        let start = Instant::now();
        let sleeps: Vec<_> =
            (0..1_000).map(|_| grown.spawn(|| thread::sleep(Duration::from_millis(5)))).collect();
        sleeps.into_iter().for_each(|handle| block_on(handle).unwrap());
        let sleeps = start.elapsed();
        let metrics = bench.pool.metrics();
        println!(
            "round {round}: batch {batch} ns/job ({threads} threads, {wakes} wakes for 100,000), joined {joined}, four {four}, \
             round trip {round_trip}, eight outstanding {eight}, 1000 sleeps of 5 ms {sleeps:.1?}; {} threads, {} wakes for {} jobs",
            metrics.threads, metrics.wakes, metrics.jobs
        );
    }
}
