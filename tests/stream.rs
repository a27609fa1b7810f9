//! The wrappers as streams: what comes, in which order, and when it ends.
#![cfg(feature = "stream")]

use futures_util::StreamExt;
use reiver::io::AsyncWriteExt;
use reiver::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use reiver::runtime::{Builder, Runtime};
use reiver::signal::unix::{SignalKind, signal};
use reiver::stream::wrappers::*;
use reiver::sync::{broadcast, mpsc, watch};
use reiver::time::{Duration, Instant, interval};
use rustix::process::{Signal, getpid, kill_process};

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

#[test]
fn channels_give_all_and_end() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(4);
            let (unbounded, numbers) = mpsc::unbounded_channel();
            let task = reiver::spawn(async move {
                for n in 0..1000 {
                    sender.send(n).await.unwrap();
                    unbounded.send(n).unwrap();
                }
            });
            let wanted: Vec<i32> = (0..1000).collect();
            assert_eq!(ReceiverStream::new(receiver).collect::<Vec<_>>().await, wanted);
            assert_eq!(UnboundedReceiverStream::from(numbers).collect::<Vec<_>>().await, wanted);
            task.await.unwrap();
            let (sender, receiver) = mpsc::channel(4);
            sender.send(1).await.unwrap();
            let mut stream = ReceiverStream::new(receiver);
            stream.close();
            assert!(sender.send(2).await.is_err());
            assert_eq!((stream.next().await, stream.next().await), (Some(1), None));
        });
    }
}

#[test]
fn a_broadcast_tells_what_was_missed() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (sender, receiver) = broadcast::channel(4);
            for n in 0..6 {
                sender.send(n).unwrap();
            }
            let mut stream = BroadcastStream::new(receiver);
            assert_eq!(stream.next().await, Some(Err(BroadcastStreamRecvError::Lagged(2))));
            for n in 2..6 {
                assert_eq!(stream.next().await, Some(Ok(n)));
            }
            let task = reiver::spawn(async move {
                let next = stream.next().await;
                (next, stream)
            });
            reiver::task::yield_now().await;
            sender.send(6).unwrap();
            let (next, mut stream) = task.await.unwrap();
            assert_eq!(next, Some(Ok(6)));
            drop(sender);
            assert_eq!(stream.next().await, None);
            assert_eq!(stream.next().await, None);
        });
    }
}

#[test]
fn a_watch_gives_the_newest() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (sender, receiver) = watch::channel(0);
            let mut changes = WatchStream::from_changes(receiver.clone());
            let mut stream = WatchStream::new(receiver);
            assert_eq!(stream.next().await, Some(0));
            sender.send(1).unwrap();
            sender.send(2).unwrap();
            assert_eq!((stream.next().await, changes.next().await), (Some(2), Some(2)));
            let task = reiver::spawn(async move { stream.collect::<Vec<_>>().await });
            reiver::task::yield_now().await;
            sender.send(3).unwrap();
            drop(sender);
            assert_eq!(task.await.unwrap(), [3]);
            assert_eq!((changes.next().await, changes.next().await), (Some(3), None));
        });
    }
}

#[test]
fn listeners_intervals_signals_and_directories() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut connections = TcpListenerStream::new(listener);
            assert_eq!(connections.as_ref().local_addr().unwrap(), address);
            let (client, server) = reiver::join!(TcpStream::connect(address), connections.next());
            assert_eq!(
                client.unwrap().local_addr().unwrap(),
                server.unwrap().unwrap().peer_addr().unwrap()
            );

            let folder = std::env::temp_dir().join(format!("reiver-stream-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join("socket");
            let mut connections = UnixListenerStream::new(UnixListener::bind(&path).unwrap());
            let (client, server) = reiver::join!(UnixStream::connect(&path), connections.next());
            client.unwrap().write_all(b"x").await.unwrap();
            drop(server);
            let entries = ReadDirStream::new(reiver::fs::read_dir(&folder).await.unwrap());
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect().await;
            assert_eq!(names, ["socket"]);
            std::fs::remove_dir_all(&folder).unwrap();

            let begin = Instant::now();
            let ticks = IntervalStream::new(interval(Duration::from_millis(2)));
            let ticks: Vec<Instant> = ticks.take(3).collect().await;
            assert!(ticks[2] - ticks[0] >= Duration::from_millis(4) && ticks[0] >= begin);

            let mut signals = SignalStream::new(signal(SignalKind::user_defined2()).unwrap());
            kill_process(getpid(), Signal::USR2).unwrap();
            assert_eq!(signals.next().await, Some(()));
            let mut interrupts = CtrlCStream::new().unwrap();
            kill_process(getpid(), Signal::INT).unwrap();
            assert_eq!(interrupts.next().await, Some(()));
        });
    }
}

/// While another receiver clones a value, the stream waits as a task does, and its thread goes on. Values need not be
/// `Sync`.
#[test]
fn a_broadcast_stream_never_blocks_its_thread() {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::{Arc, mpsc as std_mpsc};

    static BEGUN: AtomicBool = AtomicBool::new(false);

    struct Slow(Arc<std::sync::Mutex<std_mpsc::Receiver<()>>>, Cell<u8>);

    impl Clone for Slow {
        fn clone(&self) -> Self {
            BEGUN.store(true, SeqCst);
            let _ = self.0.lock().unwrap().recv();
            Self(self.0.clone(), self.1.clone())
        }
    }

    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (door, closed) = std_mpsc::channel();
        let (sender, mut other) = broadcast::channel(2);
        let mut stream = BroadcastStream::new(sender.subscribe());
        assert!(sender.send(Slow(Arc::new(closed.into()), Cell::new(7))).is_ok());
        let cloning = std::thread::spawn(move || other.try_recv().map(|value| value.1.get()));
        while !BEGUN.load(SeqCst) {
            std::thread::yield_now();
        }
        let next = async { stream.next().await.unwrap().unwrap().1.get() };
        assert_eq!(reiver::join!(biased; next, async { drop(door) }).0, 7);
        assert_eq!(cloning.join().unwrap().unwrap(), 7);
    });
}
