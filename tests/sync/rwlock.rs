use super::*;
use reiver::sync::{OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[test]
fn readers_share_and_a_waiting_writer_is_not_overtaken() {
    let lock = RwLock::new(0);
    let one = lock.try_read().unwrap();
    let other = lock.try_read().unwrap();
    let mut writer = task(assert_send(lock.write()));
    writer.pending();
    assert!(lock.try_read().is_err(), "a reader overtook the writer");
    let mut readers: Vec<_> = (0..2).map(|_| task(assert_send(lock.read()))).collect();
    readers.iter_mut().for_each(Task::pending);
    drop(one);
    assert_eq!(writer.wakes(), 0);
    drop(other);
    assert_eq!(writer.wakes(), 1);
    *writer.ready() = 7;
    // The guard was dropped at once: both readers go in together.
    let guards: Vec<_> = readers.iter_mut().map(Task::ready).collect();
    assert!(guards.iter().all(|guard| **guard == 7));
    assert!(lock.try_write().is_err());
    drop(guards);
    assert!(lock.try_write().is_ok());
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let lock = RwLock::new(());
    let held = lock.try_read().unwrap();
    let mut writer = task(lock.write());
    writer.pending();
    let mut reader = task(lock.read());
    reader.pending();
    drop(writer);
    assert_eq!(reader.wakes(), 1);
    drop(reader.ready());
    drop(held);
    assert!(lock.try_write().is_ok());
}

#[test]
fn a_downgrade_lets_readers_in_and_no_writer() {
    let lock = Arc::new(RwLock::new((1, 2)));
    let writer = lock.try_write().unwrap();
    let mut reader = task(lock.read());
    let mut second = task(lock.write());
    reader.pending();
    second.pending();
    let read = RwLockWriteGuard::downgrade_map(writer, |pair| &pair.1);
    assert_eq!((reader.wakes(), second.wakes()), (1, 0));
    assert_eq!((*read, reader.ready().0), (2, 1));
    drop(read);
    drop(reader);
    drop(second.ready());

    let mapped = OwnedRwLockWriteGuard::map(lock.clone().try_write_owned().unwrap(), |p| &mut p.0);
    assert!(lock.clone().try_read_owned().is_err());
    drop(mapped);
    let owned = lock.clone().try_write_owned().unwrap().downgrade();
    let read = RwLockReadGuard::map(lock.try_read().unwrap(), |pair| &pair.0);
    assert_eq!((owned.1, *read), (2, 1));
}

#[test]
fn readers_are_limited() {
    let lock = RwLock::with_max_readers((), 2);
    let _one = lock.try_read().unwrap();
    let _two = lock.try_read().unwrap();
    assert!(lock.try_read().is_err());
}

#[test]
fn a_lock_that_nobody_could_take_is_not_made() {
    for make in [|| RwLock::with_max_readers((), 0), || RwLock::const_with_max_readers((), 0)] {
        let panic = std::panic::catch_unwind(make).unwrap_err();
        let words = panic.downcast::<String>().unwrap();
        assert!(words.contains("at least 1 reader"), "{words}");
    }
}

#[test]
fn threads_read_what_was_written_whole() {
    let lock = Arc::new(RwLock::new([0u64; 8]));
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let lock = lock.clone();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    if n == 0 {
                        lock.blocking_write().iter_mut().for_each(|word| *word += 1);
                    } else {
                        let words = lock.blocking_read();
                        assert!(words.iter().all(|word| *word == words[0]));
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(lock.blocking_read()[0], 2000);
}
