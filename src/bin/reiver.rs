//! `reiver ps PID` and `reiver pstree PID`: the tasks of a running process.

use std::io::{self, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: reiver ps PID      a table of the tasks of process PID
       reiver pstree PID  the same as a tree: each task below that which spawned it

The process must run as the same user and have a debug endpoint: start it with REIVER_DEBUG=1 in its
environment, or build its runtime with Builder::debug_endpoint(true).";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (request, process) = match args[..] {
        [request @ ("ps" | "pstree"), process] => (request, process.parse()),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Ok(process) = process else {
        eprintln!("reiver: PID must be a number");
        return ExitCode::from(2);
    };
    // A reader that has seen enough, as `head` has, is no failure.
    let shown = reiver::runtime::inspect(process, request)
        .map(|answer| _ = io::stdout().write_all(answer.as_bytes()));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reiver: {error}");
            ExitCode::FAILURE
        }
    }
}
