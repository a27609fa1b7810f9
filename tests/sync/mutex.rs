use super::*;
use reiver::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard};

static GLOBAL: Mutex<u32> = Mutex::const_new(1);

#[test]
fn it_is_handed_over_in_turn() {
    let mutex = Mutex::new(0);
    let held = mutex.try_lock().unwrap();
    let mut tasks: Vec<_> = (0..3).map(|_| task(assert_send(mutex.lock()))).collect();
    tasks.iter_mut().for_each(Task::pending);
    drop(held);
    for n in 0..3 {
        assert!(mutex.try_lock().is_err(), "somebody overtook");
        assert_eq!(tasks[n].wakes(), 1);
        assert!(tasks[n + 1..].iter().all(|task| task.wakes() == 0));
        *tasks[n].ready() += 1;
    }
    assert_eq!(*mutex.try_lock().unwrap(), 3);
}

#[test]
fn a_granted_lock_is_passed_on_by_a_dropped_future() {
    let mutex = Mutex::new(());
    let held = mutex.try_lock().unwrap();
    let mut first = task(mutex.lock());
    let mut second = task(mutex.lock());
    first.pending();
    second.pending();
    drop(held);
    drop(first);
    assert_eq!(second.wakes(), 1);
    drop(second.ready());
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn guards_map_and_unsized_values_work() {
    let mutex: Arc<Mutex<[u32]>> = Arc::new(Mutex::new([1, 2, 3]));
    {
        let guard = mutex.try_lock().unwrap();
        let part = MutexGuard::map(guard, |all| &mut all[1..]);
        let mut one = MappedMutexGuard::map(part, |some| &mut some[0]);
        *one += 10;
        assert!(mutex.try_lock().is_err());
    }
    let owned = mutex.clone().try_lock_owned().unwrap();
    let owned = OwnedMutexGuard::try_map(owned, |all| all.get_mut(9)).unwrap_err();
    let last = OwnedMutexGuard::map(owned, |all| &mut all[2]);
    assert_eq!(format!("{last} {last:?} {mutex:?}"), "3 3 Mutex { data: <locked> }");
    drop(last);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: [1, 12, 3] }");
}

#[test]
fn it_is_not_poisoned() {
    let mutex = Arc::new(Mutex::new(5));
    let other = mutex.clone();
    let thread = std::thread::spawn(move || {
        let _guard = other.blocking_lock_owned();
        panic!("with the lock held");
    });
    assert!(thread.join().is_err());
    assert_eq!(*mutex.blocking_lock(), 5);
}

#[test]
fn threads_and_statics() {
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(|| (0..10_000).for_each(|_| *GLOBAL.blocking_lock() += 1)))
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*GLOBAL.blocking_lock(), 40_001);
}
