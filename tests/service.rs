//! `examples/service.rs` from outside: what a browser, a bad client and a shell see of it.

#[path = "support/service.rs"]
mod support;

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};
use support::{Service, ask, eventually, program, reply};

#[test]
fn every_endpoint_and_every_error() {
    let mut service = Service::start();
    for (path, status, text) in [
        ("/hello", 200, "hello\n"),
        ("/async", 200, "slept without a thread\n"),
        ("/blocking", 200, "blocked a thread of the pool\n"),
        ("/cpu?n=1000", 200, "median "),
        #[cfg(target_os = "linux")]
        ("/process?n=1000", 200, "median "),
        #[cfg(target_os = "linux")]
        ("/crash", 500, "the worker of service::crash was killed by SIGABRT"),
        #[cfg(target_os = "linux")]
        ("/process?n=1000", 200, "median "),
        ("/aggregate", 200, "slept without a thread\nblocked a thread of the pool\n"),
        ("/tasks", 200, "<!doctype html>"),
        ("/cpu?n=0", 400, "n must be a number from 1 to"),
        ("/cpu?n=99999999999999999999", 400, "n must be a number from 1 to"),
        ("/cpu?n=x", 400, "n must be a number from 1 to"),
        ("/", 404, "no such path: /"),
        ("/../etc/passwd", 404, "no such path"),
    ] {
        let (head, body) = service.get(path);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(body.starts_with(text), "{path}: {body}");
    }
    // What no browser sends.
    let long = vec![b'x'; 1 << 20];
    for (bytes, status) in
        [(&b"\0\x01\x02\r\n\r\n"[..], "400"), (b"GET\r\n\r\n", "400"), (&long, "431")]
    {
        let mut stream = service.connect();
        // The service closes before it has read all of the long one, and its reply may be lost by that.
        let _ = stream.write_all(bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8_lossy(&reply);
        let refused = reply.starts_with(&format!("HTTP/1.1 {status} "));
        assert!(refused || (status == "431" && reply.is_empty()), "{reply}");
    }
    let (_, body) = service.get("/hello");
    assert_eq!(body, "hello\n");
    service.interrupt();
    let (rest, status) = service.end();
    assert_eq!(rest, "ended\n");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn load_leaves_nothing_behind() {
    const CLIENTS: usize = 64;
    const REQUESTS: usize = 50;
    let mut service = Service::start();
    let before = service.descriptors();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let mut stream = BufReader::new(service.connect());
            thread::spawn(move || {
                let path = if client % 8 == 0 { "/tasks" } else { "/hello" };
                for _ in 0..REQUESTS {
                    ask(stream.get_mut(), path);
                    let (head, _) = reply(&mut stream);
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                }
                // In the middle of a request, of a reply, or idle: the connection ends here.
                match client % 3 {
                    0 => stream.get_mut().write_all(b"GET /hello HT").unwrap(),
                    1 => ask(stream.get_mut(), "/async"),
                    _ => {}
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    eventually("the connections' tasks end", || service.tasks() == 2);
    eventually("their descriptors are closed", || service.descriptors().is_subset(&before));
    service.interrupt();
    assert_eq!(service.end().1.code(), Some(0));
}

#[test]
fn an_interrupt_lets_running_requests_finish() {
    const REQUESTS: usize = 40;
    let mut service = Service::start();
    let idle = service.connect();
    let mut asking = Vec::new();
    for n in 0..REQUESTS {
        let mut stream = BufReader::new(service.connect());
        // Both in one packet: who has the first reply knows that the second request has arrived.
        let second = if n % 2 == 0 { "/async" } else { "/blocking" };
        let request = |path| format!("GET {path} HTTP/1.1\r\nhost: it\r\n\r\n");
        stream.get_mut().write_all((request("/hello") + &request(second)).as_bytes()).unwrap();
        asking.push(stream);
    }
    for stream in &mut asking {
        assert_eq!(reply(stream).1, "hello\n");
    }
    service.interrupt();
    for mut stream in asking {
        let (head, body) = reply(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(body == "slept without a thread\n" || body.starts_with("blocked"), "{body}");
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "the service closes the connection");
    }
    assert_eq!((&idle).read(&mut [0; 1]).unwrap(), 0, "an idle connection is closed at once");
    let (rest, status) = service.end();
    assert_eq!(rest, "ended\n");
    assert_eq!(status.code(), Some(0));
    assert!(TcpStream::connect(service.address).is_err());
}

fn output(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().unwrap()
}

#[test]
fn plain_failures_are_one_line_and_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, words) in [
        (&["--fast"][..], "unknown argument --fast"),
        (&["--json", "--serve"], "unexpected argument --serve"),
        (&["--serve", "127.0.0.1:0", "now"], "unexpected argument now"),
        (&["--serve", "127.0.0.1"], "cannot listen on 127.0.0.1: "),
        (&["--serve", "127.0.0.1:99999"], "cannot listen on 127.0.0.1:99999: "),
        (&["--serve", &taken], &format!("cannot listen on {taken}: ")),
    ] {
        let output = output(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(words), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_load_as_json() {
    let output = output(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = json_rows(&text);
    let endpoints: Vec<&str> = rows.iter().map(|row| row[0].1).collect();
    let plain = [r#""/async""#, r#""/blocking""#, r#""/cpu""#, r#""/aggregate""#, r#""/tasks""#];
    let beside = [r#""/hello with /bad""#, r#""/async with /bad""#, r#""/blocking with /bad""#];
    assert_eq!(endpoints, [&plain[..], &beside[..]].concat());
    for row in rows {
        let names: Vec<&str> = row.iter().map(|field| field.0).collect();
        assert_eq!(names, ["endpoint", "requests", "ok", "seconds", "per_second"]);
        assert_eq!((row[1].1, row[2].1), ("100", "100"));
        let [seconds, rate] = [row[3].1, row[4].1].map(|number| number.parse::<f64>().unwrap());
        assert!((rate * seconds - 100.0).abs() < 1.0, "{seconds} s and {rate}/s");
    }
}

/// More requests block their workers than there are workers, and the service goes on.
#[test]
fn a_bad_endpoint_blocks_itself_and_nobody_else() {
    const BAD: Duration = Duration::from_secs(5);
    let service = Service::start();
    let start = Instant::now();
    let mut bad: Vec<_> = (0..12).map(|_| BufReader::new(service.connect())).collect();
    bad.iter_mut().for_each(|stream| ask(stream.get_mut(), "/bad"));
    let mut slowest = Duration::ZERO;
    let mut rounds = 0;
    while start.elapsed() < BAD * 3 / 5 {
        for path in ["/hello", "/async", "/blocking"] {
            let start = Instant::now();
            assert!(service.get(path).0.starts_with("HTTP/1.1 200 "));
            slowest = slowest.max(start.elapsed());
        }
        rounds += 1;
    }
    assert!(rounds > 0 && slowest < BAD / 2, "{rounds} rounds, the slowest request {slowest:?}");
    for stream in &mut bad {
        assert_eq!(reply(stream).1, "blocked a worker\n");
    }
}

/// The names and values of an array of flat objects, whose strings hold no comma, colon or brace.
fn json_rows(text: &str) -> Vec<Vec<(&str, &str)>> {
    let inside = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap();
    let mut rows = Vec::new();
    for row in inside.split('}').map(|row| row.trim_start_matches([',', '\n', ' '])) {
        if row.is_empty() || row == "\n" {
            continue;
        }
        let fields = row.trim().strip_prefix('{').unwrap().split(',');
        rows.push(fields.map(pair_of).collect());
    }
    rows
}

fn pair_of(field: &str) -> (&str, &str) {
    let (name, value) = field.split_once(':').unwrap();
    (name.trim().trim_matches('"'), value.trim())
}
