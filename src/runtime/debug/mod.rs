//! The debug endpoint: a Unix socket on which a runtime shows its tasks, and a signal on which it writes
//! them to stderr.
//!
//! A thread of its own serves it, so that it answers while every worker is stuck: that is when it is wanted.
//! The thread waits for the socket and for a byte from the signal's handler, and ends when the runtime has
//! closed its side of that pair.
//!
//! # Who may ask
//!
//! The user that the process runs as, and nobody else, three times over: the directory is that user's and
//! of mode 0700, the socket of mode 0600, and whoever connects is asked for by the kernel's word. A request is one
//! line of at most [`LONGEST`] bytes, and a client has [`PATIENCE`] in all: a slow or mad one costs the others
//! that time, and the runtime nothing.
//!
//! Rejected: HTTP on a port (any user of the machine, and any web page, could ask); a task of the runtime's own
//! (it would wait behind what it is to show); a format for programs (`Handle::dump` is there for them).

mod text;

use super::Handle;
use crate::primitive::{Arc, clock, thread};
use crate::scheduler::{Shared, Trigger};
use crate::util::abort::AbortOnUnwind;
use crate::util::peer::peer;
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook_registry::SigId;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

/// The longest request.
const LONGEST: usize = 64;
/// How long one client may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many runtimes of one process have an endpoint at most.
const MOST: usize = 64;
/// The thread's stack: it runs no user code.
const STACK: usize = 512 * 1024;

/// The endpoint of one runtime, until it is dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    path: Option<PathBuf>,
    signal: Option<SigId>,
    /// The thread ends when this and the handler's are closed.
    _end: UnixStream,
}

impl Endpoint {
    /// Serves `shared` on a socket, if `listens`, and on `signal`.
    ///
    /// # Errors
    ///
    /// If the directory is somebody else's or open to others, if the signal cannot be listened to, and if
    /// there are no descriptors or threads.
    pub(super) fn start(
        shared: &Arc<Shared>,
        listens: bool,
        signal: Option<i32>,
    ) -> io::Result<Self> {
        let (end, ended) = UnixStream::pair()?;
        end.set_nonblocking(true)?;
        ended.set_nonblocking(true)?;
        let mut endpoint = Self { path: None, signal: None, _end: end.try_clone()? };
        let mut listener = None;
        if listens {
            let (path, socket) = listen(&directory()?)?;
            endpoint.path = Some(path);
            listener = Some(socket);
        }
        if let Some(signal) = signal {
            // SAFETY: the handler writes a byte into a socket that does not block, and does nothing else.
            let id = unsafe {
                signal_hook_registry::register(signal, move || _ = rustix::io::write(&end, b"!"))
            };
            endpoint.signal = Some(id?);
        }
        let server = Server { listener, ended, shared: Arc::downgrade(shared) };
        let builder = thread::Builder::new().name("reiver-debug".to_owned()).stack_size(STACK);
        builder.spawn(move || {
            let _abort = AbortOnUnwind::new("the debug endpoint");
            server.run();
        })?;
        Ok(endpoint)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(id) = self.signal {
            signal_hook_registry::unregister(id);
        }
        if let Some(path) = &self.path {
            // Gone already, if somebody tidied up.
            let _ = fs::remove_file(path);
        }
    }
}

