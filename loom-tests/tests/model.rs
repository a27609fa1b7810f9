//! What `#[reiver::model]` finds, and what it says.

extern crate reiver_model as reiver;

use reiver::model::Model;
use reiver::sync::{Mutex, Notify, mpsc, oneshot};
use reiver::time::{Duration, Instant, sleep_until, timeout};
use std::sync::Arc;

#[reiver::model]
async fn a_value_arrives() {
    let (tx, rx) = oneshot::channel();
    reiver::spawn(async move { tx.send(1) });
    assert_eq!(rx.await, Ok(1));
}

#[reiver::model]
async fn three_tasks_and_a_lock() {
    let sum = Arc::new(Mutex::new(0));
    let add = |n| {
        let sum = sum.clone();
        async move { *sum.lock().await += n }
    };
    let (one, two) = (reiver::spawn(add(1)), reiver::spawn(add(2)));
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(*sum.lock().await, 3);
}

#[reiver::model]
async fn a_timeout_races_at_any_moment() {
    let (tx, rx) = oneshot::channel();
    reiver::spawn(async move { tx.send(()) });
    match timeout(Duration::from_millis(10), rx).await {
        Ok(_) => reiver::reached!("in time"),
        Err(_) => reiver::reached!("too late"),
    }
}

#[reiver::model]
async fn timers_fire_in_order() {
    let start = Instant::now();
    let task = reiver::spawn(async move {
        sleep_until(start + Duration::from_millis(20)).await;
        start.elapsed()
    });
    sleep_until(start + Duration::from_millis(10)).await;
    // The clock goes from deadline to deadline: when the root is polled, the other one may have come.
    let elapsed = start.elapsed();
    assert!(
        (Duration::from_millis(10)..Duration::from_millis(21)).contains(&elapsed),
        "{elapsed:?}"
    );
    if elapsed < Duration::from_millis(20) {
        reiver::reached!("between the two");
    }
    let elapsed = task.await.unwrap();
    assert!(
        (Duration::from_millis(20)..Duration::from_millis(21)).contains(&elapsed),
        "{elapsed:?}"
    );
}

#[reiver::model]
async fn abort_or_end() {
    let task = reiver::spawn(async { reiver::task::yield_now().await });
    task.abort();
    match task.await {
        Ok(()) => reiver::reached!("ended"),
        Err(error) => {
            assert!(error.is_cancelled());
            reiver::reached!("aborted");
        }
    }
}

#[reiver::model]
async fn a_blocking_closure_is_a_task() {
    let job = reiver::task::spawn_blocking(|| 5);
    let other = reiver::spawn(async { 6 });
    assert_eq!((job.await.unwrap(), other.await.unwrap()), (5, 6));
}

#[reiver::model]
async fn a_dropped_recv_loses_nothing() {
    let (tx, mut rx) = mpsc::channel(1);
    let task = reiver::spawn(async move { tx.send(7).await });
    let value = match reiver::sim::cancel_anywhere(rx.recv()).await {
        Some(value) => value,
        None => {
            reiver::reached!("dropped");
            rx.recv().await
        }
    };
    assert_eq!(value, Some(7));
    task.await.unwrap().unwrap();
}

#[reiver::model]
async fn select_takes_what_comes() {
    let (tx, rx) = oneshot::channel::<u32>();
    let notify = Arc::new(Notify::new());
    let other = notify.clone();
    let task = reiver::spawn(async move {
        tx.send(1).ok();
        other.notify_one();
    });
    reiver::select! {
        value = rx => assert_eq!(value, Ok(1)),
        () = notify.notified() => reiver::reached!("the second branch"),
    }
    task.await.unwrap();
}

#[reiver::model]
async fn select_begins_anywhere() {
    reiver::select! {
        () = async {} => reiver::reached!("the first"),
        () = async {} => reiver::reached!("the second"),
        () = async {} => reiver::reached!("the third"),
    }
}

