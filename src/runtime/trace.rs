//! The flight recorder's events as a file that Perfetto's UI opens: Chrome's trace events in JSON.
//!
//! A worker is a thread of the trace. A poll, a sleep, a look at the poller is a slice that ends where its
//! next event begins; what happens inside of a poll is an instant in it. Written by hand: three shapes of
//! object, and the only text from outside is escaped by [`Quoted`].

use super::Handle;
use crate::primitive::clock;
use crate::scheduler::{Event, Flight, Recorded};
use crate::task::Id;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

pub(super) fn write(handle: &Handle, path: &Path) -> io::Result<()> {
    let Some(flight) = handle.shared().flight() else {
        let text = "this runtime has no flight recorder: see Builder::flight_recorder";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    let at = clock::now();
    let tasks = handle.dump().into_iter();
    let names = tasks.filter_map(|task| Some((task.id(), task.name()?.to_owned()))).collect();
    let mut trace = Trace { out: BufWriter::new(File::create(path)?), is_first: true, names };
    write!(trace.out, "{{\"traceEvents\":[")?;
    for worker in flight.events.chunk_by(|a, b| a.seat == b.seat) {
        trace.thread(worker[0].seat, &format!("worker {}", worker[0].seat))?;
        trace.worker(&flight, worker)?;
    }
    // Above all workers.
    const JOBS: usize = 1_000_000;
    let late = clock::now().duration_since(at);
    for (i, job) in handle.blocking_jobs().iter().enumerate() {
        let Some(age) = job.age() else { continue };
        trace.thread(JOBS + i, "a blocking job")?;
        let end = flight.end() + late;
        let name = format!("blocking job {}", job.task().id());
        let place = job.task().location().to_string();
        trace.slice(JOBS + i, end.saturating_sub(age), age.min(end), &name, &place)?;
    }
    write!(trace.out, "],\"displayTimeUnit\":\"ns\"}}")?;
    trace.out.flush()
}

struct Trace {
    out: BufWriter<File>,
    is_first: bool,
    names: HashMap<Id, String>,
}

impl Trace {
    fn worker(&mut self, flight: &Flight, events: &[Recorded]) -> io::Result<()> {
        for (i, event) in events.iter().enumerate() {
            let start = flight.time(event.ticks);
            if let Event::Ready | Event::Rescued | Event::Steal = event.event {
                self.instant(event, start)?;
                continue;
            }
            // What is made ready is that inside a poll; all else is after it. The last slice goes on.
            let next = events[i + 1..].iter().find(|event| event.event != Event::Ready);
            let end = next.map_or(flight.end(), |next| flight.time(next.ticks));
            if let Event::Unpark = event.event {
                continue;
            }
            let name = match (event.event, event.task()) {
                (Event::Poll, Some(task)) => match self.names.get(&task) {
                    Some(name) => format!("poll of task {task} {name}"),
                    None => format!("poll of task {task}"),
                },
                (Event::Root, _) => "poll of a block_on".to_owned(),
                (Event::Park, _) => "asleep".to_owned(),
                _ => "looks for events and timers".to_owned(),
            };
            let place = event.location.map(ToString::to_string).unwrap_or_default();
            self.slice(event.seat, start, end.saturating_sub(start), &name, &place)?;
        }
        Ok(())
    }

    fn instant(&mut self, event: &Recorded, at: Duration) -> io::Result<()> {
        let name = match (event.event, event.task()) {
            (_, Some(task)) => format!("task {task} is ready"),
            (Event::Steal, _) => format!("steals {}", event.number),
            _ => "was stuck, and is rescued".to_owned(),
        };
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"i\",\"s\":\"t\",\"pid\":1,\"tid\":{},\"ts\":{},\"name\":{}}}",
            event.seat,
            micros(at),
            Quoted(&name)
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
            "{{\"ph\":\"X\",\"pid\":1,\"tid\":{thread},\"ts\":{},\"dur\":{},\"name\":{},\
             \"args\":{{\"spawned at\":{}}}}}",
            micros(start),
            micros(length),
            Quoted(name),
            Quoted(place)
        )
    }

    fn thread(&mut self, thread: usize, name: &str) -> io::Result<()> {
        self.separate()?;
        write!(
            self.out,
            "{{\"ph\":\"M\",\"pid\":1,\"tid\":{thread},\"name\":\"thread_name\",\
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
