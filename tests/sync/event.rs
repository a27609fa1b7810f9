use super::*;
use reiver::sync::{Event, SetOnce};

#[test]
fn set_wakes_all_and_stays_until_cleared() {
    let event = Event::new();
    drop(event.wait());
    let mut waiting: Vec<_> = (0..40).map(|_| task(assert_send(event.wait()))).collect();
    waiting.iter_mut().for_each(Task::pending);
    waiting.pop();
    event.set();
    event.set();
    for task in &mut waiting {
        assert_eq!(task.wakes(), 1);
    }
    waiting.pop();
    waiting.iter_mut().for_each(Task::ready);
    task(event.wait()).ready();
    event.clear();
    assert!(!event.is_set());
    task(event.wait()).pending();
}

#[test]
fn one_that_waited_when_it_was_set_goes_on_although_it_is_cleared() {
    let event = Event::new();
    let mut waiting = task(event.wait());
    waiting.pending();
    event.set();
    event.clear();
    waiting.ready();
}

#[test]
fn threads_wait() {
    let shared = Arc::new((Event::new(), SetOnce::new()));
    let theirs = shared.clone();
    let thread = std::thread::spawn(move || {
        theirs.0.blocking_wait();
        *theirs.1.blocking_wait()
    });
    shared.0.set();
    shared.1.set(7).unwrap();
    assert_eq!(thread.join().unwrap(), 7);
}
