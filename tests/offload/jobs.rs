//! The functions that the tests run elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[reiver::offload]
pub fn add(a: u32, b: u32) -> u32 {
    a + b
}

#[reiver::offload]
pub fn pid() -> u32 {
    std::process::id()
}

#[reiver::offload]
pub fn nothing() {}

#[reiver::offload]
pub fn lengths(text: &str, bytes: &[u8], owned: Vec<u8>, map: HashMap<String, u64>) -> Vec<u64> {
    vec![text.len() as u64, bytes.len() as u64, owned.len() as u64, map.values().sum()]
}

#[reiver::offload]
pub fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[reiver::offload]
pub fn fails(text: String) -> Result<u8, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

#[reiver::offload]
pub fn segv() {
    // SAFETY: not at all: nothing is mapped there.
    unsafe { std::ptr::without_provenance_mut::<u64>(64).write_volatile(1) }
}

#[reiver::offload]
pub fn abort() {
    eprintln!("about to abort");
    std::process::abort()
}

#[reiver::offload]
pub fn exits(code: i32) {
    std::process::exit(code)
}

#[reiver::offload]
#[allow(unconditional_recursion)]
pub fn overflow(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 512]);
    overflow(depth + 1) + room[(depth % 512) as usize]
}

#[reiver::offload]
pub fn raises(signal: i32) {
    // SAFETY: sends a signal to this process.
    unsafe { libc::kill(libc::getpid(), signal) };
    std::thread::sleep(Duration::from_secs(60));
}

#[reiver::offload]
pub fn panics(text: String) {
    panic!("{text}")
}

#[reiver::offload]
pub fn panics_at_length(chars: usize) {
    panic!("{}", "\u{e4}".repeat(chars))
}

#[reiver::offload]
pub fn panics_oddly() {
    std::panic::panic_any(42)
}

/// A panic's payload whose drop panics.
struct Worse;

impl Drop for Worse {
    fn drop(&mut self) {
        panic!("worse")
    }
}

#[reiver::offload]
pub fn panics_twice() {
    std::panic::panic_any(Worse)
}

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Bomb(pub bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!(self.0 && reiver::offload::in_worker()), "dropped");
    }
}

#[reiver::offload]
pub fn result_panics_in_drop(armed: bool) -> Bomb {
    Bomb(armed)
}

#[reiver::offload]
pub fn forever() {
    loop {
        std::hint::spin_loop();
    }
}

#[reiver::offload]
pub fn sleeps(ms: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(ms));
    std::process::id()
}

#[reiver::offload]
pub fn computes(ms: u64) -> u64 {
    let start = Instant::now();
    let mut n = 0;
    while start.elapsed() < Duration::from_millis(ms) {
        n += 1;
    }
    n
}

#[reiver::offload]
pub fn allocates(bytes: usize) -> usize {
    let mut room = vec![0_u8; bytes];
    room.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(room).len()
}

#[reiver::offload]
pub fn descriptors() -> Vec<i32> {
    let list = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut all: Vec<i32> =
        list.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    all.sort_unstable();
    all.pop(); // that of the list
    all
}

#[reiver::offload]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars().collect()
}

#[reiver::offload]
pub fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap()
}

/// Starts a program, and gives its process.
#[reiver::offload]
pub fn leaves_a_child() -> u32 {
    std::process::Command::new("sleep").arg("600").spawn().unwrap().id()
}

#[reiver::offload]
pub fn forks() -> i32 {
    // SAFETY: the child does nothing but exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(7) }
    }
    let mut status = 0;
    // SAFETY: waits for the child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    libc::WEXITSTATUS(status)
}

/// Leaves a process that has the channel and runs on, and dies.
#[reiver::offload]
pub fn forks_and_dies() {
    // SAFETY: the child does nothing but sleep and exit.
    unsafe {
        if libc::fork() == 0 {
            libc::sleep(600);
            libc::_exit(0)
        }
    }
    std::process::abort()
}

/// An initialiser: the worker dies when it has said that it is ready.
#[reiver::offload]
pub fn dies_soon() {
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::process::abort()
    });
}

#[reiver::offload]
pub fn length(blob: reiver::offload::Blob) -> usize {
    blob.len()
}

#[reiver::offload]
pub fn prints(text: String) -> usize {
    println!("{text}");
    eprintln!("{text}");
    text.len()
}

#[reiver::offload]
pub fn says_much(bytes: usize) -> usize {
    eprint!("{}", "x".repeat(bytes));
    bytes
}

#[reiver::offload]
pub fn says_and_dies(text: String) {
    eprint!("{}{text}", "x".repeat(100_000));
    std::process::exit(9)
}

#[reiver::offload]
pub fn closes_its_channel() {
    // SAFETY: not quite: the channel's owner is not asked.
    unsafe { libc::shutdown(3, libc::SHUT_RDWR) };
    std::thread::sleep(Duration::from_secs(600));
}

#[reiver::offload]
pub fn writes_garbage(bytes: Vec<u8>) {
    // SAFETY: a write to whatever is there.
    unsafe { libc::write(3, bytes.as_ptr().cast(), bytes.len()) };
    std::thread::sleep(Duration::from_secs(600));
}

#[reiver::offload]
pub fn nested() -> String {
    let runtime = reiver::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(add::offload(1, 2)) {
        Ok(sum) => sum.to_string(),
        Err(error) => format!("{:?}", error.failure()),
    }
}

#[reiver::offload]
pub fn touches(path: String) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(b"x").unwrap();
}