#[test]
fn a_lost_update_is_found() {
    let model = Model::new(module_path!(), "a_lost_update_is_found", file!());
    let found = model.find(|| async {
        let value = Arc::new(Mutex::new(0));
        let add = |value: Arc<Mutex<i32>>| async move {
            let read = *value.lock().await;
            *value.lock().await = read + 1;
        };
        let task = reiver::spawn(add(value.clone()));
        add(value.clone()).await;
        task.await.unwrap();
        assert_eq!(*value.lock().await, 2);
    });
    let found = found.expect_err("a failure");
    println!("{found}");
    assert!(found.message().contains("root panicked at loom-tests/tests/model.rs"), "{found}");
}

#[test]
fn two_locks_of_a_model_are_a_deadlock() {
    let name = "two_locks_of_a_model_are_a_deadlock";
    let found = Model::new(module_path!(), name, file!()).find(|| async {
        let a = Arc::new(Mutex::new(()));
        let b = Arc::new(Mutex::new(()));
        let (a2, b2) = (a.clone(), b.clone());
        let task = reiver::spawn(async move {
            let _b = b2.lock().await;
            let _a = a2.lock().await;
        });
        let _a = a.lock().await;
        let _b = b.lock().await;
        drop((_a, _b));
        task.await.unwrap();
    });
    let found = found.expect_err("a failure");
    println!("{found}");
    assert!(found.message().contains("deadlock"), "{found}");
    assert!(found.to_string().contains("in sync::mutex::Locking"), "{found}");
}

#[test]
fn five_tasks_are_too_many() {
    let found = Model::new(module_path!(), "five_tasks_are_too_many", file!()).find(|| async {
        for _ in 0..4 {
            reiver::spawn(async {}).await.unwrap();
        }
    });
    assert!(found.expect_err("a failure").message().contains("one task too many"));
}

#[test]
fn one_execution_is_refused() {
    let found = Model::new(module_path!(), "one_execution_is_refused", file!()).find(|| async {});
    assert!(found.expect_err("a failure").message().contains("nothing to interleave"));
}

#[test]
fn a_socket_is_refused() {
    let found = Model::new(module_path!(), "a_socket_is_refused", file!()).find(|| async {
        drop(reiver::net::TcpListener::bind("127.0.0.1:0").await);
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("a real socket"), "{found}");
}

#[test]
fn a_blocked_thread_is_refused() {
    let found = Model::new(module_path!(), "a_blocked_thread_is_refused", file!()).find(|| async {
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let task = reiver::spawn(async move { tx.send(()) });
        rx.recv().unwrap();
        task.await.unwrap().unwrap();
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("nothing has moved"), "{found}");
}

#[test]
fn a_thread_of_stds_is_refused() {
    let found = Model::new(module_path!(), "a_thread_of_stds_is_refused", file!()).find(|| async {
        let (tx, rx) = oneshot::channel();
        let other = std::thread::spawn(move || tx.send(()));
        let _ = other.join();
        rx.await.unwrap();
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("a thread that is no part of it"), "{found}");
}

#[test]
fn what_another_thread_will_do_is_not_waited_for() {
    let name = "what_another_thread_will_do_is_not_waited_for";
    let found = Model::new(module_path!(), name, file!()).find(|| async {
        let (tx, rx) = oneshot::channel();
        let task = reiver::spawn(async {});
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(60));
            tx.send(())
        });
        rx.await.unwrap();
        task.await.unwrap();
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("Nobody here waits for what other threads"), "{found}");
}

/// Two orders, and none of them gets to the label.
async fn two_tasks() {
    let task = reiver::spawn(async {});
    reiver::task::yield_now().await;
    task.await.unwrap();
}

#[reiver::model]
#[should_panic(expected = "never reached in")]
async fn a_model_demands_the_labels_of_its_body() {
    two_tasks().await;
    if Arc::strong_count(&Arc::new(())) > 1 {
        reiver::reached!("the end");
    }
}

#[reiver::model(must_reach = ["the end"])]
#[should_panic(expected = "never reached in")]
async fn a_model_demands_the_labels_of_its_attribute() {
    two_tasks().await;
}