/// The directory of this user's sockets, which nobody else may look into.
fn directory() -> io::Result<PathBuf> {
    let me = rustix::process::geteuid().as_raw();
    let path = PathBuf::from(format!("/tmp/reiver-{me}"));
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Not followed: a link there is somebody's trap.
    let found = fs::symlink_metadata(&path)?;
    if !found.is_dir() || found.uid() != me || found.mode() & 0o077 != 0 {
        let text = format!("{} is not a directory of this user's alone", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(path)
}

/// Listens on the first free socket of this process.
fn listen(directory: &Path) -> io::Result<(PathBuf, UnixListener)> {
    let process = std::process::id();
    for number in 0..MOST {
        let path = directory.join(format!("{process}.{number}"));
        // What nobody listens on was left by a process that had this number before.
        if UnixStream::connect(&path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            let _ = fs::remove_file(&path);
        }
        match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => {
                let listener = result?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                listener.set_nonblocking(true)?;
                return Ok((path, listener));
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "too many debug endpoints in this process"))
}

struct Server {
    listener: Option<UnixListener>,
    ended: UnixStream,
    shared: Weak<Shared>,
}

impl Server {
    fn run(mut self) {
        loop {
            {
                let mut fds = vec![PollFd::new(&self.ended, PollFlags::IN)];
                fds.extend(self.listener.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
                // Interrupted, at most.
                let _ = poll(&mut fds, None);
            }
            let mut asked = [0; 16];
            let is_asked = match self.ended.read(&mut asked) {
                Ok(0) => return,
                Ok(_) => true,
                Err(_) => false,
            };
            let Some(shared) = self.shared.upgrade() else { return };
            let handle = Handle::new(shared);
            if is_asked {
                eprint!("{}", text::table(&handle));
                handle.shared().trigger_here(Trigger::Signal);
            }
            let client = self.listener.as_ref().and_then(|listener| listener.accept().ok());
            if let Some((client, _)) = client {
                // A client that goes away, or is none of ours.
                let _ = serve(client, &handle);
            }
        }
    }
}

/// Whether a client of that user is answered.
fn is_admitted(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw()
}

fn serve(mut client: UnixStream, handle: &Handle) -> io::Result<()> {
    if !is_admitted(peer(&client)?.user) {
        return Ok(());
    }
    client.set_nonblocking(false)?;
    let deadline = clock::now() + PATIENCE;
    let left = || {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(Some(left)) }
    };
    let mut request = Vec::new();
    while request.len() < LONGEST && !request.contains(&b'\n') {
        client.set_read_timeout(left()?)?;
        let mut more = [0; LONGEST];
        match client.read(&mut more)? {
            0 => break,
            read => request.extend_from_slice(&more[..read]),
        }
    }
    let answer = match request.trim_ascii() {
        b"ps" => text::table(handle),
        b"pstree" => text::tree(handle),
        _ => "unknown request\n".to_owned(),
    };
    let mut answer = answer.as_bytes();
    while !answer.is_empty() {
        client.set_write_timeout(left()?)?;
        let written = client.write(answer)?;
        answer = &answer[written..];
    }
    Ok(())
}

/// What a process of this user's answers to a request: what the program `reiver` prints.
///
/// `ps` is a table of the tasks, `pstree` the same as a tree, each task below that which spawned it. The process
/// must have a [debug endpoint](super::Builder::debug_endpoint); the answers of all its runtimes come one after
/// the other. Blocks the thread.
///
/// # Errors
///
/// [`NotFound`](io::ErrorKind::NotFound) if it has no endpoint, and what goes wrong with the socket.
///
/// # Examples
///
/// ```
/// use reiver::runtime::{Builder, inspect};
/// let runtime = Builder::new_multi_thread().debug_endpoint(true).build()?;
/// let task = reiver::task::Builder::new().name("idler");
/// task.spawn_on(std::future::pending::<()>(), runtime.handle())?;
/// let table = inspect(std::process::id(), "ps")?;
/// assert!(table.contains("idler"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn inspect(process: u32, request: &str) -> io::Result<String> {
    let mine = format!("{process}.");
    let mut sockets: Vec<PathBuf> = fs::read_dir(directory()?)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&mine))
        })
        .collect();
    sockets.sort();
    let mut answers = None;
    for path in sockets {
        match ask(&path, request) {
            Ok(answer) => answers.get_or_insert_with(String::new).push_str(&answer),
            // Left by a process that was killed, or of a runtime that has just ended.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    answers.ok_or_else(|| {
        let text = format!(
            "process {process} has no debug endpoint for this user: it needs REIVER_DEBUG=1 in its \
             environment, or Builder::debug_endpoint"
        );
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

fn ask(path: &Path, request: &str) -> io::Result<String> {
    let mut socket = UnixStream::connect(path)?;
    socket.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_is_admitted() {
        let me = rustix::process::geteuid().as_raw();
        assert!(is_admitted(me));
        assert!(!is_admitted(me + 1) && !is_admitted(u32::MAX) && (me == 0 || !is_admitted(0)));
        let (here, _there) = UnixStream::pair().unwrap();
        assert_eq!(peer(&here).unwrap().user, me);
    }

    #[test]
    fn the_directory_is_private_and_the_socket_too() {
        let directory = directory().unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        let (path, _listener) = listen(&directory).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (other, listener) = listen(&directory).unwrap();
        assert_ne!(path, other, "it is in use");
        drop(listener);
        let (again, _listener) = listen(&directory).unwrap();
        assert_eq!(again, other, "nobody listens there any more");
        fs::remove_file(path).unwrap();
        fs::remove_file(again).unwrap();
    }

    /// With the directory and the socket wide open, the kernel's word is left.
    #[test]
    fn another_user_gets_no_answer() {
        use std::os::unix::process::CommandExt;
        use std::process::Command;
        const NOBODY: u32 = 65_534;
        let me = rustix::process::geteuid().as_raw();
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777));
        let directory = std::env::temp_dir().join(format!("reiver-open-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        open(&directory).unwrap();
        let (path, listener) = listen(&directory).unwrap();
        open(&path).unwrap();
        let runtime = super::super::Builder::new_current_thread().build().unwrap();
        let (end, ended) = UnixStream::pair().unwrap();
        ended.set_nonblocking(true).unwrap();
        let shared = Arc::downgrade(runtime.handle().shared());
        let server = Server { listener: Some(listener), ended, shared };
        let server = std::thread::spawn(move || server.run());
        // Only root can become somebody else.
        let users = if me == 0 { vec![me, NOBODY] } else { vec![me] };
        for user in users {
            let path = path.clone();
            let mut child = Command::new("true");
            // SAFETY: between fork and exec; the C library's allocator can be used there.
            unsafe {
                child.uid(user).pre_exec(move || {
                    let mut client = UnixStream::connect(&path)?;
                    let mut answer = [0; 8];
                    // Both may fail: the other side has gone.
                    let asked = client.write_all(b"ps\n");
                    let read = asked.and_then(|()| client.read(&mut answer)).unwrap_or(0);
                    if read == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EXFULL)) }
                })
            };
            let refused = match child.status() {
                Ok(status) => status.success(),
                Err(error) if error.raw_os_error() == Some(libc::EXFULL) => false,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(refused, user != me, "user {user}");
        }
        drop(end);
        server.join().unwrap();
        fs::remove_dir_all(directory).unwrap();
    }
}
