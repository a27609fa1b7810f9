//! rustls by tokio-rustls, both sides, with a certificate made for the run.

use crate::support::{Fallible, noise, on_reiver, pair};
use reiver::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use reiver::net::TcpStream;
use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const SIZE: usize = 4 << 20;

/// A server that is `localhost`, and a client that trusts nobody else.
fn peers() -> Fallible<(TlsAcceptor, TlsConnector)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client))))
}

type Client = client::TlsStream<TcpStream>;
type Server = server::TlsStream<TcpStream>;

async fn tls_pair() -> Fallible<(Client, Server)> {
    let (acceptor, connector) = peers()?;
    let (client, server) = pair().await?;
    let name = ServerName::try_from("localhost")?;
    Ok(reiver::try_join!(connector.connect(name, client), acceptor.accept(server))?)
}

#[test]
fn echo() {
    on_reiver(|| async {
        let (mut client, mut server) = tls_pair().await?;
        let echo = reiver::spawn(async move {
            let mut text = [0; 5];
            server.read_exact(&mut text).await?;
            server.write_all(&text).await?;
            server.shutdown().await
        });
        client.write_all(b"hello").await?;
        let mut text = String::new();
        client.read_to_string(&mut text).await?;
        assert_eq!(text, "hello");
        Ok(echo.await??)
    });
}

#[test]
fn large_data_both_ways_at_once_and_half_close() {
    on_reiver(|| async {
        let (client, server) = tls_pair().await?;
        let echo = reiver::spawn(async move {
            let (mut read, mut write) = split(server);
            let copied = copy(&mut read, &mut write).await?;
            // The client has closed its half, and hears this all the same.
            write.write_all(b"the end").await?;
            write.shutdown().await?;
            io::Result::Ok(copied)
        });
        let (mut read, mut write) = split(client);
        let sent = noise(SIZE);
        let writer = reiver::spawn({
            let sent = sent.clone();
            async move {
                write.write_all(&sent).await?;
                write.shutdown().await
            }
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await?;
        writer.await??;
        assert_eq!(echo.await??, SIZE as u64);
        assert_eq!(received.len(), SIZE + 7);
        assert!(received[..SIZE] == sent && received[SIZE..] == *b"the end");
        Ok(())
    });
}

#[test]
fn a_peer_that_vanishes_is_an_error_and_no_end() {
    on_reiver(|| async {
        let (mut client, mut server) = tls_pair().await?;
        server.write_all(b"half a mess").await?;
        server.flush().await?;
        drop(server);
        let mut text = Vec::new();
        let error = client.read_to_end(&mut text).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(text, b"half a mess");
        Ok(())
    });
}

#[test]
fn an_unknown_certificate_is_refused_on_both_sides() {
    on_reiver(|| async {
        let (acceptor, _) = peers()?;
        let (_, stranger) = peers()?;
        let (client, server) = pair().await?;
        let name = ServerName::try_from("localhost")?;
        let (client, server) =
            reiver::join!(stranger.connect(name, client), acceptor.accept(server));
        assert_eq!(client.map(drop).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(server.map(drop).unwrap_err().kind(), io::ErrorKind::InvalidData);
        Ok(())
    });
}
