//! Files and directories: what is written is there, whoever drops what; one thing at a time, in order.
#![cfg(target_os = "linux")]

mod support;

use reiver::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use reiver::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt,
};
use reiver::io::{BufReader, SeekFrom};
use reiver::runtime::{Builder, Runtime};
use reiver::time::{Duration, timeout};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::SystemTime;

/// A directory of one test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("reiver-fs-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn runtimes() -> [Runtime; 3] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(1).build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

fn contents(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn operations_on_paths_are_stds() {
    for runtime in runtimes() {
        let folder = Folder::new();
        runtime.block_on(async {
            let (a, b, c) = (folder.at("a"), folder.at("b"), folder.at("c"));
            fs::write(&a, "text").await.unwrap();
            assert_eq!(fs::read(&a).await.unwrap(), b"text");
            assert_eq!(fs::read_to_string(&a).await.unwrap(), "text");
            assert_eq!(fs::copy(&a, &b).await.unwrap(), 4);
            fs::write(&b, vec![b'!'; 3]).await.unwrap();
            fs::hard_link(&a, &c).await.unwrap();
            assert_eq!(fs::metadata(&c).await.unwrap().nlink(), 2);
            fs::remove_file(&c).await.unwrap();
            fs::symlink(&a, &c).await.unwrap();
            assert_eq!(fs::read_link(&c).await.unwrap(), a);
            assert!(fs::symlink_metadata(&c).await.unwrap().is_symlink());
            assert!(fs::metadata(&c).await.unwrap().is_file());
            let real = fs::canonicalize(&c).await.unwrap();
            assert_eq!(real, std::fs::canonicalize(&a).unwrap());
            fs::rename(&b, &a).await.unwrap();
            assert_eq!(contents(&c), "!!!");
            assert!(!fs::try_exists(&b).await.unwrap());
            assert!(fs::try_exists(&a).await.unwrap());
            let mut mode = fs::metadata(&a).await.unwrap().permissions();
            mode.set_mode(0o600);
            fs::set_permissions(&a, mode).await.unwrap();
            assert_eq!(fs::metadata(&a).await.unwrap().mode() & 0o777, 0o600);

            let deep = folder.at("x/y/z");
            assert_eq!(fs::create_dir(&deep).await.unwrap_err().kind(), ErrorKind::NotFound);
            fs::create_dir_all(&deep).await.unwrap();
            fs::remove_dir(&deep).await.unwrap();
            assert!(fs::remove_dir(folder.at("x")).await.is_err());
            fs::remove_dir_all(folder.at("x")).await.unwrap();
            DirBuilder::new().recursive(true).mode(0o700).create(&deep).await.unwrap();
            assert_eq!(fs::metadata(&deep).await.unwrap().mode() & 0o777, 0o700);
            assert!(DirBuilder::new().create(&deep).await.is_err());
            assert_eq!(fs::read("/no/such").await.unwrap_err().kind(), ErrorKind::NotFound);
            fs::write(&a, [0xff]).await.unwrap();
            assert_eq!(fs::read_to_string(&a).await.unwrap_err().kind(), ErrorKind::InvalidData);
        });
    }
}

#[test]
fn open_options_are_stds() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let folder = Folder::new();
    runtime.block_on(async {
        let path = folder.at("f");
        assert_eq!(File::open(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o640).open(&path).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().mode() & 0o777, 0o640);
        file.write_all(b"one").await.unwrap();
        file.flush().await.unwrap();
        let mut file = options.open(&path).await.unwrap();
        file.write_all(b"two").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(contents(&path), "onetwo");
        let mut file = OpenOptions::new().write(true).open(&path).await.unwrap();
        file.write_all(b"ONE").await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 6, "of what was written before");
        drop(OpenOptions::new().write(true).truncate(true).open(&path).await.unwrap());
        assert_eq!(contents(&path), "");
        let twice = File::create_new(&path).await.unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        let directory = libc_o_directory();
        let error =
            OpenOptions::new().read(true).custom_flags(directory).open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
    });
}

fn libc_o_directory() -> i32 {
    rustix::fs::OFlags::DIRECTORY.bits() as i32
}

