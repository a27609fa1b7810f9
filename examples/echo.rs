//! A TCP echo server: sends back whatever it receives.
//!
//! ```text
//! cargo run --example echo [ADDR]      serves at ADDR, 127.0.0.1:7007 if none is given
//! cargo run --example echo -- --demo   serves one client of its own, and ends
//! ```

// ci: --demo

use reiver::io::{AsyncReadExt, AsyncWriteExt, copy};
use reiver::net::{TcpListener, TcpStream};
use reiver::time::{Duration, sleep};
use std::io;

#[reiver::main]
async fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("--demo") => demo().await,
        address => {
            let listener = TcpListener::bind(address.unwrap_or("127.0.0.1:7007")).await?;
            println!("echo server at {}", listener.local_addr()?);
            serve(listener).await
        }
    }
}

/// Accepts for ever; each connection is a task.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                reiver::spawn(async move {
                    if let Err(error) = echo(stream).await {
                        eprintln!("{peer}: {error}");
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: some client will leave.
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut output) = stream.split();
    copy(&mut input, &mut output).await?;
    Ok(())
}

async fn demo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    reiver::spawn(serve(listener));
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"hello, echo").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("{address} answers {answer:?}");
    if answer != "hello, echo" {
        return Err(io::Error::other("that is no echo"));
    }
    Ok(())
}
