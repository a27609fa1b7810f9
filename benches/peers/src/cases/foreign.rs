//! Other languages, where they are installed: Go, and Python with uvloop. No figures otherwise.
//!
//! `benches/beside` has their programs. An echo server says its port, and its CPU time is what the kernel
//! has counted for its threads; all else prints its own figures.

use super::net::{Client, ECHO_1, ECHO_16, ECHO_64, ECHO_1000};
use crate::calls::Calls;
use crate::measure::Figures;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn program(name: &str) -> String {
    format!("{}/../beside/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub fn go(case: &str) -> Figures {
    let here = std::env::current_exe().expect("Linux");
    let built = here.with_file_name("reiver-bench-go");
    // Go finds by itself whether it has anything to do.
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&built).arg(program("main.go")).env("GO111MODULE", "off");
    if !succeeds(&mut build) {
        return Vec::new();
    }
    let mut command = Command::new(&built);
    command.arg(case).env("GOMAXPROCS", crate::workers().to_string());
    if case.starts_with("echo_") { echo(command, case) } else { figures(command) }
}

pub fn uvloop(case: &str) -> Figures {
    let mut command = Command::new("python3");
    if !case.starts_with("echo_") || !succeeds(command.args(["-c", "import uvloop"])) {
        return Vec::new();
    }
    let mut command = Command::new("python3");
    command.arg(program("echo.py"));
    echo(command, case)
}

/// What a program prints of itself.
fn figures(mut command: Command) -> Figures {
    let output = command.output().expect("starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let figure = |name: &'static str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Some((name, line?.parse().ok()?))
    };
    ["ns", "cpu ns"].into_iter().filter_map(figure).collect()
}

/// The client against a server that says its port.
fn echo(mut server: Command, case: &str) -> Figures {
    let size = match case {
        "echo_1" => ECHO_1,
        "echo_16" => ECHO_16,
        "echo_64" => ECHO_64,
        "echo_1000" => ECHO_1000,
        _ => return Vec::new(),
    };
    let mut server = server.stdout(Stdio::piped()).spawn().expect("starts");
    let mut port = String::new();
    let mut said = BufReader::new(server.stdout.take().expect("piped"));
    said.read_line(&mut port).expect("text");
    let port = port.trim().parse::<u16>().expect("a port");
    let client = Client::connect(([127, 0, 0, 1], port).into(), "tcp", size);
    let calls = Calls::start(server.id());
    let (wall, cpu) = (Instant::now(), cpu_time(server.id()));
    client.run();
    let messages = (size.0 * size.1) as f64;
    let per_message = |time: Duration| time.as_nanos() as f64 / messages;
    let mut figures = vec![
        ("ns", per_message(wall.elapsed())),
        ("cpu ns", per_message(cpu_time(server.id()).saturating_sub(cpu))),
    ];
    if let Some(calls) = calls {
        figures = vec![("calls", calls.stop() / messages)];
    }
    server.kill().and_then(|()| server.wait()).expect("a child");
    figures
}

/// The CPU time of all threads that a process has.
fn cpu_time(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("a child");
    let of_task = |path: &Path| -> Option<u64> {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let times = tasks.filter_map(|task| of_task(&task.ok()?.path()));
    Duration::from_nanos(times.sum())
}
