//! The flight recorder's events as a file that Perfetto's UI opens: Chrome's trace events in JSON.
//!
//! A worker is a thread of the trace, and so is a thread of a blocking pool. A poll, a sleep, a look at the poller, a
//! job is a slice that ends where its next event begins (or where its worker says that it was stuck); what happens
//! inside of it is an instant in it. Written by hand: four shapes of object, and the only text from outside is escaped
//! by [`Quoted`]. That Perfetto finds nothing wrong with it is checked by `.ci/timeline`.

mod files;

pub(super) use files::Files;

use super::Handle;
use crate::scheduler::{Flight, Shared, Trigger};
use crate::task::Id;
use crate::util::ring::{Event, Recorded};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// The process's number. Perfetto takes the thread of the same number for its main thread, and whatever has number
/// 0 for that too: worker 0 was drawn over worker 1, and lost the slices that crossed one of those.
const PROCESS: usize = 1;
/// The number of worker 0.
const FIRST: usize = 2;
/// The number of the first blocking thread, above all workers'.
const JOBS: usize = 1_000_000;

pub(super) fn write(handle: &Handle, path: &Path) -> io::Result<()> {
    let Some(flight) = handle.shared().flight() else {
        let text = "this runtime has no flight recorder: see Builder::flight_recorder";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    write_flight(handle, &flight, None, path)
}

/// Writes what was read, and why if nobody asked for it.
fn write_flight(
    handle: &Handle,
    flight: &Flight,
    trigger: Option<Trigger>,
    path: &Path,
) -> io::Result<()> {
    let jobs = handle.blocking_jobs();
    let tasks = handle.dump();
    let all = tasks.iter().chain(jobs.iter().map(|job| job.task()));
    let names = all.filter_map(|task| Some((task.id(), task.name()?.to_owned()))).collect();
    let mut trace = Trace { out: BufWriter::new(File::create(path)?), is_first: true, names };
    write!(trace.out, "{{\"traceEvents\":[")?;
    trace.process()?;
    for worker in flight.events.chunk_by(|a, b| a.seat == b.seat) {
        let seat = worker[0].seat;
        trace.events(flight, worker, FIRST + seat, &who(handle.shared(), seat))?;
    }
    for thread in flight.jobs.chunk_by(|a, b| a.seat == b.seat) {
        let number = thread[0].seat;
        trace.events(flight, thread, JOBS + number, &format!("blocking thread {number}"))?;
    }
    if let Some(trigger) = trigger {
        trace.mark(&format!("written: {}", files::reason(trigger)), flight.end())?;
    }
    write!(trace.out, "],\"displayTimeUnit\":\"ns\"}}")?;
    trace.out.flush()
}

/// Whose seat it is.
fn who(shared: &Shared, seat: usize) -> String {
    let (workers, spare) = (shared.workers().max(1), shared.first_spare());
    match seat {
        seat if seat < workers => format!("worker {seat}"),
        seat if seat < spare => format!("in block_on {}", seat - workers),
        seat => format!("stand-in {}", seat - spare),
    }
}

struct Trace {
    out: BufWriter<File>,
    is_first: bool,
    names: HashMap<Id, String>,
}

impl Trace {
    /// What one thread did.
    fn events(
        &mut self,
        flight: &Flight,
        events: &[Recorded],
        thread: usize,
        name: &str,
    ) -> io::Result<()> {
        self.thread(thread, name)?;
        for (i, event) in events.iter().enumerate() {
            let start = flight.time(event.ticks);
            let name = self.name(event);
            if event.event.is_instant() {
                self.instant(thread, start, &name)?;
            } else if !name.is_empty() {
                // The last one goes on.
                let next = events[i + 1..].iter().find(|event| event.event.is_end());
                let end = next.map_or(flight.end(), |next| flight.time(next.ticks));
                let place = event.location.map(ToString::to_string).unwrap_or_default();
                self.slice(thread, start, end.saturating_sub(start), &name, &place)?;
            }
        }
        Ok(())
    }

    /// What to call it; nothing if it only ends what was before.
    fn name(&self, event: &Recorded) -> String {
        let Recorded { number, .. } = event;
        let task = || match event.task().and_then(|task| self.names.get(&task)) {
            Some(name) => format!("{number} {name}"),
            None => number.to_string(),
        };
        match event.event {
            Event::Poll => format!("poll of task {}", task()),
            Event::Root => "poll of a block_on".to_owned(),
            Event::Maintain => "looks for timers and tasks".to_owned(),
            Event::Turn => "looks into the poller".to_owned(),
            Event::Park => "asleep".to_owned(),
            Event::Wait => "asleep in the poller".to_owned(),
            Event::Timers => format!("timers due: {number}"),
            Event::Steal => format!("steals {number}"),
            Event::Spawn => format!("task {} is spawned", task()),
            Event::Ready => format!("task {} is ready", task()),
            Event::Seized => "is found stuck: others do its work".to_owned(),
            Event::Rescued => "was stuck, and is rescued".to_owned(),
            Event::Job => format!("blocking job {}", task()),
            Event::Unpark | Event::Idle => String::new(),
        }
    }

    fn instant(&mut self, thread: usize, at: Duration, name: &str) -> io::Result<()> {
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"i\",\"s\":\"t\",\"pid\":{PROCESS},\"tid\":{thread},\"ts\":{},\"name\":{}}}",
            micros(at),
            Quoted(name)
        )
    }

    /// An instant of the whole timeline.
    fn mark(&mut self, name: &str, at: Duration) -> io::Result<()> {
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"i\",\"s\":\"g\",\"pid\":{PROCESS},\"tid\":{FIRST},\"ts\":{},\"name\":{}}}",
            micros(at),
            Quoted(name)
        )
    }

    fn slice(
        &mut self,
        thread: usize,
        start: Duration,
        length: Duration,
        name: &str,
        place: &str,
    ) -> io::Result<()> {
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"X\",\"pid\":{PROCESS},\"tid\":{thread},\"ts\":{},\"dur\":{},\"name\":{},\
             \"args\":{{\"spawned at\":{}}}}}",
            micros(start),
            micros(length),
            Quoted(name),
            Quoted(place)
        )
    }

    /// The name of the whole: the program's.
    fn process(&mut self) -> io::Result<()> {
        let program = std::env::current_exe().unwrap_or_default();
        let name = program.file_stem().unwrap_or_default().to_string_lossy();
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"M\",\"pid\":{PROCESS},\"name\":\"process_name\",\
             \"args\":{{\"name\":{}}}}}",
            Quoted(&name)
        )
    }

    fn thread(&mut self, thread: usize, name: &str) -> io::Result<()> {
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"M\",\"pid\":{PROCESS},\"tid\":{thread},\"name\":\"thread_name\",\
             \"args\":{{\"name\":{}}}}}",
            Quoted(name)
        )
    }

    fn separate(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_first) { Ok(()) } else { self.out.write_all(b",\n") }
    }
}

/// The format's unit, with three digits after the point.
fn micros(time: Duration) -> String {
    format!("{}.{:03}", time.as_micros(), time.subsec_nanos() % 1000)
}

/// A string of JSON.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(Quoted("a\"b\\c\n\u{1b}é").to_string(), r#""a\"b\\c\u000a\u001bé""#);
        assert_eq!(micros(Duration::from_nanos(1_002_003)), "1002.003");
    }
}
