//! System calls, counted by the kernel where `perf` can ask it to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Counts the system calls of all threads that a process has, if `BENCH_CALLS` asks for it.
pub struct Calls {
    perf: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Calls {
    pub fn start(process: u32) -> Option<Self> {
        std::env::var_os("BENCH_CALLS")?;
        let mut perf = Command::new("perf")
            .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "--delay=-1"])
            .args(["--control=fd:0,1", "--pid", &process.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("perf is installed");
        let orders = perf.stdin.take().expect("piped");
        let answers = BufReader::new(perf.stdout.take().expect("piped"));
        let mut this = Self { perf, orders, answers };
        this.order("enable");
        Some(this)
    }

    /// How many there were.
    pub fn stop(mut self) -> f64 {
        self.order("disable");
        // It knows no order to end. SAFETY: a child that nobody has waited for.
        assert_eq!(unsafe { libc::kill(self.perf.id() as i32, libc::SIGINT) }, 0, "it runs");
        let output = self.perf.wait_with_output().expect("a child");
        // On other lines it says that events are on or off.
        let text = String::from_utf8_lossy(&output.stderr);
        let mut counts = text.lines().filter_map(|line| line.split(',').next()?.parse().ok());
        let count = counts.next();
        count.unwrap_or_else(|| panic!("perf counts: {text}"))
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("perf listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("perf answers");
        assert_eq!(answer.trim_matches(['\n', '\0']), "ack", "perf answers");
    }
}
