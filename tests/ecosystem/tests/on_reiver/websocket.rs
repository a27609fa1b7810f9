//! WebSockets by tokio-tungstenite, both sides.

use crate::support::{Fallible, listen, noise, on_reiver};
use futures_util::{SinkExt, StreamExt};
use reiver::net::{TcpListener, TcpStream};
use reiver::task::JoinSet;
use std::net::SocketAddr;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// Echoes what each of `clients` clients says.
async fn serve(listener: TcpListener, clients: usize) -> Fallible {
    let mut connections = JoinSet::new();
    for _ in 0..clients {
        let (stream, _) = listener.accept().await?;
        connections.spawn(async move {
            let mut socket = accept_async(stream).await?;
            while let Some(message) = socket.next().await {
                let message = message?;
                if message.is_text() || message.is_binary() {
                    socket.send(message).await?;
                }
            }
            Fallible::Ok(())
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended??;
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> Fallible<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    Ok(client_async(format!("ws://{address}/echo"), stream).await?.0)
}

#[test]
fn echo() {
    on_reiver(|| async {
        let (listener, address) = listen().await?;
        let server = reiver::spawn(serve(listener, 1));
        let mut socket = connect(address).await?;
        for message in [Message::text("hello"), Message::binary(noise(1 << 20))] {
            socket.send(message.clone()).await?;
            assert!(socket.next().await.unwrap()? == message);
        }
        socket.send(Message::Ping(b"there?".as_slice().into())).await?;
        assert_eq!(socket.next().await.unwrap()?, Message::Pong(b"there?".as_slice().into()));
        let frame = CloseFrame { code: CloseCode::Normal, reason: "enough".into() };
        socket.close(Some(frame.clone())).await?;
        assert_eq!(socket.next().await.unwrap()?, Message::Close(Some(frame)));
        assert!(socket.next().await.is_none());
        server.await?
    });
}

#[test]
fn many_clients() {
    const CLIENTS: usize = 50;
    on_reiver(|| async {
        let (listener, address) = listen().await?;
        let server = reiver::spawn(serve(listener, CLIENTS));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(async move {
                let (mut say, mut hear) = connect(address).await?.split();
                let saying = reiver::spawn(async move {
                    for n in 0..20 {
                        say.send(Message::text(format!("{client} says {n}"))).await?;
                    }
                    Ok::<_, Error>(say)
                });
                for n in 0..20 {
                    let message = hear.next().await.unwrap()?;
                    assert_eq!(message, Message::text(format!("{client} says {n}")));
                }
                saying.await??.close().await?;
                while let Some(message) = hear.next().await {
                    assert!(message?.is_close());
                }
                Fallible::Ok(())
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        server.await?
    });
}

#[test]
fn no_websocket_at_all() {
    on_reiver(|| async {
        let (listener, address) = listen().await?;
        let server = reiver::spawn(serve(listener, 1));
        let mut stream = TcpStream::connect(address).await?;
        reiver::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await?;
        let error = server.await?.unwrap_err();
        assert!(error.to_string().contains("WebSocket"), "{error}");
        Ok(())
    });
}