#[test]
fn a_directory_of_many_entries_is_read_whole() {
    for runtime in runtimes() {
        let folder = Folder::new();
        let names: BTreeSet<String> = (0..300).map(|n| format!("{n}")).collect();
        for name in &names {
            std::fs::write(folder.at(name), name).unwrap();
        }
        std::fs::create_dir(folder.at("directory")).unwrap();
        runtime.block_on(async {
            let mut entries = fs::read_dir(&folder.0).await.unwrap();
            let mut found = BTreeSet::new();
            let poller = support::Poller::default();
            loop {
                // Given up after one poll, and taken up again.
                let polled = poller.poll(pin!(entries.next_entry()));
                let entry = match polled {
                    Poll::Ready(entry) => entry,
                    Poll::Pending => entries.next_entry().await,
                };
                let Some(entry) = entry.unwrap() else { break };
                let name = entry.file_name().into_string().unwrap();
                let is_directory = name == "directory";
                assert_eq!(entry.file_type().await.unwrap().is_dir(), is_directory);
                if !is_directory {
                    let metadata = entry.metadata().await.unwrap();
                    assert_eq!((metadata.len(), metadata.ino()), (name.len() as u64, entry.ino()));
                    assert_eq!(entry.path(), folder.at(&name));
                }
                assert!(found.insert(name), "an entry comes twice");
            }
            assert_eq!(found.len(), 301);
            assert!(names.is_subset(&found));
            assert!(entries.next_entry().await.unwrap().is_none());
            assert!(fs::read_dir(folder.at("no")).await.is_err());
        });
    }
}

#[test]
fn reads_writes_and_seeks_follow_each_other() {
    for runtime in runtimes() {
        let folder = Folder::new();
        runtime.block_on(async {
            let mut file = File::create_new(folder.at("f")).await.unwrap();
            for n in 0..1000 {
                file.write_all(format!("line {n}\n").as_bytes()).await.unwrap();
            }
            // No flush: each operation waits for those before it.
            assert_eq!(file.seek(SeekFrom::Current(0)).await.unwrap(), 8890);
            file.rewind().await.unwrap();
            let mut lines = BufReader::new(&mut file).lines();
            for n in 0..1000 {
                assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("line {n}"));
            }
            assert_eq!(lines.next_line().await.unwrap(), None);
            file.seek(SeekFrom::End(-9)).await.unwrap();
            file.write_all(b"LAST").await.unwrap();
            let mut rest = String::new();
            file.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, " 999\n");
            assert_eq!(file.stream_position().await.unwrap(), 8890);
            let error = file.seek(SeekFrom::Current(-9000)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(file.stream_position().await.unwrap(), 8890);
            file.set_len(4).await.unwrap();
            assert_eq!(file.metadata().await.unwrap().len(), 4);
            let mut twin = file.try_clone().await.unwrap();
            twin.rewind().await.unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "line");
            let slices = [std::io::IoSlice::new(b"-"), std::io::IoSlice::new(b"up")];
            assert!(file.is_write_vectored());
            assert_eq!(file.write_vectored(&slices).await.unwrap(), 3);
            file.sync_data().await.unwrap();
            file.sync_all().await.unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            file.set_modified(time).await.unwrap();
            assert_eq!(file.metadata().await.unwrap().modified().unwrap(), time);
            file.set_times(FileTimes::new().set_accessed(time)).await.unwrap();
            let mut mode = file.metadata().await.unwrap().permissions();
            mode.set_readonly(true);
            file.set_permissions(mode).await.unwrap();
            assert_eq!(contents(&folder.at("f")), "line-up");
        });
    }
}

#[test]
fn pieces_of_any_size_go_through_small_buffers() {
    for runtime in runtimes() {
        let folder = Folder::new();
        runtime.block_on(async {
            let sent: Vec<u8> = (0..200_000u32).map(|n| (n * 7 / 3) as u8).collect();
            let mut file = File::create_new(folder.at("f")).await.unwrap();
            assert_eq!(file.max_buf_size(), 2 * 1024 * 1024);
            file.set_max_buf_size(1000);
            let mut size = 1;
            let mut rest = &sent[..];
            while !rest.is_empty() {
                size = (size * 5 + 1) % 3001;
                let (piece, behind) = rest.split_at(size.min(rest.len()));
                file.write_all(piece).await.unwrap();
                rest = behind;
            }
            file.flush().await.unwrap();
            assert!(std::fs::read(folder.at("f")).unwrap() == sent);
            file.rewind().await.unwrap();
            let mut buf = vec![0; 5000];
            assert_eq!(file.read(&mut buf).await.unwrap(), 1000, "a job reads what it may");
            let mut received = buf[..1000].to_vec();
            file.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
        });
    }
}

