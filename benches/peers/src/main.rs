//! Runs one case on one runtime and prints its figures: `reiver-bench RUNTIME CASE`, or `list`. Some cases
//! there are also without a runtime, to be noted beside: on crossbeam's and flume's channels, on a bare epoll
//! loop, and in Go and Python where these are installed.
//!
//! `benches/compare.rs` starts it once for each round, so that no runtime inherits another's heap,
//! threads or page tables.

mod callgrind;
mod calls;
mod cases;
mod measure;
mod rt;
mod slot;

use measure::Figures;
use rt::Rt;
use rt::reiver::Reiver;

/// How many workers every runtime gets: `BENCH_WORKERS`, or 2.
fn workers() -> usize {
    std::env::var("BENCH_WORKERS").map_or(2, |text| number(&text))
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn run<R: Rt>(name: &str) -> Figures {
    let find = |cases: Vec<cases::Case>| cases.into_iter().find(|(case, _)| *case == name);
    assert!(find(cases::all::<Reiver>()).is_some(), "no case is called {name}; see `list`");
    // Without figures: the runtime has no such thing.
    let Some((_, case)) = find(cases::all::<R>()) else { return Vec::new() };
    R::start(workers());
    case()
}

/// One of those that are no runtime's.
fn beside(cases: &[cases::Case], name: &str) -> Figures {
    let case = cases.iter().find(|(case, _)| *case == name);
    case.map_or_else(Vec::new, |(_, case)| case())
}

/// Keeps this process and its children on the first core it may use.
fn stay_on_one_core() {
    // SAFETY: a set of bits, which the calls read and write within its size.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of_val(&set);
        libc::sched_getaffinity(0, size, &mut set) == 0 && {
            let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| libc::CPU_ISSET(cpu, &set));
            libc::CPU_ZERO(&mut set);
            libc::CPU_SET(first.expect("this runs somewhere"), &mut set);
            libc::sched_setaffinity(0, size, &set) == 0
        }
    };
    assert!(done, "cannot stay on one core: {}", std::io::Error::last_os_error());
}

fn main() {
    if std::env::var_os("BENCH_ONE_CORE").is_some_and(|value| !value.is_empty()) {
        stay_on_one_core();
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let figures = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            cases::all::<Reiver>().iter().for_each(|(name, _)| println!("{name}"));
            return;
        }
        ["client", kind, address, connections, rounds] => {
            cases::net::client(kind, address, number(connections), number(rounds));
            return;
        }
        ["reiver", case] => run::<Reiver>(case),
        ["tokio", case] => run::<rt::tokio::Tokio>(case),
        ["smol", case] => run::<rt::smol::Smol>(case),
        ["crossbeam", case] => beside(cases::channels::CROSSBEAM, case),
        ["flume", case] => beside(cases::channels::FLUME, case),
        ["epoll", case] => beside(cases::net::BARE, case),
        ["go", case] => cases::foreign::go(case),
        ["uvloop", case] => cases::foreign::uvloop(case),
        _ => {
            eprintln!("usage: reiver-bench list | reiver-bench reiver|tokio|smol CASE");
            std::process::exit(2);
        }
    };
    for (name, figure) in figures {
        println!("{name}={figure}");
    }
    // Not through the runtimes' shutdown, which has its own case.
    std::process::exit(0);
}
