//! Files and directories, children, signals.

use super::{rows, until};
use reiver::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use reiver::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
use reiver::process::{Command, Stdio};
use reiver::signal::ctrl_c;
use reiver::signal::unix::{SignalKind, signal};
use rustix::process::{Pid, Signal, getpid, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("reiver-cut-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file of that name with `text` in it.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn open(&self) -> File {
        let path = self.file("open", "text");
        OpenOptions::new().read(true).write(true).open(path).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file that is as good as before: what is written to it is in it.
async fn goes_on(mut file: File) {
    file.seek(SeekFrom::Start(0)).await.unwrap();
    file.write_all(b"more").await.unwrap();
    file.flush().await.unwrap();
    file.seek(SeekFrom::Start(0)).await.unwrap();
    let mut text = [0; 4];
    file.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"more");
}

/// What a job changes comes if it has begun, and never otherwise.
async fn comes(cut: super::Cut, happened: impl Fn() -> bool) {
    if cut.has_begun() {
        until(happened).await;
    } else {
        assert!(!happened());
    }
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

rows! {
    "fs/paths::canonicalize" => |cut| {
        let folder = Folder::new();
        cut.job(fs::canonicalize(&folder.0)).await;
        assert!(fs::canonicalize(&folder.0).await.is_ok());
    }
    "fs/paths::copy" => |cut| {
        let folder = Folder::new();
        let (from, to) = (folder.file("a", "text"), folder.path("b"));
        cut.job(fs::copy(from, &to)).await;
        comes(cut, || text(&to) == "text").await;
    }
    "fs/paths::create_dir" => |cut| {
        let folder = Folder::new();
        cut.job(fs::create_dir(folder.path("new"))).await;
        comes(cut, || folder.path("new").is_dir()).await;
    }
    "fs/paths::create_dir_all" => |cut| {
        let folder = Folder::new();
        cut.job(fs::create_dir_all(folder.path("new/newer"))).await;
        comes(cut, || folder.path("new/newer").is_dir()).await;
    }
    "fs/paths::hard_link" => |cut| {
        let folder = Folder::new();
        cut.job(fs::hard_link(folder.file("a", "text"), folder.path("b"))).await;
        comes(cut, || text(folder.path("b")) == "text").await;
    }
    "fs/paths::metadata" => |cut| {
        let folder = Folder::new();
        cut.job(fs::metadata(&folder.0)).await;
        assert!(fs::metadata(&folder.0).await.unwrap().is_dir());
    }
    "fs/paths::read" => |cut| {
        let folder = Folder::new();
        let path = folder.file("a", "text");
        cut.job(fs::read(&path)).await;
        assert_eq!(fs::read(&path).await.unwrap(), b"text");
    }
    "fs/paths::read_link" => |cut| {
        let folder = Folder::new();
        std::os::unix::fs::symlink("a", folder.path("b")).unwrap();
        cut.job(fs::read_link(folder.path("b"))).await;
        assert_eq!(fs::read_link(folder.path("b")).await.unwrap(), Path::new("a"));
    }
    "fs/paths::read_to_string" => |cut| {
        let folder = Folder::new();
        let path = folder.file("a", "text");
        cut.job(fs::read_to_string(&path)).await;
        assert_eq!(fs::read_to_string(&path).await.unwrap(), "text");
    }
    "fs/paths::remove_dir" => |cut| {
        let folder = Folder::new();
        std::fs::create_dir(folder.path("old")).unwrap();
        cut.job(fs::remove_dir(folder.path("old"))).await;
        comes(cut, || !folder.path("old").exists()).await;
    }
    "fs/paths::remove_dir_all" => |cut| {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path("old/older")).unwrap();
        cut.job(fs::remove_dir_all(folder.path("old"))).await;
        comes(cut, || !folder.path("old").exists()).await;
    }
    "fs/paths::remove_file" => |cut| {
        let folder = Folder::new();
        let path = folder.file("a", "text");
        cut.job(fs::remove_file(&path)).await;
        comes(cut, || !path.exists()).await;
    }
    "fs/paths::rename" => |cut| {
        let folder = Folder::new();
        cut.job(fs::rename(folder.file("a", "text"), folder.path("b"))).await;
        comes(cut, || text(folder.path("b")) == "text").await;
    }
    "fs/paths::symlink" => |cut| {
        let folder = Folder::new();
        cut.job(fs::symlink(folder.file("a", "text"), folder.path("b"))).await;
        comes(cut, || text(folder.path("b")) == "text").await;
    }
    "fs/paths::symlink_metadata" => |cut| {
        let folder = Folder::new();
        cut.job(fs::symlink_metadata(&folder.0)).await;
        assert!(fs::symlink_metadata(&folder.0).await.unwrap().is_dir());
    }
    "fs/paths::try_exists" => |cut| {
        let folder = Folder::new();
        cut.job(fs::try_exists(&folder.0)).await;
        assert!(fs::try_exists(&folder.0).await.unwrap());
    }
    "fs/paths::set_permissions" => |cut| {
        let folder = Folder::new();
        let path = folder.file("a", "text");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        cut.job(fs::set_permissions(&path, PermissionsExt::from_mode(0o400))).await;
        comes(cut, || mode() == 0o400).await;
    }
    "fs/paths::write" => |cut| {
        let folder = Folder::new();
        cut.job(fs::write(folder.path("a"), "text")).await;
        comes(cut, || text(folder.path("a")) == "text").await;
    }
    "fs/dir::create" => |cut| {
        let folder = Folder::new();
        cut.job(DirBuilder::new().create(folder.path("new"))).await;
        comes(cut, || folder.path("new").is_dir()).await;
    }
    "fs/dir::read_dir" => |cut| {
        let folder = Folder::new();
        cut.job(fs::read_dir(&folder.0)).await;
        assert!(fs::read_dir(&folder.0).await.unwrap().next_entry().await.unwrap().is_none());
    }
    "fs/dir::next_entry" => |cut| {
        const FILES: usize = 100;
        let folder = Folder::new();
        (0..FILES).for_each(|n| drop(folder.file(&n.to_string(), "")));
        let mut entries = fs::read_dir(&folder.0).await.unwrap();
        let mut read = 0;
        while read < FILES {
            // Not where it was ready at once: that entry would be lost to us.
            let mut next = super::task(entries.next_entry());
            if cut.has_begun() && next.poll().is_ready() {
                read += 1;
                continue;
            }
            if cut == super::Cut::Granted {
                until(|| next.wakes() > 0).await;
            }
            drop(next);
            assert!(entries.next_entry().await.unwrap().is_some());
            read += 1;
        }
        assert!(entries.next_entry().await.unwrap().is_none());
    }
    "fs/dir::metadata" => |cut| {
        let folder = Folder::new();
        folder.file("a", "text");
        let entry = fs::read_dir(&folder.0).await.unwrap().next_entry().await.unwrap().unwrap();
        cut.job(entry.metadata()).await;
        assert_eq!(entry.metadata().await.unwrap().len(), 4);
    }
    "fs/dir::file_type" => |cut| {
        let folder = Folder::new();
        folder.file("a", "text");
        let entry = fs::read_dir(&folder.0).await.unwrap().next_entry().await.unwrap().unwrap();
        cut.job(entry.file_type()).await;
        assert!(entry.file_type().await.unwrap().is_file());
    }
    "fs/open_options::open" => |cut| {
        let folder = Folder::new();
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        cut.job(options.open(folder.path("a"))).await;
        comes(cut, || folder.path("a").exists()).await;
    }
    "fs/file::open" => |cut| {
        let folder = Folder::new();
        let path = folder.file("a", "text");
        cut.job(File::open(&path)).await;
        assert_eq!(File::open(&path).await.unwrap().metadata().await.unwrap().len(), 4);
    }
    "fs/file::create" => |cut| {
        let folder = Folder::new();
        cut.job(File::create(folder.path("a"))).await;
        comes(cut, || folder.path("a").exists()).await;
    }
    "fs/file::create_new" => |cut| {
        let folder = Folder::new();
        cut.job(File::create_new(folder.path("a"))).await;
        comes(cut, || folder.path("a").exists()).await;
    }
    "fs/file::AsyncRead" => |cut| {
        let folder = Folder::new();
        let mut file = folder.open().await;
        let mut there = [0; 2];
        let before = {
            let mut read = super::task(file.read(&mut there));
            let is_ready = cut.has_begun() && read.poll().is_ready();
            if !is_ready && cut == super::Cut::Granted {
                until(|| read.wakes() > 0).await;
            }
            if is_ready { 2 } else { 0 }
        };
        let mut rest = String::new();
        file.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "text"[before..], "what was read for one that is gone is not lost");
        goes_on(file).await;
    }
    "fs/file::AsyncWrite" => |cut| {
        let folder = Folder::new();
        let mut file = folder.open().await;
        cut.job(file.write(b"TEXT")).await;
        file.flush().await.unwrap();
        let expected = if cut.has_begun() { "TEXT" } else { "text" };
        assert_eq!(text(folder.path("open")), expected, "whole or not at all");
        goes_on(file).await;
    }
    "fs/file::sync_all" => |cut| {
        let folder = Folder::new();
        let mut file = folder.open().await;
        file.write_all(b"TEXT").await.unwrap();
        cut.job(file.sync_all()).await;
        file.sync_all().await.unwrap();
        assert_eq!(text(folder.path("open")), "TEXT");
        goes_on(file).await;
    }
    "fs/file::sync_data" => |cut| {
        let folder = Folder::new();
        let mut file = folder.open().await;
        file.write_all(b"TEXT").await.unwrap();
        cut.job(file.sync_data()).await;
        file.sync_data().await.unwrap();
        assert_eq!(text(folder.path("open")), "TEXT");
        goes_on(file).await;
    }
    "fs/file::set_len" => |cut| {
        let folder = Folder::new();
        let file = folder.open().await;
        cut.job(file.set_len(2)).await;
        let expected = if cut.has_begun() { 2 } else { 4 };
        assert_eq!(file.metadata().await.unwrap().len(), expected, "jobs follow each other");
        goes_on(file).await;
    }
    "fs/file::metadata" => |cut| {
        let folder = Folder::new();
        let file = folder.open().await;
        cut.job(file.metadata()).await;
        goes_on(file).await;
    }
    "fs/file::try_clone" => |cut| {
        let folder = Folder::new();
        let file = folder.open().await;
        cut.job(file.try_clone()).await;
        goes_on(file.try_clone().await.unwrap()).await;
    }
    "fs/file::set_permissions" => |cut| {
        let folder = Folder::new();
        let file = folder.open().await;
        cut.job(file.set_permissions(PermissionsExt::from_mode(0o600))).await;
        goes_on(file).await;
    }
    "fs/file::set_times" => |cut| {
        let folder = Folder::new();
        let file = folder.open().await;
        cut.job(file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH))).await;
        let modified = file.metadata().await.unwrap().modified().unwrap();
        assert_eq!(modified == SystemTime::UNIX_EPOCH, cut.has_begun());
        goes_on(file).await;
    }
    "fs/file::set_modified" => |cut| {
        let folder = Folder::new();
        let file = folder.open().await;
        cut.job(file.set_modified(SystemTime::UNIX_EPOCH)).await;
        let modified = file.metadata().await.unwrap().modified().unwrap();
        assert_eq!(modified == SystemTime::UNIX_EPOCH, cut.has_begun());
        goes_on(file).await;
    }
    "fs/file::into_std" => |cut| {
        let folder = Folder::new();
        let mut file = folder.open().await;
        file.write_all(b"TEXT").await.unwrap();
        cut.job(file.into_std()).await;
        until(|| text(folder.path("open")) == "TEXT").await;
    }

    "process/child::wait" => |cut| {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
        cut.of(child.wait(), async { kill_process(pid, Signal::KILL).unwrap() }).await;
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
    }
    "process/child::kill" => |cut| {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        cut.job(child.kill()).await;
        if cut.has_begun() {
            assert_eq!(child.wait().await.unwrap().signal(), Some(9));
        } else {
            assert!(child.try_wait().unwrap().is_none(), "nobody has killed it");
            child.kill().await.unwrap();
        }
    }
    "process/child::wait_with_output" => |cut| {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let pid = child.id().unwrap();
        let stdin = child.stdin.take();
        cut.of(child.wait_with_output(), async { drop(stdin) }).await;
        // Killed, or ended by itself, and in any case reaped.
        until(|| !Path::new("/proc").join(pid.to_string()).exists()).await;
    }
    "process/command::status" => |cut| {
        cut.job(Command::new("true").status()).await;
        assert!(Command::new("true").status().await.unwrap().success());
    }
    "process/command::output" => |cut| {
        cut.job(Command::new("echo").output()).await;
        assert_eq!(Command::new("echo").output().await.unwrap().stdout, b"\n");
    }
    "signal/unix::recv" => |cut| {
        let mut listener = signal(SignalKind::user_defined1()).unwrap();
        cut.of(listener.recv(), async { kill_process(getpid(), Signal::USR1).unwrap() }).await;
        assert_eq!(listener.recv().await, Some(()), "it is told to whoever asks next");
    }
    "signal::ctrl_c" => |cut| {
        // In case that nobody else listens: the signal would end this process.
        let mut listener = signal(SignalKind::interrupt()).unwrap();
        cut.of(ctrl_c(), async { kill_process(getpid(), Signal::INT).unwrap() }).await;
        assert_eq!(listener.recv().await, Some(()));
    }
}
