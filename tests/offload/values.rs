//! What goes there and comes back.

use super::{jobs, one};
use reiver::offload::{Blob, BlobMut, Failure, ProcessPool, in_worker};

#[reiver::offload]
fn sum(blob: Blob) -> u64 {
    assert!(in_worker());
    blob.iter().map(|byte| u64::from(*byte)).sum()
}

#[reiver::offload]
fn joined(blobs: Vec<Blob>) -> Blob {
    blobs.iter().flat_map(|blob| blob.iter().copied()).collect::<Vec<u8>>().into()
}

/// An argument may have the function's name.
#[reiver::offload]
fn twice(twice: u32) -> u32 {
    2 * twice
}

#[reiver::test]
async fn ordinary_calls_and_offloaded_ones_give_the_same() {
    assert_eq!(jobs::add(1, 2), 3);
    assert_eq!(jobs::add::offload(1, 2).await.unwrap(), 3);
    assert_eq!(jobs::other::add::offload(1, 2).await.unwrap(), 1002, "two functions of one name");
    assert_ne!(jobs::pid::offload().await.unwrap(), std::process::id());
    jobs::nothing::offload().await.unwrap();
    assert_eq!(twice::offload(twice(1)).await.unwrap(), 4);
    let map = [("a".to_owned(), 5), ("b".to_owned(), 6)].into();
    let lengths = jobs::lengths::offload("four", &[1; 10], vec![0; 70_000], map).await.unwrap();
    assert_eq!(lengths, [4, 10, 70_000, 11]);
    assert_eq!(jobs::fails::offload("7".into()).await.unwrap(), Ok(7));
    assert_eq!(jobs::fails::offload("x".into()).await.unwrap(), Err("x is no number".into()));
    assert_eq!(jobs::add::job(1, 2).function(), "offload::jobs::add");
}

#[reiver::test]
async fn bytes_of_any_size_go_and_come() {
    let pool = one().build();
    for size in [0, 1, 31, 32, 4095, 4096, 8160, 8161, 65_536, 1_000_003, 20 << 20] {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
        assert!(pool.run(jobs::echo::job(bytes.clone())).await.unwrap() == bytes, "{size} bytes");
    }
    assert_eq!(pool.stats().started, 1);
}

#[reiver::test]
async fn blobs_go_beside_the_message_and_come_back() {
    let pool = one().build();
    for size in [0, 10, 100_000, 5 << 20, 5 << 20] {
        let blob = Blob::from(vec![3; size]);
        assert_eq!(pool.run(sum::job(blob)).await.unwrap(), 3 * size as u64);
        let mut shared = BlobMut::zeroed(size).unwrap();
        shared.fill(2);
        let shared = shared.freeze().unwrap();
        assert_eq!(pool.run(sum::job(shared.clone())).await.unwrap(), 2 * size as u64);
        let all = vec![shared.clone(), Blob::from(vec![9; 5]), shared.clone()];
        let expected: Vec<u8> = all.iter().flat_map(|blob| blob.to_vec()).collect();
        assert!(pool.run(joined::job(all)).await.unwrap()[..] == expected[..]);
    }
    let many: Vec<Blob> = (0..400_u32)
        .map(|i| {
            let mut shared = BlobMut::zeroed(1).unwrap();
            shared[0] = i as u8;
            if i % 3 == 0 { shared.freeze().unwrap() } else { vec![i as u8].into() }
        })
        .collect();
    let expected: Vec<u8> = (0..400_u32).map(|i| i as u8).collect();
    assert_eq!(pool.run(joined::job(many)).await.unwrap().into_vec(), expected);
    assert_eq!(pool.stats().started, 1, "{:?}", pool.stats());
}

#[reiver::test]
async fn what_is_too_large_is_refused_on_both_ways_and_the_worker_lives() {
    let pool = one().max_message(10_000).build();
    let error = pool.run(jobs::echo::job(vec![0; 20_000])).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TooLarge { bytes: 20_000.., limit: 10_000 }));
    assert!(!error.may_have_run());
    #[reiver::offload]
    fn grows(n: usize) -> Vec<u8> {
        vec![1; n]
    }
    let error = pool.run(grows::job(20_000)).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("and 10000 are allowed"), "{told}");
    assert!(matches!(error.failure(), Failure::TooLarge { bytes: 20_000.., limit: 10_000 }));
    assert!(error.may_have_run());
    assert_eq!(pool.run(grows::job(9000)).await.unwrap().len(), 9000);
    let stats = pool.stats();
    assert_eq!((stats.started, stats.completed), (1, 1));
    assert_eq!((stats.failed, stats.panicked), (1, 0), "it has not panicked");
}

#[reiver::test]
async fn values_without_an_encoding_are_errors() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Flat {
        #[serde(flatten)]
        map: std::collections::HashMap<String, u8>,
    }
    #[reiver::offload]
    fn takes(flat: Flat) -> usize {
        flat.map.len()
    }
    #[reiver::offload]
    fn gives() -> Flat {
        Flat { map: [("a".to_owned(), 1)].into() }
    }
    let pool = one().build();
    let flat = Flat { map: [("a".to_owned(), 1)].into() };
    let error = pool.run(takes::job(flat)).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Codec(_)) && !error.may_have_run(), "{error}");
    let error = pool.run(gives::job()).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Codec(_)) && error.may_have_run(), "{error}");
    assert_eq!(pool.run(jobs::add::job(2, 2)).await.unwrap(), 4);
    let stats = pool.stats();
    assert_eq!((stats.started, stats.failed, stats.panicked), (1, 1, 0));
}

#[reiver::test]
async fn constructors_behind_ours_have_run_in_a_worker() {
    assert_eq!(jobs::built::offload().await.unwrap(), 41);
}

#[reiver::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_from_many_tasks() {
    let pool = ProcessPool::builder().workers(2).build();
    let tasks: Vec<_> = (0..200)
        .map(|i| {
            let pool = pool.clone();
            reiver::spawn(async move { pool.run(jobs::add::job(i, 1)).await.unwrap() })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), i as u32 + 1);
    }
    assert!(pool.stats().started <= 2, "{:?}", pool.stats());
    assert!(pool.close(super::PATIENCE).await);
}

#[test]
#[should_panic(expected = "max_message must be at least 4096")]
fn a_limit_that_no_worker_could_start_with_is_refused() {
    let _ = one().max_message(4095);
}