#[test]
fn small_writes_are_gathered() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let folder = Folder::new();
    runtime.block_on(async {
        let mut file = File::create(folder.at("f")).await.unwrap();
        let before = runtime.metrics().blocking_jobs_count();
        for _ in 0..10_000 {
            file.write_all(b"0123456789").await.unwrap();
        }
        file.flush().await.unwrap();
        let jobs = runtime.metrics().blocking_jobs_count() - before;
        assert!((1..5_000).contains(&jobs), "{jobs} jobs for 10,000 writes");
        assert_eq!(file.metadata().await.unwrap().len(), 100_000);
    });
}

/// Begins to read where the file is, and gives up. So much is never read but by a job.
async fn give_up_a_read(file: &mut File) {
    let at = file.stream_position().await.unwrap();
    let poller = support::Poller::default();
    // The job may be done before anybody looks.
    while poller.poll(pin!(file.read(&mut vec![0; 100_000]))).is_ready() {
        assert_eq!(file.seek(SeekFrom::Start(at)).await.unwrap(), at);
    }
}

#[test]
fn a_read_that_was_given_up_loses_nothing() {
    for runtime in runtimes() {
        let folder = Folder::new();
        runtime.block_on(async {
            let path = folder.at("f");
            fs::write(&path, "abcdefgh").await.unwrap();
            let open = async || OpenOptions::new().read(true).write(true).open(&path).await;
            // Its bytes go to the next read,
            let mut file = open().await.unwrap();
            give_up_a_read(&mut file).await;
            let mut two = [0; 2];
            file.read_exact(&mut two).await.unwrap();
            assert_eq!(&two, b"ab");
            // the position is before those that nobody got,
            assert_eq!(file.seek(SeekFrom::Current(1)).await.unwrap(), 3);
            give_up_a_read(&mut file).await;
            // a write goes where the program is,
            file.write_all(b"D").await.unwrap();
            file.flush().await.unwrap();
            assert_eq!(contents(&path), "abcDefgh");
            // and so does a duplicate.
            give_up_a_read(&mut file).await;
            let mut std = file.try_clone().await.unwrap().into_std().await;
            let mut rest = String::new();
            std::io::Read::read_to_string(&mut std, &mut rest).unwrap();
            assert_eq!(rest, "efgh");
        });
    }
}

#[test]
fn what_was_begun_and_given_up_is_waited_for() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let folder = Folder::new();
    runtime.block_on(async {
        let poller = support::Poller::default();
        for _ in 0..100 {
            let mut file = File::create_new(folder.at("f")).await.unwrap();
            file.write_all(b"12345").await.unwrap();
            let _ = poller.poll(pin!(file.set_len(2)));
            let _ = poller.poll(pin!(file.seek(SeekFrom::Start(1))));
            let _ = poller.poll(pin!(file.metadata()));
            file.write_all(b"x").await.unwrap();
            let std = match file.try_into_std() {
                Ok(std) => std,
                Err(file) => file.into_std().await,
            };
            assert!(std.metadata().unwrap().len() >= 2);
            drop(std);
            fs::remove_file(folder.at("f")).await.unwrap();
        }
    });
}

#[test]
fn dropped_files_are_written_before_the_runtime_ends() {
    for runtime in runtimes() {
        let folder = Folder::new();
        runtime.block_on(async {
            for n in 0..100 {
                let mut file = File::create(folder.at(&n.to_string())).await.unwrap();
                for _ in 0..10 {
                    file.write_all(&[n; 10]).await.unwrap();
                }
            }
        });
        drop(runtime);
        for n in 0..100u8 {
            assert_eq!(std::fs::read(folder.at(&n.to_string())).unwrap(), [n; 100]);
        }
    }
}

#[test]
fn a_failed_write_is_told_once() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let full = async || OpenOptions::new().write(true).open("/dev/full").await;
            let mut file = full().await.unwrap();
            file.write_all(b"x").await.unwrap();
            assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::StorageFull);
            file.flush().await.unwrap();
            file.write_all(b"x").await.unwrap();
            assert_eq!(file.sync_all().await.unwrap_err().kind(), ErrorKind::StorageFull);
            file.write_all(b"x").await.unwrap();
            while file.write(b"y").await.is_ok() {}
            drop(file.into_std().await);
            let mut file = File::from_std(std::fs::File::open("/dev/null").unwrap());
            file.write_all(b"not open for writing").await.unwrap();
            assert!(file.shutdown().await.is_err());
        });
    }
}

