//! A template: a process of this program that has run nothing of it, and makes workers by `clone` when it is asked to.
//!
//! With `CLONE_PARENT` they are our parent's children, as if it had started them itself. They have everything from here,
//! and come back from [`serve`] with their orders, to go on as a process that was started as a worker.
//!
//! `clone` is called raw, past the C library, whose `fork` knows no such flag. What that does in the new process is
//! done here or not needed: this process has one thread, or it is no template; the number of the thread, which the
//! library keeps, is written by the kernel, where it says the address. What is left out are the functions of
//! `pthread_atfork`, which only libraries can have set that have constructors, and the list of robust locks of the main
//! thread, which only polls.

use super::super::orders::Orders;
use super::prepare::{belong_to, close_from};
use rustix::io::retry_on_intr;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::{CStr, c_long, c_void};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

/// Whether there are templates here.
pub(in crate::offload) const HAS_TEMPLATES: bool = true;
/// More than any orders have.
const LONGEST: usize = 1024;
/// Its channel, its error output, and its output.
const DESCRIPTORS: usize = 3;

/// Where the kernel writes numbers of threads.
struct Words {
    /// Shared with the parent: that of the worker.
    worker: *mut c_void,
    /// The C library's of this thread.
    own: *mut c_void,
}

/// Makes workers until the parent is gone. Returns in each of them; without orders if they make no sense.
pub(super) fn serve(parent: u32) -> Option<Orders> {
    let Ok(words) = prepare(parent) else { end() };
    // SAFETY: the control socket: nobody closes it in a template, and a worker leaves the loop.
    let control = unsafe { BorrowedFd::borrow_raw(0) };
    loop {
        // It is ready; it has made the worker, or could not.
        if retry_on_intr(|| rustix::net::send(control, &[1], SendFlags::NOSIGNAL)).is_err() {
            end()
        }
        let Ok((text, descriptors)) = receive(control, parent) else { end() };
        if clone(&words) == 0 {
            return become_worker(&text, descriptors);
        }
    }
}

/// Nothing of the program has run, so there is nothing to end in good order.
fn end() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

/// Makes this process a template.
fn prepare(parent: u32) -> io::Result<Words> {
    belong_to(parent)?;
    close_from(3);
    set_socket_passcred(rustix::stdio::stdin(), true)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::thread::set_no_new_privs(true)?;
    let _ = rustix::thread::set_name(c"reiver-template");
    // Threads of a library would be missing in the workers.
    if std::fs::read_dir("/proc/self/task")?.count() != 1 || is_ancient() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, where the system wants it, which stays; no reference is made to it.
    let worker = unsafe {
        let output = rustix::stdio::stdout();
        let size = size_of::<u32>();
        let start =
            rustix::mm::mmap(ptr::null_mut(), size, protection, MapFlags::SHARED, output, 0)?;
        // Workers do not have it.
        rustix::mm::madvise(start, size, Advice::LinuxDontFork)?;
        // So that the kernel finds the page there.
        start.cast::<u32>().write_volatile(0);
        start
    };
    let own = rustix::thread::get_clear_child_tid_address()?;
    let number = rustix::thread::gettid().as_raw_nonzero().get();
    // SAFETY: the C library has named the address as that of a word of its own.
    let own = own.filter(|own| unsafe { own.cast::<i32>().read() } == number);
    let own = own.ok_or(io::ErrorKind::Unsupported)?.as_ptr();
    Ok(Words { worker, own })
}

/// Whether the C library keeps the number of its process: before 2.25.
fn is_ancient() -> bool {
    // SAFETY: a text that ends and stays.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    let version = version.to_str().ok().and_then(|text| text.split_once('.'));
    let version = version.and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
    version.is_none_or(|version| version < (2, 25))
}

/// 0 in the worker that it makes; negative if it makes none.
fn clone(words: &Words) -> c_long {
    let theirs = libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
    let flags = theirs | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    let none = ptr::null_mut::<c_void>();
    // The last two are the thread's number and its local memory, in either order.
    let last = if cfg!(target_arch = "x86_64") { [words.own, none] } else { [none, words.own] };
    // SAFETY: as `fork`: memory and stack are copied, and this process has one thread. The words are writable.
    unsafe {
        libc::syscall(libc::SYS_clone, c_long::from(flags), none, words.worker, last[0], last[1])
    }
}

/// A request. An error also if the parent has become another user's since, or a child of it asks.
fn receive(control: BorrowedFd<'_>, parent: u32) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut text = vec![0; LONGEST];
    const SPACE: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS), ScmCredentials(1));
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        let parts = &mut [IoSliceMut::new(&mut text)];
        rustix::net::recvmsg(control, parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    text.truncate(received.bytes);
    let (mut all, mut is_parents) = (Vec::new(), false);
    for message in ancillary.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(descriptors) => all.extend(descriptors),
            RecvAncillaryMessage::ScmCredentials(sender) => {
                let us = (rustix::process::getuid(), rustix::process::getgid());
                let is_us = (sender.uid, sender.gid) == us;
                is_parents = is_us && sender.pid.as_raw_nonzero().get() as u32 == parent;
            }
            _ => {}
        }
    }
    if !is_parents {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok((String::from_utf8(text).map_err(io::Error::other)?, all))
}

/// What a process that was started as a worker has.
fn become_worker(text: &str, descriptors: Vec<OwnedFd>) -> Option<Orders> {
    let _ = rustix::process::setpgid(None, None);
    let [channel, errors, output @ ..] = &descriptors[..] else { end() };
    let moved = match output {
        [output] => rustix::stdio::dup2_stdout(output),
        // That of the template is /dev/null.
        _ => rustix::stdio::dup2_stdout(rustix::stdio::stderr()),
    };
    let moved = moved.and_then(|()| rustix::stdio::dup2_stderr(errors));
    if moved.and_then(|()| rustix::stdio::dup2_stdin(channel)).is_err() {
        end()
    }
    Orders::parse(text)
}
