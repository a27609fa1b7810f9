//! Pools in processes that lack something: room for descriptors on their way, a descriptor, threads.
//!
//! Each is a process of its own: this binary, started once more with a test that is ignored otherwise.

use super::{PATIENCE, given, jobs, one, until};
use reiver::offload::{BlobMut, Failure};
use reiver::runtime::Builder;
use reiver::time::timeout;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

/// Runs a helper, which is current-threaded: what it takes from its thread is taken from the runtime.
#[track_caller]
fn succeeds(helper: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "--test-threads=1", helper])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, future).await.expect("it hangs") })
}

#[test]
fn a_job_waits_for_room_for_its_descriptors() {
    succeeds("odds::helper_has_no_room");
}

/// Takes the privileges from this thread to which limits do not apply.
fn lower() {
    let header = [0x2008_0522_u32, 0];
    let nothing = [0_u32; 6];
    // SAFETY: the layout is `capset`'s, version 3: version, process; twice effective, permitted, inheritable.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), nothing.as_ptr()) };
    assert_eq!(set, 0);
}

#[test]
#[ignore = "a process for another test"]
fn helper_has_no_room() {
    block_on(async {
        let pool = one().build();
        let blob = BlobMut::zeroed(100).unwrap().freeze().unwrap();
        assert_eq!(pool.run(jobs::length::job(blob.clone())).await.unwrap(), 100);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let descriptors = [ours.as_fd(); 200];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let bytes = [std::io::IoSlice::new(b"x")];
        rustix::net::sendmsg(&ours, &bytes, &mut control, SendFlags::empty()).unwrap();
        lower();
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..before }).unwrap();
        let job = reiver::spawn(pool.run(jobs::length::job(blob.clone())));
        // It is tried in the same poll in which it is given.
        until("the job", || given() == 1).await;
        assert!(!job.is_finished());
        // The descriptors are closed that come with it.
        theirs.read_exact(&mut [0]).unwrap();
        assert_eq!(job.await.unwrap().unwrap(), 100);
    });
}

#[test]
fn a_job_that_cannot_be_sent_ends() {
    succeeds("odds::helper_cannot_send");
}

/// The descriptors of shared memory.
fn descriptors() -> BTreeSet<i32> {
    let all = std::fs::read_dir("/proc/self/fd").unwrap().map(|fd| fd.unwrap().path());
    let is_memory = |path: &PathBuf| {
        std::fs::read_link(path).is_ok_and(|link| link.to_string_lossy().contains("memfd:"))
    };
    all.filter(is_memory).filter_map(|fd| fd.file_name()?.to_str()?.parse().ok()).collect()
}

#[test]
#[ignore = "a process for another test"]
fn helper_cannot_send() {
    block_on(async {
        let pool = one().build();
        pool.run(jobs::nothing::job()).await.unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let before = descriptors();
        // The blob's number is above these: the system gives the lowest, so nobody else gets it while it is closed.
        let below = [(); 100].map(|()| null.try_clone().unwrap());
        let blob = BlobMut::zeroed(100).unwrap().freeze().unwrap();
        drop(below);
        let made: Vec<_> = descriptors().difference(&before).copied().collect();
        let [made] = made[..] else { panic!("{made:?}") };
        // SAFETY: the blob's, and nobody else gets its number before it is there again.
        unsafe { libc::close(made) };
        let error = pool.run(jobs::length::job(blob.clone())).await.unwrap_err();
        // SAFETY: for the blob to close.
        assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), made) }, made);
        drop(blob);
        let Failure::Protocol { reason } = error.failure() else { panic!("{error:?}") };
        assert!(reason.contains("could not be written to"), "{reason}");
        assert!(error.is_retryable() && !error.may_have_run());
        assert_eq!(pool.run(jobs::add::job(1, 1)).await.unwrap(), 2);
    });
}

#[test]
fn workers_are_started_when_there_are_threads_again() {
    succeeds("odds::helper_has_no_threads");
}

#[test]
#[ignore = "a process for another test"]
fn helper_has_no_threads() {
    block_on(async {
        let pool = one().build();
        let before = getrlimit(Resource::As);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let size = 1024 * size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        // Room for all else, and not for the stack of a thread.
        setrlimit(Resource::As, Rlimit { current: Some(size + (1 << 20)), ..before }).unwrap();
        let error = pool.run(jobs::nothing::job()).await.unwrap_err();
        setrlimit(Resource::As, before).unwrap();
        assert!(matches!(error.failure(), Failure::WorkerStart { .. }), "{error}");
        while pool.run(jobs::nothing::job()).await.is_err() {}
    });
}