/// Runs `test` of this binary in a child and gives what it says on standard error.
fn child_says(test: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("REIVER_FS_CHILD", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_error_after_the_drop_is_reported() {
    if std::env::var_os("REIVER_FS_CHILD").is_none() {
        let said = child_says("an_error_after_the_drop_is_reported");
        assert_eq!(said.matches("a write failed after its file was dropped").count(), 2, "{said}");
        assert!(said.contains("/dev/full"), "{said}");
        return;
    }
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let full = async || OpenOptions::new().write(true).open("/dev/full").await;
        // Dropped while the job is under way, and after it.
        let mut file = full().await.unwrap();
        file.write_all(b"x").await.unwrap();
        drop(file);
        let mut file = full().await.unwrap();
        file.write_all(b"x").await.unwrap();
        file.metadata().await.unwrap();
        drop(file);
        // Told, so not reported.
        let mut file = full().await.unwrap();
        file.write_all(b"x").await.unwrap();
        assert!(file.flush().await.is_err());
    });
}

#[test]
fn files_never_wait_behind_jobs_of_users() {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build().unwrap();
    let folder = Folder::new();
    runtime.block_on(async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let jobs = [
            reiver::task::spawn_blocking(move || released.recv().unwrap()),
            reiver::task::spawn_blocking(|| ()),
        ];
        fs::write(folder.at("f"), "x").await.unwrap();
        let mut file = File::open(folder.at("f")).await.unwrap();
        assert_eq!(file.read_u8().await.unwrap(), b'x');
        release.send(()).unwrap();
        for job in jobs {
            job.await.unwrap();
        }
    });
}

/// All threads of the pool are held, so the bytes before the seek are still on their way.
#[test]
fn a_write_comes_after_the_seek_that_was_asked_for() {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build().unwrap();
    let folder = Folder::new();
    runtime.block_on(async {
        let mut file = File::create_new(folder.at("f")).await.unwrap();
        let door = folder.at("door");
        assert!(Command::new("mkfifo").arg(&door).status().unwrap().success());
        let poller = support::Poller::default();
        // More than the pool has threads. Each opens the pipe when somebody writes to it.
        let mut opens: Vec<_> = (0..64).map(|_| Box::pin(File::open(&door))).collect();
        for open in &mut opens {
            assert!(poller.poll(open.as_mut()).is_pending());
        }
        file.write_all(b"A").await.unwrap();
        Pin::new(&mut file).start_seek(SeekFrom::Start(0)).unwrap();
        let mut write = Box::pin(file.write_all(b"BB"));
        let polled = poller.poll(write.as_mut());
        let _writer = std::fs::File::options().write(true).open(&door).unwrap();
        assert!(polled.is_pending(), "it has overtaken the seek");
        for open in opens {
            open.await.unwrap();
        }
        write.await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(contents(&folder.at("f")), "BB");
    });
}

#[test]
fn a_file_whose_write_has_ended_is_stds_without_a_flush() {
    for runtime in runtimes() {
        let folder = Folder::new();
        runtime.block_on(async {
            let mut file = File::create_new(folder.at("f")).await.unwrap();
            file.write_all(b"x").await.unwrap();
            let start = std::time::Instant::now();
            while let Err(under_way) = file.try_into_std() {
                assert!(start.elapsed() < Duration::from_secs(20), "its job has ended long ago");
                file = under_way;
                reiver::task::yield_now().await;
            }
            assert_eq!(contents(&folder.at("f")), "x");
        });
    }
}

#[test]
fn a_paused_clock_waits_for_a_file() {
    let runtime = Builder::new_current_thread().start_paused(true).build().unwrap();
    runtime.block_on(async {
        for _ in 0..100 {
            let read = timeout(Duration::from_millis(1), fs::read("/proc/self/status"));
            read.await.expect("the clock went on without us").unwrap();
        }
    });
}

#[test]
fn after_the_end_there_are_errors() {
    let folder = Folder::new();
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handle = runtime.handle().clone();
    let mut file = runtime.block_on(File::create(folder.at("f"))).unwrap();
    drop(runtime);
    let _entered = handle.enter();
    support::block_on(async {
        assert!(fs::read(folder.at("f")).await.is_err());
        let _ = file.write(b"x").await;
        assert!(file.flush().await.is_err());
        assert!(file.metadata().await.is_err());
        assert!(file.read(&mut [0; 1]).await.is_err());
        assert!(file.seek(SeekFrom::Start(0)).await.is_err());
    });
}

#[test]
fn types_are_what_libraries_expect() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<File>();
    check::<OpenOptions>();
    check::<DirBuilder>();
    check::<fs::ReadDir>();
    check::<fs::DirEntry>();
    fn sends<F: Future + Send>(_: impl FnOnce() -> F) {}
    sends(|| fs::read("x"));
    sends(|| fs::write("x", "y"));
    sends(|| fs::copy(PathBuf::new(), String::new()));
}
