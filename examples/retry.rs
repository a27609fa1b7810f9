//! A client that does not give up at once: a limit for each attempt, several attempts, and longer and
//! longer pauses between them.
//!
//! ```text
//! cargo run --example retry
//! ```
//!
//! The server beside it is a bad one: it hangs up on the first, forgets the second, and answers the
//! third.

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::{TcpListener, TcpStream};
use reiver::time::{Duration, Instant, sleep, timeout};
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_millis(200);
/// The first pause. Each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 5;

#[reiver::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = reiver::spawn(flaky_server(listener));

    let answer = retry(|| ask(address, "what is the time?")).await?;
    println!("the answer: {answer}");

    // The server would go on for ever.
    server.abort();
    Ok(())
}

/// Calls `attempt` until it succeeds, and gives its last error if it never does.
async fn retry<T, F>(mut attempt: impl FnMut() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut pause = PAUSE;
    let mut number = 1;
    loop {
        let start = Instant::now();
        // When the time is up the attempt is dropped, and its connection with it.
        let outcome = match timeout(ATTEMPT, attempt()).await {
            Ok(outcome) => outcome,
            Err(late) => Err(late.into()),
        };
        match outcome {
            Ok(value) => return Ok(value),
            Err(error) if number == ATTEMPTS => return Err(error),
            Err(error) => {
                println!("attempt {number} failed after {:.0?}: {error}", start.elapsed());
            }
        }
        sleep(jittered(pause)).await;
        pause *= 2;
        number += 1;
    }
}

/// Between half of `pause` and all of it: clients that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_nanos());
    pause.mul_f64(0.5 + f64::from(nanos % 1000) / 2000.0)
}

async fn ask(address: SocketAddr, question: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(question.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

async fn flaky_server(listener: TcpListener) -> io::Result<()> {
    for client in 1.. {
        let (mut stream, _) = listener.accept().await?;
        match client {
            1 => drop(stream),
            2 => drop(reiver::spawn(async move {
                let _held = stream;
                pending::<()>().await
            })),
            _ => {
                let mut question = String::new();
                stream.read_to_string(&mut question).await?;
                stream.write_all(b"late").await?;
            }
        }
    }
    Ok(())
}
