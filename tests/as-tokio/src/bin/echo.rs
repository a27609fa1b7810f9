//! A TCP echo server and its clients, as the tokio tutorial has them.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Duration, timeout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, mut stopped) = oneshot::channel::<()>();

    let server = tokio::spawn(async move {
        let mut served = 0;
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut socket, _) = accepted.expect("accept");
                    served += 1;
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 1024];
                        loop {
                            match socket.read(&mut buffer).await {
                                Ok(0) | Err(_) => return,
                                Ok(n) => socket.write_all(&buffer[..n]).await.expect("write"),
                            }
                        }
                    });
                }
                _ = &mut stopped => return served,
            }
        }
    });

    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(tokio::spawn(async move {
            let stream = TcpStream::connect(address).await?;
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            for round in 0..10 {
                write.write_all(format!("client {n} round {round}\n").as_bytes()).await?;
                let line = lines.next_line().await?.expect("the server answers");
                assert_eq!(line, format!("client {n} round {round}"));
            }
            Ok::<_, std::io::Error>(())
        }));
    }
    for client in clients {
        timeout(Duration::from_secs(30), client).await???;
    }
    let _ = stop.send(());
    println!("served {}", server.await?);
    Ok(())
}
