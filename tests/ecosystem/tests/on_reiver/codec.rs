//! tokio-util's codecs over a stream.

use crate::support::{on_reiver, pair};
use futures_util::{SinkExt, StreamExt};
use reiver::io::AsyncWriteExt;
use reiver::net::TcpStream;
use tokio_util::codec::{Framed, FramedRead, LinesCodec, LinesCodecError};

#[test]
fn lines() {
    on_reiver(|| async {
        let (client, server) = pair().await?;
        let shouting = reiver::spawn(async move {
            let mut lines = Framed::new(server, LinesCodec::new());
            while let Some(line) = lines.next().await {
                lines.send(line?.to_uppercase()).await?;
            }
            Ok::<_, LinesCodecError>(())
        });
        let mut lines: Framed<TcpStream, _> = Framed::new(client, LinesCodec::new());
        for n in 0..100 {
            lines.send(format!("line {n}")).await?;
        }
        for n in 0..100 {
            assert_eq!(lines.next().await.unwrap()?, format!("LINE {n}"));
        }
        lines.get_mut().shutdown().await?;
        assert!(lines.next().await.is_none());
        Ok(shouting.await??)
    });
}

#[test]
fn a_line_too_long() {
    on_reiver(|| async {
        let (mut client, server) = pair().await?;
        client.write_all(b"short\nfar too long a line\nshort again\n").await?;
        client.shutdown().await?;
        let mut lines = FramedRead::new(server, LinesCodec::new_with_max_length(12));
        assert_eq!(lines.next().await.unwrap()?, "short");
        let error = lines.next().await.unwrap().unwrap_err();
        assert!(matches!(error, LinesCodecError::MaxLineLengthExceeded), "{error}");
        Ok(())
    });
}