/// Aborts the first time, and leaves a mark at `path`.
#[reiver::offload]
pub fn works_the_second_time(path: String) -> u32 {
    if std::fs::exists(&path).unwrap() {
        return 2;
    }
    std::fs::write(path, "").unwrap();
    std::process::abort()
}

static PREPARED: std::sync::OnceLock<u32> = std::sync::OnceLock::new();

#[reiver::offload]
pub fn prepares(value: u32) {
    assert!(value != 13, "13 brings bad luck");
    PREPARED.set(value).unwrap();
}

#[reiver::offload]
pub fn prepared() -> Option<u32> {
    PREPARED.get().copied()
}

pub mod other {
    /// The same name as elsewhere.
    #[reiver::offload]
    pub fn add(a: u32, b: u32) -> u32 {
        a * 1000 + b
    }
}

/// As a C++ static: built by a constructor before `main`.
static BUILT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

extern "C" fn build() {
    BUILT.store(41, std::sync::atomic::Ordering::Relaxed);
}

#[used]
// SAFETY: a table of such functions.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = build;

#[reiver::offload]
pub fn built() -> u32 {
    BUILT.load(std::sync::atomic::Ordering::Relaxed)
}

#[reiver::offload]
pub fn shouts(len: usize) -> u32 {
    use std::io::Write;
    std::io::stderr().write_all(&vec![b'!'; len]).unwrap();
    std::process::id()
}

/// Leaves a mark in the directory, and waits until there is a file `open`, or no directory any more.
#[reiver::offload]
pub fn waits(directory: String) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let gate = std::path::Path::new(&directory);
    // Of different pools without processes there may be two in one.
    _ = std::fs::write(gate.join(format!("{pid}-{}", NEXT.fetch_add(1, Relaxed))), "");
    let start = Instant::now();
    while gate.exists() && !gate.join("open").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody opens the gate");
        std::thread::sleep(Duration::from_millis(1));
    }
    pid
}

/// Says that it has begun, goes on until it is told to stop, and leaves a mark then.
#[reiver::offload]
pub fn stops(begun: String, mark: String) -> u32 {
    std::fs::write(begun, "").unwrap();
    while !reiver::offload::stop_requested() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(mark, "cleaned up").unwrap();
    std::process::id()
}

#[reiver::offload]
pub fn is_asked_to_stop() -> bool {
    reiver::offload::stop_requested()
}

/// What the system says of this process, but for numbers of processes and addresses.
#[reiver::offload]
pub fn portrait() -> Vec<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let link = |path: &str| std::fs::read_link(path).unwrap().to_str().unwrap().to_owned();
    let mut all = Vec::new();
    let mut add = |name: &str, value: String| all.push((name.to_owned(), value));
    // Of this thread: the main thread may be in the middle of making it, with all signals blocked.
    for line in read("/proc/thread-self/status").lines() {
        let (name, value) = line.split_once(':').unwrap();
        let wanted =
            ["Name", "Umask", "PPid", "Uid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapEff"];
        if wanted.contains(&name) || ["NoNewPrivs", "Cpus_allowed", "Threads"].contains(&name) {
            add(name, value.trim().to_owned());
        }
    }
    let fds: Vec<i32> = descriptors();
    for fd in fds {
        let target = link(&format!("/proc/self/fd/{fd}"));
        let flags = read(&format!("/proc/self/fdinfo/{fd}"));
        let flags = flags.lines().find(|line| line.starts_with("flags:")).unwrap();
        let kind = target.split('[').next().unwrap();
        add(&format!("descriptor {fd}"), format!("{kind} {flags}"));
    }
    for file in ["oom_score_adj", "cmdline", "limits", "cgroup"] {
        add(file, read(&format!("/proc/self/{file}")));
    }
    // SAFETY: these ask.
    unsafe {
        add("nice", libc::getpriority(libc::PRIO_PROCESS, 0).to_string());
        add("leads its group", (libc::getpgrp() == libc::getpid()).to_string());
        add("session", libc::getsid(0).to_string());
    }
    add("directory", link("/proc/self/cwd"));
    let mut environment = environment();
    environment.sort();
    add("environment", format!("{environment:?}"));
    let arguments: Vec<String> = std::env::args().collect();
    add("arguments", format!("{arguments:?}"));
    all
}

#[reiver::offload]
pub fn directory() -> String {
    std::env::current_dir().unwrap().to_str().unwrap().to_owned()
}

/// The keys of maps, which nobody should know beforehand.
#[reiver::offload]
pub fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1)
}

/// Where the program is, which is another place for each process that the loader has loaded.
#[reiver::offload]
pub fn address() -> usize {
    address as *const () as usize
}

/// The C library's opinion of the main thread: whether its number is one of this process.
static MAIN_IS_KNOWN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

extern "C" fn look_at_main() {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both write where they are told.
    let known = unsafe {
        libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) == 0
            && libc::clock_gettime(clock, &mut time) == 0
    };
    MAIN_IS_KNOWN.store(known, Relaxed);
    if std::env::var_os("REIVER_TEST_DIES_AS_A_COPY").is_some() {
        let first = std::fs::read("/proc/self/environ").unwrap();
        if String::from_utf8_lossy(&first).contains(" template ") {
            std::process::abort();
        }
    }
}

#[used]
// SAFETY: a table of such functions.
#[unsafe(link_section = ".init_array")]
static LOOK_AT_MAIN: extern "C" fn() = look_at_main;

#[reiver::offload]
pub fn main_is_known() -> bool {
    MAIN_IS_KNOWN.load(Relaxed)
}
