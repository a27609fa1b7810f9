//! TCP in simulations: `src/net/simulated.rs`.

#![cfg(target_os = "linux")]

extern crate reiver_model as reiver;

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::{TcpListener, TcpStream, UnixStream};
use reiver::sim::Sim;
use reiver::time::{Duration, sleep};
use std::io::ErrorKind;

/// Echoes what each of `clients` connections sends.
async fn serve(listener: TcpListener, clients: usize) {
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (mut stream, peer) = listener.accept().await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), peer);
        stream.set_nodelay(true).unwrap();
        tasks.push(reiver::spawn(async move {
            let (mut read, mut write) = stream.split();
            reiver::io::copy(&mut read, &mut write).await.unwrap()
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Two clients and a server, of the code that production has.
#[reiver::sim(seeds = 200, must_reach = ["the second was first"])]
async fn an_echo_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = reiver::spawn(serve(listener, 2));
    let client = |text: &'static str| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut echo = String::new();
        stream.read_to_string(&mut echo).await.unwrap();
        assert_eq!(echo, text);
    };
    let (one, two) = (reiver::spawn(client("one")), reiver::spawn(client("and two")));
    one.await.unwrap();
    if two.is_finished() {
        reiver::reached!("the second was first");
    }
    two.await.unwrap();
    server.await.unwrap();
}

/// What is written is longer than what fits, so that the writer waits for the reader.
#[reiver::sim(seeds = 20)]
async fn a_writer_waits_for_its_reader() {
    let listener = TcpListener::bind("127.0.0.1:4000").await.unwrap();
    let sender = reiver::spawn(async {
        let mut stream = TcpStream::connect("127.0.0.1:4000").await.unwrap();
        stream.write_all(&[7; 1 << 20]).await.unwrap();
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(!sender.is_finished(), "a megabyte fits");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), 1 << 20);
    sender.await.unwrap();
}

#[reiver::sim(seeds = 20)]
async fn addresses_are_taken_and_refused() {
    let error = TcpStream::connect("127.0.0.1:80").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
    let error = TcpListener::bind("0.0.0.0:80").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let client = reiver::spawn(async { TcpStream::connect("127.0.0.1:80").await.unwrap() });
    let (mut server, _) = listener.accept().await.unwrap();
    drop(client.await.unwrap());
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0, "the end");
    drop(listener);
    assert!(TcpStream::connect("127.0.0.1:80").await.is_err());
}

/// A server that takes what one read gives for a whole message.
#[test]
fn a_message_in_two_parts_is_found() {
    let sim = Sim::new(module_path!(), "parts", file!());
    let body = || async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = reiver::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0; 5]).await.unwrap(), 5, "a whole message");
        client.await.unwrap();
    };
    let found = sim.find(body).expect_err("the bug");
    assert!(found.message().contains("a whole message"), "{found}");
    for _ in 0..10 {
        let again = sim.replay(&found.seed(), body).expect("the seed leads to the bug");
        assert_eq!(again.message(), found.message());
    }
}

/// Nobody writes, and the simulation knows it.
#[test]
fn two_readers_are_a_deadlock() {
    let found = Sim::new(module_path!(), "readers", file!()).find(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = reiver::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.read_u8().await.unwrap();
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        client.await.unwrap();
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("deadlock: nothing is ready"), "{found}");
}

#[test]
fn other_sockets_are_refused() {
    let found = Sim::new(module_path!(), "unix", file!()).find(|| async {
        drop(UnixStream::pair());
    });
    assert!(found.expect_err("a failure").message().contains("a real socket"));
}
