//! An echo server without a runtime: one thread and one epoll, as little as can be between the system calls.
//!
//! Edge-triggered, as the runtimes have it. A read that does not fill its buffer has emptied the socket, so
//! that a message takes two calls, and an event for all that arrived meanwhile one more.

use std::io::{self, Error, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

/// As the runtimes' tasks.
const BUFFER: usize = 256;
/// How many events are taken at once.
const EVENTS: usize = 1024;

/// Serves connections for ever.
pub fn echo(listener: TcpListener) {
    // SAFETY: a call without pointers.
    let epoll = check(unsafe { libc::epoll_create1(0) }).expect("a descriptor");
    let door = listener.as_raw_fd();
    listener.set_nonblocking(true).expect("a socket");
    watch(epoll, door, libc::EPOLLIN);
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    loop {
        let room = EVENTS as i32;
        // SAFETY: there is room for so many.
        let n = check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, -1) });
        for event in &events[..n.expect("no signals") as usize] {
            let fd = event.u64 as RawFd;
            if fd != door {
                answer(fd);
                continue;
            }
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).expect("a socket");
                stream.set_nodelay(true).expect("a socket");
                watch(epoll, stream.into_raw_fd(), libc::EPOLLIN | libc::EPOLLET);
            }
        }
    }
}

/// What has come goes back; at its end the connection is closed.
fn answer(fd: RawFd) {
    let mut buffer = [0u8; BUFFER];
    loop {
        // SAFETY: the buffer is so long.
        match unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), BUFFER, 0) } {
            n @ 1.. => {
                // SAFETY: as above.
                let sent = unsafe { libc::send(fd, buffer.as_ptr().cast(), n as usize, 0) };
                assert_eq!(sent, n, "there is room for a message");
                if (n as usize) < BUFFER {
                    return;
                }
            }
            n => {
                let waits = n < 0 && Error::last_os_error().kind() == ErrorKind::WouldBlock;
                if !waits {
                    // SAFETY: nobody else uses it.
                    unsafe { libc::close(fd) };
                }
                return;
            }
        }
    }
}

fn watch(epoll: RawFd, fd: RawFd, events: i32) {
    let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
    // SAFETY: the event is valid.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) })
        .expect("adds");
}

fn check(answer: i32) -> io::Result<i32> {
    if answer < 0 { Err(Error::last_os_error()) } else { Ok(answer) }
}
